//! A last stride of 1 on the way to PyTorch, where a state dict does not hold it.

use bcreid::config::{Arch, Model};
use bcreid_convert::cli::loading::lines;
use std::path::Path;
use std::process::Command;

/// Runs the converter to success; returns what it printed and what it warned of.
fn convert(arguments: &[&Path], options: &[&str]) -> (String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_bcreid-convert")).args(arguments).args(options).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

/// The weights of a ResNet-50 of small width as a file for the engine.
fn weights(folder: &Path, last_stride: &str) -> std::path::PathBuf {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/resnet50_width4.safetensors");
    let out = folder.join(format!("w{last_stride}.safetensors"));
    convert(&[&golden], &["--out", out.to_str().unwrap(), "--last-stride", last_stride]);
    out
}

#[test]
fn a_last_stride_of_1_is_a_warning_with_the_lines_that_load_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (fine, plain) = (weights(folder, "1"), weights(folder, "2"));
    let pth = folder.join("a\nb.pth");
    let (said, warned) = convert(&[&fine], &["--to", "torchvision", "--out", pth.to_str().unwrap()]);
    assert!(
        warned.starts_with("warning: its last stage strides by 1") && warned.lines().count() == 1,
        "{warned}"
    );
    assert!(
        said.contains("\n  model.layer4[0].conv2.stride = model.layer4[0].downsample[0].stride = (1, 1)\n")
    );
    assert!(said.contains("a\\\\nb.pth\", weights_only=True)\n  model.load_state_dict(state)\n"), "{said}");
    let (said, warned) =
        convert(&[&plain], &["--to", "torchvision", "--out", folder.join("b.pth").to_str().unwrap()]);
    assert!(warned.is_empty() && !said.contains("stride = "), "{said}{warned}");

    // A safetensors file states it, and it comes back without an option.
    let there = folder.join("c.safetensors");
    let (said, _) = convert(&[&fine], &["--to", "torchvision", "--out", there.to_str().unwrap()]);
    assert!(said.contains("safetensors.torch.load_file("), "{said}");
    let back = folder.join("d.safetensors");
    let (said, _) = convert(&[&there], &["--out", back.to_str().unwrap()]);
    assert!(said.contains("last stage at stride 1"), "{said}");
}

#[test]
fn the_lines_are_those_of_the_block() {
    let model = |arch| Model { arch, last_stride: 1, ..Model::default() };
    let of = |model: &Model, classes, out: &str| lines(model, classes, Path::new(out)).join("\n");
    assert_eq!(
        of(&model(Arch::Resnet50), Some(751), "w.pth"),
        "import torch, torchvision\n\
         model = torchvision.models.resnet50(num_classes=751)\n\
         model.layer4[0].conv2.stride = model.layer4[0].downsample[0].stride = (1, 1)\n\
         state = torch.load(\"w.pth\", weights_only=True)\n\
         model.load_state_dict(state)"
    );
    let basic = of(&model(Arch::Resnet18), None, "w.safetensors");
    assert!(basic.contains("resnet18()\nmodel.fc = torch.nn.Identity()\nmodel.layer4[0].conv1.stride = "));
    assert!(basic.contains("safetensors.torch.load_file(\"w.safetensors\")"), "{basic}");
    for other in [
        model(Arch::Slim),
        Model { width: Some(32), ..model(Arch::Resnet50) },
        Model { stem: Some(32), ..model(Arch::Resnet50) },
        Model { depths: Some([3, 4, 5, 3]), ..model(Arch::Resnet50) },
    ] {
        assert!(of(&other, None, "w.pth").contains("model = ...  # a ResNet of these"), "{other:?}");
    }
}

#[test]
fn a_stride_that_no_network_has_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = folder.join("c.safetensors");
    convert(&[&weights(folder, "1")], &["--to", "torchvision", "--out", file.to_str().unwrap()]);
    let mut bytes = std::fs::read(&file).unwrap();
    let key = b"\"last_stride\":\"1\"";
    let at = bytes.windows(key.len()).position(|part| part == key).expect("the file states its stride");
    bytes[at + key.len() - 2] = b'7';
    std::fs::write(&file, bytes).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bcreid-convert"));
    let output = command.arg(&file).arg("--out").arg(folder.join("d.safetensors")).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("the stride is 1 or 2"), "{error}");
    assert!(error.contains("c.safetensors") && error.trim_end().lines().count() == 1, "{error}");
}
