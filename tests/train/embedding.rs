//! Embeddings against PyTorch in float64 (`tests/golden/embedding.py`): the heads of TriNet, torchreid, layumi and
//! SVDNet in training, with the gradients of input and parameters and the running statistics.

use bcreid::autograd::{ParamSpecs, Params, StepValues, Tape};
use bcreid::config::Config;
use bcreid::device::Device;
use bcreid::model::embedding::Embedding;
use bcreid::ops::batchnorm::Statistics;
use bcreid::tensor::Tensor;
use bcreid::weights::{TensorFile, read_tensors};

/// Heads by their settings.
const HEADS: [(&str, &[&str]); 5] = [
    ("trinet", &["model.embedding=[9, 4]"]),
    ("torchreid", &["model.embedding=[5]", "model.embedding_batchnorm=true", "model.embedding_relu=true"]),
    ("layumi", &["model.embedding=[5]", "model.embedding_batchnorm=true"]),
    ("svdnet", &["model.embedding=[5]", "model.embedding_bias=false"]),
    ("rectified", &["model.embedding=[5]", "model.embedding_relu=true"]),
];

fn golden(file: &TensorFile, name: &str) -> (Vec<usize>, Vec<f32>) {
    let view = file.tensor(name).unwrap();
    (view.shape().to_vec(), view.f32().unwrap().into_owned())
}

#[track_caller]
fn assert_close(what: &str, ours: &Tensor, file: &TensorFile) {
    let (shape, theirs) = golden(file, what);
    assert_eq!(ours.shape().dims(), shape, "{what}");
    for (i, (a, b)) in ours.f32().iter().zip(&theirs).enumerate() {
        assert!((a - b).abs() <= 2e-5 * b.abs().max(1.0), "{what}[{i}]: {a}, PyTorch {b}");
    }
}

#[test]
fn known_heads_are_those_of_pytorch() {
    let path = format!("{}/tests/golden/embedding.safetensors", env!("CARGO_MANIFEST_DIR"));
    let (file, device) = (read_tensors(path.as_ref()).unwrap(), Device::cpu());
    for (key, settings) in HEADS {
        let settings: Vec<String> = settings.iter().map(|s| s.to_string()).collect();
        let config = Config::resolve_text("", &settings).unwrap();
        let mut specs = ParamSpecs::default();
        let embedding = Embedding::new(&config.model, 7, 1.0, &mut specs).unwrap();
        let mut params = Params::new(&device, &specs).unwrap();
        let ids: Vec<String> = params.params().iter().map(|p| p.name.clone()).collect();
        let theirs = file.names().filter(|name| name.starts_with(&format!("{key}.value."))).count();
        assert_eq!(ids.len(), theirs, "{key}: {ids:?}");
        for param in params.params_mut() {
            let (shape, values) = golden(&file, &format!("{key}.value.{}", param.name));
            assert_eq!(param.value.shape().dims(), shape, "{key}, {}", param.name);
            param.load(&values).unwrap();
        }
        let values = StepValues::new(&device, 0).unwrap();
        let mut tape = Tape::new(&mut params, &values);
        let tensor = |name: &str| {
            let (shape, values) = golden(&file, &format!("{key}.{name}"));
            Tensor::from_f32(&device, [shape[0], shape[1]], &values).unwrap()
        };
        let x = tape.leaf(tensor("x"));
        let y = embedding.forward(&mut tape, x.clone(), Statistics::Batch { momentum: 0.1 }).unwrap();
        assert_eq!(y.shape().dims(), [6, embedding.width()], "{key}");
        assert_close(&format!("{key}.y"), &y.value, &file);
        let mut grads = tape.backward(vec![(y, tensor("dy"))]).unwrap();
        assert_close(&format!("{key}.dx"), &grads.take(&x).unwrap(), &file);
        for param in params.params() {
            assert_close(&format!("{key}.grad.{}", param.name), &param.grad, &file);
        }
        for buffer in params.buffers() {
            assert_close(&format!("{key}.after.{}", buffer.name), &buffer.value, &file);
        }
    }
}

/// The initial weights of each choice, by their mean square: 2 / outputs, 1 / inputs, and the given deviation's.
#[test]
fn initial_weights_are_those_of_the_setting() {
    let start = |settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(|s| s.to_string()).collect();
        let config = Config::resolve_text("", &settings).unwrap();
        let mut specs = ParamSpecs::default();
        Embedding::new(&config.model, 300, 3.0, &mut specs).unwrap();
        let mut params = Params::new(&Device::cpu(), &specs).unwrap();
        params.initialise(7).unwrap();
        assert!(params.params().iter().all(|param| param.lr_mult == 3.0));
        let weights: Vec<Vec<f32>> = params
            .params()
            .iter()
            .filter(|param| param.value.shape().matrix().is_some())
            .map(|param| param.value.f32().to_vec())
            .collect();
        weights.iter().map(|w| w.iter().map(|v| v * v).sum::<f32>() / w.len() as f32).collect::<Vec<_>>()
    };
    for (init, last) in [("he", 2.0 / 80.0), ("orthogonal", 1.0 / 200.0), ("0.01", 1e-4)] {
        let found = start(&["model.embedding=[200, 80]", &format!("model.embedding_init={init}")]);
        let expected = [2.0 / 200.0, last];
        assert_eq!(found.len(), 2);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found / expected - 1.0).abs() < 0.05, "{init}: {found} and {expected}");
        }
    }
}
