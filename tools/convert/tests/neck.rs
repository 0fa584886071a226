//! A network with an embedding or a neck on the way to PyTorch, where a plain ResNet ends in one linear layer.

#[path = "../../../tests/common/network.rs"]
mod made;

use bcreid::autograd::Tape;
use bcreid::device::Device;
use bcreid::ops::batchnorm::Statistics;
use bcreid::tensor::Tensor;
use bcreid::weights::NetworkFile;
use bcreid_convert::source;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// A network with a neck, a finer last stage, and three identities.
const SETTINGS: [&str; 5] = [
    "model.arch=slim",
    "model.width=4",
    "model.last_stride=1",
    "model.neck=batchnorm",
    "loss.batch_contrastive.feature=neck",
];
const SHAPE: [usize; 4] = [3, 64, 32, 3];
const CLASSES: usize = 3;
/// Largest difference over the largest value.
const TOLERANCE: f32 = 1e-5;

fn convert(arguments: &[&OsStr]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_bcreid-convert")).args(arguments).output().unwrap()
}

/// Exports and returns what was printed.
fn export(weights: &Path, out: &Path, more: &[&str]) -> String {
    let mut arguments = vec![weights.as_os_str(), "--to".as_ref(), "torchvision".as_ref(), "--out".as_ref()];
    arguments.push(out.as_os_str());
    arguments.extend(more.iter().map(OsStr::new));
    let output = convert(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Normalised pixels, `[N, H, W, 3]`.
fn pixels() -> Vec<f32> {
    (0..SHAPE.iter().product::<usize>()).map(|i| ((i * 37 % 251) as f32 / 125.0) - 1.0).collect()
}

/// pool5 and the feature that `bcreid` evaluates, `[N, D]`.
fn features(weights: &Path) -> [Vec<f32>; 2] {
    let device = Device::cpu();
    let (model, mut params) = NetworkFile::open(weights).unwrap().network(&device).unwrap();
    let pixels = Tensor::from_f32(&device, SHAPE, &pixels()).unwrap();
    let mut tape = Tape::no_grad(&mut params).unwrap();
    let pixels = tape.constant(pixels);
    let pool5 = model.backbone.forward(&mut tape, pixels.clone(), Statistics::Frozen).unwrap();
    let feature = model.embed(&mut tape, pixels).unwrap();
    [pool5, feature].map(|rows| rows.value.to_host_f32().unwrap())
}

/// x W^T + b of rows of `width` values.
fn linear(rows: &[f32], width: usize, weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let outputs = weight.len() / width;
    let row = |x: &[f32]| -> Vec<f32> {
        let one = |k: usize| -> f32 {
            let sum: f64 =
                x.iter().zip(&weight[k * width..]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            sum as f32 + bias.map_or(0.0, |bias| bias[k])
        };
        (0..outputs).map(one).collect()
    };
    rows.chunks(width).flat_map(row).collect()
}

#[track_caller]
fn close(ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let stray = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest > 1e-3 && stray / largest < TOLERANCE, "stray {stray:e} of {largest}");
}

#[test]
fn the_neck_is_the_layer_fc_or_folded_into_the_classifier() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let weights = folder.join("weights.safetensors");
    made::write(&SETTINGS, &weights);
    let [pool5, feature] = features(&weights);
    let width = pool5.len() / SHAPE[0];
    let file = NetworkFile::open(&weights).unwrap();
    let classifier = file.tensors().tensor("fc.weight").unwrap().f32().unwrap();
    assert!(file.tensors().get("fc.bias").is_none());
    let logits = linear(&feature, width, &classifier, None);

    for (name, more, wanted, words) in [
        (
            "feature.pth",
            &[][..],
            &feature,
            ["its output is the feature of the neck", "to load it in PyTorch"],
        ),
        (
            "feature.safetensors",
            &["--fc", "feature"],
            &feature,
            ["left behind: centers, fc.weight", "(1, 1)"],
        ),
        ("classes.pth", &["--fc", "classifier"], &logits, ["folded into fc", "(1, 1)"]),
    ] {
        let out = folder.join(name);
        let said = export(&weights, &out, more);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        assert!(!said.contains("bottleneck"), "{said}");
        let written = source::open(&out).unwrap();
        let [weight, bias] = ["fc.weight", "fc.bias"].map(|name| written.tensors[name].values().unwrap());
        assert_eq!(written.tensors["fc.weight"].shape, [wanted.len() / SHAPE[0], width]);
        close(&linear(&pool5, width, &weight, Some(&bias)), wanted);
        assert!(!written.tensors.keys().any(|name| name.starts_with("bottleneck") || name == "centers"));
        in_pytorch(&out, wanted);
    }
    let back = folder.join("back.safetensors");
    let [from, to] = [folder.join("feature.safetensors"), back];
    let output = convert(&[from.as_os_str(), "--out".as_ref(), to.as_os_str()]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("its fc has the embedding or the neck"), "{said}");
}

/// One linear layer has the output of the embedding and the neck, and of the classifier behind them.
#[test]
fn an_embedding_is_the_layer_fc_too() {
    for (more, said_of) in [
        (&["model.embedding_batchnorm=true"][..], "feature of the embedding (its layer fc)"),
        (&["model.neck=batchnorm"], "feature of embedding and neck (its layer fc)"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let weights = folder.join("weights.safetensors");
        made::write(&[&SETTINGS[..3], &["model.embedding=[8]"], more].concat(), &weights);
        let [pool5, feature] = features(&weights);
        let (width, embedded) = (pool5.len() / SHAPE[0], feature.len() / SHAPE[0]);
        assert_eq!(embedded, 8);
        let file = NetworkFile::open(&weights).unwrap();
        let classifier = file.tensors().tensor("fc.weight").unwrap().f32().unwrap();
        let bias = file.tensors().get("fc.bias").map(|bias| bias.f32().unwrap().into_owned());
        let logits = linear(&feature, embedded, &classifier, bias.as_deref());
        for (name, more, wanted, words) in [
            ("feature.pth", &[][..], &feature, said_of),
            ("classes.pth", &["--fc", "classifier"], &logits, "folded into fc"),
        ] {
            let out = folder.join(name);
            let said = export(&weights, &out, more);
            assert!(said.contains(words) && said.contains("to load it in PyTorch"), "{said}");
            let written = source::open(&out).unwrap();
            let [weight, bias] = ["fc.weight", "fc.bias"].map(|name| written.tensors[name].values().unwrap());
            assert_eq!(written.tensors["fc.weight"].shape, [wanted.len() / SHAPE[0], width]);
            close(&linear(&pool5, width, &weight, Some(&bias)), wanted);
            let is_behind = |name: &String| name.starts_with("bottleneck") || name.starts_with("embedding");
            assert!(!written.tensors.keys().any(is_behind));
            in_pytorch(&out, wanted);
        }
    }
}

/// Without a neck the file is as ever, and the feature is asked for.
#[test]
fn without_a_neck_fc_is_the_classifier_or_the_identity() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let weights = folder.join("weights.safetensors");
    made::write(&SETTINGS[..3], &weights);
    let [pool5, feature] = features(&weights);
    assert_eq!(pool5, feature);
    let width = pool5.len() / SHAPE[0];
    let file = NetworkFile::open(&weights).unwrap();
    let [weight, bias] =
        ["fc.weight", "fc.bias"].map(|name| file.tensors().tensor(name).unwrap().f32().unwrap().into_owned());
    let out = folder.join("plain.pth");
    export(&weights, &out, &[]);
    let written = source::open(&out).unwrap();
    assert_eq!(written.tensors["fc.weight"].values().unwrap(), weight);
    assert_eq!(written.tensors["fc.bias"].values().unwrap(), bias);
    in_pytorch(&out, &linear(&pool5, width, &weight, Some(&bias)));
    let out = folder.join("feature.pth");
    export(&weights, &out, &["--fc", "feature"]);
    let written = source::open(&out).unwrap();
    let weight = written.tensors["fc.weight"].values().unwrap();
    assert_eq!(linear(&pool5, width, &weight, None), pool5);
    in_pytorch(&out, &pool5);
}

#[test]
fn logits_need_a_classifier_and_the_option_its_target() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (weights, bare, out) =
        (folder.join("weights.safetensors"), folder.join("bare.safetensors"), folder.join("out.pth"));
    made::write(&SETTINGS, &weights);
    let file = NetworkFile::open(&weights).unwrap();
    let kept = file.tensors().names().filter(|name| !name.starts_with("fc.")).map(|name| {
        let view = file.tensors().tensor(name).unwrap();
        bcreid::weights::TensorOut::f32(name, view.shape(), view.f32().unwrap())
    });
    let kept: Vec<_> = kept.collect();
    bcreid::weights::write_tensors(&bare, &kept, file.tensors().metadata()).unwrap();
    export(&bare, &out, &[]);
    std::fs::remove_file(&out).unwrap();
    for (arguments, words) in [
        (vec![bare.as_os_str(), "--to".as_ref(), "torchvision".as_ref()], "has no classifier (fc.weight)"),
        (vec![weights.as_os_str()], "--fc is an option of --to torchvision"),
    ] {
        let more: [&OsStr; 4] = ["--fc".as_ref(), "classifier".as_ref(), "--out".as_ref(), out.as_os_str()];
        let output = convert(&[arguments, more.to_vec()].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(words) && !out.exists(), "{error}");
    }
}

/// A plain ResNet of PyTorch (`tests/golden/resnet.py`) loads the file and computes `wanted`, of [`CLASSES`] or D values.
/// `BCREID_TORCH_PYTHON` names a Python with PyTorch and NumPy; without it this is left out.
fn in_pytorch(file: &Path, wanted: &[f32]) {
    if file.extension().is_none_or(|extension| extension != "pth") {
        return;
    }
    let Some(python) = std::env::var_os("BCREID_TORCH_PYTHON").filter(|python| !python.is_empty()) else {
        eprintln!("skipped: no Python with torch (BCREID_TORCH_PYTHON)");
        return;
    };
    let input = file.with_extension("pixels");
    let output = file.with_extension("output");
    std::fs::write(&input, bytemuck::cast_slice(&pixels())).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/neck_check.py");
    let shape = SHAPE.map(|size| size.to_string());
    let run = Command::new(python).arg(script).args([file, &input, &output]).args(shape).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let bytes = std::fs::read(&output).unwrap();
    let theirs: Vec<f32> = bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
    assert!([CLASSES, wanted.len() / SHAPE[0]].contains(&(theirs.len() / SHAPE[0])));
    close(&theirs, wanted);
}
