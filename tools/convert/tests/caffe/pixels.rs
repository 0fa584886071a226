//! What a model's data layer says of its pixels.

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
    let settings = data(106, [integer(3, 3), integer(6, 2)].concat());
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
