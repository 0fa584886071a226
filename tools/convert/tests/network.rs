//! From named tensors to the engine's file and back.

use bcreid::config::{Arch, Config, Input, Model, Pooling, Wiring};
use bcreid::device::Device;
use bcreid::model::resnet::Spec;
use bcreid::weights::NetworkFile;
use bcreid::weights::provenance::{Conversion, Text};
use bcreid_convert::network::{Network, Unseen, recognise, title_of};
use bcreid_convert::source::{self, Source, SourceTensor};
use bcreid_convert::torchvision::Output;
use bcreid_convert::{convention, engine, torchvision};
use std::collections::BTreeMap;
use std::path::Path;

/// A network of small width as a PyTorch file would hold it: every value another one, variances above 0.
fn source(arch: Arch, wiring: Wiring) -> Source {
    source_of(&Model { arch, width: Some(2), wiring, ..Model::default() })
}

fn source_of(model: &Model) -> Source {
    let wiring = model.wiring;
    let specs = Spec::of(model).param_specs();
    let mut tensors = BTreeMap::new();
    let mut next = 1.0f32;
    for (name, shape) in specs.shapes() {
        let shape = match *shape.dims() {
            [k, r, s, c] => vec![k, c, r, s],
            ref other => other.to_vec(),
        };
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|i| next + i as f32).collect();
        next += count as f32;
        tensors.insert(name.into(), tensor(shape, values));
    }
    tensors.insert("fc.weight".into(), tensor(vec![3, 4], vec![0.0; 12]));
    tensors.insert("bn1.num_batches_tracked".into(), tensor(vec![], vec![7.0]));
    let input = if wiring == Wiring::Caffe { convention::caffe() } else { Input::default() };
    Source {
        format: "made by hand".into(),
        wiring,
        last_stride: 2,
        states_stride: false,
        pooling: None,
        head: Default::default(),
        input,
        tensors,
        states_input: false,
        is_whole: false,
        stated: Conversion::default(),
        notes: Vec::new(),
    }
}

fn tensor(shape: Vec<usize>, values: Vec<f32>) -> SourceTensor {
    SourceTensor::new(shape, "f32", move || Ok(values.clone()))
}

fn found(source: &Source) -> bcreid::Result<Network<'_>> {
    recognise(source, Path::new("in.pth"), Unseen::of(source))
}

#[test]
fn every_known_network_is_told_by_its_blocks() {
    for arch in [Arch::Resnet18, Arch::Resnet34, Arch::Resnet50, Arch::Resnet101, Arch::Resnet152, Arch::Slim]
    {
        let source = source(arch, Wiring::Torchvision);
        let network = found(&source).unwrap();
        assert_eq!((network.config.model.arch, network.config.model.width), (arch, Some(2)));
        assert_eq!(network.left_out, ["bn1.num_batches_tracked", "fc.weight"]);
        assert!(network.places.iter().all(|place| place.source.is_some()));
    }
}

fn refuse(source: &Source, words: &[&str]) {
    let error = found(source).unwrap_err().to_string();
    for word in ["in.pth"].iter().chain(words) {
        assert!(error.contains(word), "{error:?} lacks {word:?}");
    }
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn what_is_missing_misshapen_or_too_much_is_named_with_its_shapes() {
    let fresh = || source(Arch::Resnet50, Wiring::Torchvision);
    let mut cut = fresh();
    cut.tensors.remove("layer3.5.bn2.running_var");
    refuse(&cut, &["ResNet-50", "layer3.5.bn2.running_var [8] is missing", "1 missing"]);
    let mut cut = fresh();
    cut.tensors.retain(|name, _| !name.starts_with("layer3.5."));
    refuse(&cut, &["ResNet-50", "layer3.5.conv1.weight [8, 32, 1, 1] is missing", "15 missing"]);
    let mut other = fresh();
    other.tensors.insert("layer2.0.conv1.weight".into(), tensor(vec![4, 8, 3, 3], vec![0.0; 288]));
    refuse(&other, &["[4, 8, 3, 3] in the file and [4, 8, 1, 1] in the network", "1 of another shape"]);
    let mut more = fresh();
    more.tensors.insert("layer1.0.se.fc1.weight".into(), tensor(vec![1], vec![0.0]));
    refuse(&more, &["\"layer1.0.se.fc1.weight\" [1] is not part of it", "1 too many"]);
    let mut three = fresh();
    three.tensors.retain(|name, _| !name.starts_with("layer4."));
    refuse(&three, &["no layer4.0", "ResNet-18, 34, 50, 101 and 152"]);
    let mut none = fresh();
    none.tensors.remove("conv1.weight");
    refuse(&none, &["no conv1.weight", "--list"]);
    let mut odd = fresh();
    odd.tensors.insert("layer1.0.\nfoo\x1b[31m".into(), tensor(vec![1], vec![0.0]));
    refuse(&odd, &["\"layer1.0.\\nfoo\\u{1b}[31m\" [1] is not part of it"]);
    let mut quantised = fresh();
    let bytes = SourceTensor::new(vec![8, 2, 1, 1], "i8", || Ok(vec![1.0; 16]));
    quantised.tensors.insert("layer1.0.conv3.weight".into(), bytes);
    refuse(&quantised, &["layer1.0.conv3.weight is of i8", "floating point"]);
    let mut scalar = fresh();
    scalar.tensors.insert("conv1.weight".into(), tensor(vec![], vec![1.0]));
    refuse(&scalar, &["conv1.weight"]);
}

#[test]
fn a_head_of_another_kind_is_left_out() {
    let mut source = source(Arch::Resnet18, Wiring::Torchvision);
    source.tensors.insert("classifier.add_block.0.weight".into(), tensor(vec![2], vec![0.0; 2]));
    assert!(found(&source).unwrap().left_out.contains(&"classifier.add_block.0.weight"));
}

/// A folder with a file that stands for the input, whose bytes are named in the output's metadata.
fn folder() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in.pth"), folder.path().join("out.safetensors"));
    std::fs::write(&input, "abc").unwrap();
    (folder, input, out)
}

#[test]
fn the_engines_file_holds_the_values_in_its_layout_with_their_origin() {
    let (_folder, input, out) = folder();
    let source = source(Arch::Slim, Wiring::Caffe);
    let (licence, url) = (Some(Text::new("MIT")), Some(Text::new("https://example.org/in")));
    let stated = Conversion { licence, url, format: Some(Text::new("by hand")), ..Conversion::default() };
    engine::write(&found(&source).unwrap(), &input, stated, &out).unwrap();
    let file = NetworkFile::open(&out).unwrap();
    let values = file.tensors().tensor("conv1.weight").unwrap();
    assert_eq!(values.shape(), [2, 7, 7, 3]);
    let theirs = source.tensors["conv1.weight"].values().unwrap();
    let ours = values.f32().unwrap();
    for (k, c, r, s) in [(0, 0, 0, 0), (1, 2, 3, 4), (0, 1, 6, 0), (1, 0, 0, 6)] {
        assert_eq!(ours[((k * 7 + r) * 7 + s) * 3 + c], theirs[((k * 3 + c) * 7 + r) * 7 + s]);
    }
    let text = file.describe();
    // The SHA-256 of "abc" is the first example of FIPS 180-2.
    let sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for word in ["slim", "Caffe", "BGR", "103.06", "in.pth", sha, "MIT", "https://example.org/in", "by hand"]
    {
        assert!(text.contains(word), "{text} lacks {word}");
    }
    let (model, params) = file.start(file.config(), 5, &Device::cpu()).unwrap();
    assert_eq!(params.buffer(model.head.unwrap().centers).shape().dims()[0], 5);
    assert_eq!(params.params()[0].value.f32(), &*ours);

    let mut torchvision = file.config().clone();
    torchvision.model.wiring = Wiring::Torchvision;
    let error = file.check_start(&torchvision).unwrap_err().to_string();
    assert!(
        error.contains("model.wiring is \"caffe\" in the file and \"torchvision\" in the settings"),
        "{error}"
    );
    let mut rgb = file.config().clone();
    rgb.input = Input::default();
    let error = file.check_start(&rgb).unwrap_err().to_string();
    assert!(error.contains("input.channels is \"bgr\" in the file and \"rgb\" in the settings"), "{error}");
}

#[test]
fn there_and_back_is_bit_exact() {
    for (arch, name) in [(Arch::Resnet18, "back.safetensors"), (Arch::Slim, "back.pth")] {
        let (folder, input, out) = folder();
        let source = source(arch, Wiring::Torchvision);
        engine::write(&found(&source).unwrap(), &input, Conversion::default(), &out).unwrap();
        let back = folder.path().join(name);
        assert!(
            torchvision::write(&NetworkFile::open(&out).unwrap(), Output::Classifier, &back)
                .unwrap()
                .is_empty()
        );
        let returned = source::open(&back).unwrap();
        let network = found(&source).unwrap();
        assert_eq!(returned.tensors.len(), network.places.len());
        for (name, tensor) in &returned.tensors {
            assert_eq!(tensor.shape, source.tensors[name].shape, "{name}");
            assert_eq!(tensor.values().unwrap(), source.tensors[name].values().unwrap(), "{name}");
        }
    }
}

#[test]
fn caffes_wiring_has_no_way_to_torchvision_and_its_larger_networks_no_bias() {
    let (folder, input, out) = folder();
    let mut source = source(Arch::Resnet101, Wiring::Caffe);
    source.tensors.remove("conv1.bias");
    engine::write(&found(&source).unwrap(), &input, Conversion::default(), &out).unwrap();
    let file = NetworkFile::open(&out).unwrap();
    assert_eq!(*file.tensors().tensor("conv1.bias").unwrap().f32().unwrap(), [0.0; 2]);
    let back = folder.path().join("back.pth");
    let error = torchvision::write(&file, Output::of(&file), &back).unwrap_err().to_string();
    assert!(error.contains("Caffe's wiring"), "{error}");
    assert!(!back.exists());
}

#[test]
fn spoilt_values_and_senseless_conventions_write_nothing() {
    let (_folder, input, out) = folder();
    for (name, value) in [("bn1.weight", f32::NAN), ("layer1.0.bn1.running_var", -1.0)] {
        let mut source = source(Arch::Resnet18, Wiring::Torchvision);
        source.tensors.insert(name.into(), tensor(vec![2], vec![1.0, value]));
        let error = engine::write(&found(&source).unwrap(), &input, Conversion::default(), &out)
            .unwrap_err()
            .to_string();
        assert!(error.contains(&format!("{name}[1] is {value}")), "{error}");
    }
    let source = source(Arch::Resnet18, Wiring::Torchvision);
    let senseless = Input { std: [0.0; 3], ..Input::default() };
    let unseen = Unseen { input: senseless, ..Unseen::of(&source) };
    let network = recognise(&source, Path::new("in.pth"), unseen).unwrap();
    let error = engine::write(&network, &input, Conversion::default(), &out).unwrap_err().to_string();
    assert!(error.contains("input.std"), "{error}");
    assert!(!out.exists());
}

#[test]
fn a_stem_of_its_own_and_other_depths_are_found_and_come_back() {
    let made = |model: &Model, is_whole| Source { is_whole, ..source_of(model) };
    let model = Model { arch: Arch::Resnet50, width: Some(2), stem: Some(3), ..Model::default() };
    let (folder, input, out) = folder();
    let stemmed = made(&model, false);
    let network = found(&stemmed).unwrap();
    assert_eq!(network.config.model, model);
    engine::write(&network, &input, Conversion::default(), &out).unwrap();
    let file = NetworkFile::open(&out).unwrap();
    assert!(file.describe().contains("resnet50 of width 2, conv1 with 3 channels, torchvision"));
    let back = folder.path().join("back.pth");
    torchvision::write(&file, Output::of(&file), &back).unwrap();
    let returned = source::open(&back).unwrap();
    assert_eq!(found(&returned).unwrap().config.model, model);

    let deeper = Model { depths: Some([1, 2, 3, 1]), stem: None, ..model };
    let network = made(&deeper, true);
    let network = found(&network).unwrap();
    let depths = network.config.model.depths;
    assert_eq!(
        (depths, title_of(&network.config.model).as_str()),
        (deeper.depths, "a ResNet of 1-2-3-1 bottleneck blocks")
    );
    refuse(&made(&deeper, false), &["the nearest known network"]);
}

/// IBN-Net's names, as in its `resnet50_ibn_a` and `resnet18_ibn_a`.
#[test]
fn ibn_nets_checkpoints_are_found_by_their_names() {
    for (arch, title) in [(Arch::Resnet50, "ResNet-50 with IBN-a"), (Arch::Resnet18, "ResNet-18 with IBN-a")]
    {
        let (_folder, input, out) = folder();
        let model = Model { arch, width: Some(4), ibn: true, ..Model::default() };
        let source = source_of(&model);
        assert!(source.tensors.contains_key("layer3.1.bn1.IN.weight"));
        let network = found(&source).unwrap();
        assert_eq!((&network.config.model, title_of(&network.config.model).as_str()), (&model, title));
        engine::write(&network, &input, Conversion::default(), &out).unwrap();
        let file = NetworkFile::open(&out).unwrap();
        assert!(file.config().model.ibn);
        file.check().unwrap();
        let ours = file.tensors().tensor("layer2.0.bn1.BN.bias").unwrap().f32().unwrap().into_owned();
        assert_eq!(ours, source.tensors["layer2.0.bn1.BN.bias"].values().unwrap());
        let mut plain = file.config().clone();
        plain.model.ibn = false;
        let error = file.check_start(&plain).unwrap_err().to_string();
        assert!(error.contains("model.ibn is true in the file and false"), "{error}");
    }
    // IBN-b has an instance normalisation behind conv1, which is no part of the network.
    let mut b = source_of(&Model { arch: Arch::Resnet50, width: Some(4), ibn: true, ..Model::default() });
    b.tensors.remove("bn1.running_mean");
    refuse(&b, &["ResNet-50 with IBN-a", "bn1.running_mean"]);
}

/// Layers for which torchvision's ResNet has no place.
#[test]
fn networks_with_layers_of_their_own_have_no_way_to_torchvision() {
    let slim = Model { arch: Arch::Slim, width: Some(4), ..Model::default() };
    for (model, words) in [
        (Model { embedding: vec![8, 4], ..slim.clone() }, "a ReLU in its embedding"),
        (Model { embedding: vec![8], embedding_relu: true, ..slim.clone() }, "model.embedding_relu"),
        (Model { pooling: Pooling::Gem, ..slim.clone() }, "model.pooling"),
        (Model { ibn: true, ..slim }, "model.ibn"),
    ] {
        let (folder, _, out) = folder();
        let config = Config { model, ..Config::default() };
        let (_, params) = bcreid::model::Model::new(&config, 3, &Device::cpu()).unwrap();
        let tensors = bcreid::weights::model_tensors(&params).unwrap();
        let metadata = bcreid::weights::network::metadata(config.to_toml());
        bcreid::weights::write_tensors(&out, &tensors, &metadata).unwrap();
        let back = folder.path().join("back.pth");
        let error = torchvision::write(&NetworkFile::open(&out).unwrap(), Output::Classifier, &back)
            .unwrap_err()
            .to_string();
        assert!(error.contains(words) && error.contains("bcreid export"), "{error}");
        assert!(!back.exists());
    }
}
