//! ONNX files: the order of the nodes, the shapes of constants, and the metadata.

use crate::command::{fail, succeed};
use crate::{bcreid, network};
use bcreid::export::onnx::proto::{AttributeProto, GraphProto, ModelProto, TensorProto, ValueInfoProto};
use bcreid::weights::{NetworkFile, TensorOut, read_tensors, write_tensors};
use prost::Message;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

const SLIM: &[&str] = &["model.arch=slim", "model.width=4", "input.height=64", "input.width=32"];
const CAFFE: &[&str] = &[
    "model.arch=resnet50",
    "model.depths=[1, 2, 1, 1]",
    "model.width=2",
    "model.wiring=caffe",
    "model.last_stride=1",
    "input.height=75",
    "input.width=33",
    "input.channels=bgr",
    "input.scale=1",
    "input.mean=[103, 116, 123]",
    "input.std=[1, 2, 4]",
];
const BASIC: &[&str] = &["model.arch=resnet18", "model.width=3", "input.height=64", "input.width=32"];
const STEM: &[&str] =
    &["model.arch=resnet18", "model.width=3", "model.stem=5", "input.height=64", "input.width=32"];

fn export(weights: &Path, out: &Path, more: &[&str]) -> (String, ModelProto) {
    let said = succeed(bcreid().arg("export").arg("--weights").arg(weights).arg("--out").arg(out).args(more));
    (said, ModelProto::decode(std::fs::read(out).unwrap().as_slice()).unwrap())
}

/// The dimensions of an input or output, `N` for a free one.
fn dims(value: &ValueInfoProto) -> (i32, Vec<String>) {
    let tensor = value.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
    let dims = tensor.shape.as_ref().unwrap().dim.iter();
    let dims = dims.map(|dim| match (dim.dim_value, &dim.dim_param) {
        (Some(size), None) => size.to_string(),
        (None, Some(name)) => name.clone(),
        other => panic!("a dimension of {other:?}"),
    });
    (tensor.elem_type, dims.collect())
}

/// Checks that every name is unique and every node's input known by then, and that nothing is in the file for nothing.
#[track_caller]
fn assert_computable(graph: &GraphProto) {
    let mut known: HashSet<&str> = graph.input.iter().map(|input| input.name.as_str()).collect();
    for constant in &graph.initializer {
        assert!(known.insert(&constant.name), "{} twice", constant.name);
        let elements: i64 = constant.dims.iter().product();
        let width = match constant.data_type {
            TensorProto::FLOAT => 4,
            TensorProto::INT64 => 8,
            other => panic!("{}: type {other}", constant.name),
        };
        assert_eq!(elements * width, constant.raw_data.len() as i64, "{} {:?}", constant.name, constant.dims);
    }
    let mut used = HashSet::new();
    let mut names = HashSet::new();
    for node in &graph.node {
        assert!(names.insert(&node.name), "{} twice", node.name);
        for input in &node.input {
            assert!(known.contains(input.as_str()), "{}: {input} is not known yet", node.name);
            used.insert(input.as_str());
        }
        for output in &node.output {
            assert!(known.insert(output), "{output} twice");
        }
    }
    let outputs: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(outputs, ["features"]);
    assert!(known.contains("features"));
    let unused: Vec<_> = known.iter().filter(|name| !used.contains(*name) && **name != "features").collect();
    assert!(unused.is_empty(), "{unused:?} lead nowhere");
}

fn count(graph: &GraphProto, op: &str) -> usize {
    graph.node.iter().filter(|node| node.op_type == op).count()
}

fn attribute<'a>(graph: &'a GraphProto, node: &str, name: &str) -> &'a AttributeProto {
    let node = graph.node.iter().find(|n| n.name == node).unwrap();
    node.attribute.iter().find(|a| a.name == name).unwrap()
}

#[test]
fn every_wiring_makes_a_graph_that_can_be_computed() {
    let folder = tempfile::tempdir().unwrap();
    let (weights, out) = (folder.path().join("w.safetensors"), folder.path().join("n.onnx"));
    for (settings, convolutions, features) in [
        (SLIM, 1 + 8 * 3 + 4, "128"),
        (CAFFE, 1 + 5 * 3 + 4, "64"),
        (BASIC, 1 + 8 * 2 + 3, "24"),
        (STEM, 1 + 8 * 2 + 4, "24"),
    ] {
        let config = network::write(settings, &weights);
        for (more, nodes) in [(&["--force"][..], 0), (&["--force", "--flip"], 4)] {
            let (_, model) = export(&weights, &out, more);
            let graph = model.graph.as_ref().unwrap();
            assert_computable(graph);
            assert_eq!(count(graph, "Conv"), convolutions);
            assert_eq!(count(graph, "BatchNormalization"), 0);
            let flip = ["Gather", "Concat", "Reshape", "ReduceSum"].map(|op| count(graph, op));
            assert_eq!(flip.iter().sum::<usize>(), nodes, "{flip:?}");
            let (h, w) = (config.input.height.to_string(), config.input.width.to_string());
            assert_eq!(
                dims(&graph.input[0]),
                (TensorProto::UINT8, ["N", &h, &w, "3"].map(String::from).into())
            );
            assert_eq!(
                dims(&graph.output[0]),
                (TensorProto::FLOAT, ["N", features].map(String::from).into())
            );
        }
        let (_, floats) = export(&weights, &out, &["--force", "--input", "floats"]);
        let graph = floats.graph.as_ref().unwrap();
        assert_computable(graph);
        assert_eq!(dims(&graph.input[0]).1[..2], ["N", "3"]);
        assert_eq!(dims(&graph.input[0]).0, TensorProto::FLOAT);
    }
}

/// Each layer of an embedding is a product with its batch normalisation folded in, and its last ReLU is in the graph.
#[test]
fn an_embedding_is_products_in_the_graph() {
    let folder = tempfile::tempdir().unwrap();
    let (weights, out) = (folder.path().join("w.safetensors"), folder.path().join("n.onnx"));
    let embedding = ["model.embedding=[24, 16]", "model.neck=batchnorm"];
    network::write(&[SLIM, &embedding].concat(), &weights);
    let (_, model) = export(&weights, &out, &["--flip"]);
    let graph = model.graph.unwrap();
    assert_computable(&graph);
    assert_eq!(dims(&graph.output[0]).1, ["N", "16"]);
    assert!(graph.output[0].doc_string.starts_with("neck features"), "{}", graph.output[0].doc_string);
    assert_eq!((count(&graph, "Gemm"), count(&graph, "BatchNormalization")), (2, 0));
    assert!(graph.node.iter().any(|node| node.name == "embedding.0.relu"));
    assert_eq!(attribute(&graph, "embedding.3", "transB").i, Some(1));
    let constant = |name: &str| {
        let found = graph.initializer.iter().find(|c| c.name == name).unwrap();
        bytemuck::pod_collect_to_vec::<u8, f32>(&found.raw_data)
    };
    let file = read_tensors(&weights).unwrap();
    let ours = |name: &str| file.tensor(name).unwrap().f32().unwrap().into_owned();
    let gain = |k: usize| {
        let var = f64::from(ours("embedding.1.running_var")[k]) + f64::from(1e-5f32);
        f64::from(ours("embedding.1.weight")[k]) / var.sqrt()
    };
    let (w, bias, mean) =
        (ours("embedding.0.weight"), ours("embedding.1.bias"), ours("embedding.1.running_mean"));
    for k in [0, 23] {
        assert_eq!(constant("embedding.0.weight")[k * 128 + 7], (gain(k) * f64::from(w[k * 128 + 7])) as f32);
        let expected = f64::from(bias[k]) - gain(k) * f64::from(mean[k]);
        assert_eq!(constant("embedding.0.bias")[k], expected as f32);
    }
    assert_eq!(constant("embedding.3.weight"), ours("embedding.3.weight"));
    assert_eq!(constant("embedding.3.bias"), ours("embedding.3.bias"));
}

/// The generalised mean is three operations around the mean.
#[test]
fn generalised_mean_pooling_is_in_the_graph() {
    let folder = tempfile::tempdir().unwrap();
    let (weights, out) = (folder.path().join("w.safetensors"), folder.path().join("n.onnx"));
    network::write(&[SLIM, &["model.pooling=gem"]].concat(), &weights);
    let with = |p: f32| {
        let file = read_tensors(&weights).unwrap();
        let tensors: Vec<_> = file.names().map(|n| file.tensor(n).unwrap().f32().unwrap()).collect();
        let tensors = file.names().zip(tensors).map(|(n, mut values)| {
            if n == "pool.p" {
                values.to_mut()[0] = p;
            }
            TensorOut::f32(n, file.tensor(n).unwrap().shape(), values)
        });
        let path = folder.path().join("changed.safetensors");
        write_tensors(&path, &tensors.collect::<Vec<_>>(), file.metadata()).unwrap();
        path
    };
    let (_, model) = export(&with(2.5), &out, &[]);
    let graph = model.graph.unwrap();
    assert_computable(&graph);
    assert_eq!(["Clip", "Pow", "GlobalAveragePool"].map(|op| count(&graph, op)), [1, 2, 1]);
    let constant = |name: &str| {
        let found = graph.initializer.iter().find(|c| c.name == name).unwrap();
        bytemuck::pod_collect_to_vec::<u8, f32>(&found.raw_data)[0]
    };
    let found = ["pool5.least", "pool5.exponent", "pool5.root"].map(constant);
    assert_eq!(found, [1e-6, 2.5, 0.4]);
    // Powers that f32 does not have.
    for p in [0.0, 9.0] {
        let mut refused = bcreid();
        refused.arg("export").arg("--weights").arg(with(p)).arg("--out").arg(folder.path().join("no.onnx"));
        let error = fail(&mut refused);
        assert!(
            error.contains(&format!("pool.p is {p}")) && error.contains("changed.safetensors"),
            "{error}"
        );
    }
}

/// Of IBN-a's convolutions the first half of the filters is as in the file, and the second half has its batch
/// normalisation folded in.
#[test]
fn half_of_the_channels_are_normalised_by_instance() {
    let folder = tempfile::tempdir().unwrap();
    let (weights, out) = (folder.path().join("w.safetensors"), folder.path().join("n.onnx"));
    network::write(&[SLIM, &["model.ibn=true"]].concat(), &weights);
    let (_, model) = export(&weights, &out, &[]);
    let graph = model.graph.unwrap();
    assert_computable(&graph);
    // Two blocks in each of three stages.
    assert_eq!(["Split", "InstanceNormalization", "Concat"].map(|op| count(&graph, op)), [6, 6, 6]);
    let epsilon = attribute(&graph, "layer1.0.conv1.instance", "epsilon");
    assert_eq!((epsilon.f, epsilon.r#type), (Some(1e-5), AttributeProto::FLOAT));
    let constant = |name: &str| {
        let found = graph.initializer.iter().find(|c| c.name == name).unwrap();
        bytemuck::pod_collect_to_vec::<u8, f32>(&found.raw_data)
    };
    let file = read_tensors(&weights).unwrap();
    let ours = |name: &str| file.tensor(name).unwrap().f32().unwrap().into_owned();
    assert_eq!(constant("layer2.1.conv1.instance.bias"), ours("layer2.1.bn1.IN.bias"));
    // Width 4: filters 0 and 1 of layer1.0 as they are, 2 and 3 folded.
    let (found, filters) = (constant("layer1.0.conv1.weight"), ours("layer1.0.conv1.weight"));
    assert_eq!(found[..8], filters[..8]);
    for k in [2, 3] {
        let var = f64::from(ours("layer1.0.bn1.BN.running_var")[k - 2]) + f64::from(1e-5f32);
        let gain = f64::from(ours("layer1.0.bn1.BN.weight")[k - 2]) / var.sqrt();
        assert_eq!(found[k * 4], (gain * f64::from(filters[k * 4])) as f32);
    }
    let bias = constant("layer1.0.conv1.bias");
    assert!(bias[..2] == [0.0, 0.0] && bias[2] != 0.0 && bias[3] != 0.0, "{bias:?}");
}

#[test]
fn strides_pooling_and_layout_are_the_wirings() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    network::write(CAFFE, &at("caffe.safetensors"));
    network::write(SLIM, &at("slim.safetensors"));
    let (_, caffe) = export(&at("caffe.safetensors"), &at("caffe.onnx"), &[]);
    let (_, slim) = export(&at("slim.safetensors"), &at("slim.onnx"), &[]);
    let [caffe, slim] = [caffe, slim].map(|model| model.graph.unwrap());
    for (graph, pads, ceil, first, second) in
        [(&caffe, [0; 4], 1, [2, 2], [1, 1]), (&slim, [1; 4], 0, [1, 1], [2, 2])]
    {
        assert_eq!(attribute(graph, "pool1", "pads").ints, pads);
        assert_eq!(attribute(graph, "pool1", "ceil_mode").i, Some(ceil));
        assert_eq!(attribute(graph, "layer2.0.conv1", "strides").ints, first);
        assert_eq!(attribute(graph, "layer2.0.conv2", "strides").ints, second);
        assert_eq!(attribute(graph, "layer2.0.conv2", "pads").ints, [1; 4]);
        assert_eq!(attribute(graph, "layer2.0.downsample.0", "strides").ints, [2, 2]);
    }
    assert_eq!(attribute(&caffe, "layer4.0.conv1", "strides").ints, [1, 1], "the last stage's stride is 1");
    let constant = |graph: &GraphProto, name: &str| {
        let found = graph.initializer.iter().find(|c| c.name == name).unwrap();
        (found.dims.clone(), bytemuck::pod_collect_to_vec::<u8, f32>(&found.raw_data))
    };
    // From BGR to RGB: mean and deviation swap ends, as do the channels of the first filters.
    assert_eq!(constant(&caffe, "images.mean").1, [123.0, 116.0, 103.0]);
    assert_eq!(constant(&caffe, "images.gain").1, [0.25, 0.5, 1.0]);
    let (dims, filters) = constant(&caffe, "conv1.weight");
    assert_eq!(dims, [2, 3, 7, 7]);
    let file = read_tensors(&at("caffe.safetensors")).unwrap();
    let ours = |name: &str| file.tensor(name).unwrap().f32().unwrap().into_owned();
    let (w, gamma, var) = (ours("conv1.weight"), ours("bn1.weight"), ours("bn1.running_var"));
    for (k, c, r, s) in [(0, 0, 0, 0), (1, 2, 6, 3), (1, 1, 0, 5)] {
        let gain = f64::from(gamma[k]) / (f64::from(var[k]) + f64::from(1e-5f32)).sqrt();
        let expected = gain * f64::from(w[((k * 7 + r) * 7 + s) * 3 + (2 - c)]);
        assert_eq!(filters[((k * 3 + c) * 7 + r) * 7 + s], expected as f32);
    }
}

/// Images that are normalised by ImageNet's numbers are taken as they are, or turned into the network's own convention.
#[test]
fn images_normalised_outside_are_not_normalised_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    network::write(SLIM, &at("slim.safetensors"));
    network::write(CAFFE, &at("caffe.safetensors"));
    let normalised = |name: &str, more: &[&str]| {
        let more = [&["--force", "--input", "normalised"], more].concat();
        export(&at(&format!("{name}.safetensors")), &at("n.onnx"), &more)
    };
    let (said, model) = normalised("slim", &[]);
    assert!(
        said.contains("float32 [N, 3, 64, 32]") && said.contains("normalised outside the graph"),
        "{said}"
    );
    let fact = |key: &str| model.metadata_props.iter().find(|fact| fact.key == key).unwrap().value.clone();
    assert_eq!(fact("input_normalisation"), "outside the graph");
    assert!(fact("input_range").contains("mean 0.485 0.456 0.406, deviation 0.229 0.224 0.225"));
    let graph = model.graph.unwrap();
    assert_computable(&graph);
    assert_eq!((count(&graph, "Sub"), count(&graph, "Mul")), (0, 0));
    assert_eq!(graph.node[0].input[0], "images");
    assert!(graph.input[0].doc_string.contains("The graph subtracts no mean"));
    assert_computable(normalised("slim", &["--flip"]).1.graph.as_ref().unwrap());

    // Of a byte v the network has (v - 123) / 4, (v - 116) / 2 and v - 103, as RGB; the graph sees (v / 255 - m) / d.
    let graph = normalised("caffe", &[]).1.graph.unwrap();
    assert_computable(&graph);
    let constant = |name: &str| {
        let found = graph.initializer.iter().find(|c| c.name == name).unwrap();
        bytemuck::pod_collect_to_vec::<u8, f32>(&found.raw_data)
    };
    let (shift, gain) = (constant("images.mean"), constant("images.gain"));
    let imagenet = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)];
    for (c, ((m, d), expected)) in imagenet.into_iter().zip([1.75f32, 7.0, 27.0]).enumerate() {
        let seen = (130.0 / 255.0 - m) / d;
        let found = (seen - shift[c]) * gain[c];
        assert!((found - expected).abs() < 1e-4, "{c}: {found}");
    }
}

#[test]
fn the_file_says_what_it_takes_and_gives_and_is_the_same_twice() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    network::write(SLIM, &at("w.safetensors"));
    let (said, model) = export(&at("w.safetensors"), &at("a.onnx"), &["--flip"]);
    export(&at("w.safetensors"), &at("b.onnx"), &["--flip"]);
    assert_eq!(std::fs::read(at("a.onnx")).unwrap(), std::fs::read(at("b.onnx")).unwrap());
    assert!(said.contains("uint8 [N, 64, 32, 3]") && said.contains("float32 [N, 128]"), "{said}");

    assert_eq!((model.ir_version, model.opset_import[0].version), (Some(7), Some(13)));
    assert_eq!((model.producer_name.as_str(), model.opset_import.len()), ("bcreid", 1));
    let facts: BTreeMap<&str, &str> =
        model.metadata_props.iter().map(|fact| (fact.key.as_str(), fact.value.as_str())).collect();
    assert_eq!(facts.len(), model.metadata_props.len(), "a key twice");
    let fingerprint = NetworkFile::open(&at("w.safetensors")).unwrap().fingerprint();
    for (key, value) in [
        ("input", "uint8 [N, 64, 32, 3]"),
        ("input_channels", "RGB"),
        ("input_normalisation", "inside the graph"),
        ("output_l2_normalised", "true"),
        ("output_layer", "pool5"),
        ("mirrored_image_added", "true"),
        ("wiring", "torchvision"),
        ("arch", "slim"),
        ("network_sha256", &fingerprint),
    ] {
        assert_eq!(facts.get(key), Some(&value), "{key}");
    }
    let graph = model.graph.unwrap();
    assert!(graph.input[0].doc_string.contains("Do not subtract a mean"));
    let about_features = &graph.output[0].doc_string;
    assert!(
        about_features.starts_with("pool5 features")
            && about_features.contains("do not normalise them again")
    );

    network::write(&[SLIM, &["model.neck=batchnorm"]].concat(), &at("neck.safetensors"));
    let (_, behind) = export(&at("neck.safetensors"), &at("neck.onnx"), &[]);
    let layer = behind.metadata_props.iter().find(|fact| fact.key == "output_layer").unwrap();
    assert_eq!(layer.value, "neck");
    assert!(behind.graph.unwrap().output[0].doc_string.starts_with("neck features"));
}

#[test]
fn wrong_input_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let refused = |weights: &str, out: &str, words: &[&str]| {
        let error = fail(bcreid().arg("export").arg("--weights").arg(at(weights)).arg("--out").arg(at(out)));
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    network::write(SLIM, &at("w.safetensors"));
    refused("w.safetensors", "no/such/n.onnx", &["n.onnx", "folder does not exist"]);
    refused("w.safetensors", "n.pb", &["n.pb", "ends in .onnx"]);
    refused("nowhere.safetensors", "n.onnx", &["nowhere.safetensors"]);
    std::fs::write(at("n.onnx"), "dear").unwrap();
    refused("w.safetensors", "n.onnx", &["n.onnx exists", "--force"]);
    assert_eq!(std::fs::read_to_string(at("n.onnx")).unwrap(), "dear");
    std::fs::create_dir(at("run")).unwrap();
    refused("run", "o.onnx", &["run: not a run folder"]);

    let with = |name: &str, value: f32, out: &str| {
        let file = read_tensors(&at("w.safetensors")).unwrap();
        let tensors: Vec<_> = file.names().map(|n| file.tensor(n).unwrap().f32().unwrap()).collect();
        let tensors: Vec<_> = file
            .names()
            .zip(tensors)
            .map(|(n, mut values)| {
                if n == name {
                    values.to_mut()[0] = value;
                }
                TensorOut::f32(n, file.tensor(n).unwrap().shape(), values)
            })
            .collect();
        write_tensors(&at(out), &tensors, file.metadata()).unwrap();
    };
    with("layer1.0.bn2.running_var", -1.0, "negative.safetensors");
    refused("negative.safetensors", "o.onnx", &["negative.safetensors", "layer1.0.bn2.running_var[0] is -1"]);
    with("conv1.weight", f32::NAN, "nan.safetensors");
    refused("nan.safetensors", "o.onnx", &["nan.safetensors", "conv1.weight[0] is NaN"]);
    assert!(!at("o.onnx").exists());
}
