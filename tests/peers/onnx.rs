//! Exported networks checked by ONNX's checker, ONNX Runtime and OpenVINO.

use crate::command::succeed;
use crate::{bcreid, check, network, python};
use bcreid::config::Config;
use bcreid::data::decode;
use std::path::Path;

/// All kinds of input, with and without the mirrored image, for a made-up network.
#[track_caller]
fn agrees(settings: &[&str]) {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let config = network::write(settings, &at("w.safetensors"));
    images(&config, &at("images"));
    let mut files = vec![at("images")];
    for flip in [&[][..], &["--flip"]] {
        let features = at(&format!("f{}.safetensors", flip.len()));
        let mut extract = bcreid();
        extract.arg("extract").arg("--weights").arg(at("w.safetensors")).args(flip);
        succeed(extract.arg("--images").arg(at("images")).arg("--out").arg(&features));
        for input in ["bytes", "floats", "normalised"] {
            let model = at(&format!("{input}{}.onnx", flip.len()));
            let mut export = bcreid();
            export.arg("export").arg("--weights").arg(at("w.safetensors")).args(["--input", input]);
            succeed(export.args(flip).arg("--out").arg(&model));
            files.extend([model, features.clone()]);
        }
    }
    check(&python, "onnx_check.py", &files);
}

#[test]
fn resnet50_in_torchvisions_wiring() {
    agrees(&["model.arch=resnet50", "model.width=8", "input.height=128", "input.width=64"]);
}

/// Of a size for which pool1's last windows reach past the border, with colours in reverse and a finer last stage.
#[test]
fn resnet50_in_caffes_wiring() {
    agrees(&[
        "model.arch=resnet50",
        "model.width=8",
        "model.wiring=caffe",
        "model.last_stride=1",
        "input.height=128",
        "input.width=60",
        "input.channels=bgr",
        "input.scale=1",
        "input.mean=[103.1, 115.9, 123.2]",
        "input.std=[1, 1.5, 2]",
    ]);
}

#[test]
fn resnet18_in_both_wirings() {
    for wiring in ["model.wiring=torchvision", "model.wiring=caffe"] {
        agrees(&["model.arch=resnet18", "model.width=8", wiring, "input.height=96", "input.width=48"]);
    }
}

#[test]
fn slim() {
    agrees(&["model.arch=slim", "input.height=96", "input.width=48"]);
}

#[test]
fn a_neck() {
    agrees(&["model.arch=slim", "model.neck=batchnorm", "input.height=96", "input.width=48"]);
}

#[test]
fn an_embedding() {
    let settings = ["model.arch=slim", "model.embedding=[24, 16]", "input.height=96", "input.width=48"];
    agrees(&settings);
    agrees(
        &[
            &settings[..],
            &["model.embedding_batchnorm=true", "model.embedding_relu=true", "model.neck=batchnorm"],
        ]
        .concat(),
    );
}

#[test]
fn generalised_mean_pooling() {
    agrees(&["model.arch=slim", "model.pooling=gem", "input.height=96", "input.width=48"]);
}

#[test]
fn instance_normalisation_of_half_the_channels() {
    agrees(&["model.arch=slim", "model.ibn=true", "input.height=96", "input.width=48"]);
}

/// The images of the converter's tests as PNG files of just this size, so that nobody resizes them or decodes a JPEG
/// in its own way.
fn images(config: &Config, folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/convert/tests/images");
    for entry in std::fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        let picture = decode::read(&path).unwrap();
        let picture =
            image::RgbImage::from_raw(picture.width as u32, picture.height as u32, picture.pixels.clone())
                .unwrap();
        let (width, height) = (config.input.width as u32, config.input.height as u32);
        let resized = image::imageops::resize(&picture, width, height, image::imageops::FilterType::Triangle);
        let name = path.with_extension("png");
        resized.save(folder.join(name.file_name().unwrap())).unwrap();
    }
}
