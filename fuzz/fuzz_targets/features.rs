//! Feature files of this program: safetensors with a header below 16 MiB.

#![no_main]

use bcreid::weights::Features;
use bcreid_fuzz::{features, folder, put};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = folder();
    features(Features::read(&put(&folder, "features.safetensors", bytes)));
});
