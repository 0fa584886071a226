//! Trained checkpoints: `data/torch-checkpoints` of the folder that BCREID_SHARED names, where its absence is
//! a failure, or else of `../shared`, where the tests say so and pass.

use bcreid_convert::source::open;
use std::path::{Path, PathBuf};

fn checkpoint(name: &str) -> Option<PathBuf> {
    let named = std::env::var_os("BCREID_SHARED").map(PathBuf::from);
    let is_promised = named.is_some();
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let file = named.unwrap_or_else(beside).join("data/torch-checkpoints").join(name);
    if file.is_file() {
        return Some(file);
    }
    assert!(!is_promised, "BCREID_SHARED is set, but there is no {}", file.display());
    println!("skipped: {} is not there", file.display());
    None
}

#[test]
fn a_trained_resnet20() {
    let Some(file) = checkpoint("resnet20-12fca82f.th") else { return };
    let source = open(&file).unwrap();
    assert_eq!(source.format, "PyTorch legacy file (0.1.10 to 1.5)");
    assert_eq!(
        source.notes,
        ["took the tensors under \"state_dict\"", "removed the prefix \"module.\" from the names"]
    );
    assert_eq!(source.tensors.len(), 97);
    let conv1 = &source.tensors["conv1.weight"];
    assert_eq!(conv1.shape, [16, 3, 3, 3]);
    let sum: f64 = conv1.values().unwrap().iter().map(|v| f64::from(*v)).sum();
    assert!((sum - 1.3100986).abs() < 1e-5, "{sum}");
    for (name, tensor) in &source.tensors {
        assert!(tensor.values().unwrap().iter().all(|v| v.is_finite()), "{name}");
    }
}

#[test]
fn the_beginning_of_a_trained_resnet50() {
    let Some(file) = checkpoint("resnet50-19c8e357.first358400.pth") else { return };
    let error = open(&file).unwrap_err().to_string();
    let detail = "is cut short: 358400 bytes long, and should have 102502400; download or copy it again";
    assert_eq!(error, format!("{}: {detail}", file.display()));
}
