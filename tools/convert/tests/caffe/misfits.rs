//! Nets that are no ResNet: the error names the layer where they stop to be one, and why.

use crate::nets::{Kind, Layer, Net, Setting};
use crate::proto::{data, layer, ramp, wires};
use crate::{open, refused};

fn net() -> Net {
    Net::new(Kind::default())
}

fn apart() -> Net {
    Net::new(Kind { in_place: false, ..Kind::default() })
}

#[test]
fn a_plain_network_has_no_shortcuts() {
    let mut vgg = layer("data", "Input", &[], &data(4, "data"));
    let (mut bottom, mut channels) = ("data".to_string(), 3);
    for (stage, n) in [(1, 1), (1, 2), (2, 1)] {
        let name = format!("conv{stage}_{n}");
        vgg.extend(layer(&name, "Convolution", &[ramp(&[2, channels, 3, 3])], &wires(&bottom, &name)));
        vgg.extend(layer(&format!("relu{stage}_{n}"), "ReLU", &[], &wires(&name, &name)));
        (bottom, channels) = (name, 2);
    }
    let classes = layer("fc6", "InnerProduct", &[ramp(&[5, 2])], &wires(&bottom, "fc6"));
    refused(&[vgg, classes].concat(), &["average pooling", "--list"]);

    let plain = net().with("s1b1/sum", |sum| {
        sum.kind = "ReLU";
        sum.bottoms.retain(|bottom| bottom.contains("main"));
    });
    refused(&plain.model(), &["layer \"s1b1/main1\" of type \"Convolution\" has no shortcut beside it"]);
}

#[test]
fn dilated_and_grouped_convolutions_are_none_of_ours() {
    let set = |key, value| net().with("s3b0/main2", |layer| layer.set(key, Setting::Whole(value))).model();
    refused(&set("dilation", 2), &["s3b0/main2 has dilation [2, 2]"]);
    refused(&set("group", 2), &["s3b0/main2 has dilation [1, 1] and 2 group(s)"]);
    refused(&set("pad", 0), &["s3b0/main2 has pad [0, 0]"]);
    refused(&set("stride", 2), &["s3b0/main2 has stride 2, not 1"]);
    let narrow = net().with("s3b0/main2", |layer| layer.shapes[0][1] = 4).model();
    refused(&narrow, &["layer \"s3b0/main2\"", "weights for 4 channels and reads 16", "not grouped"]);
    refused(&set("kernel_size", 5), &["s3b0/main2 has weights [16, 16, 3, 3]", "state a kernel of [5, 5]"]);
    refused(&set("num_output", 9), &["state 9 outputs"]);
    let biased = Net::new(Kind { biases: true, ..Kind::default() });
    let biased = biased.with("first", |layer| layer.set("bias_term", Setting::Whole(0)));
    refused(&biased.model(), &["first has weights", "and a bias", "state no bias"]);
}

#[test]
fn pre_activation_is_told_as_such() {
    let bare = apart().without("s1b0/out");
    refused(&bare.model(), &["follows the sum \"s1b0/sum\"", "pre-activation", "ResNet v2"]);
    let mut norm = Layer::new("norm", "BatchNorm", &["s1b0/out"], "norm");
    norm.shapes = vec![vec![16], vec![16], vec![1]];
    let before =
        apart().insert(Some("s1b1/main1"), norm).with("s1b1/main1", |l| l.bottoms = vec!["norm".into()]);
    refused(&before.model(), &["layer \"norm\" of type \"BatchNorm\" begins a block", "pre-activation"]);
}

#[test]
fn normalisation_and_rectifiers_stand_where_a_resnet_has_them() {
    let merged = apart().without("s2b0/main1/gain").without("s2b0/main1/norm");
    refused(&merged.model(), &["layer \"s2b0/main1\"", "has no BatchNorm behind it", "were merged", "ReLU"]);
    let linear = apart().without("s2b0/main1/rect");
    refused(&linear.model(), &["\"s2b0/main2\"", "follows \"s2b0/main1\", where a ResNet has a ReLU"]);
    let learned = net().with("s2b0/main1/rect", |layer| layer.kind = "PReLU");
    refused(&learned.model(), &["layer \"s2b0/main1/rect\" of type \"PReLU\" follows \"s2b0/main1\""]);
    let leaky = net().with("s2b0/out", |layer| layer.set("negative_slope", Setting::Real(0.1)));
    refused(&leaky.model(), &["layer \"s2b0/out\" of type \"ReLU\" has the slope 0.1 below 0"]);
    let other = net().with("first/norm", |layer| layer.kind = "BN");
    refused(
        &other.model(),
        &["layer \"first\"", "no BatchNorm behind it, but layer \"first/norm\" of type \"BN\""],
    );
    let rectified = apart().insert(Some("s1b0/sum"), Layer::new("r", "ReLU", &["s1b0/main3/gain"], "r"));
    let rectified = rectified.with("s1b0/sum", |sum| sum.bottoms[1] = "r".into());
    refused(&rectified.model(), &["layer \"s1b0/sum\"", "is not rectified before"]);
    let empty = net().with("s1b0/main2/gain", |layer| layer.shapes.clear());
    refused(&empty.model(), &["layer \"s1b0/main2/gain\" of type \"Scale\" has no weights in the file"]);
}

#[test]
fn blocks_end_in_a_plain_sum_of_two() {
    let product = net().with("s1b1/sum", |sum| sum.set("operation", Setting::Word("PROD", 0)));
    refused(&product.model(), &["layer \"s1b1/sum\" of type \"Eltwise\" is no sum of two blobs"]);
    let weighted = net().with("s1b1/sum", |sum| sum.set("coeff", Setting::Real(0.5)));
    refused(&weighted.model(), &["layer \"s1b1/sum\" of type \"Eltwise\" is no sum"]);
    let three = net().with("s1b1/sum", |sum| sum.bottoms.push("shrink".into()));
    assert!(open(&three.model()).is_err());
    let joined = net().with("s1b1/sum", |sum| sum.kind = "Concat");
    refused(&joined.model(), &["layer \"s1b1/sum\" of type \"Concat\""]);
    // Squeeze and excitation: a branch beside the last convolution that weighs its channels.
    let mut squeeze = Layer::new("squeeze", "Pooling", &["s1b1/main3/gain"], "squeeze");
    squeeze.set("pool", Setting::Word("AVE", 1));
    let weigh = Layer::new("weigh", "Scale", &["s1b1/main3/gain", "squeeze"], "weigh");
    let excited = apart().insert(Some("s1b1/sum"), squeeze).insert(Some("s1b1/sum"), weigh);
    let excited = excited.with("s1b1/sum", |sum| sum.bottoms[1] = "weigh".into());
    refused(&excited.model(), &["blob \"s1b1/main3/gain\" is read by 2 layers", "where a ResNet has one"]);
}

#[test]
fn stages_are_four_and_double() {
    let three = Net::new(Kind { last_stride: 2, ..Kind::default() }).without_blocks("s3");
    refused(&three.model(), &["layer \"mean\" of type \"Pooling\"", "behind 3 stage(s)"]);
    let wide = net().with("s2b0/main1", |layer| {
        layer.shapes[0][0] = 5;
        layer.set("num_output", Setting::Whole(5));
    });
    let wide = wide.with("s2b0/main2", |layer| layer.shapes[0][1] = 5);
    refused(&wide.model(), &["\"s2b0/main1\"", "begins stage 3 of 5 channels", "the stage before has 4"]);
    let fat = net().with("s1b1/main2", |layer| layer.shapes[0][0] = 5).with("s1b1/main3", |layer| {
        layer.shapes[0][1] = 5;
    });
    refused(&fat.model(), &["\"s1b1/main2\"", "writes 5 channels, where a ResNet of this width has 4"]);
    let kernels = net().with("s0b0/main2", |layer| layer.shapes[0][2..].copy_from_slice(&[1, 1]));
    refused(&kernels.model(), &["\"s0b0/main2\"", "has a kernel of [1, 1], where a ResNet has one of 3x3"]);
    let small = net().with("first", |layer| layer.shapes[0][2..].copy_from_slice(&[3, 3]));
    refused(&small.model(), &["\"first\"", "[3, 3]", "one of 7x7"]);
    let grey = net().with("first", |layer| layer.shapes[0][1] = 1);
    refused(&grey.model(), &["\"first\"", "reads 1 channels; images have 3"]);
}

#[test]
fn shortcuts_project_where_the_shape_changes_and_nowhere_else() {
    let missing = apart().with("s1b0/sum", |sum| sum.bottoms[0] = "s0b0/out".into());
    refused(
        &missing.model(),
        &["the block that begins with layer \"s1b0/main1\"", "8 channels into 16 at stride 2"],
    );
    let (mut side, mut norm) = (net().at("s1b0/side").clone(), net().at("s1b0/side/norm").clone());
    (side.name, side.bottoms, side.tops) = ("more".into(), vec!["s1b0/sum".into()], vec!["more".into()]);
    (norm.name, norm.bottoms, norm.tops) = ("more/norm".into(), vec!["more".into()], vec!["more".into()]);
    side.shapes = vec![vec![16, 16, 1, 1]];
    let needless = net().insert(Some("s1b1/sum"), side).insert(Some("s1b1/sum"), norm);
    let needless = needless.with("s1b1/sum", |sum| sum.bottoms[0] = "more".into());
    refused(&needless.model(), &["layer \"more\"", "has the shape of its output already"]);
}

#[test]
fn the_stem_is_one_convolution_and_a_pooling() {
    let direct = apart().without("shrink");
    assert!(open(&direct.model()).unwrap_err().contains("blob \"first/rect\" is read by 2 layers"));
    let mut more = net().at("s0b0/main2").clone();
    (more.name, more.bottoms, more.tops) = ("second".into(), vec!["first".into()], vec!["second".into()]);
    let deep = net().insert(Some("shrink"), more).with("shrink", |pool| pool.bottoms = vec!["second".into()]);
    refused(
        &deep.model(),
        &["layer \"second\" of type \"Convolution\" follows \"first\"", "its first pooling"],
    );
    let first = Layer::new("whiten", "BatchNorm", &["pictures"], "white");
    let whitened =
        net().insert(Some("first"), first).with("first", |layer| layer.bottoms = vec!["white".into()]);
    refused(&whitened.model(), &["layer \"whiten\" of type \"BatchNorm\" is the first to read the data"]);
    let average = net().with("shrink", |pool| pool.set("pool", Setting::Word("AVE", 1)));
    refused(&average.model(), &["pool1 is no 3x3 maximum"]);
}

#[test]
fn wires_that_lead_nowhere_are_named() {
    let loose = apart().with("s1b0/sum", |sum| sum.bottoms[0] = "nowhere".into());
    refused(
        &loose.model(),
        &["layer \"s1b0/sum\" of type \"Eltwise\" reads blob \"nowhere\", which no layer before"],
    );
    // A layer that reads what one behind it writes: Caffe would not run it, and here there is no going round.
    let cycle = apart().with("s0b0/main1", |layer| layer.bottoms = vec!["s2b0/out".into()]);
    refused(&cycle.model(), &["layer \"s0b0/main1\"", "reads blob \"s2b0/out\", which no layer before"]);
    let own = apart().with("s0b0/main1", |layer| layer.bottoms = vec!["s0b0/main1".into()]);
    refused(&own.model(), &["reads blob \"s0b0/main1\""]);
    let huge = "x".repeat(100_000);
    let named = apart().with("s0b0/main1", |layer| layer.bottoms = vec![huge.clone()]);
    refused(&named.model(), &["reads blob \"xxxx", "..."]);
    let none = net().with("s0b0/main1", |layer| layer.bottoms.clear());
    assert!(open(&none.model()).is_err());
}

/// Wires without end: each of many layers reads what all before it wrote, or sums itself up.
#[test]
fn large_graphs_take_no_longer_than_they_are_large() {
    let started = std::time::Instant::now();
    let mut fan = layer("data", "Input", &[], &data(4, "x"));
    fan.extend(layer("first", "Convolution", &[ramp(&[1, 3, 7, 7])], &wires("x", "x")));
    for _ in 0..4_000 {
        let both = [data(3, "x"), data(3, "x"), data(4, "x")].concat();
        fan.extend(layer("sum", "Eltwise", &[], &both));
    }
    for _ in 0..3_000 {
        let average = data(121, crate::proto::integer(1, 1));
        fan.extend(layer("mean", "Pooling", &[], &[wires("x", "x"), average].concat()));
    }
    refused(&fan, &["layer \"first\"", "no BatchNorm"]);
    refused(&layer("a", "Input", &[], &[]).repeat(20_001), &["more than 20000 layers"]);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}
