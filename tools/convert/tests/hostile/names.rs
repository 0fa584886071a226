//! Names and texts of files, folders and metadata: none forges a line of the program, drives the terminal, or turns the
//! direction of writing.

use crate::forge::{dict, pickled, tensor, text};
use crate::proto::{data, layer, ramp};
use crate::{Folder, convert, forge, golden};
use bcreid::weights::{NetworkFile, TensorOut, read_tensors, write_tensors};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

/// A name that would begin a line, clear the screen and hide what follows.
const NAME: &str = "a\nbcreid-convert: all is well\u{1b}[2J\u{202e}\u{2066}\u{200f}\u{61c}\u{200b}\u{feff}b";
/// A part of the name, as it must be shown.
const SHOWN: &str = "a\\nbcreid-convert: all is well\\u{1b}[2J\\u{202e}\\u{2066}\\u{200f}\\u{61c}\\u{200b}";

/// Runs the program, checks what it prints, and returns it.
#[track_caller]
fn check<S: AsRef<OsStr>>(arguments: &[S]) -> String {
    let output = convert(arguments);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    let forged = said.lines().find(|line| line.starts_with("bcreid-convert: all is well"));
    assert_eq!(forged, None, "{said}");
    let stray = said.chars().find(|&c| c != '\n' && (c.is_control() || NAME.contains(c) && !c.is_ascii()));
    assert_eq!(stray, None, "{said:?}");
    said
}

/// As [`check`]; the name must be shown, escaped.
#[track_caller]
fn check_shown<S: AsRef<OsStr>>(arguments: &[S]) -> String {
    let said = check(arguments);
    assert!(said.contains(SHOWN), "{said}");
    said
}

/// Listing, which shows the name, and conversion.
#[track_caller]
fn check_both(file: &Path) {
    check_shown(&[file.as_os_str(), "--list".as_ref()]);
    let out = file.with_file_name("out.safetensors");
    check(&[file.as_os_str(), "--out".as_ref(), out.as_os_str()]);
}

#[test]
fn file_names() {
    let folder = Folder::new();
    let file = folder.at(NAME);
    check_both(&file);
    for content in [&b""[..], b"<!DOCTYPE html>", b"\x93NUMPY", b"PK\x03\x04", b"\x80\x02.", &[0; 600]] {
        std::fs::write(&file, content).unwrap();
        check_both(&file);
    }
    for model in ["resnet50_width4.safetensors", "caffe.caffemodel", "pytorch/zip.pth", "pytorch/tar.pth"] {
        std::fs::copy(golden(model), &file).unwrap();
        check_both(&file);
    }
    // As output, and back.
    let model = golden("resnet50_width4.safetensors");
    let model = model.as_os_str();
    let named = |end: &str| folder.at(&format!("{NAME}{end}"));
    let (out, back) = (named(".safetensors"), named(".pth"));
    let said = check_shown(&[model, "--out".as_ref(), out.as_os_str()]);
    assert!(said.contains("weights: "), "{said}");
    let arguments =
        [out.as_os_str(), "--to".as_ref(), "torchvision".as_ref(), "--out".as_ref(), back.as_os_str()];
    let said = check_shown(&arguments);
    assert!(said.contains("written: "), "{said}");
    check_shown(&[model, "--out".as_ref(), folder.at(NAME).as_os_str()]);
    check_shown(&[model, "--out".as_ref(), folder.at(NAME).join("out.safetensors").as_os_str()]);
}

#[test]
fn options_and_arguments() {
    let folder = Folder::new();
    let (model, out) = (golden("caffe.caffemodel"), folder.at("out.safetensors"));
    let file = folder.write(NAME, b"layer { name: ");
    for option in
        ["--prototxt", "--mean", "--std", "--wiring", "--scale", "--last-stride", "--no-such-option"]
    {
        let arguments =
            [model.as_os_str(), "--out".as_ref(), out.as_os_str(), option.as_ref(), file.as_os_str()];
        check(&arguments);
    }
    // A pattern of the shell that stands for several files.
    check_shown(&[model.as_os_str(), file.as_os_str(), "--list".as_ref()]);
    check_shown(&[model.as_os_str(), "--out".as_ref(), out.as_os_str(), "--licence".as_ref(), NAME.as_ref()]);
    let out = folder.at("another.safetensors");
    check_shown(&[model.as_os_str(), "--out".as_ref(), out.as_os_str(), "--source".as_ref(), NAME.as_ref()]);
    let text = format!("layer {{ name: \"{}\" type: \"Pooling\" }}", NAME.replace('\n', "\\n"));
    let prototxt = folder.write("some.prototxt", text.repeat(2).as_bytes());
    check_shown(&[model.as_os_str(), "--list".as_ref(), "--prototxt".as_ref(), prototxt.as_os_str()]);
}

#[test]
fn names_of_tensors() {
    let folder = Folder::new();
    let whole = read_tensors(&golden("resnet50_width4.safetensors")).unwrap();
    let file = folder.at("named.safetensors");
    for name in [NAME.to_string(), format!("conv1.{NAME}"), format!("layer1.0.{NAME}")] {
        let mut tensors: Vec<TensorOut<'_>> = whole
            .names()
            .filter(|name| !name.ends_with("num_batches_tracked"))
            .map(|name| whole.tensor(name).unwrap())
            .zip(whole.names().filter(|name| !name.ends_with("num_batches_tracked")))
            .map(|(view, name)| TensorOut::f32(name, view.shape(), view.f32().unwrap()))
            .collect();
        tensors.push(TensorOut::f32(name.as_str(), &[1], vec![1.0]));
        write_tensors(&file, &tensors, &BTreeMap::new()).unwrap();
        check_both(&file);
    }
    let only = [TensorOut::f32(NAME, &[1], vec![1.0])];
    write_tensors(&file, &only, &BTreeMap::new()).unwrap();
    check_both(&file);

    let one = || tensor("0", 8, 0, &[8], &[1]);
    let file = folder.at("named.pth");
    let nested = |name: &str| dict([(name.to_string(), dict([("w".to_string(), one())]))]);
    let two = [(NAME.to_string(), dict([("v.w".to_string(), one())])), ("b".to_string(), nested("c"))];
    for state in [
        dict([(NAME.to_string(), one())]),
        nested(NAME),
        dict(two),
        dict([("w".to_string(), tensor(NAME, 8, 0, &[8], &[1]))]),
        [text(NAME), text("system"), vec![0x93]].concat(),
    ] {
        std::fs::write(&file, forge::zip(&pickled(&state))).unwrap();
        check_both(&file);
    }
    for members in [&[(NAME, &b""[..])][..], &[("a/data.pkl", b""), (NAME, b"")]] {
        let mut archive = forge::stored(members);
        if members.len() > 1 {
            // The second entry is said to be compressed.
            let at = archive.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").unwrap();
            archive[at + 10] = 8;
        }
        std::fs::write(&file, archive).unwrap();
        check_both(&file);
    }
    std::fs::write(&file, forge::tar(&[(NAME, b"")])).unwrap();
    check_both(&file);
}

#[test]
fn names_of_layers() {
    let folder = Folder::new();
    let file = folder.at("named.caffemodel");
    let release = std::fs::read(golden("caffe.caffemodel")).unwrap();
    let weights = [ramp(&[2, 3, 7, 7])];
    for (name, kind, settings) in [
        (NAME, "Convolution", data(3, "data")),
        ("conv1", NAME, Vec::new()),
        ("extra", "Mine", [data(3, NAME), data(4, NAME)].concat()),
    ] {
        let model = layer(name, kind, &weights, &settings);
        for model in [model.clone(), [release.clone(), model].concat()] {
            std::fs::write(&file, model).unwrap();
            check_shown(&[file.as_os_str(), "--list".as_ref()]);
            let out = folder.at("out.safetensors");
            convert(&[file.as_os_str(), "--out".as_ref(), out.as_os_str()]);
        }
    }
    // The name of a mean image, in a note.
    let data_layer = layer("data", "Data", &[], &data(100, data(4, NAME)));
    std::fs::write(&file, [data_layer, release].concat()).unwrap();
    check_both(&file);
}

#[test]
fn metadata() {
    let folder = Folder::new();
    let (model, out) = (golden("resnet50_width4.safetensors"), folder.at("out.safetensors"));
    assert!(convert(&[model.as_os_str(), "--out".as_ref(), out.as_os_str()]).status.success());
    let file = NetworkFile::open(&out).unwrap();
    let tensors = file.tensors();
    let views = tensors.names().map(|name| {
        let view = tensors.tensor(name).unwrap();
        TensorOut::f32(name, view.shape(), view.f32().unwrap())
    });
    let views: Vec<_> = views.collect();
    for key in ["source", "source_sha256", "source_format", "source_url", "licence", "provenance", "config"] {
        let mut metadata = tensors.metadata().clone();
        let escaped = NAME.replace('\n', "\\n").replace('\u{1b}', "\\u001b");
        let value = match key {
            "config" => format!("[model]\n\"{escaped}\" = 1"),
            "provenance" => format!(r#"{{"version":"{escaped}"}}"#),
            _ => NAME.into(),
        };
        metadata.insert(key.into(), value);
        let other = folder.at("other.safetensors");
        write_tensors(&other, &views, &metadata).unwrap();
        let back = folder.at("back.pth");
        let _ = std::fs::remove_file(&back);
        let arguments =
            [other.as_os_str(), "--to".as_ref(), "torchvision".as_ref(), "--out".as_ref(), back.as_os_str()];
        match key {
            "config" => check(&arguments),
            _ => check_shown(&arguments),
        };
    }
}
