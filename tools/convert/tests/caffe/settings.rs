//! Settings that make a layer another one than the engine's: refused by name, be it by wires or by names.

use crate::nets::{Kind, Layer, Net, Setting};
use crate::proto::{batch_norm, blob, data, integer, layer, ramp, real};
use crate::prototxt::{open_with, refused_with};
use crate::{golden, open, refused};
use Setting::{Real, Whole, Word};

fn net() -> Net {
    Net::new(Kind::default())
}

fn with(name: &str, change: impl FnOnce(&mut Layer)) -> Vec<u8> {
    net().with(name, change).model()
}

#[test]
fn a_convolution_has_a_bias_if_and_only_if_its_settings_say_so() {
    let stated = with("s1b1/main2", |layer| layer.set("bias_term", Whole(1)));
    refused(&stated, &["s1b1/main2 has weights [4, 4, 3, 3] and no bias", "a bias (bias_term: true)"]);
    let default = with("s1b1/main2", |layer| layer.settings.retain(|(key, _)| *key != "bias_term"));
    refused(&default, &["s1b1/main2 has weights", "and no bias", "which is true unless stated"]);
    let biased = Net::new(Kind { biases: true, ..Kind::default() });
    let denied = biased.clone().with("s1b1/main2", |layer| layer.set("bias_term", Whole(0)));
    refused(&denied.model(), &["s1b1/main2 has weights", "and a bias", "no bias (bias_term: false)"]);
    let default = biased.with("s1b1/main2", |layer| layer.settings.retain(|(key, _)| *key != "bias_term"));
    open(&default.model()).unwrap();
}

#[test]
fn a_scale_has_gamma_and_the_beta_that_its_settings_say() {
    let gain = |change: fn(&mut Layer)| with("s1b0/main2/gain", change);
    let no_beta = gain(|layer| layer.shapes.truncate(1));
    refused(&no_beta, &["s1b0/main2/gain has 1 blob(s)", "gamma and beta (bias_term: true)"]);
    let no_term = gain(|layer| layer.set("bias_term", Whole(0)));
    refused(&no_term, &["s1b0/main2/gain has 2 blob(s)", "gamma alone (bias_term: false)"]);
    let alone = gain(|layer| {
        layer.shapes.truncate(1);
        layer.set("bias_term", Whole(0));
    });
    let source = open(&alone).unwrap();
    assert_eq!(source.tensors["layer2.0.bn2.bias"].values().unwrap(), [0.0; 4]);
    refused(&gain(|layer| layer.shapes[0] = vec![3]), &["s1b0/main2/gain has 3 gammas"]);
    // A file without the settings of its layers is one that was stripped; in a prototxt the defaults are meant.
    let silent = net().with("s1b0/main2/gain", |layer| layer.settings.clear());
    open(&silent.model()).unwrap();
    refused_with(&net().unwired(), &silent.text(), &["s1b0/main2/gain has 2 blob(s)", "false unless stated"]);
}

/// Of a Scale layer with two inputs the second is gamma, and its only blob beta.
#[test]
fn a_beta_is_not_taken_for_gamma() {
    let stem = layer("conv1", "Convolution", &[ramp(&[2, 3, 7, 7])], &[]);
    let norm = batch_norm("bn_conv1", &[1.0, 2.0], &[1.0, 1.0], 1.0);
    let scale = |bottoms: &[&str]| {
        let bottoms: Vec<u8> = bottoms.iter().flat_map(|bottom| data(3, bottom)).collect();
        let settings = [bottoms, data(142, integer(1, 1))].concat();
        [stem.clone(), norm.clone(), layer("scale_conv1", "Scale", &[ramp(&[2])], &settings)].concat()
    };
    open(&scale(&["conv1"])).unwrap();
    refused(&scale(&["conv1", "factors"]), &["scale_conv1 takes its gamma from blob \"factors\""]);
}

#[test]
fn axes_are_those_of_the_channels() {
    for (axis, is_channels) in [(1, true), (-3, true), (0, false), (2, false), (-1, false)] {
        for name in ["s1b0/main2/gain", "s1b0/main2"] {
            let changed = net().with(name, |layer| layer.set("axis", Whole(axis)));
            let words = format!("{name} has");
            match is_channels {
                true => drop(open(&changed.model()).unwrap()),
                false => refused(&changed.model(), &[&words, &format!("axis {axis}")]),
            }
            assert_eq!(open_with(&net().unwired(), changed.text().as_bytes()).is_ok(), is_channels);
        }
    }
    let axes = with("s1b0/main2/gain", |layer| layer.set("num_axes", Whole(2)));
    refused(&axes, &["s1b0/main2/gain has", "num_axes 2"]);
}

#[test]
fn features_come_from_an_average() {
    for (method, word) in [(Word("MAX", 0), "takes MAX"), (Word("STOCHASTIC", 2), "takes STOCHASTIC")] {
        let model = with("mean", |mean| mean.set("pool", method));
        refused(&model, &["layer \"mean\" of type \"Pooling\"", word, "takes the average"]);
    }
    let reduced = |operation, axis, coeff| {
        let net = net().with("mean", |mean| {
            (mean.kind, mean.settings) = ("Reduction", Vec::new());
            for (key, value) in [("operation", operation), ("axis", Whole(axis)), ("coeff", Real(coeff))] {
                mean.set(key, value);
            }
        });
        assert_eq!(open(&net.model()).is_ok(), open_with(&net.unwired(), net.text().as_bytes()).is_ok());
        net.model()
    };
    let (mean, sum) = (Word("MEAN", 4), Word("SUM", 1));
    for axis in [2, -2] {
        assert!(open(&reduced(mean, axis, 1.0)).unwrap().tensors.contains_key("fc.weight"));
    }
    let name = "layer \"mean\" of type \"Reduction\"";
    refused(&reduced(sum, 2, 1.0), &[name, "takes SUM"]);
    refused(&reduced(mean, 1, 1.0), &[name, "reduces from axis 1"]);
    refused(&reduced(mean, 2, 2.0), &[name, "multiplies its mean by 2"]);
}

/// He's release by its names: its file has no wires that join.
#[test]
fn by_names_the_arithmetic_is_checked_as_well() {
    let release = std::fs::read(golden("caffe.caffemodel")).unwrap();
    let and = |name: &str, kind: &str, settings: &[u8]| {
        [release.clone(), layer(name, kind, &[], settings)].concat()
    };
    open(&and("pool5", "Pooling", &data(121, integer(1, 1)))).unwrap();
    refused(&and("pool5", "Pooling", &data(121, integer(1, 0))), &["\"pool5\"", "takes MAX"]);
    refused(&and("pool5", "Reduction", &data(136, integer(1, 1))), &["\"pool5\"", "takes SUM"]);
    open(&and("res2a", "Eltwise", &data(110, integer(1, 1)))).unwrap();
    refused(&and("res2a", "Eltwise", &data(110, integer(1, 0))), &["\"res2a\"", "is no sum"]);
    refused(&and("res2a_relu", "ReLU", &data(123, real(1, 0.5))), &["\"res2a_relu\"", "slope 0.5"]);
    refused(&and("conv1_relu", "ELU", &[]), &["\"conv1_relu\" of type \"ELU\"", "no such layer"]);
    refused(&and("pool1", "LRN", &[]), &["pool1 is of type \"LRN\""]);
}

#[test]
fn statistics_of_the_batch_are_not_taken_at_test() {
    let batch = net().with("first/norm", |norm| norm.set("use_global_stats", Whole(0)));
    refused(&batch.model(), &["first/norm takes the statistics of the batch", "use_global_stats: false"]);
    refused_with(&net().unwired(), &batch.text(), &["first/norm takes the statistics of the batch"]);
    // Caffe writes the phase into every layer it saves: in training this is how batch norm works.
    let trained = batch.clone().with("first/norm", |norm| norm.more = (integer(10, 0), "phase: TRAIN\n"));
    let source = open(&trained.model()).unwrap();
    assert!(
        source.notes.iter().any(|note| note.contains("first/norm took the statistics")),
        "{:?}",
        source.notes
    );
    let tested = batch.clone().with("first/norm", |norm| norm.more = (integer(10, 1), "phase: TEST\n"));
    refused(&tested.model(), &["first/norm takes the statistics of the batch"]);
    // The prototxt of use takes the place of the settings of training.
    open_with(&batch.model(), net().text().as_bytes()).unwrap();
    let explicit = net().with("first/norm", |norm| norm.set("use_global_stats", Whole(1)));
    open_with(&batch.model(), explicit.text().as_bytes()).unwrap();
}

/// gamma / sqrt(var + eps) stays what it was, whatever the epsilon.
#[test]
fn any_epsilon_gives_the_same_network() {
    let (gamma, mean) = ([2.0_f32, -3.0, 0.5, 1.0], [1.0_f32, 2.0, 3.0, 4.0]);
    let var = [0.0_f32, 1e-6, 9.5e-6, 2.0];
    for eps in [1e-7_f32, 1e-6, 1e-5, 1e-3, 0.25] {
        let blobs = [blob(&[4], &mean), blob(&[4], &var), blob(&[1], &[1.0])];
        let norm = layer("bn_conv1", "BatchNorm", &blobs, &data(139, real(3, eps)));
        let scale =
            layer("scale_conv1", "Scale", &[blob(&[4], &gamma), ramp(&[4])], &data(142, integer(4, 1)));
        let source = open(&[norm, scale].concat()).unwrap();
        let values = |name: &str| source.tensors[&format!("bn1.{name}")].values().unwrap();
        let (ours, variances) = (values("weight"), values("running_var"));
        for c in 0..4 {
            assert!(variances[c] >= 0.0, "{variances:?}");
            let expected = f64::from(gamma[c]) / (f64::from(var[c]) + f64::from(eps)).sqrt();
            let found = f64::from(ours[c]) / (f64::from(variances[c]) + f64::from(1e-5_f32)).sqrt();
            assert!((found / expected - 1.0).abs() < 1e-6, "eps {eps}, {c}: {found}, not {expected}");
        }
        assert_eq!(values("running_mean"), mean);
        if eps >= 1e-5 {
            assert_eq!(ours, gamma, "gamma is changed without need");
        }
        let note = source.notes.iter().find(|note| note.contains("bn_conv1 has epsilon"));
        assert_eq!(note.is_some(), eps != 1e-5, "{:?}", source.notes);
        let says_gamma = note.is_some_and(|note| note.contains("of 4 channels gamma"));
        assert_eq!(says_gamma, eps < 1e-5, "{note:?}");
    }
}

#[test]
fn senseless_statistics_are_named() {
    let with = |eps: f32, var: f32| {
        let blobs = [blob(&[1], &[1.0]), blob(&[1], &[var]), blob(&[1], &[1.0])];
        layer("bn_conv1", "BatchNorm", &blobs, &data(139, real(3, eps)))
    };
    for eps in [f32::NAN, f32::INFINITY, -1e-5] {
        refused(&with(eps, 1.0), &["bn_conv1 has epsilon", "0 or more"]);
    }
    refused(&with(0.0, 0.0), &["bn_conv1 has epsilon 0 and variance 0 at [0]"]);
    open(&with(0.0, 1.0)).unwrap();
    // A larger epsilon does not hide a variance below 0.
    refused(&with(1e-3, -5e-4), &["bn_conv1 has variance -0.0005", "at [0]", "damaged"]);
    let source = open(&batch_norm("bn_conv1", &[1.0], &[-1.0], 1.0)).unwrap();
    let error = source.tensors["bn1.running_var"].values().unwrap_err().to_string();
    assert!(error.contains("bn_conv1 has variance -1 at [0]"), "{error}");
}

/// Some forks of Caffe call the rounding `ceil_mode`.
#[test]
fn the_rounding_of_forks_is_read_from_their_texts() {
    let net = Net::new(Kind { torchvision: true, ..Kind::default() });
    let fork = |mode: &str| net.text().replace("round_mode: FLOOR", &format!("ceil_mode: {mode}"));
    let silent = net.clone().with("shrink", |pool| pool.settings.clear()).unwired();
    open_with(&silent, fork("false").as_bytes()).unwrap();
    refused_with(&silent, &fork("true"), &["pool1 rounds its size up, not down"]);
    refused_with(&net.unwired(), &fork("true"), &["rounding up false in the file and true in the prototxt"]);
}

#[test]
fn what_makes_no_other_network_is_ignored() {
    let text = net().text();
    for (from, to) in [
        (
            "bias_term: false",
            "bias_term: false engine: CUDNN force_nd_im2col: true weight_filler { type: 'msra' }",
        ),
        ("scale_param {", "scale_param { filler { value: 1 } bias_filler { value: 0 }"),
        (
            "type: \"BatchNorm\"",
            "type: \"BatchNorm\" param { lr_mult: 0 } batch_norm_param { moving_average_fraction: 0.9 }",
        ),
        (
            "type: \"Input\"",
            "type: \"ImageData\" transform_param { mirror: true crop_size: 0 force_color: true }",
        ),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{from}");
        open_with(&net().unwired(), changed.as_bytes()).unwrap_or_else(|error| panic!("{to}: {error}"));
    }
}
