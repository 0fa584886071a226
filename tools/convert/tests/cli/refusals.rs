//! Files that are refused, or of which a part is.

use crate::{Folder, golden, refuse, succeed};
use std::path::Path;
use std::process::Command;

/// A file whose metadata and tensors are of two networks.
#[test]
fn metadata_that_contradict_the_tensors_are_refused_on_the_way_back() {
    let folder = Folder::new();
    let model = golden("resnet50_width4.safetensors");
    let out = folder.at("out.safetensors");
    succeed(&[model.to_str().unwrap(), "--out", &out]);
    let file = bcreid::weights::read_tensors(Path::new(&out)).unwrap();
    let tensors = file.names().map(|name| {
        let view = file.tensor(name).unwrap();
        bcreid::weights::TensorOut::f32(name, view.shape(), view.f32().unwrap())
    });
    let tensors: Vec<_> = tensors.collect();
    let other = folder.at("other.safetensors");
    for (from, to, word) in [
        ("width = 4", "width = 8", "[8, 7, 7, 3]"),
        ("\"resnet50\"", "\"resnet101\"", "layer3.6.conv1.weight"),
        ("\"resnet50\"", "\"resnet18\"", "layer1.0.conv1.weight"),
        ("width = 4", "width = 4\ndepths = [3, 4, 6, 2]", "layer4.2"),
        ("width = 4", "width = 4\nstem = 5", "conv1.weight"),
        ("\"torchvision\"", "\"caffe\"", "conv1.bias"),
    ] {
        let mut metadata = file.metadata().clone();
        let config = metadata.get_mut("config").unwrap();
        assert!(config.contains(from), "{config}");
        *config = config.replace(from, to);
        bcreid::weights::write_tensors(Path::new(&other), &tensors, &metadata).unwrap();
        let back = folder.at("back.pth");
        let arguments = [&other, "--to", "torchvision", "--out", &back];
        if word == "conv1.bias" {
            refuse(&arguments, &["Caffe's wiring"]);
        } else {
            refuse(&arguments, &["other.safetensors", word, "metadata"]);
        }
        let file = bcreid::weights::NetworkFile::open(Path::new(&other)).unwrap();
        assert!(file.check().unwrap_err().to_string().contains(word));
    }
    bcreid::weights::NetworkFile::open(Path::new(&out)).unwrap().check().unwrap();
}

/// Files of other formats, given as weights of bcreid's.
#[test]
fn files_of_other_formats_are_told_with_the_command_for_them() {
    let folder = Folder::new();
    let out = Folder::new();
    let back = out.at("back.pth");
    let told = |name: &str, bytes: &[u8], words: &[&str]| {
        let path = folder.at(name);
        std::fs::write(&path, bytes).unwrap();
        refuse(&[&path, "--to", "torchvision", "--out", &back], words);
    };
    let read = |name: &str| std::fs::read(golden(name)).unwrap();
    let convert = "bcreid-convert ";
    told("a", &read("caffe.caffemodel"), &["seems to be a Caffe model", convert]);
    told("a", &read("v1.caffemodel"), &["seems to be a Caffe model", convert]);
    told("a", &read("pytorch/zip.pth"), &["seems to be a PyTorch checkpoint", convert]);
    told("a", &read("pytorch/legacy.pth"), &["seems to be a PyTorch checkpoint", convert]);
    told("a", &read("pytorch/tar.pth"), &["archive", convert]);
    told("a", b"\xff\xd8\xff\xe0 a picture", &["seems to be a JPEG image"]);
    // The converter itself refuses what is no weights by the same names.
    let path = folder.at("a");
    refuse(
        &[&path, "--out", &out.at("out.safetensors")],
        &["is a JPEG image", "weights are a .safetensors file"],
    );
    std::fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\n").unwrap();
    refuse(&[&path, "--out", &out.at("out.safetensors")], &["a pointer of Git LFS", "git lfs pull"]);
    assert!(out.is_empty());
}

/// Two networks in one file, distinguished by a prefix: neither may be taken for the other.
#[test]
fn two_networks_in_one_file_are_not_mixed() {
    let folder = Folder::new();
    let whole = bcreid::weights::read_tensors(&golden("resnet50_width4.safetensors")).unwrap();
    let mut tensors = Vec::new();
    for name in whole.names().filter(|name| !name.ends_with("num_batches_tracked")) {
        let view = whole.tensor(name).unwrap();
        let values = view.f32().unwrap();
        let other: Vec<f32> = values.iter().map(|v| v + 1.0).collect();
        tensors.push(bcreid::weights::TensorOut::f32(name, view.shape(), values));
        tensors.push(bcreid::weights::TensorOut::f32(format!("module.{name}"), view.shape(), other));
    }
    let path = folder.at("both.safetensors");
    bcreid::weights::write_tensors(Path::new(&path), &tensors, &Default::default()).unwrap();
    let out = folder.at("out.safetensors");
    succeed(&[&path, "--out", &out]);
    let ours = bcreid::weights::read_tensors(Path::new(&out)).unwrap();
    let (ours, theirs) = (ours.tensor("bn1.weight").unwrap(), whole.tensor("bn1.weight").unwrap());
    assert_eq!(ours.f32().unwrap(), theirs.f32().unwrap());

    tensors.retain(|tensor| tensor.name.starts_with("module."));
    bcreid::weights::write_tensors(Path::new(&path), &tensors, &Default::default()).unwrap();
    assert!(succeed(&[&path, "--out", &out]).contains("removed the prefix \"module.\" from the names"));
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let folder = Folder::new();
    let pipe = folder.at("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    refuse(&[&pipe, "--list"], &["pipe: a pipe or a device"]);
}

#[test]
fn wrong_inputs_are_one_line_and_leave_nothing_behind() {
    let folder = Folder::new();
    let out = folder.at("out.safetensors");
    let model = golden("resnet50_width4.safetensors");
    let model = model.to_str().unwrap();
    let page = Folder::new();
    let html = page.at("resnet50.caffemodel");
    std::fs::write(&html, "\n<!DOCTYPE html><html><title>Sign in</title>").unwrap();
    let empty = page.at("empty.pth");
    std::fs::write(&empty, "").unwrap();

    refuse(&[&html, "--out", &out], &["resnet50.caffemodel", "web page", "download the file itself"]);
    refuse(&[&empty, "--out", &out], &["empty.pth", "is empty"]);
    refuse(&[&page.at("none.pth"), "--out", &out], &["none.pth", "No such file"]);
    refuse(&[page.0.path().to_str().unwrap(), "--out", &out], &["folder"]);
    refuse(&[model, "--out", &folder.at("out.pth")], &["out.pth", ".safetensors"]);
    refuse(&[model, "--out", &folder.at("no/out.safetensors")], &["its folder does not exist"]);
    refuse(&[model, "--out", &out, "--mean", "1,2"], &["--mean: \"1,2\" is not three numbers"]);
    refuse(&[model, "--out", &out, "--mean", "1,2,x"], &["--mean: \"1,2,x\" is not three numbers"]);
    refuse(&[model, "--out", &out, "--scale", "2"], &["--scale 2 without --mean", "pixels times"]);
    let mean = golden("mean.binaryproto");
    refuse(&[model, "--out", &out, "--mean", mean.to_str().unwrap()], &["mean.binaryproto", "--scale 1"]);
    refuse(&[model, "--out", &out, "--to", "torchvision", "--wiring", "caffe"], &["leave those options out"]);
    refuse(&[model, "--out", &out, "--to", "torchvision"], &["resnet50_width4", "bcreid-convert first"]);
    refuse(&[golden("pytorch/zip.pth").to_str().unwrap(), "--out", &out], &["zip.pth", "layer2.0"]);
    assert!(folder.is_empty());

    let own = page.at("own.safetensors");
    std::fs::copy(model, &own).unwrap();
    refuse(&[&own, "--out", &own], &["is the input itself"]);
    assert_eq!(std::fs::read(&own).unwrap(), std::fs::read(model).unwrap());
    succeed(&[model, "--out", &out]);
    refuse(
        &[&out, "--out", &folder.at("again.safetensors")],
        &["already one of bcreid's", "--to torchvision"],
    );
    refuse(&[&out, "--to", "torchvision", "--out", &folder.at("out.bin")], &[".pth"]);
}
