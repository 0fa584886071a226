//! NumPy arrays with their list of rows: the input's part before the array's magic number is the list.

#![no_main]

use bcreid_fuzz::{features, folder, put};

const MAGIC: &[u8] = b"\x93NUMPY";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = folder();
    let list = bytes.windows(MAGIC.len()).position(|window| window == MAGIC).unwrap_or(bytes.len());
    put(&folder, "features.csv", &bytes[..list]);
    features(bcreid::export::features::read(&put(&folder, "features.npy", &bytes[list..])));
});
