//! Checkpoints with the names of fast-reid, reid-strong-baseline, torchreid and detectron2, made of a network of small
//! width; and the parts that a network here does not have.

use super::{Folder, convert, golden, refuse, succeed};
use crate::forge::{self, dict, pickled};
use bcreid::config::NeckKind;
use bcreid::weights::{NetworkFile, read_tensors};
use std::path::Path;

/// Values a feature.
pub const D: usize = 128;

/// Tensors by name, with shape and values.
pub type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// The network of the golden file under other names.
fn trunk(rename: impl Fn(&str) -> String) -> Tensors {
    let file = read_tensors(&golden("resnet50_width4.safetensors")).unwrap();
    let named =
        file.names().filter(|name| !name.ends_with("num_batches_tracked") && !name.starts_with("fc."));
    let tensor = |name: &str| {
        let view = file.tensor(name).unwrap();
        (rename(name), view.shape().to_vec(), view.f32().unwrap().into_owned())
    };
    named.map(tensor).collect()
}

pub fn prefixed(prefix: &str) -> Tensors {
    trunk(|name| format!("{prefix}{name}"))
}

/// Values of a layer's tensor, none equal, variances above 0.
fn values(part: &str) -> Vec<f32> {
    let first = match part {
        "weight" => 0.5,
        "running_mean" => -1.0,
        "running_var" => 0.25,
        _ => return vec![0.0; D],
    };
    (0..D).map(|c| first + c as f32 / 100.0).collect()
}

fn neck(layer: &str) -> Tensors {
    ["weight", "bias", "running_mean", "running_var"]
        .map(|part| (format!("{layer}.{part}"), vec![D], values(part)))
        .into()
}

pub fn one(name: &str, shape: &[usize]) -> Tensors {
    vec![(name.into(), shape.into(), vec![0.5; shape.iter().product()])]
}

/// Writes a zip checkpoint of PyTorch with the tensors under `key`, beside an optimiser's state.
pub fn checkpoint(path: &str, key: &str, tensors: &Tensors) {
    let integers = |sizes: &[usize]| sizes.iter().map(|&size| size as i64).collect::<Vec<_>>();
    let entry = |(number, (name, shape, values)): (usize, &(String, Vec<usize>, Vec<f32>))| {
        let strides: Vec<usize> = (0..shape.len()).map(|d| shape[d + 1..].iter().product()).collect();
        let elements = values.len() as i64;
        let tensor = forge::tensor(&number.to_string(), elements, 0, &integers(shape), &integers(&strides));
        (name.clone(), tensor)
    };
    let state = dict(tensors.iter().enumerate().map(entry));
    let nested = if key.is_empty() { state } else { dict([(key.to_string(), state)]) };
    let pickle = pickled(&nested);
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let names: Vec<String> = (0..tensors.len()).map(|number| format!("archive/data/{number}")).collect();
    let mut members = vec![("archive/data.pkl", &pickle[..]), ("archive/byteorder", b"little")];
    members.extend(names.iter().map(String::as_str).zip(bytes.iter().map(Vec::as_slice)));
    members.push(("archive/version", b"3\n"));
    std::fs::write(path, forge::stored(&members)).unwrap();
}

/// The converted file has the golden network's trunk and, with a neck, its values.
pub fn check(out: &str, kind: NeckKind, last_stride: usize) -> NetworkFile {
    let file = NetworkFile::open(Path::new(out)).unwrap();
    let model = &file.config().model;
    assert_eq!((model.neck, model.last_stride, model.width), (kind, last_stride, Some(4)));
    file.check().unwrap();
    let plain = Folder::new();
    let plain_out = plain.at("plain.safetensors");
    succeed(&[golden("resnet50_width4.safetensors").to_str().unwrap(), "--out", &plain_out]);
    let plain = read_tensors(Path::new(&plain_out)).unwrap();
    for name in plain.names() {
        let (ours, theirs) = (file.tensors().tensor(name).unwrap(), plain.tensor(name).unwrap());
        assert_eq!((ours.shape(), ours.bytes()), (theirs.shape(), theirs.bytes()), "{name}");
    }
    let parts = ["weight", "running_mean", "running_var"];
    for part in parts {
        match (kind, file.tensors().get(&format!("bottleneck.{part}"))) {
            (NeckKind::None, None) => {}
            (NeckKind::Batchnorm, Some(tensor)) => assert_eq!(*tensor.f32().unwrap(), values(part)),
            (kind, tensor) => panic!("{kind:?}: {part} {}", tensor.is_some()),
        }
    }
    let extra = if kind == NeckKind::None { 0 } else { 4 };
    assert_eq!(file.tensors().names().len(), plain.names().len() + extra);
    file
}

#[test]
fn fast_reids_neck_comes_along_and_its_settings_state_the_stride() {
    for (layer, classifier) in [
        ("heads.bottleneck.0", "heads.weight"),
        ("heads.bottleneck", "heads.classifier.weight"),
        ("heads.bnneck", "heads.classifier.weight"),
        ("heads.bnneck.0", "heads.classifier.weight"),
    ] {
        let folder = Folder::new();
        let (file, out) = (folder.at("model_best.pth"), folder.at("out.safetensors"));
        let tensors = [prefixed("backbone."), neck(layer), one(classifier, &[5, D])].concat();
        checkpoint(&file, "model", &tensors);
        // Neither names nor shapes show the stride.
        refuse(&[&file, "--out", &out], &["model_best.pth", "with a neck", "--last-stride 1"]);
        let said = succeed(&[&file, "--out", &out, "--last-stride", "2"]);
        assert!(said.contains(layer) && said.contains(&format!("left out: {classifier}")), "{said}");
        check(&out, NeckKind::Batchnorm, 2);
        // fast-reid writes config.yaml beside its checkpoints.
        let settings = "MODEL:\n  BACKBONE:\n    LAST_STRIDE: 1\n  HEADS:\n    POOL_LAYER: GlobalAvgPool\n";
        std::fs::write(folder.at("config.yaml"), settings).unwrap();
        let said = succeed(&[&file, "--out", &out]);
        assert!(said.contains("LAST_STRIDE of") && said.contains("batch-norm neck"), "{said}");
        check(&out, NeckKind::Batchnorm, 1);
        refuse(&[&file, "--out", &out, "--last-stride", "2"], &["--last-stride 2 contradicts the 1"]);
        std::fs::write(folder.at("config.yaml"), settings.replace("GlobalAvg", "Generalized")).unwrap();
        refuse(&[&file, "--out", &out], &["\"GeneralizedPool\"", "config.yaml", "--without-head"]);
        succeed(&[&file, "--out", &out, "--without-head"]);
        check(&out, NeckKind::None, 1);
    }
}

#[test]
fn fast_reids_pixels_are_the_input_convention() {
    let folder = Folder::new();
    let (file, out) = (folder.at("old.pth"), folder.at("out.safetensors"));
    let tensors = [prefixed("backbone."), neck("heads.bnneck")].concat();
    let with = |mean: [f32; 3], std: [f32; 3]| {
        let pixels = [("pixel_mean", mean), ("pixel_std", std)]
            .map(|(name, values)| (name.to_string(), vec![1, 3, 1, 1], values.to_vec()));
        // A classifier shows that the file is fast-reid's.
        checkpoint(
            &file,
            "model",
            &[&tensors[..], &pixels, &one("heads.classifier.weight", &[5, D])].concat(),
        );
        let said = succeed(&[&file, "--out", &out, "--last-stride", "1"]);
        assert!(said.contains("pixel_mean") && !said.contains("assumed"), "{said}");
        NetworkFile::open(Path::new(&out)).unwrap().config().input.clone()
    };
    let imagenet = with([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]);
    assert_eq!(imagenet, bcreid::config::Input::default());
    let other = with([127.5; 3], [60.0; 3]);
    assert_eq!((other.scale, other.mean, other.std), (1.0, [127.5; 3], [60.0; 3]));
}

#[test]
fn strong_baselines_neck_comes_along_with_a_word_on_its_stem() {
    let folder = Folder::new();
    let (file, out) = (folder.at("market.pth"), folder.at("out.safetensors"));
    let tensors = [prefixed("base."), neck("bottleneck"), one("classifier.weight", &[5, D])].concat();
    checkpoint(&file, "", &tensors);
    refuse(&[&file, "--out", &out], &["--last-stride 1"]);
    let output = convert(&[&file, "--out", &out, "--last-stride", "1"]);
    let warned = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && warned.contains("no ReLU behind bn1"), "{warned}");
    check(&out, NeckKind::Batchnorm, 1);

    // A shift that training moved belongs to the feature.
    let mut shifted = tensors;
    shifted.iter_mut().find(|(name, ..)| name == "bottleneck.bias").unwrap().2[3] = 0.25;
    checkpoint(&file, "", &shifted);
    let output = convert(&[&file, "--out", &out, "--last-stride", "1"]);
    let warned = String::from_utf8(output.stderr).unwrap();
    assert!(warned.contains("its neck has a shift"), "{warned}");
    let converted = check(&out, NeckKind::Batchnorm, 1);
    assert_eq!(converted.tensors().tensor("bottleneck.bias").unwrap().f32().unwrap()[3], 0.25);
    let short = one("bottleneck.running_mean", &[D - 1]);
    shifted.retain(|(name, ..)| name != "bottleneck.running_mean");
    checkpoint(&file, "", &[shifted, short].concat());
    refuse(&[&file, "--out", &out, "--last-stride", "1"], &["bottleneck.running_mean is [127]"]);
}

#[test]
fn torchreids_network_comes_in_without_an_embedding() {
    let folder = Folder::new();
    let (file, out) = (folder.at("model.pth.tar-60"), folder.at("out.safetensors"));
    let plain = [prefixed("module."), one("module.classifier.weight", &[5, D])].concat();
    checkpoint(&file, "state_dict", &plain);
    succeed(&[&file, "--out", &out]);
    check(&out, NeckKind::None, 2);
    // Two layers without batch normalisation between them are none of torchreid's.
    let layers = [one("module.fc.0.weight", &[16, D]), one("module.fc.3.weight", &[8, 16])].concat();
    checkpoint(&file, "state_dict", &[prefixed("module."), layers].concat());
    refuse(&[&file, "--out", &out], &["fc.0.weight [16, 128]", "in another form", "--without-head"]);
    succeed(&[&file, "--out", &out, "--without-head", "--last-stride", "1"]);
    check(&out, NeckKind::None, 1);
}

#[test]
fn detectrons_names_are_read() {
    let folder = Folder::new();
    let (file, out) = (folder.at("d2.pth"), folder.at("out.safetensors"));
    let theirs = |name: &str| {
        let name = name
            .replace("downsample.0", "shortcut")
            .replace("downsample.1", "shortcut.norm")
            .replace("bn1.", "conv1.norm.")
            .replace("bn2.", "conv2.norm.")
            .replace("bn3.", "conv3.norm.");
        match name.strip_prefix("layer") {
            None => format!("backbone.bottom_up.stem.{name}"),
            Some(rest) => {
                let (stage, rest) = rest.split_at(1);
                format!("backbone.bottom_up.res{}{rest}", stage.parse::<usize>().unwrap() + 1)
            }
        }
    };
    checkpoint(&file, "model", &trunk(theirs));
    let said = succeed(&[&file, "--out", &out]);
    assert!(said.contains("detectron2") && said.contains("STRIDE_IN_1X1"), "{said}");
    check(&out, NeckKind::None, 2);
}

/// One list names the parts that a network here does not have.
#[test]
fn parts_that_no_network_here_has_are_named() {
    let folder = Folder::new();
    let (file, out) = (folder.at("other.pth"), folder.at("out.safetensors"));
    let with = |more: &Tensors| {
        let tensors = [prefixed("backbone."), neck("heads.bottleneck.0"), more.clone()].concat();
        checkpoint(&file, "model", &tensors);
        [&file as &str, "--out", &out, "--last-stride", "1"]
    };
    // In the trunk: nothing leaves them out.
    for (name, words) in [
        ("backbone.layer1.0.bn2.IN.weight", ["instance normalisation", "layer1.0.bn2.IN.weight"]),
        ("backbone.NL_2.0.g.weight", ["non-local", "NL_2.0.g.weight"]),
        ("backbone.layer2.3.IN.weight", ["IBN-b", "layer2.3.IN.weight"]),
    ] {
        let arguments = with(&one(name, &[2]));
        refuse(&arguments, &words);
        refuse(&[&arguments[..], &["--without-head"]].concat(), &words);
    }
    // In the head: the trunk is a start without them.
    for (name, shape, word) in [
        ("global_pool.p", &[D][..], "exponents [128]"),
        ("heads.embedding.weight", &[16, D, 1, 1], "heads.embedding.weight [16, 128, 1, 1]"),
    ] {
        let arguments = with(&one(name, shape));
        refuse(&arguments, &["other.pth", word, "--without-head"]);
        succeed(&[&arguments[..], &["--without-head"]].concat());
        check(&out, NeckKind::None, 1);
    }
}

#[test]
fn a_whole_model_is_refused_with_the_way_to_a_state_dict() {
    let folder = Folder::new();
    let file = folder.at("whole.pth");
    let whole = pickled(b"cmodeling.baseline\nBaseline\n)R");
    std::fs::write(&file, forge::zip(&whole)).unwrap();
    let words = ["modeling.baseline.Baseline", "nothing was executed", "torch.save(model.state_dict()"];
    refuse(&[&file, "--out", &folder.at("out.safetensors"), "--last-stride", "1"], &words);
}
