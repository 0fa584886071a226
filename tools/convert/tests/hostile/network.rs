//! Files that claim a network which they do not hold, on the way to torchvision.

use crate::{Folder, golden, refusal};
use bcreid::weights::{NetworkFile, TensorOut, write_tensors};
use std::ffi::OsStr;

#[test]
fn a_network_without_most_of_its_tensors_is_not_written() {
    let folder = Folder::new();
    let (model, whole) = (golden("resnet50_width4.safetensors"), folder.at("whole.safetensors"));
    crate::said(&[model.as_os_str(), "--out".as_ref(), whole.as_os_str()]);
    let whole = NetworkFile::open(&whole).unwrap();
    let file = whole.tensors();
    let config = file.metadata()["config"].clone();
    let with = |text: &str| {
        assert!(config.contains("width = 4"), "{config}");
        config.replace("width = 4", text)
    };
    let none: fn(&str) -> bool = |_| false;
    let stem: fn(&str) -> bool = |name| name.starts_with("conv1.") || name.starts_with("bn1.");
    let without_last: fn(&str) -> bool = |name| name != "layer4.2.bn3.running_var";
    for (config, keeps, words) in [
        (config.clone(), none, &["conv1.weight", "265 missing"][..]),
        (config.clone(), stem, &["layer1.0.conv1.weight", "260 missing"]),
        (config.clone(), without_last, &["layer4.2.bn3.running_var", "1 missing"]),
        (with("width = 1024\ndepths = [64, 64, 64, 64]"), stem, &["conv1.weight", "missing"]),
        (with("width = 4\ndepths = [0, 0, 0, 0]"), stem, &["depths"]),
        (with("width = 0"), none, &["width"]),
    ] {
        let kept = file.names().filter(|name| keeps(name)).map(|name| {
            let view = file.tensor(name).unwrap();
            TensorOut::f32(name, view.shape(), view.f32().unwrap())
        });
        let kept: Vec<_> = kept.collect();
        let mut metadata = file.metadata().clone();
        metadata.insert("config".into(), config);
        let part = folder.at("part.safetensors");
        write_tensors(&part, &kept, &metadata).unwrap();
        for out in ["back.pth", "back.safetensors"] {
            let back = folder.at(out);
            let arguments: [&OsStr; 5] =
                [part.as_ref(), "--to".as_ref(), "torchvision".as_ref(), "--out".as_ref(), back.as_ref()];
            let error = refusal(&arguments);
            assert!(words.iter().all(|word| error.contains(word)), "{words:?} are not in: {error}");
            assert!(!back.exists());
        }
    }
}
