//! Options about the wiring, combined with the settings of the file; and files with layers in another order.

use crate::nets::{Kind, Net};
use crate::proto::{batch_norm, blob, data, integer, layer, pool1, ramp};
use crate::prototxt::{open_with, refused_with};
use crate::{on_disk, refused};
use bcreid::config::Wiring;
use bcreid_convert::caffe::Model;
use bcreid_convert::source::{Asked, Source};

fn open_as(bytes: &[u8], wiring: Option<Wiring>, last_stride: Option<usize>) -> Result<Source, String> {
    on_disk(bytes, |path| Model::open(path, None)?.source(Asked { wiring, last_stride, ..Asked::default() }))
}

#[test]
fn options_that_contradict_the_file_are_named_with_what_the_file_says() {
    for (torchvision, own, other) in
        [(false, Wiring::Caffe, Wiring::Torchvision), (true, Wiring::Torchvision, Wiring::Caffe)]
    {
        let model = Net::new(Kind { torchvision, ..Kind::default() }).model();
        let source = open_as(&model, Some(own), Some(2)).unwrap();
        assert_eq!((source.wiring, source.last_stride), (own, 2));
        assert!(!source.notes.iter().any(|note| note.contains("leaves it open")), "{:?}", source.notes);
        let error = open_as(&model, Some(other), None).unwrap_err();
        let option = format!("--wiring {}", format!("{other:?}").to_lowercase());
        for word in [option.as_str(), "contradicts", "has stride", "leave the option out"] {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
        let error = open_as(&model, None, Some(1)).unwrap_err();
        for word in ["--last-stride 1", "s3b0/", "has stride 2, not 1", "model.last_stride"] {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
    }
    let flat = Net::new(Kind { last_stride: 1, ..Kind::default() }).model();
    assert_eq!(open_as(&flat, None, Some(1)).unwrap().last_stride, 1);
    assert!(open_as(&flat, None, Some(2)).unwrap_err().contains("--last-stride 2"));
    // Basic blocks stride alike in both wirings; the pooling tells them apart.
    let basic = Net::new(Kind { bottleneck: false, ..Kind::default() }).model();
    let error = open_as(&basic, Some(Wiring::Torchvision), None).unwrap_err();
    assert!(
        error.contains("--wiring torchvision") && error.contains("pool1 has pad [0, 0], not 1"),
        "{error}"
    );
}

/// A file without strides, whose first convolution has a bias: torchvision's wiring has no place for it.
#[test]
fn options_fill_in_what_the_file_does_not_say() {
    let stem = layer("conv1", "", &[ramp(&[2, 3, 7, 7]), blob(&[2], &[1.0, 2.0])], &[]);
    let norm = batch_norm("bn_conv1", &[5.0, 5.0], &[1.0, 1.0], 1.0);
    let silent = [stem, norm].concat();
    for wiring in [None, Some(Wiring::Caffe), Some(Wiring::Torchvision)] {
        for last_stride in [None, Some(1), Some(2)] {
            let source = open_as(&silent, wiring, last_stride).unwrap();
            assert_eq!(source.wiring, wiring.unwrap_or(Wiring::Caffe));
            assert_eq!(source.last_stride, last_stride.unwrap_or(2));
            let folds = wiring == Some(Wiring::Torchvision);
            let mean = if folds { [4.0, 3.0] } else { [5.0, 5.0] };
            assert_eq!(source.tensors["bn1.running_mean"].values().unwrap(), mean);
            assert_eq!(source.tensors.contains_key("conv1.bias"), !folds);
            let assumed = source.notes.iter().any(|note| note.contains("He's release is assumed"));
            assert_eq!(assumed, wiring.is_none() || last_stride.is_none(), "{:?}", source.notes);
            for (option, is_asked) in
                [("--wiring;", wiring.is_some()), ("--last-stride;", last_stride.is_some())]
            {
                let is_said = source.notes.iter().any(|note| note.contains(option));
                assert_eq!(is_said, is_asked, "{option} {:?}", source.notes);
            }
        }
    }
    // What is stated of the first stage leaves the last one open.
    let part = layer(
        "conv1",
        "Convolution",
        &[ramp(&[2, 3, 7, 7])],
        &data(106, [integer(2, 0), integer(3, 3), integer(6, 2)].concat()),
    );
    assert_eq!(open_as(&part, Some(Wiring::Torchvision), Some(1)).unwrap().last_stride, 1);
    let part = [part, pool1(0, 0)].concat();
    assert!(open_as(&part, Some(Wiring::Torchvision), Some(1)).unwrap_err().contains("--wiring torchvision"));
}

#[test]
fn layers_in_another_order_are_told_as_such() {
    let net = Net::new(Kind { in_place: false, ..Kind::default() });
    let mut reversed = net.clone();
    reversed.layers.reverse();
    refused(&reversed.model(), &["reads blob", "behind it writes", "order"]);
    let (model, text) = (net.unwired(), reversed.text());
    refused_with(&model, &text, &["behind it writes", "(wires and settings are those of some.prototxt)"]);
    // In place on the net's input is no disorder.
    let whitened = net.insert(Some("first"), crate::nets::Layer::new("white", "Power", &["x"], "x"));
    let error = open_with(&whitened.model(), whitened.text().as_bytes());
    assert!(error.is_ok() || !error.unwrap_err().contains("behind it writes"));
}

#[test]
fn a_prototxt_that_does_not_help_is_not_asked_for_again() {
    let net = Net::new(Kind::default());
    let mut cut = net.clone();
    cut.layers.truncate(net.layers.len() / 2);
    refused_with(&net.unwired(), &cut.text(), &["does not occur in the prototxt", "give the whole prototxt"]);
    // Of the file less is left than of the prototxt.
    refused_with(&cut.unwired(), &net.text(), &["has no weights in the file", "those of some.prototxt"]);
    let mut loose = net.clone();
    loose
        .layers
        .iter_mut()
        .for_each(|layer| layer.bottoms.iter_mut().for_each(|blob| *blob = format!("{}?", layer.name)));
    let error = open_with(&net.unwired(), loose.text().as_bytes()).unwrap_err();
    assert!(error.contains("wires of the prototxt") && !error.contains("(--prototxt)"), "{error}");
}
