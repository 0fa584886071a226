//! Files that are no model, broken ones, and ones made to do harm: an error each, never a panic.

use crate::proto::{batch_norm, blob, convolution, data, integer, layer, packed, pool1, ramp, varint};
use crate::{golden, open, refused};
use bcreid_convert::source::Source;
use proptest::prelude::*;
use std::sync::LazyLock;

const UNKNOWN: &str = "neither safetensors' nor PyTorch's";

/// The layers of a small net with a layer of every kind.
fn small() -> Vec<Vec<u8>> {
    let stem = data(106, [integer(3, 3), integer(6, 2)].concat());
    let legacy =
        [integer(1, 1), integer(2, 1), integer(3, 2), integer(4, 3), data(5, packed(&[1.0; 6]))].concat();
    vec![
        layer("data", "Input", &[], &[]),
        layer("conv1", "Convolution", &[ramp(&[1, 3, 7, 7]), ramp(&[1])], &stem),
        batch_norm("bn_conv1", &[1.0], &[2.0], 3.0),
        layer("scale_conv1", "Scale", &[ramp(&[1]), ramp(&[1])], &data(142, integer(4, 1))),
        pool1(0, 0),
        convolution("res2a_branch1", [2, 1, 1, 1], 1, 0),
        batch_norm("bn2a_branch1", &[1.0, 2.0], &[2.0, 1.0], 999.0),
        layer("fc1000", "InnerProduct", &[legacy, ramp(&[2])], &data(117, integer(1, 2))),
        layer("mine", "Mine", &[ramp(&[2, 2])], &[]),
    ]
}

/// Every tensor of what could be opened has as many values as its shape says.
fn assert_sound(source: &Source) {
    for (name, tensor) in &source.tensors {
        match tensor.values() {
            Ok(values) => assert_eq!(values.len(), tensor.shape.iter().product::<usize>(), "{name}"),
            // A spoilt value, say a variance below 0.
            Err(error) => assert!(error.to_string().contains("these weights are damaged"), "{error}"),
        }
    }
}

#[test]
fn other_files_are_told_from_caffe_s() {
    refused(
        b"<!DOCTYPE html><html><body>Not found</body></html>",
        &["is a web page", "download the file itself"],
    );
    refused(b"", &[UNKNOWN, "it has no layers"]);
    refused(&[0; 4096], &[UNKNOWN]);
    refused(&[0xff; 4096], &[UNKNOWN, "a number does not end"]);
    refused(b"name: \"ResNet-50\"\nlayer {\n  name: \"conv1\"\n}\n", &["prototxt", "give the .caffemodel"]);
    refused(b"\x89HDF\r\n\x1a\n\0\0\0\0", &["HDF5", "BINARYPROTO"]);
    refused(&std::fs::read(golden("mean.binaryproto")).unwrap(), &["is a Caffe mean image"]);
    refused(&data(2, data(1, data(1, "conv1"))), &["V0", "upgrade_net_proto_binary"]);
    refused(&layer("data", "Input", &[], &[]), &["has 1 Caffe layers and no weights"]);
}

#[test]
fn a_file_cut_short_is_an_error_wherever_it_is_cut() {
    let layers = small();
    let whole = layers.concat();
    let ends: Vec<usize> = (0..layers.len()).map(|n| layers[..n].concat().len()).collect();
    for length in 0..whole.len() {
        match open(&whole[..length]) {
            // Protobuf cannot tell a message that ends between two fields from a whole one.
            Ok(source) => {
                assert!(ends.contains(&length), "opened with {length} bytes");
                assert_sound(&source);
            }
            Err(error) if ends.contains(&length) => assert!(error.contains("no "), "{length}: {error}"),
            Err(error) if length < ends[1] => assert!(error.contains(UNKNOWN), "{length}: {error}"),
            Err(error) => assert!(error.contains("broken Caffe model: after"), "{length}: {error}"),
        }
    }
    open(&whole).unwrap();
    let release = std::fs::read(golden("caffe.caffemodel")).unwrap();
    for length in (100..release.len()).step_by(release.len() / 40) {
        refused(&release[..length], &["broken Caffe model: after"]);
    }
}

#[test]
fn blobs_hold_what_their_dims_say() {
    let with = |blob: Vec<u8>| layer("mine", "Mine", &[ramp(&[1]), blob], &[]);
    let at = "layer \"mine\": blob 1: ";
    refused(&with(blob(&[1 << 40, 1 << 40], &[1.0])), &[at, "no tensor has the dims"]);
    refused(&with(blob(&[i64::MAX, 1], &[1.0])), &[at, "need 9223372036854775807 values and it holds 1"]);
    refused(&with(blob(&[-2, -2], &[1.0; 4])), &[at, "no tensor has the dims [-2, -2]"]);
    refused(&with(blob(&[2, 0], &[])), &[at, "no tensor has the dims [2, 0]"]);
    refused(&with(blob(&[2, 3], &[1.0; 5])), &[at, "dims [2, 3] need 6 values and it holds 5"]);
    refused(&with(blob(&[2, 3], &[1.0; 7])), &[at, "dims [2, 3] need 6 values and it holds 7"]);
    refused(&with(blob(&[2, 3], &[])), &[at, "it holds no values"]);
    refused(&with(blob(&[1; 33], &[1.0])), &[at, "33 axes"]);
    let double = data(8, 1.0_f64.to_le_bytes());
    refused(&with([ramp(&[1]), double.clone()].concat()), &[at, "1 floats and 1 doubles"]);
    refused(&with([data(7, data(1, [1])), double[..9].to_vec()].concat()), &[at, "field 8 needs 8 bytes"]);
    refused(&with([data(7, data(1, [1])), data(5, [0; 5])].concat()), &[at, "no multiple of 4"]);
    refused(&with(data(7, data(1, [0xff; 20]))), &[at, "its shape cannot be read"]);
    let source = open(&with([data(7, data(1, [1])), double].concat())).unwrap();
    assert_eq!(
        (source.tensors["mine/1"].dtype, source.tensors["mine/1"].values().unwrap()),
        ("f64", vec![1.0])
    );
}

#[test]
fn nesting_is_not_followed() {
    refused(&[0x0b; 1 << 20], &["field 1 is a group"]);
    let nested = |number| (0..1000).fold(Vec::new(), |nested, _| data(number, nested));
    refused(&data(100, nested(99)), &["no weights"]);
    refused(&nested(100), &["its transform_param takes"]);
}

#[test]
fn names_are_shown_only_as_far_as_they_can_be() {
    let broken = blob(&[2], &[1.0]);
    refused(&layer("two\nlines\u{1b}[31m", "Mine", std::slice::from_ref(&broken), &[]), &["\"two\\nlines"]);
    refused(&layer(&"long".repeat(10_000), "Mine", &[broken], &[]), &["\"longlong", "\"..."]);
    refused(&data(100, data(1, [0xff, 0xfe])), &["is no text"]);
    refused(&layer("conv1", &"long\n".repeat(10_000), &[ramp(&[1, 1, 1, 1])], &[]), &["is of type \"long"]);
}

#[test]
fn numbers_of_impossible_fields_are_refused() {
    refused(&[varint(0), varint(1)].concat(), &[UNKNOWN, "impossible number"]);
    refused(&[varint(1 << 32), varint(1)].concat(), &[UNKNOWN, "impossible number"]);
    refused(&[varint(1 << 3 | 6), varint(1)].concat(), &[UNKNOWN, "unknown wire type 6"]);
}

static NETS: LazyLock<[Vec<u8>; 2]> =
    LazyLock::new(|| [small().concat(), std::fs::read(golden("v1.caffemodel")).unwrap()]);

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_spoilt_file_is_read_or_refused(
        which in 0..2_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6),
    ) {
        let mut bytes = NETS[which].clone();
        for (at, value, how) in changes {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = value,
                1 => bytes.insert(at, value),
                _ => { bytes.remove(at); }
            }
        }
        if let Ok(source) = open(&bytes) {
            assert_sound(&source);
        }
    }

    #[test]
    fn junk_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(source) = open(&bytes) {
            assert_sound(&source);
        }
    }
}
