//! Image files.

#![no_main]

use bcreid::data::decode;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| match decode::decode(bytes) {
    Ok(rgb) => assert_eq!(rgb.pixels.len(), rgb.width * rgb.height * 3),
    Err(why) => assert!(!why.contains('\n'), "not one line: {why}"),
});
