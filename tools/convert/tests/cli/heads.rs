//! Heads of checkpoints of other toolboxes: embeddings, the generalised mean, and layers that only look like them.

use super::toolboxes::{D, Tensors, check, checkpoint, one, prefixed};
use super::{Folder, convert, refuse, succeed};
use bcreid::autograd::Tape;
use bcreid::config::{NeckKind, Pooling};
use bcreid::device::Device;
use bcreid::ops::batchnorm::Statistics;
use bcreid::tensor::Tensor;
use bcreid::weights::NetworkFile;
use std::path::Path;

/// Pixels of an image, and the features of a converted network for it: pool5 and the feature that is evaluated.
fn features(file: &NetworkFile) -> [Vec<f32>; 2] {
    let shape = [1, 64, 32, 3];
    let pixels: Vec<f32> = (0..64 * 32 * 3).map(|i| ((i * 37 % 251) as f32 / 125.0) - 1.0).collect();
    let device = Device::cpu();
    let (model, mut params) = file.network(&device).unwrap();
    let pixels = Tensor::from_f32(&device, shape, &pixels).unwrap();
    let mut tape = Tape::no_grad(&mut params).unwrap();
    let pixels = tape.constant(pixels);
    let pool5 = model.pool5(&mut tape, pixels.clone(), Statistics::Frozen).unwrap();
    let feature = model.embed(&mut tape, pixels).unwrap();
    [pool5, feature].map(|rows| rows.value.to_host_f32().unwrap())
}

/// Weights `[rows, columns]` of both signs.
fn matrix(name: &str, rows: usize, columns: usize) -> (String, Vec<usize>, Vec<f32>) {
    let values = (0..rows * columns).map(|i| ((i * 29 % 101) as f32 - 50.0) / 400.0).collect();
    (name.into(), vec![rows, columns], values)
}

/// Parameters and statistics of a batch normalisation of `width` channels.
fn norm(layer: &str, width: usize) -> Tensors {
    let values =
        |low: f32| (0..width).map(|c| low + (c * 7 % width) as f32 / width as f32).collect::<Vec<f32>>();
    [("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5), ("running_var", 0.25)]
        .map(|(part, low)| (format!("{layer}.{part}"), vec![width], values(low)))
        .into()
}

fn find<'a>(tensors: &'a Tensors, name: &str) -> &'a [f32] {
    &tensors.iter().find(|(own, ..)| own == name).unwrap().2
}

/// The output of the batch normalisation `norm` of W x + b, in f64.
fn normalised(x: &[f32], weight: &[f32], bias: Option<&[f32]>, tensors: &Tensors, norm: &str) -> Vec<f32> {
    let of = |part: &str| find(tensors, &format!("{norm}.{part}"));
    let one = |(k, row): (usize, &[f32])| {
        let sum: f64 = row.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
        let y = sum + f64::from(bias.map_or(0.0, |bias| bias[k]));
        let [gamma, beta, mean, var] =
            ["weight", "bias", "running_mean", "running_var"].map(|part| f64::from(of(part)[k]));
        (gamma * (y - mean) / (var + 1e-5).sqrt() + beta) as f32
    };
    weight.chunks(x.len()).enumerate().map(one).collect()
}

#[track_caller]
fn close(ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let stray = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest > 0.1 && stray / largest < 1e-5, "stray {stray:e} of {largest}");
}

/// torchreid's `fc_dims`: linear layers with a bias, batch normalisation and ReLU; layumi's without ReLU.
#[test]
fn embeddings_compute_the_features_of_their_programs() {
    let relu = |values: Vec<f32>| values.into_iter().map(|value| value.max(0.0)).collect::<Vec<f32>>();
    for (start, prefix, widths, step) in [
        ("fc.", "module.", &[24][..], 3),
        ("fc.", "", &[40, 24], 3),
        // With a dropout behind each ReLU.
        ("fc.", "", &[40, 24], 4),
        ("classifier.add_block.", "model.", &[24], 3),
    ] {
        let folder = Folder::new();
        let (file, out) = (folder.at("model.pth.tar-60"), folder.at("out.safetensors"));
        let mut tensors = [prefixed(prefix), one("classifier.classifier.0.weight", &[5, 24])].concat();
        let (mut layers, mut inputs) = (Vec::new(), D);
        for (i, &width) in widths.iter().enumerate() {
            let own = |name: &str| {
                format!("{}{start}{}.{name}", if prefix == "module." { prefix } else { "" }, i * step)
            };
            tensors.push(matrix(&own("weight"), width, inputs));
            tensors.push((own("bias"), vec![width], norm("x", width)[1].2.clone()));
            let of_norm = own("").replace(&format!("{}.", i * step), &(i * step + 1).to_string());
            tensors.extend(norm(&of_norm, width));
            layers.push((own("weight"), own("bias"), of_norm));
            inputs = width;
        }
        checkpoint(&file, "state_dict", &tensors);
        refuse(
            &[&file, "--out", &out],
            &["with an embedding", "torchreid's resnet50_fc512", "--last-stride 1"],
        );
        let said = succeed(&[&file, "--out", &out, "--last-stride", "1"]);
        assert!(said.contains(&format!("as the embedding {widths:?}")), "{said}");
        let converted = NetworkFile::open(Path::new(&out)).unwrap();
        converted.check().unwrap();
        let model = &converted.config().model;
        let has_relu = start == "fc.";
        assert_eq!(
            (&model.embedding[..], model.embedding_batchnorm, model.embedding_relu, model.neck),
            (widths, true, has_relu, NeckKind::None)
        );
        let [pool5, feature] = features(&converted);
        let theirs = layers.iter().fold(pool5, |x, (weight, bias, norm)| {
            let y = normalised(&x, find(&tensors, weight), Some(find(&tensors, bias)), &tensors, norm);
            if has_relu { relu(y) } else { y }
        });
        close(&feature, &theirs);
        let output = convert(&[&file, "--out", &out, "--last-stride", "1"]);
        let warned = String::from_utf8(output.stderr).unwrap();
        assert_eq!(warned.contains("leaky ReLU"), !has_relu, "{warned}");
        let said = succeed(&[&file, "--out", &out, "--without-head", "--last-stride", "1"]);
        assert!(said.contains(&format!("{start}0.weight")) && !said.contains("as the embedding"), "{said}");
        check(&out, NeckKind::None, 1);
        // The list has the file's own tensors.
        let listed = succeed(&[&file, "--list"]);
        assert!(listed.contains(&format!("{start}0.bias")) && !listed.contains("embedding.0"), "{listed}");
    }
}

/// fast-reid's `EMBEDDING_DIM` is a convolution of 1 x 1, and its neck has as many channels.
#[test]
fn fast_reids_embedding_and_generalised_mean_come_along() {
    let folder = Folder::new();
    let (file, out) = (folder.at("model_best.pth"), folder.at("out.safetensors"));
    let (name, _, weight) = matrix("heads.bottleneck.0.weight", 16, D);
    let exponent = ("heads.pool_layer.p".to_string(), vec![1], vec![2.5]);
    let convolution = (name.clone(), vec![16, D, 1, 1], weight.clone());
    let tensors = [
        prefixed("backbone."),
        norm("heads.bottleneck.1", 16),
        vec![convolution, exponent],
        one("heads.weight", &[5, 16]),
    ]
    .concat();
    checkpoint(&file, "model", &tensors);
    let settings =
        "MODEL:\n  BACKBONE:\n    LAST_STRIDE: 1\n  HEADS:\n    POOL_LAYER: GeneralizedMeanPoolingP\n";
    std::fs::write(folder.at("config.yaml"), settings).unwrap();
    let said = succeed(&[&file, "--out", &out]);
    assert!(said.contains("the embedding [16] and its batch normalisation as the neck"), "{said}");
    let converted = NetworkFile::open(Path::new(&out)).unwrap();
    converted.check().unwrap();
    let model = &converted.config().model;
    assert_eq!(
        (&model.embedding[..], model.embedding_batchnorm, model.embedding_bias, model.neck, model.pooling),
        (&[16][..], false, false, NeckKind::Batchnorm, Pooling::Gem)
    );
    assert_eq!(*converted.tensors().tensor("pool.p").unwrap().f32().unwrap(), [2.5]);
    let [pool5, feature] = features(&converted);
    close(&feature, &normalised(&pool5, &weight, None, &tensors, "heads.bottleneck.1"));

    // Without a learnt exponent the settings alone state the pooling.
    let fixed: Tensors = tensors.iter().filter(|(name, ..)| name != "heads.pool_layer.p").cloned().collect();
    checkpoint(&file, "model", &fixed);
    refuse(&[&file, "--out", &out], &["\"GeneralizedMeanPoolingP\"", "config.yaml", "--without-head"]);
    std::fs::write(folder.at("config.yaml"), settings.replace("PoolingP", "Pooling")).unwrap();
    let said = succeed(&[&file, "--out", &out]);
    assert!(said.contains("fixed exponent 3"), "{said}");
    let converted = NetworkFile::open(Path::new(&out)).unwrap();
    assert_eq!(*converted.tensors().tensor("pool.p").unwrap().f32().unwrap(), [3.0]);

    // Its layers of 2020 have a leaky ReLU between both.
    let older = [&tensors[..], &norm("heads.bnneck", 16)].concat();
    checkpoint(&file, "model", &older);
    refuse(&[&file, "--out", &out], &["heads.bottleneck.0.weight [16, 128, 1, 1]", "--without-head"]);
    for (values, said) in
        [(vec![-1.0], "exponent -1"), (vec![0.0], "exponent 0"), (vec![f32::NAN], "exponent NaN")]
    {
        let mut broken = tensors.clone();
        broken.iter_mut().find(|(name, ..)| name == "heads.pool_layer.p").unwrap().2 = values;
        checkpoint(&file, "model", &broken);
        refuse(&[&file, "--out", &out], &[said, "above 0"]);
    }
}

/// Layers that look like an embedding and are none: a classifier in a `Sequential`, odd shapes and numbers.
#[test]
fn layers_of_another_form_are_refused() {
    let folder = Folder::new();
    let (file, out) = (folder.at("other.pth"), folder.at("out.safetensors"));
    let linear = |name: &str| vec![matrix(name, 24, D)];
    for layers in [
        linear("fc.0.weight"),
        [linear("fc.0.weight"), norm("fc.1", 24), vec![matrix("fc.3.weight", 8, 24)]].concat(),
        [linear("fc.0.weight"), norm("fc.1", 24), one("fc.0.bias", &[1])].concat(),
        [linear("fc.0.weight"), norm("fc.1", 24), one("fc.18446744073709551615.weight", &[1, 1])].concat(),
    ] {
        checkpoint(&file, "state_dict", &[prefixed(""), layers].concat());
        refuse(&[&file, "--out", &out, "--last-stride", "2"], &["fc.0.weight [24, 128]", "in another form"]);
        succeed(&[&file, "--list"]);
    }
}

/// layumi's `ClassBlock` without a linear layer: its batch normalisation is the neck.
#[test]
fn a_class_block_without_a_linear_layer_is_a_neck() {
    let folder = Folder::new();
    let (file, out) = (folder.at("net_last.pth"), folder.at("out.safetensors"));
    checkpoint(&file, "", &[prefixed("model."), norm("classifier.add_block.0", D)].concat());
    let said = succeed(&[&file, "--out", &out, "--last-stride", "1"]);
    assert!(said.contains("\"classifier.add_block.0\" as the neck"), "{said}");
    let converted = NetworkFile::open(Path::new(&out)).unwrap();
    assert_eq!(converted.config().model.neck, NeckKind::Batchnorm);
}
