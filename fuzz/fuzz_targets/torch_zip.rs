//! PyTorch's zip archives.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bcreid_fuzz::weights_as(bytes, 0, b"PK\x03\x04"));
