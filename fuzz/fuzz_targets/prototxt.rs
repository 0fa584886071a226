//! Prototxts of Caffe networks.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bcreid_fuzz::prototxt(bytes));
