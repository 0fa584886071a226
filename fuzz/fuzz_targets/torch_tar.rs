//! PyTorch's tar archives.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bcreid_fuzz::weights_as(bytes, 257, b"ustar\x0000"));
