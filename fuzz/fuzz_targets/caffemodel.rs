//! Whatever is nothing else is read as a Caffe model.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bcreid_fuzz::weights(bytes));
