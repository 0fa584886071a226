//! Input conventions stated by a model's data layers.

use crate::proto::{data, integer, layer, ramp, real};
use crate::{open, refused};
use bcreid::config::{Channels, Input};
use bcreid_convert::convention;

/// A model whose data layer has such a transform_param.
fn with(transformation: &[Vec<u8>]) -> Vec<u8> {
    [data_layer("data", transformation), stem()].concat()
}

fn data_layer(name: &str, transformation: &[Vec<u8>]) -> Vec<u8> {
    layer(name, "Data", &[], &data(100, transformation.concat()))
}

fn stem() -> Vec<u8> {
    let settings = data(106, [integer(2, 0), integer(3, 3), integer(6, 2)].concat());
    layer("conv1", "Convolution", &[ramp(&[2, 3, 7, 7])], &settings)
}

fn means(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|mean| real(5, *mean)).collect()
}

#[track_caller]
fn assert_input(transformation: &[Vec<u8>], mean: [f32; 3], std: f32, words: &[&str]) {
    let source = open(&with(transformation)).unwrap();
    let expected = Input { channels: Channels::Bgr, scale: 1.0, mean, std: [std; 3], ..Input::default() };
    assert_eq!(source.input, expected);
    for word in words {
        assert!(source.notes[0].contains(word), "{word:?} is not in {:?}", source.notes);
    }
    assert_eq!(source.notes.len(), usize::from(!words.is_empty()), "{:?}", source.notes);
}

#[test]
fn a_stated_mean_and_scale_are_the_convention() {
    let mean = [103.94, 116.78, 123.68];
    // Caffe's (x - mean) * 0.25 is the engine's (x * 1 - mean) / 4.
    assert_input(
        &[real(1, 0.25), means(&mean)],
        mean,
        4.0,
        &["\"data\"", "[103.94, 116.78, 123.68]", "0.25"],
    );
    assert_input(&[means(&mean)], mean, 1.0, &["\"data\"", "116.78"]);
    assert_input(&[means(&[127.5]), real(1, 0.5)], [127.5; 3], 2.0, &["127.5", "0.5"]);
    assert_input(&[data(5, mean.map(f32::to_le_bytes).concat())], mean, 1.0, &["116.78"]);
    // Without a mean Caffe subtracts nothing.
    assert_input(&[real(1, 0.5)], [0.0; 3], 2.0, &["[0.0, 0.0, 0.0]", "0.5"]);
}

#[test]
fn what_is_not_stated_stays_the_release_s() {
    let release = convention::CAFFE_MEAN;
    assert_input(&[], release, 1.0, &[]);
    assert_input(&[integer(2, 1), integer(3, 224)], release, 1.0, &[]);
    assert_input(&[data(4, "a/mean.binaryproto")], release, 1.0, &["a/mean.binaryproto", "--mean"]);
    assert_input(&[data(4, [0xb5, b'\n']), real(1, 0.5)], release, 2.0, &["--mean", "0.5"]);
    assert_eq!(open(&stem()).unwrap().input, convention::caffe());
}

#[test]
fn the_older_form_states_it_as_well() {
    // V1LayerParameter: name 4, type 5, transform_param 36.
    let old = data(2, [data(4, "data"), integer(5, 5), data(36, means(&[1.0, 2.0, 3.0]))].concat());
    let conv = data(2, [data(4, "conv1"), integer(5, 4), data(6, ramp(&[2, 3, 7, 7]))].concat());
    assert_eq!(open(&[old, conv].concat()).unwrap().input.mean, [1.0, 2.0, 3.0]);
}

#[test]
fn two_data_layers_that_differ_are_told_apart() {
    let (first, other) = (data_layer("data", &[real(1, 0.5)]), data_layer("test", &[real(1, 0.25)]));
    let source = open(&[first.clone(), other, stem()].concat()).unwrap();
    assert_eq!(source.input.std, [2.0; 3]);
    assert!(source.notes[1].contains("\"test\" states other pixels"), "{:?}", source.notes);
    let (same, silent) = (data_layer("test", &[real(1, 0.5)]), data_layer("labels", &[integer(2, 1)]));
    let source = open(&[silent, first, same, stem()].concat()).unwrap();
    assert_eq!((source.input.std, source.notes.len()), ([2.0; 3], 1));
}

/// A data layer that a net has in one phase: NetStateRule, phase 1.
fn of_phase(name: &str, phase: i64, transformation: &[Vec<u8>]) -> Vec<u8> {
    let rule = data(8, integer(1, phase));
    layer(name, "Data", &[], &[rule, data(100, transformation.concat())].concat())
}

#[test]
fn pixels_of_phase_test_count_before_those_of_training() {
    let (train, test) = (of_phase("train", 0, &[real(1, 0.5)]), of_phase("test", 1, &[real(1, 0.25)]));
    for order in [[train.clone(), test.clone()], [test, train.clone()]] {
        let source = open(&[order.concat(), stem()].concat()).unwrap();
        assert_eq!(source.input.std, [4.0; 3]);
        assert!(
            source.notes[1].contains("\"train\" of phase TRAIN states other pixels"),
            "{:?}",
            source.notes
        );
    }
    // The net was saved in training, and has no other data layer: its pixels are the network's.
    let silent = of_phase("test", 1, &[integer(3, 224)]);
    for net in [[train.clone(), stem()].concat(), [train.clone(), silent, stem()].concat()] {
        let source = open(&net).unwrap();
        assert_eq!((source.input.std, source.notes.len()), ([2.0; 3], 1));
        assert!(source.notes[0].contains("\"train\" of phase TRAIN"), "{:?}", source.notes);
    }
    // Caffe writes the phase of the net into each layer.
    let saved = layer("train", "Data", &[], &[integer(10, 0), data(100, real(1, 0.5))].concat());
    let test = of_phase("test", 1, &[real(1, 0.25)]);
    assert_eq!(open(&[saved, test, stem()].concat()).unwrap().input.std, [4.0; 3]);
    let more = of_phase("train", 0, &[real(1, 0.125)]);
    let source = open(&[train, more, stem()].concat()).unwrap();
    assert_eq!(source.input.std, [2.0; 3]);
    assert!(source.notes[1].contains("of phase TRAIN states other pixels"), "{:?}", source.notes);
}

#[test]
fn grey_images_are_none_of_a_resnet() {
    let grey = integer(7, 1);
    refused(&with(std::slice::from_ref(&grey)), &["data layer \"data\"", "force_gray"]);
    let train = of_phase("train", 0, std::slice::from_ref(&grey));
    refused(&[train.clone(), stem()].concat(), &["data layer \"train\" of phase TRAIN", "force_gray"]);
    let test = of_phase("test", 1, &[real(1, 0.5)]);
    assert_eq!(open(&[train, test, stem()].concat()).unwrap().input.std, [2.0; 3]);
    assert_input(&[integer(6, 1), integer(7, 0)], convention::CAFFE_MEAN, 1.0, &[]);
}

/// Before there was transform_param, data layers had scale and mean_file of their own.
#[test]
fn data_layers_of_old_state_their_pixels_too() {
    for number in [107, 115, 129] {
        let stated = data(number, [data(1, "list.txt"), real(2, 0.5), data(3, "mean.binaryproto")].concat());
        let source = open(&[layer("data", "Data", &[], &stated), stem()].concat()).unwrap();
        assert_eq!((source.input.std, source.states_input), ([2.0; 3], true));
        assert!(source.notes[0].contains("mean.binaryproto"), "{:?}", source.notes);
        let newer = [stated, data(100, real(1, 0.25))];
        for both in [newer.concat(), [newer[1].clone(), newer[0].clone()].concat()] {
            let source = open(&[layer("data", "Data", &[], &both), stem()].concat()).unwrap();
            assert_eq!(source.input.std, [4.0; 3]);
        }
    }
    refused(&layer("data", "Data", &[], &data(107, real(2, 0.0))), &["its data_param has scale 0"]);
    let older = data(2, [data(4, "data"), integer(5, 5), data(11, real(2, 0.5))].concat());
    let conv = data(2, [data(4, "conv1"), integer(5, 4), data(6, ramp(&[2, 3, 7, 7]))].concat());
    assert_eq!(open(&[older, conv].concat()).unwrap().input.std, [2.0; 3]);
}

#[test]
fn pixels_that_cannot_be_are_refused() {
    let at = "layer \"data\": its transform_param";
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-45] {
        refused(&with(&[real(1, scale)]), &[at, "scale"]);
    }
    refused(&with(&[means(&[1.0, 2.0])]), &[at, "2 mean values", "1 or 3"]);
    refused(&with(&[means(&[1.0, f32::NAN, 1.0])]), &[at, "not finite"]);
    refused(&with(&[means(&[1.0]), data(4, "mean.binaryproto")]), &[at, "mean_file and mean_value"]);
    refused(&with(&[data(5, [0; 3])]), &[at, "cannot be read"]);
    refused(&with(&[data(4, "a".repeat(2000))]), &[at, "bytes"]);
}
