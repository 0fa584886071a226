//! Networks that differ from He's release, and how much of that is accepted.

use crate::proto::{batch_norm, blob, convolution, data, integer, layer, pool1, ramp};
use crate::{on_disk, open, refused};
use bcreid::config::Wiring;
use bcreid_convert::caffe;

/// The convolutions of the stem and of the first blocks of all stages, strides at `strider` ("2a" or "2b").
fn bottlenecks(strider: &str, last_stride: i64) -> Vec<u8> {
    let mut net = convolution("conv1", [2, 3, 7, 7], 2, 3);
    for (stage, stride) in [(2, 1), (3, 2), (4, 2), (5, last_stride)] {
        let at = |branch: &str| if branch == strider { stride } else { 1 };
        net.extend(convolution(&format!("res{stage}a_branch1"), [8, 2, 1, 1], stride, 0));
        net.extend(convolution(&format!("res{stage}a_branch2a"), [2, 2, 1, 1], at("2a"), 0));
        net.extend(convolution(&format!("res{stage}a_branch2b"), [2, 2, 3, 3], at("2b"), 1));
        net.extend(convolution(&format!("res{stage}a_branch2c"), [8, 2, 1, 1], 1, 0));
        net.extend(convolution(&format!("res{stage}b_branch2a"), [2, 8, 1, 1], 1, 0));
    }
    net
}

#[test]
fn strides_and_pooling_decide_the_wiring() {
    let caffe = open(&[bottlenecks("2a", 2), pool1(0, 0)].concat()).unwrap();
    assert_eq!((caffe.wiring, caffe.last_stride, caffe.notes.len()), (Wiring::Caffe, 2, 0));
    let torchvision = open(&[bottlenecks("2b", 2), pool1(1, 1)].concat()).unwrap();
    assert_eq!((torchvision.wiring, torchvision.last_stride), (Wiring::Torchvision, 2));
    assert!(torchvision.notes[0].contains("wired as torchvision's"), "{:?}", torchvision.notes);
    let flat = open(&[bottlenecks("2a", 1), pool1(0, 0)].concat()).unwrap();
    assert_eq!((flat.wiring, flat.last_stride), (Wiring::Caffe, 1));
    assert!(flat.notes[0].contains("model.last_stride = 1"), "{:?}", flat.notes);
    let flat = open(&[bottlenecks("2b", 1), pool1(1, 1)].concat()).unwrap();
    assert_eq!((flat.wiring, flat.last_stride), (Wiring::Torchvision, 1));
}

#[test]
fn a_mix_of_wirings_is_refused_with_both_reasons() {
    let mixed = [
        "neither as He's release (res3a_branch2a has stride 1, not 2)",
        "torchvision's ResNet (pool1 has pad [0, 0], not 1)",
    ];
    refused(&[bottlenecks("2b", 2), pool1(0, 0)].concat(), &mixed);
    let padded =
        ["He's release (pool1 has pad [1, 1], not 0)", "ResNet (res3a_branch2a has stride 2, not 1)"];
    refused(&[bottlenecks("2a", 2), pool1(1, 1)].concat(), &padded);
    refused(&[bottlenecks("2a", 2), pool1(0, 1)].concat(), &["pool1 rounds its size down, not up"]);
    let later = [bottlenecks("2a", 2), convolution("res3b_branch2b", [2, 2, 3, 3], 2, 1)].concat();
    refused(&later, &["res3b_branch2b has stride 2, not 1"]);
}

#[test]
fn basic_blocks_stride_on_their_first_convolution() {
    let basic = |first, second| {
        [
            convolution("res3a_branch1", [4, 2, 1, 1], 2, 0),
            convolution("res3a_branch2a", [4, 2, 3, 3], first, 1),
            convolution("res3a_branch2b", [4, 4, 3, 3], second, 1),
        ]
        .concat()
    };
    assert_eq!(open(&basic(2, 1)).unwrap().wiring, Wiring::Caffe);
    refused(&basic(1, 2), &["res3a_branch2a has stride 1, not 2"]);
}

#[test]
fn convolutions_that_no_resnet_has_are_refused() {
    let with = |settings: Vec<u8>| {
        layer("res2a_branch2b", "Convolution", &[ramp(&[2, 2, 3, 3])], &data(106, settings))
    };
    let pad = [integer(2, 0), integer(3, 1)].concat();
    open(&with(pad.clone())).unwrap();
    open(&with([integer(2, 0), integer(9, 1), integer(10, 1), integer(13, 1), integer(14, 1)].concat()))
        .unwrap();
    refused(
        &with([integer(2, 0), integer(3, 0)].concat()),
        &["res2a_branch2b has pad [0, 0]", "3x3 convolution has 1"],
    );
    refused(&with([pad.clone(), integer(18, 2)].concat()), &["dilation [2, 2]"]);
    refused(&with([pad.clone(), integer(5, 32)].concat()), &["32 group(s)"]);
    refused(&with([pad, integer(13, 1), integer(14, 2)].concat()), &["strides by 1 rows and 2 columns"]);
    refused(&layer("conv1", "Convolution", &[ramp(&[6])], &[]), &["conv1 has weights [6]", "4-d"]);
    refused(&layer("conv1", "Pooling", &[ramp(&[1, 1, 1, 1])], &[]), &["conv1 is of type \"Pooling\""]);
}

#[test]
fn without_settings_the_release_is_assumed_and_said_so() {
    let source = open(&layer("conv1", "", &[ramp(&[2, 3, 7, 7])], &[])).unwrap();
    assert_eq!((source.wiring, source.last_stride), (Wiring::Caffe, 2));
    assert!(source.notes[0].contains("He's release is assumed"), "{:?}", source.notes);
    assert!(!source.tensors.contains_key("conv1.bias"));
}

#[test]
fn statistics_are_divided_by_their_factor() {
    let tensor = |factor, name: &str| {
        let source = open(&batch_norm("bn2a_branch2b", &[2.0, -4.0], &[8.0, 6.0], factor)).unwrap();
        source.tensors[name].values().unwrap()
    };
    assert_eq!(tensor(4.0, "layer1.0.bn2.running_mean"), [0.5, -1.0]);
    assert_eq!(tensor(4.0, "layer1.0.bn2.running_var"), [2.0, 1.5]);
    assert_eq!(tensor(0.0, "layer1.0.bn2.running_mean"), [0.0, 0.0]);
    assert_eq!(tensor(0.0, "layer1.0.bn2.running_var"), [0.0, 0.0]);
    assert_eq!(tensor(1.0, "layer1.0.bn2.weight"), [1.0, 1.0]);
    assert_eq!(tensor(1.0, "layer1.0.bn2.bias"), [0.0, 0.0]);
    for factor in [f32::NAN, f32::INFINITY, -1.0] {
        refused(&batch_norm("bn_conv1", &[1.0], &[1.0], factor), &["bn_conv1 has factor", "damaged"]);
    }
    refused(&batch_norm("bn_conv1", &[1.0, 2.0], &[1.0], 1.0), &["2 means and 1 variances"]);
    refused(&layer("bn_conv1", "BatchNorm", &[ramp(&[2]), ramp(&[2])], &[]), &["bn_conv1 has 2 blobs"]);
}

#[test]
fn a_bias_before_a_batch_norm_moves_its_mean() {
    let bn = batch_norm("bn2a_branch1", &[2.0, -4.0], &[1.0, 1.0], 2.0);
    let biased = |bias: &[f32]| {
        let blobs = [ramp(&[2, 1, 1, 1]), blob(&[1, 1, 1, bias.len() as i64], bias)];
        layer("res2a_branch1", "Convolution", &blobs, &[])
    };
    let source = open(&[biased(&[0.5, 0.25]), bn.clone()].concat()).unwrap();
    assert_eq!(source.tensors["layer1.0.downsample.1.running_mean"].values().unwrap(), [0.5, -2.25]);
    assert!(!source.tensors.contains_key("layer1.0.downsample.0.bias"));
    refused(&[biased(&[0.5]), bn.clone()].concat(), &["2 outputs and a bias of 1 values"]);
    refused(&biased(&[0.5, 0.5]), &["res2a_branch1 has a bias and no batch norm", "merged"]);

    let stem = |pool| {
        let blobs = [ramp(&[2, 3, 7, 7]), blob(&[2], &[1.0, 2.0])];
        let settings = data(106, [integer(3, 3), integer(6, 2)].concat());
        let bn = batch_norm("bn_conv1", &[5.0, 5.0], &[1.0, 1.0], 1.0);
        open(&[layer("conv1", "Convolution", &blobs, &settings), bn, pool].concat()).unwrap()
    };
    let (caffe, torchvision) = (stem(pool1(0, 0)), stem(pool1(1, 1)));
    assert_eq!(caffe.tensors["conv1.bias"].values().unwrap(), [1.0, 2.0]);
    assert_eq!(caffe.tensors["bn1.running_mean"].values().unwrap(), [5.0, 5.0]);
    assert!(!torchvision.tensors.contains_key("conv1.bias"));
    assert_eq!(torchvision.tensors["bn1.running_mean"].values().unwrap(), [4.0, 3.0]);
}

#[test]
fn incomplete_and_doubled_layers_are_refused() {
    let scale = layer("scale2a_branch1", "Scale", &[ramp(&[2]), ramp(&[2])], &[]);
    refused(&scale, &["scale2a_branch1 has no batch norm"]);
    let conv = |name| convolution(name, [2, 2, 1, 1], 1, 0);
    refused(
        &[conv("res4b_branch2a"), conv("res4b1_branch2a")].concat(),
        &["res4b_branch2a and res4b1_branch2a"],
    );
    let other = layer("mine", "Mine", &[ramp(&[2])], &[]);
    refused(&[other.clone(), other.clone()].concat(), &["two layers are called \"mine\""]);
    let source = open(&other).unwrap();
    assert_eq!(source.tensors["mine/0"].values().unwrap(), [1.0, 2.0]);
}

#[test]
fn the_first_classifier_is_the_classifier() {
    let fc = |name, dims: &[i64]| layer(name, "InnerProduct", &[ramp(dims), ramp(&dims[..1])], &[]);
    let source = open(&[fc("fc751", &[2, 3]), fc("fc8", &[4, 3])].concat()).unwrap();
    assert_eq!(source.tensors["fc.weight"].shape, [2, 3]);
    assert_eq!(source.tensors["fc.bias"].shape, [2]);
    assert_eq!(source.tensors["fc8/0"].shape, [4, 3]);
    refused(&fc("fc1000", &[2, 2, 2]), &["fc1000 has weights [2, 2, 2]"]);
    let transposed = layer("fc1000", "InnerProduct", &[ramp(&[2, 3])], &data(117, integer(6, 1)));
    refused(&transposed, &["transposed"]);
}

#[test]
fn a_mean_image_has_three_channels_and_finite_values() {
    let mean = |bytes: &[u8]| on_disk(bytes, caffe::mean);
    assert_eq!(mean(&blob(&[3, 1, 2], &[1.0, 2.0, 3.0, 5.0, 7.0, 7.0])).unwrap(), [1.5, 4.0, 7.0]);
    for (bytes, word) in [
        (ramp(&[1, 4, 2, 2]), "its shape is [1, 4, 2, 2]"),
        (ramp(&[2, 3, 2, 2]), "its shape is [2, 3, 2, 2]"),
        (blob(&[3, 1, 1], &[1.0, f32::NAN, 1.0]), "not finite"),
        (b"junk".to_vec(), "is no Caffe mean image"),
        (Vec::new(), "holds no values"),
    ] {
        let error = mean(&bytes).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
}
