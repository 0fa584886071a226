//! One state dict in every container.

use crate::{forge, open_bytes, refusal};
use bcreid_convert::source::{Source, open};
use bcreid_convert::torch;
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pytorch").join(name)
}

fn fixture(name: &str) -> Source {
    open(&golden(&format!("{name}.pth"))).unwrap()
}

/// All values are those that PyTorch had, to the bit.
fn check(source: &Source) {
    let expected = bcreid::weights::read_tensors(&golden("expected.safetensors")).unwrap();
    let names: Vec<&str> = source.tensors.keys().map(String::as_str).collect();
    assert_eq!(names, expected.names().collect::<Vec<_>>());
    for (name, tensor) in &source.tensors {
        let wanted = expected.tensor(name).unwrap();
        assert_eq!(tensor.shape, wanted.shape(), "{name}");
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&tensor.values().unwrap()), bits(&wanted.f32().unwrap()), "{name}");
    }
    let dtype = |name: &str| source.tensors[name].dtype;
    assert_eq!(dtype("conv1.weight"), "f32");
    assert_eq!(dtype("bn1.weight"), "f16");
    assert_eq!(dtype("bn1.bias"), "bf16");
    assert_eq!(dtype("bn1.running_mean"), "f64");
    assert_eq!(dtype("bn1.num_batches_tracked"), "i64");
}

#[test]
fn every_container_gives_the_same_values() {
    for (name, format) in [
        ("zip", "PyTorch zip archive"),
        ("zip-protocol4", "PyTorch zip archive"),
        ("zip-streamed", "PyTorch zip archive"),
        ("zip-parameters", "PyTorch zip archive"),
        ("legacy", "PyTorch legacy file (0.1.10 to 1.5)"),
        ("tar", "PyTorch tar archive (before 0.1.10)"),
    ] {
        println!("{name}");
        let source = fixture(name);
        assert_eq!(source.format, format);
        assert_eq!(source.notes, [""; 0]);
        check(&source);
    }
}

#[test]
fn a_nested_state_dict_is_found_and_told() {
    let zip = fixture("zip-nested");
    check(&zip);
    let took = "took the tensors under \"state_dict\"; not used: \"optimizer\"";
    assert_eq!(zip.notes, [took, "removed the prefix \"module.\" from the names"]);
    let legacy = fixture("legacy-nested");
    check(&legacy);
    let took = "took the tensors under \"model\"; not used: \"best_acc\"";
    assert_eq!(legacy.notes, [took, "removed the prefix \"module.\" from the names"]);
    let tar = fixture("tar-nested");
    check(&tar);
    assert_eq!(
        tar.notes,
        ["took the tensors under \"net\"", "removed the prefix \"module.\" from the names"]
    );
}

/// A checkpoint of nested dictionaries: `a/b.c` is tensor `b.c` under `a`.
fn names_and_notes(paths: &[&str]) -> (Vec<String>, Vec<String>) {
    let source = open_bytes(&forge::checkpoint(paths)).unwrap();
    (source.tensors.into_keys().collect(), source.notes)
}

#[test]
fn which_state_dict() {
    let (names, notes) = names_and_notes(&["state_dict/conv1.weight", "state_dict_ema/bn1.weight"]);
    assert_eq!(names, ["conv1.weight"]);
    assert_eq!(notes, ["took the tensors under \"state_dict\"; not used: \"state_dict_ema\""]);
    // Any single dictionary will do, however deep, and a lone tensor beside it is no state dict.
    let (names, notes) = names_and_notes(&["weights/inner/conv1.weight", "accuracy"]);
    assert_eq!(names, ["conv1.weight"]);
    assert_eq!(
        notes,
        ["took the tensors under \"weights\"; not used: \"accuracy\"", "took the tensors under \"inner\""]
    );
    assert_eq!(names_and_notes(&["weight"]).0, ["weight"]);

    let two = refusal(&forge::checkpoint(&["student/conv1.weight", "teacher/conv1.weight"]));
    assert!(two.starts_with("holds tensors under \"student\", \"teacher\"; save the one you mean"), "{two}");
    let two = refusal(&forge::checkpoint(&["model/conv1.weight", "net/conv1.weight"]));
    assert!(two.starts_with("holds tensors under \"model\", \"net\""), "{two}");
    let two = refusal(&forge::checkpoint(&["conv1.weight", "other/conv1.weight"]));
    assert!(two.starts_with("holds tensors under \"other\", \"its top level\""), "{two}");
    assert_eq!(refusal(&forge::checkpoint(&[])), "holds no tensors; save model.state_dict()");
}

#[test]
fn prefixes_go_if_the_whole_trunk_has_them() {
    let (names, notes) = names_and_notes(&[
        "module.base.layer1.0.conv1.weight",
        "module.base.conv1.weight",
        "module.head.weight",
    ]);
    assert_eq!(names, ["conv1.weight", "head.weight", "layer1.0.conv1.weight"]);
    assert_eq!(
        notes,
        ["removed the prefix \"module.\" from the names", "removed the prefix \"base.\" from the names"]
    );
    // The head keeps its name, and so does what would get the name of another.
    let (names, _) = names_and_notes(&["backbone.conv1.weight", "backbone.fc.weight", "fc.weight"]);
    assert_eq!(names, ["backbone.fc.weight", "conv1.weight", "fc.weight"]);
    let (names, notes) = names_and_notes(&["base.conv1.weight", "conv1.weight"]);
    assert_eq!((names.len(), notes.len()), (2, 0));
    assert_eq!(
        names_and_notes(&["base.conv1.weight", "conv1.weight"]).0,
        ["base.conv1.weight", "conv1.weight"]
    );
}

#[test]
fn files_that_are_cut_short_say_so() {
    let bytes = |name: &str| std::fs::read(golden(&format!("{name}.pth"))).unwrap();
    let tar = bytes("tar");
    let cut = "is cut short: 9000 bytes long, and should have 20480; download or copy it again";
    assert_eq!(refusal(&tar[..9000]), cut);
    let legacy = bytes("legacy");
    let length = legacy.len();
    let cut = format!(
        "is cut short: {} bytes long, and should have {length}; download or copy it again",
        length - 1
    );
    assert_eq!(refusal(&legacy[..length - 1]), cut);
    let cut = "is cut short: it ends inside its pickle; download or copy it again";
    assert_eq!(refusal(&legacy[..500]), cut);
    let zip = bytes("zip");
    let cut = "is cut short: 3000 bytes of a zip archive whose directory, at the end, is missing; download or copy \
               it again";
    assert_eq!(refusal(&zip[..3000]), cut);
    // Wherever a file is cut, it is refused in words, except that a tar archive may lose its padding.
    for name in ["tar", "legacy", "zip"] {
        let bytes = bytes(name);
        let end = if name == "tar" { bytes.iter().rposition(|b| *b != 0).unwrap() } else { bytes.len() };
        for length in (300..end).step_by(61) {
            let error = refusal(&bytes[..length]);
            assert!(error.starts_with("is cut short"), "{name} cut to {length}: {error}");
        }
    }
}

/// Whatever byte is wrong, the reader ends in an error or in tensors, never in a panic.
#[test]
fn a_wrong_byte_anywhere_is_survived() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for name in ["zip", "zip-streamed", "legacy", "tar"] {
        let whole = std::fs::read(golden(&format!("{name}.pth"))).unwrap();
        let (mut refused, mut tried) = (0, 0);
        for at in (0..whole.len()).step_by(whole.len() / 500) {
            tried += 1;
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            std::fs::write(file.path(), &bytes).unwrap();
            match torch::open(file.path()) {
                Ok(source) => source.tensors.values().for_each(|tensor| drop(tensor.values())),
                Err(_) => refused += 1,
            }
        }
        println!("{name}: {refused} of {tried} refused at open");
    }
}
