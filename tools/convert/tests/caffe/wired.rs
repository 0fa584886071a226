//! ResNets with names of their own, mapped by their wires.

use crate::nets::{Kind, Layer, Net, Setting};
use crate::open;
use bcreid::config::{Model, Wiring};
use bcreid_convert::network::{self, Unseen};
use bcreid_convert::source::Source;
use std::path::Path;

/// The convolutions found in a net, by place.
#[track_caller]
fn found(net: &Net) -> (Source, Model) {
    let source = open(&net.model()).unwrap();
    let config = assert_mapped(&source, net);
    (source, config)
}

#[track_caller]
pub fn assert_mapped(source: &Source, net: &Net) -> Model {
    for (name, value) in &net.convolutions {
        let tensor = &source.tensors[&format!("{name}.weight")];
        assert!(tensor.values().unwrap().iter().all(|v| v == value), "{name} is another layer");
    }
    let network = network::recognise(source, Path::new("some.caffemodel"), Unseen::of(source)).unwrap();
    let model = network.config.model.clone();
    let absent = network.places.iter().filter(|place| place.source.is_none()).count();
    assert_eq!(
        absent,
        usize::from(model.wiring == Wiring::Caffe && !source.tensors.contains_key("conv1.bias"))
    );
    model
}

#[test]
fn bottlenecks_of_any_name_are_found() {
    let (source, model) = found(&Net::new(Kind::default()));
    assert_eq!((model.width, model.stem, model.depths), (Some(2), None, Some([1, 2, 1, 1])));
    assert_eq!((model.wiring, model.last_stride), (Wiring::Caffe, 2));
    assert_eq!(source.tensors["fc.weight"].shape, [5, 64]);
    assert_eq!(source.tensors["bn1.running_var"].shape, [2]);
    assert!(source.notes[0].contains("from \"first\" to \"mean\""), "{:?}", source.notes);
    assert_eq!(source.notes.len(), 1, "{:?}", source.notes);
}

#[test]
fn every_way_to_write_a_block_down_is_the_same_block() {
    for shortcut_first in [false, true] {
        for in_place in [false, true] {
            for splits in [false, true] {
                let kind = Kind { shortcut_first, in_place, splits, ..Kind::default() };
                let (_, model) = found(&Net::new(kind));
                assert_eq!(model.depths, Some([1, 2, 1, 1]), "{kind:?}");
            }
        }
    }
}

#[test]
fn a_sum_adds_in_either_order() {
    let net = Net::new(Kind { in_place: false, ..Kind::default() });
    for block in ["s0b0/sum", "s1b1/sum", "s3b0/sum"] {
        found(&net.clone().with(block, |sum| sum.bottoms.reverse()));
    }
}

#[test]
fn basic_blocks_other_depths_and_widths_are_found() {
    let basic = Kind { bottleneck: false, depths: [2, 2, 2, 2], width: 3, stem: 3, ..Kind::default() };
    let (_, model) = found(&Net::new(basic));
    assert_eq!((model.arch, model.depths), (bcreid::config::Arch::Resnet18, None));
    let (_, model) = found(&Net::new(Kind { stem: 5, ..basic }));
    assert_eq!((model.width, model.stem), (Some(3), Some(5)));
    let deep = Kind { depths: [3, 5, 27, 4], width: 1, stem: 4, splits: true, ..Kind::default() };
    let (_, model) = found(&Net::new(Kind { stem: 3, ..deep }));
    assert_eq!((model.depths, model.width, model.stem), (Some([3, 5, 27, 4]), Some(1), Some(3)));
    // The stem has the first stage's output already, and nothing is projected.
    let (_, model) = found(&Net::new(deep));
    assert_eq!(model.stem, Some(4));
}

#[test]
fn wiring_and_last_stride_are_those_of_the_settings() {
    for torchvision in [false, true] {
        for last_stride in [1, 2] {
            let (_, model) = found(&Net::new(Kind { torchvision, last_stride, ..Kind::default() }));
            let wiring = if torchvision { Wiring::Torchvision } else { Wiring::Caffe };
            assert_eq!((model.wiring, model.last_stride), (wiring, last_stride as usize));
        }
    }
}

#[test]
fn biases_go_into_the_means_and_scales_may_be_absent() {
    let net = Net::new(Kind { biases: true, ..Kind::default() });
    let (source, _) = found(&net);
    // Mean 1 over factor 1, less a bias of 1; conv1 keeps its bias in Caffe's wiring.
    assert_eq!(source.tensors["layer2.1.bn2.running_mean"].values().unwrap(), [0.0; 4]);
    assert_eq!(source.tensors["bn1.running_mean"].values().unwrap(), [1.0; 2]);
    assert_eq!(source.tensors["conv1.bias"].values().unwrap(), [1.0; 2]);
    let (source, _) = found(&Net::new(Kind { biases: true, torchvision: true, ..Kind::default() }));
    assert_eq!(source.tensors["bn1.running_mean"].values().unwrap(), [0.0; 2]);
    let (source, _) = found(&Net::new(Kind { scales: false, ..Kind::default() }));
    assert_eq!(source.tensors["layer1.0.bn3.weight"].values().unwrap(), [1.0; 8]);
    assert!(source.notes.iter().any(|note| note.contains("has no Scale layer")), "{:?}", source.notes);
}

/// 0.1 + 0.2 - 0.3 in f64 before it is rounded: in f32 the difference of the rounded sum would be another.
#[test]
fn a_bias_is_folded_in_double_precision() {
    use crate::proto::{blob, convolution, data, integer, layer};
    let (mean, factor, bias) = (16_777_217.0_f64, 3.0_f32, 5_592_405.0_f32);
    let blobs = [blob(&[1], &[mean as f32]), blob(&[1], &[1.0]), blob(&[1], &[factor])];
    let bn = layer("bn2a_branch1", "BatchNorm", &blobs, &[]);
    let weights = [blob(&[1, 1, 1, 1], &[1.0]), blob(&[1], &[bias])];
    let conv = layer("res2a_branch1", "Convolution", &weights, &data(106, integer(2, 1)));
    let source = open(&[conv, bn, convolution("res2b_branch2a", [1, 1, 1, 1], 1, 0)].concat()).unwrap();
    let exact = (f64::from(mean as f32) * (1.0 / f64::from(factor)) - f64::from(bias)) as f32;
    assert_ne!(exact, mean as f32 / factor - bias, "the example does not tell f64 from f32");
    assert_eq!(source.tensors["layer1.0.downsample.1.running_mean"].values().unwrap(), [exact]);
}

#[test]
fn heads_branch_off_wherever_they_like() {
    let kind = Kind { in_place: false, ..Kind::default() };
    let head = |name: &str, bottom: &str| {
        let mut layer = Layer::new(name, "Convolution", &[bottom], name);
        layer.shapes = vec![vec![1, 8, 1, 1]];
        layer
    };
    let mut early = Layer::new("early mean", "Pooling", &["early"], "early mean");
    early.set("pool", Setting::Word("AVE", 1));
    let net = Net::new(kind)
        .insert(Some("s1b1/main1"), head("early", "s1b0/out"))
        .insert(Some("s1b1/main1"), early)
        .insert(Some("mean"), head("before the rectifier", "s3b0/sum"))
        .insert(None, head("behind", "mean"));
    let (source, _) = found(&net);
    for name in ["early/0", "before the rectifier/0", "behind/0"] {
        assert!(source.tensors.contains_key(name), "{name}");
    }
    // A head may even be called as a part of torchvision's ResNet is.
    found(&Net::new(kind).insert(None, head("layer1.0.conv1.weight", "mean")));
    // A head with a convolution and an average of its own lies behind more convolutions than the features.
    let mut far = Layer::new("far mean", "Pooling", &["far"], "far mean");
    far.set("pool", Setting::Word("AVE", 1));
    found(&Net::new(kind).insert(None, head("far", "s3b0/out")).insert(None, far));
}

#[test]
fn dropout_passes_on_what_it_reads() {
    let net = Net::new(Kind::default())
        .insert(Some("who"), Layer::new("forget", "Dropout", &["mean"], "kept"))
        .with("who", |who| who.bottoms = vec!["kept".into()]);
    assert_eq!(found(&net).0.tensors["fc.bias"].shape, [5]);
}

#[test]
fn the_average_covers_the_map() {
    let sized = |kernel: i64, size: Option<i64>| {
        let mut net = Net::new(Kind::default()).with("mean", |mean| {
            mean.settings.clear();
            mean.set("pool", Setting::Word("AVE", 1));
            mean.set("kernel_size", Setting::Whole(kernel));
        });
        net.layers[0].kind = "MemoryData";
        if let Some(size) = size {
            net.layers[0].set("height", Setting::Whole(size));
            net.layers[0].set("width", Setting::Whole(size));
        }
        open(&net.model())
    };
    assert_eq!(sized(7, Some(224)).unwrap().notes.len(), 1);
    assert_eq!(sized(8, Some(224)).unwrap().notes.len(), 1);
    assert_eq!(sized(2, Some(64)).unwrap().notes.len(), 1);
    let error = sized(6, Some(224)).unwrap_err();
    assert!(
        error.contains("layer \"mean\" of type \"Pooling\" averages 6 x 6 values of a map of 7 x 7"),
        "{error}"
    );
    let padded = Net::new(Kind::default()).with("mean", |mean| {
        mean.settings.clear();
        mean.set("pool", Setting::Word("AVE", 1));
        mean.set("pad", Setting::Whole(1));
    });
    let error = open(&padded.model()).unwrap_err();
    assert!(error.contains("layer \"mean\" of type \"Pooling\" has pad [1, 1]"), "{error}");
    let notes = sized(3, None).unwrap().notes;
    assert!(notes[0].contains("does not say how large"), "{notes:?}");
}
