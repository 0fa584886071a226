//! Layers with weights that no ResNet has: those of a head are left out, those of the trunk are refused.

use crate::proto::{batch_norm, blob, convolution, data, integer, layer, ramp, wires};
use crate::{golden, open, refused};

const FIX: &str = "by its layer names this is not He's ResNet";

/// The shortest trunk, wired from the data to pool5, with `inside` before pool5 and `behind` behind it.
fn wired(inside: &[u8], behind: &[u8]) -> Vec<u8> {
    let stem = data(106, [integer(2, 0), integer(3, 3), integer(6, 2)].concat());
    let pool5 = |bottom| layer("pool5", "Pooling", &[], &wires(bottom, "pool5"));
    [
        layer("data", "Input", &[], &data(4, "data")),
        layer("conv1", "Convolution", &[ramp(&[2, 3, 7, 7])], &[stem, wires("data", "conv1")].concat()),
        layer("conv1_relu", "ReLU", &[], &wires("conv1", "conv1")),
        inside.to_vec(),
        layer("split", "Split", &[], &[wires("conv1", "trunk"), data(4, "branch")].concat()),
        pool5("trunk"),
        behind.to_vec(),
    ]
    .concat()
}

fn vector(name: &str, kind: &str, settings: &[u8]) -> Vec<u8> {
    layer(name, kind, &[ramp(&[2])], settings)
}

#[test]
fn a_renamed_scale_layer_is_refused() {
    let scale = vector("bnsc_2a_branch2a", "Scale", &[]);
    let net = [batch_norm("bn2a_branch2a", &[1.0], &[1.0], 1.0), scale].concat();
    refused(&net, &["layer \"bnsc_2a_branch2a\" of type \"Scale\"", FIX, "scale2a_branch2a"]);

    let mut release = std::fs::read(golden("caffe.caffemodel")).unwrap();
    let (old, new) = (b"scale2a_branch2a", b"bnsc_2a_branch2a");
    for at in 0..release.len() - old.len() {
        if release[at..].starts_with(old) {
            release[at..at + new.len()].copy_from_slice(new);
        }
    }
    refused(&release, &["layer \"bnsc_2a_branch2a\" of type \"Scale\"", FIX]);
}

#[test]
fn a_learned_prelu_is_refused() {
    let mut release = std::fs::read(golden("caffe.caffemodel")).unwrap();
    release.extend(layer("res2a_branch2a_relu", "PReLU", &[blob(&[2], &[0.25; 2])], &[]));
    refused(&release, &["layer \"res2a_branch2a_relu\" of type \"PReLU\"", FIX]);
}

#[test]
fn without_wires_types_and_names_tell_a_trunk_from_a_head() {
    for kind in ["BatchNorm", "BN", "Scale", "Bias", "PReLU", "Convolution", "Deconvolution", "DepthwiseConv"]
    {
        refused(&vector("mine", kind, &[]), &["layer \"mine\" of type", kind, FIX]);
    }
    for name in ["conv1_bn", "res2a_branch2a_prelu", "res5d", "bn2a", "bn_branch", "scale_2a"] {
        refused(&vector(name, "", &[]), &[name, "(its type is not stated)", FIX]);
        refused(&vector(name, "InnerProduct", &[]), &[name, "InnerProduct", FIX]);
    }
    for name in ["loss1_ip", "fc7_new", "res6", "resize", "classifier"] {
        for kind in ["", "InnerProduct", "Embed"] {
            open(&vector(name, kind, &[])).unwrap();
        }
    }
    // V1LayerParameter: name 4, type 5, blobs 6.
    let old = |kind| data(2, [data(4, "mine"), integer(5, kind), data(6, ramp(&[2]))].concat());
    refused(&old(39), &["layer \"mine\" of type \"Deconvolution\"", FIX]);
    open(&old(14)).unwrap();
}

#[test]
fn wires_tell_a_trunk_from_a_head_whatever_the_names() {
    let inside = |kind| vector("slope", kind, &wires("conv1", "conv1"));
    for kind in ["PReLU", "InnerProduct", "Mine", ""] {
        refused(&wired(&inside(kind), &[]), &["layer \"slope\"", FIX]);
    }
    let head = [
        convolution_of("bottleneck", "pool5", "bottleneck"),
        batch_norm_of("bn_bottleneck", "bottleneck"),
        vector("scale_bottleneck", "Scale", &wires("bottleneck", "bottleneck")),
        vector("prelu", "PReLU", &wires("bottleneck", "bottleneck")),
        convolution_of("parts", "branch", "parts"),
    ]
    .concat();
    let source = open(&wired(&[], &head)).unwrap();
    for name in ["bottleneck/0", "bn_bottleneck/2", "scale_bottleneck/0", "prelu/0", "parts/0"] {
        assert!(source.tensors.contains_key(name), "{name} is not in {:?}", source.tensors.keys());
    }
}

#[test]
fn wires_that_do_not_join_the_trunk_are_not_believed() {
    let stray = vector("slope", "PReLU", &wires("pool5", "slope"));
    open(&wired(&[], &stray)).unwrap();
    let apart = convolution("res2a_branch1", [2, 2, 1, 1], 1, 0);
    refused(&wired(&apart, &stray), &["layer \"slope\" of type \"PReLU\"", FIX]);
    refused(&wired(&[], &vector("slope", "PReLU", &[])), &["layer \"slope\" of type \"PReLU\"", FIX]);
    let many = data(3, "a").repeat(20_001);
    refused(&layer("mine", "Mine", &[], &many), &["layer \"mine\"", "more than 20000 wires"]);
}

#[test]
fn a_batch_norm_lacks_its_scale_only_in_a_net_without_stray_ones() {
    let bn = batch_norm_of("bn_conv1", "conv1");
    let head = vector("fc7_scale", "Scale", &wires("pool5", "fc7"));
    let source = open(&wired(&bn, &[])).unwrap();
    assert!(source.notes[0].contains("bn_conv1 has no Scale layer"), "{:?}", source.notes);
    refused(&wired(&bn, &head), &["bn_conv1 has no Scale layer", "\"fc7_scale\""]);
    let scale = vector("scale_conv1", "Scale", &wires("conv1", "conv1"));
    open(&wired(&[bn, scale].concat(), &head)).unwrap();
}

fn convolution_of(name: &str, bottom: &str, top: &str) -> Vec<u8> {
    layer(name, "Convolution", &[ramp(&[2, 2, 1, 1])], &wires(bottom, top))
}

/// In place, as Caffe's usually are.
fn batch_norm_of(name: &str, on: &str) -> Vec<u8> {
    layer(name, "BatchNorm", &[ramp(&[2]), ramp(&[2]), ramp(&[1])], &wires(on, on))
}
