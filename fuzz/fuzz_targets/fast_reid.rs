//! fast-reid's `config.yaml`, beside a checkpoint with a head.

#![no_main]

use bcreid_fuzz::{folder, good};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("config.yaml"), bytes).expect("room");
    std::fs::copy(
        concat!(env!("CARGO_MANIFEST_DIR"), "/seeds/safetensors/fast_reid"),
        at("model.safetensors"),
    )
    .expect("room");
    let Some(source) = good(bcreid_convert::source::open(&at("model.safetensors"))) else { return };
    assert!(matches!(source.last_stride, 1 | 2));
    assert!(source.notes.iter().all(|note| !note.contains('\n')), "{:?}", source.notes);
});
