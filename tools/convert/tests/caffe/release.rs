//! Files as He's release has them, made by `tests/golden/caffe.py`.

use crate::golden;
use bcreid::config::Wiring;
use bcreid::weights::read_tensors;
use bcreid_convert::caffe;
use bcreid_convert::source::Source;

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
