//! Files as He's release has them, made by `tests/golden/caffe.py`.

use crate::{golden, on_disk};
use bcreid::config::Wiring;
use bcreid::weights::read_tensors;
use bcreid_convert::caffe;
use bcreid_convert::source::{Asked, Source};

/// Asserts that `source` holds exactly the tensors `PREFIX/NAME` of `caffe.safetensors`.
fn assert_holds(source: &Source, prefix: &str) {
    let expected = read_tensors(&golden("caffe.safetensors")).unwrap();
    let names: Vec<&str> = expected.names().filter_map(|name| name.strip_prefix(prefix)).collect();
    assert_eq!(source.tensors.keys().collect::<Vec<_>>(), names);
    for name in names {
        let (tensor, view) = (&source.tensors[name], expected.tensor(&format!("{prefix}{name}")).unwrap());
        assert_eq!(tensor.shape, view.shape(), "{name}");
        let (ours, golden) = (tensor.values().unwrap(), view.f32().unwrap());
        assert_eq!(ours.len(), golden.len(), "{name}");
        for (i, (ours, golden)) in ours.iter().zip(golden.iter()).enumerate() {
            let tolerance = golden.abs().max(1e-3) * 3e-7;
            assert!((ours - golden).abs() <= tolerance, "{name}[{i}]: {ours}, golden {golden}");
        }
    }
}

#[test]
fn a_resnet_50_becomes_torchvision_s_tensors() {
    let source = caffe::open(&golden("caffe.caffemodel")).unwrap();
    assert_eq!((source.format.as_str(), source.wiring), ("Caffe model", Wiring::Caffe));
    assert_eq!(source.tensors.len(), 53 * 5 + 1 + 2 + 1);
    assert_holds(&source, "tensors/");
    assert_eq!(source.tensors["layer4.0.bn2.running_var"].dtype, "f64");
    assert_eq!(source.tensors["layer4.0.bn3.running_var"].dtype, "f32");
    let notes = source.notes.join("\n");
    assert!(notes.contains("the bias of res3b_branch2b is folded"), "{notes}");
    assert!(notes.contains("bn4c_branch2a has epsilon 1e-3"), "{notes}");
    assert!(notes.contains("bn2c_branch2b has no Scale layer"), "{notes}");
    assert_eq!(source.notes.len(), 3, "{notes}");
}

#[test]
fn layers_of_the_older_form_are_read_as_well() {
    let source = caffe::open(&golden("v1.caffemodel")).unwrap();
    assert_eq!((source.format.as_str(), source.wiring), ("Caffe model with V1 layers", Wiring::Caffe));
    assert_holds(&source, "v1/");
    assert_eq!(source.notes, [""; 0]);
}

#[test]
fn a_mean_image_gives_a_mean_for_each_channel() {
    let means = caffe::mean(&golden("mean.binaryproto")).unwrap();
    let expected = read_tensors(&golden("caffe.safetensors")).unwrap();
    assert_eq!(means[..], expected.tensor("mean_of_image").unwrap().f32().unwrap()[..]);
}

/// A layer of the prototxt below, in place if `top` is what it reads.
fn described(name: &str, kind: &str, bottoms: &[&str], top: &str, settings: &str) -> String {
    let bottoms: String = bottoms.iter().map(|bottom| format!(" bottom: \"{bottom}\"")).collect();
    format!("layer {{ name: \"{name}\" type: \"{kind}\"{bottoms} top: \"{top}\" {settings} }}\n")
}

/// A convolution of the release with what follows it in place.
fn unit(at: &str, bottom: &str, settings: &str, relu: bool) -> String {
    let (conv, bn, scale) = match at {
        "conv1" => ("conv1".to_string(), "bn_conv1".to_string(), "scale_conv1".to_string()),
        at => (format!("res{at}"), format!("bn{at}"), format!("scale{at}")),
    };
    let bias = at == "conv1" || at == "3b_branch2b";
    let settings = format!("convolution_param {{ bias_term: {bias} {settings} }}");
    let mut text = described(&conv, "Convolution", &[bottom], &conv, &settings);
    let eps = if bn == "bn4c_branch2a" { "batch_norm_param { eps: 0.001 }" } else { "" };
    text += &described(&bn, "BatchNorm", &[&conv], &conv, eps);
    if bn != "bn2c_branch2b" {
        text += &described(&scale, "Scale", &[&conv], &conv, "scale_param { bias_term: true }");
    }
    if relu { text + &described(&format!("{conv}_relu"), "ReLU", &[&conv], &conv, "") } else { text }
}

/// The prototxt of the release's ResNet-50, as far as the file of this test has it.
fn prototxt() -> String {
    let mut text = described("data", "Input", &[], "data", "input_param { shape { dim: [1, 3, 224, 224] } }");
    text += &unit("conv1", "data", "stride: 2 pad: 3", true);
    text += &described(
        "pool1",
        "Pooling",
        &["conv1"],
        "pool1",
        "pooling_param { kernel_size: 3 stride: 2 pool: MAX }",
    );
    let mut blob = "pool1".to_string();
    for (stage, blocks) in [(2, "abc"), (3, "abcd"), (4, "abcdef"), (5, "abc")] {
        for block in blocks.chars() {
            let stride = if block == 'a' && stage > 2 { "stride: 2" } else { "" };
            let at = |branch: &str| format!("{stage}{block}_branch{branch}");
            let mut side = blob.clone();
            if block == 'a' {
                text += &unit(&at("1"), &blob, stride, false);
                side = format!("res{}", at("1"));
            }
            text += &unit(&at("2a"), &blob, stride, true);
            text += &unit(&at("2b"), &format!("res{}", at("2a")), "pad: 1", true);
            text += &unit(&at("2c"), &format!("res{}", at("2b")), "", false);
            blob = format!("res{stage}{block}");
            text += &described(&blob, "Eltwise", &[&side, &format!("res{}", at("2c"))], &blob, "");
            text += &described(&format!("{blob}_relu"), "ReLU", &[&blob], &blob, "");
        }
    }
    text += &described(
        "pool5",
        "Pooling",
        &[&blob],
        "pool5",
        "pooling_param { kernel_size: 7 stride: 1 pool: AVE }",
    );
    text + &described("fc1000", "InnerProduct", &["pool5"], "fc1000", "")
}

/// By wires and by names the same network comes out, the one whose features are checked beside PyTorch's.
#[test]
fn wires_and_names_lead_to_the_same_tensors() {
    let release = std::fs::read(golden("caffe.caffemodel")).unwrap();
    let source = on_disk(&release, |path| {
        let deploy = path.with_file_name("deploy.prototxt");
        std::fs::write(&deploy, prototxt()).unwrap();
        caffe::Model::open(path, Some(&deploy))?.source(Asked::default())
    });
    let source = source.unwrap();
    assert!(source.notes.iter().any(|note| note.contains("mapped by the wires")), "{:?}", source.notes);
    assert_holds(&source, "tensors/");
}
