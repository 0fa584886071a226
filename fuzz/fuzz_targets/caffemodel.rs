//! Caffe models: input without another format's magic number.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bcreid_fuzz::weights(bytes));
