//! PyTorch's legacy files: a sequence of pickles.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bcreid_fuzz::weights_as(
    bytes,
    0,
    b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
));
