//! The command line program.

#[path = "../torch/forge.rs"]
#[allow(dead_code, reason = "shared with the tests of the PyTorch reader")]
mod forge;
mod heads;
mod pages;
mod refusals;
mod toolboxes;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// A call that may overwrite its output.
fn convert(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bcreid-convert"));
    command.args(arguments);
    if arguments.contains(&"--out") {
        command.arg("--force");
    }
    command.output().unwrap()
}

fn succeed(arguments: &[&str]) -> String {
    let output = convert(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The one-line error of a refused call; it contains each of `words`.
fn refuse(arguments: &[&str], words: &[&str]) {
    let output = convert(arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{arguments:?} went through");
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn is_empty(&self) -> bool {
        std::fs::read_dir(self.0.path()).unwrap().next().is_none()
    }
}

#[test]
fn a_caffe_model_becomes_weights_that_say_what_they_are() {
    let folder = Folder::new();
    let (model, mean) = (golden("caffe.caffemodel"), golden("mean.binaryproto"));
    let (model, mean, out) = (model.to_str().unwrap(), mean.to_str().unwrap(), folder.at("out.safetensors"));
    let said = succeed(&[model, "--out", &out, "--mean", mean, "--licence", "MIT"]);
    for word in
        ["Caffe model", "mapped: 266 tensors of ResNet-50", "left out: ", "Caffe's wiring", "BGR", "MIT"]
    {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
    let file = bcreid::weights::NetworkFile::open(Path::new(&out)).unwrap();
    assert_eq!(file.config().input.mean, bcreid_convert::caffe::mean(Path::new(mean)).unwrap());
}

#[test]
fn a_list_shows_names_types_shapes_and_sums_and_writes_nothing() {
    let said = succeed(&[golden("pytorch/zip-nested.pth").to_str().unwrap(), "--list"]);
    for word in ["bn1.running_mean", "f64", "[4, 3, 3, 3]", "70001.0000000", "9 tensors"] {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

#[test]
fn a_caffe_file_is_listed_by_layers_whether_it_can_be_converted_or_not() {
    let said = succeed(&[golden("caffe.caffemodel").to_str().unwrap(), "--list"]);
    for word in ["res2a_branch2a", "BatchNorm", "[2, 3, 7, 7], [2]", "can be converted: ResNet-50"] {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
    let folder = Folder::new();
    // LayerParameter: name 1, type 2, bottom 3, top 4, blobs 7; BlobProto: data 5, shape 7.
    let field = |number: u8, value: &[u8]| [&[number << 3 | 2, value.len() as u8], value].concat();
    let blob = [field(5, &1.0f32.to_le_bytes()), field(7, &field(1, &[1, 1, 1, 1]))].concat();
    let parts =
        [field(1, b"strange\n"), field(2, b"LSTM"), field(3, b"words"), field(4, b"state"), field(7, &blob)];
    let layer = parts.concat();
    let strange = folder.at("strange.caffemodel");
    std::fs::write(&strange, [&[0xa2, 0x06, layer.len() as u8], &layer[..]].concat()).unwrap();
    let said = succeed(&[&strange, "--list"]);
    for word in
        ["strange\\n", "LSTM", "words", "state", "[1, 1, 1, 1]", "cannot be converted", "no conv1.weight"]
    {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
    refuse(&[&strange, "--out", &folder.at("out.safetensors")], &["strange.caffemodel", "no conv1.weight"]);
}

#[test]
fn a_prototxt_goes_with_a_caffe_model_and_with_nothing_else() {
    let folder = Folder::new();
    let (model, other) = (golden("caffe.caffemodel"), golden("resnet50_width4.safetensors"));
    let (model, other, out) =
        (model.to_str().unwrap(), other.to_str().unwrap(), folder.at("out.safetensors"));
    let prototxt = Folder::new();
    let prototxt = (prototxt.at("deploy.prototxt"), prototxt);
    std::fs::write(&prototxt.0, "layer { name: \"conv1\" type: \"Pooling\" }").unwrap();
    let with = |file: &str, words: &[&str]| refuse(&[file, "--prototxt", &prototxt.0, "--out", &out], words);
    with(other, &["resnet50_width4.safetensors", "is no Caffe model", "leave --prototxt out"]);
    with(model, &["deploy.prototxt", "layer \"conv1\" of type \"Convolution\" is of type \"Pooling\""]);
    std::fs::write(&prototxt.0, "layer {\n name: conv1 }").unwrap();
    with(model, &["deploy.prototxt", "line 2", "a string in quotes"]);
    refuse(&[model, "--list", "--prototxt", &prototxt.0], &["deploy.prototxt", "line 2"]);
    std::fs::remove_file(&prototxt.0).unwrap();
    with(model, &["deploy.prototxt", "No such file"]);
    refuse(
        &[other, "--to", "torchvision", "--prototxt", &prototxt.0, "--out", &out],
        &["leave those options out"],
    );
    assert!(folder.is_empty());
}

#[test]
fn what_the_file_does_not_say_of_pixels_is_said_to_be_assumed() {
    let folder = Folder::new();
    let (model, out) = (golden("caffe.caffemodel"), folder.at("out.safetensors"));
    let model = model.to_str().unwrap();
    let said = succeed(&[model, "--out", &out]);
    assert!(said.contains("assumed, as usual for such files: channels BGR, mean [103.06262"), "{said}");
    let said = succeed(&[model, "--out", &out, "--mean", "104,117,123"]);
    assert!(said.contains("such files: channels BGR, scale 1 ("), "{said}");
    assert!(said.contains("[104.0, 117.0, 123.0]"), "{said}");
    let said = succeed(&[model, "--out", &out, "--mean", "1,2,3", "--channels", "bgr", "--scale", "1"]);
    assert!(!said.contains("assumed"), "{said}");
}

#[test]
fn options_say_what_the_file_cannot() {
    let folder = Folder::new();
    let model = golden("resnet50_width4.safetensors");
    let (model, out) = (model.to_str().unwrap(), folder.at("out.safetensors"));
    let colours = ["--channels", "bgr", "--scale", "1", "--mean", "104,117,124", "--std", "1,1,1"];
    let network = ["--wiring", "caffe", "--last-stride", "1"];
    let all = [[model, "--out", &out].as_slice(), &network, &colours].concat();
    let said = succeed(&all);
    for word in [
        "absent in the file, set to 0: conv1.bias",
        "the wiring is that of --wiring",
        "is that of --last-stride",
    ] {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
    let file = bcreid::weights::NetworkFile::open(Path::new(&out)).unwrap();
    let (model, input) = (&file.config().model, &file.config().input);
    assert_eq!((model.wiring, model.width), (bcreid::config::Wiring::Caffe, Some(4)));
    assert_eq!(model.last_stride, 1);
    assert_eq!((input.channels, input.scale), (bcreid::config::Channels::Bgr, 1.0));
    assert_eq!((input.mean, input.std), ([104.0, 117.0, 124.0], [1.0; 3]));
}

#[test]
fn a_mean_image_follows_the_order_of_the_channels() {
    let folder = Folder::new();
    let (model, mean) = (golden("resnet50_width4.safetensors"), golden("mean.binaryproto"));
    let (model, mean, out) = (model.to_str().unwrap(), mean.to_str().unwrap(), folder.at("out.safetensors"));
    succeed(&[model, "--out", &out, "--scale", "1", "--mean", mean]);
    let [blue, green, red] = bcreid_convert::caffe::mean(Path::new(mean)).unwrap();
    let file = bcreid::weights::NetworkFile::open(Path::new(&out)).unwrap();
    assert_eq!(file.config().input.mean, [red, green, blue]);
}

/// Values of options that no pixels or networks have: named with the option, and nothing is written.
#[test]
fn senseless_values_of_options_are_named() {
    let folder = Folder::new();
    let model = golden("resnet50_width4.safetensors");
    let (model, out) = (model.to_str().unwrap(), folder.at("out.safetensors"));
    for (option, values) in [
        ("--scale", &["inf", "-inf", "nan", "0", "-1", "x", "1e99"][..]),
        ("--std", &["0,1,1", "1,1,-1", "1,nan,1", "1,1,inf", "1,1", "x"]),
        ("--mean", &["nan,1,1", "1,inf,1", "1,1", "x"]),
        ("--last-stride", &["0", "3", "x"]),
        ("--wiring", &["keras"]),
        ("--channels", &["gbr"]),
    ] {
        for value in values {
            let output = convert(&[model, "--out", &out, &format!("{option}={value}")]);
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(!output.status.success() && error.contains(option) && error.contains(value), "{error}");
        }
    }
    refuse(&[model, "--out", &folder.at("")], &["is a folder", "name the file to write"]);
    std::fs::create_dir(folder.at("a.safetensors")).unwrap();
    refuse(&[model, "--out", &folder.at("a.safetensors")], &["a.safetensors: is a folder"]);
    std::fs::remove_dir(folder.at("a.safetensors")).unwrap();
    refuse(&[model, "--out", &format!("{model}/out.safetensors")], &["its folder is no folder"]);
    assert!(folder.is_empty());
}

/// Options beside a Caffe file that says where it strides.
#[test]
fn options_do_not_override_what_a_caffe_file_says() {
    let folder = Folder::new();
    let (model, out) = (golden("caffe.caffemodel"), folder.at("out.safetensors"));
    let model = model.to_str().unwrap();
    let wrong = |option: &[&str], words: &[&str]| refuse(&[&[model, "--out", &out], option].concat(), words);
    wrong(&["--wiring", "torchvision"], &["caffe.caffemodel", "--wiring torchvision", "has stride 2, not 1"]);
    wrong(
        &["--last-stride", "1"],
        &["caffe.caffemodel", "--last-stride 1", "res5a_branch2a has stride 2, not 1"],
    );
    assert!(folder.is_empty());
    succeed(&[model, "--out", &out, "--wiring", "caffe", "--last-stride", "2"]);
}

/// The mean and the deviation that are not given go with their colours.
#[test]
fn other_channels_exchange_the_assumed_mean() {
    let folder = Folder::new();
    for (model, channels) in [("caffe.caffemodel", "rgb"), ("resnet50_width4.safetensors", "bgr")] {
        let model = golden(model);
        let convert = |name: &str, more: &[&str]| {
            let out = folder.at(name);
            succeed(&[&[model.to_str().unwrap(), "--out", &out], more].concat());
            bcreid::weights::NetworkFile::open(Path::new(&out)).unwrap().config().input.clone()
        };
        let [plain, other] = [
            convert(&format!("plain-{channels}.safetensors"), &[]),
            convert(&format!("{channels}.safetensors"), &["--channels", channels]),
        ];
        assert_ne!(plain.channels, other.channels);
        let reversed = |[a, b, c]: [f32; 3]| [c, b, a];
        assert_eq!((other.mean, other.std), (reversed(plain.mean), reversed(plain.std)));
        assert_ne!(other.mean, plain.mean);
    }
}

/// Options state source and licence, a file of safetensors states them itself, and both survive the way to PyTorch and
/// back.
#[test]
fn source_and_licence_are_stated_and_kept() {
    use bcreid::weights::{NetworkFile, Provenance, TensorOut, read_tensors, write_tensors};
    let folder = Folder::new();
    let model = golden("resnet50_width4.safetensors");
    let (model, out, back) =
        (model.to_str().unwrap(), folder.at("out.safetensors"), folder.at("back.safetensors"));
    let stated = |file: &str| match NetworkFile::open(Path::new(file)).unwrap().provenance() {
        Provenance::Converted(own) => {
            [own.file, own.format, own.url, own.licence].map(|text| text.map(|t| t.to_string()))
        }
        other => panic!("{other:?}"),
    };
    let url = "https://example.org/w";
    let known = |file: &str| [file, "safetensors", url, "MIT"].map(|text| Some(text.to_string()));
    let said = succeed(&[model, "--out", &out, "--licence", "MIT", "--source", url]);
    assert!(said.contains("  its source: https://example.org/w\n  licence: MIT"), "{said}");
    assert_eq!(stated(&out), known("resnet50_width4.safetensors"));
    succeed(&[&out, "--to", "torchvision", "--out", &back]);
    succeed(&[&back, "--out", &out]);
    assert_eq!(stated(&out), known("back.safetensors"));
    succeed(&[&back, "--out", &out, "--licence", "mine"]);
    assert_eq!(stated(&out)[3].as_deref(), Some("mine"));

    // Files of other programs.
    let file = read_tensors(Path::new(model)).unwrap();
    let tensors = file.names().filter(|name| !name.ends_with("num_batches_tracked")).map(|name| {
        let view = file.tensor(name).unwrap();
        TensorOut::f32(name, view.shape(), view.f32().unwrap())
    });
    let theirs = folder.at("theirs.safetensors");
    let metadata = [("license".to_string(), "apache-2.0 ".repeat(100))].into();
    write_tensors(Path::new(&theirs), &tensors.collect::<Vec<_>>(), &metadata).unwrap();
    succeed(&[&theirs, "--out", &out]);
    let licence = stated(&out)[3].clone().unwrap();
    assert!(licence.starts_with("apache-2.0") && licence.chars().count() == 300, "{licence}");
    assert_eq!(stated(&out)[2], None);

    let long = "x".repeat(301);
    for (option, value, word) in
        [("--licence", &*long, "give at most 300"), ("--source", " ", "the text is empty")]
    {
        let output = convert(&[model, "--out", &out, option, value]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(word) && error.contains(option), "{error}");
    }
    refuse(&[&out, "--to", "torchvision", "--out", &back, "--source", url], &["--to torchvision takes"]);
}
