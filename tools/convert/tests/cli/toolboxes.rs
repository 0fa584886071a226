//! Checkpoints with the names of fast-reid, reid-strong-baseline, torchreid and detectron2, made of a network of small
//! width; and the parts that a network here does not have.

use super::{Folder, convert, golden, refuse, succeed};
use crate::forge::{self, dict, pickled};
use bcreid::autograd::Tape;
use bcreid::config::{NeckKind, Pooling};
use bcreid::device::Device;
use bcreid::ops::batchnorm::Statistics;
use bcreid::tensor::Tensor;
use bcreid::weights::{NetworkFile, read_tensors};
use std::path::Path;

/// Values a feature.
const D: usize = 128;

/// Tensors by name, with shape and values.
type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// The network of the golden file under other names.
fn trunk(rename: impl Fn(&str) -> String) -> Tensors {
    let file = read_tensors(&golden("resnet50_width4.safetensors")).unwrap();
    let named =
        file.names().filter(|name| !name.ends_with("num_batches_tracked") && !name.starts_with("fc."));
    let tensor = |name: &str| {
        let view = file.tensor(name).unwrap();
        (rename(name), view.shape().to_vec(), view.f32().unwrap().into_owned())
    };
    named.map(tensor).collect()
}

fn prefixed(prefix: &str) -> Tensors {
    trunk(|name| format!("{prefix}{name}"))
}

/// Values of a layer's tensor, none equal, variances above 0.
fn values(part: &str) -> Vec<f32> {
    let first = match part {
        "weight" => 0.5,
        "running_mean" => -1.0,
        "running_var" => 0.25,
        _ => return vec![0.0; D],
    };
    (0..D).map(|c| first + c as f32 / 100.0).collect()
}

fn neck(layer: &str) -> Tensors {
    ["weight", "bias", "running_mean", "running_var"]
        .map(|part| (format!("{layer}.{part}"), vec![D], values(part)))
        .into()
}

fn one(name: &str, shape: &[usize]) -> Tensors {
    vec![(name.into(), shape.into(), vec![0.5; shape.iter().product()])]
}

/// Writes a zip checkpoint of PyTorch with the tensors under `key`, beside an optimiser's state.
fn checkpoint(path: &str, key: &str, tensors: &Tensors) {
    let integers = |sizes: &[usize]| sizes.iter().map(|&size| size as i64).collect::<Vec<_>>();
    let entry = |(number, (name, shape, values)): (usize, &(String, Vec<usize>, Vec<f32>))| {
        let strides: Vec<usize> = (0..shape.len()).map(|d| shape[d + 1..].iter().product()).collect();
        let elements = values.len() as i64;
        let tensor = forge::tensor(&number.to_string(), elements, 0, &integers(shape), &integers(&strides));
        (name.clone(), tensor)
    };
    let state = dict(tensors.iter().enumerate().map(entry));
    let nested = if key.is_empty() { state } else { dict([(key.to_string(), state)]) };
    let pickle = pickled(&nested);
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let names: Vec<String> = (0..tensors.len()).map(|number| format!("archive/data/{number}")).collect();
    let mut members = vec![("archive/data.pkl", &pickle[..]), ("archive/byteorder", b"little")];
    members.extend(names.iter().map(String::as_str).zip(bytes.iter().map(Vec::as_slice)));
    members.push(("archive/version", b"3\n"));
    std::fs::write(path, forge::stored(&members)).unwrap();
}

/// The converted file has the golden network's trunk and, with a neck, its values.
fn check(out: &str, kind: NeckKind, last_stride: usize) -> NetworkFile {
    let file = NetworkFile::open(Path::new(out)).unwrap();
    let model = &file.config().model;
    assert_eq!((model.neck, model.last_stride, model.width), (kind, last_stride, Some(4)));
    file.check().unwrap();
    let plain = Folder::new();
    let plain_out = plain.at("plain.safetensors");
    succeed(&[golden("resnet50_width4.safetensors").to_str().unwrap(), "--out", &plain_out]);
    let plain = read_tensors(Path::new(&plain_out)).unwrap();
    for name in plain.names() {
        let (ours, theirs) = (file.tensors().tensor(name).unwrap(), plain.tensor(name).unwrap());
        assert_eq!((ours.shape(), ours.bytes()), (theirs.shape(), theirs.bytes()), "{name}");
    }
    let parts = ["weight", "running_mean", "running_var"];
    for part in parts {
        match (kind, file.tensors().get(&format!("bottleneck.{part}"))) {
            (NeckKind::None, None) => {}
            (NeckKind::Batchnorm, Some(tensor)) => assert_eq!(*tensor.f32().unwrap(), values(part)),
            (kind, tensor) => panic!("{kind:?}: {part} {}", tensor.is_some()),
        }
    }
    let extra = if kind == NeckKind::None { 0 } else { 4 };
    assert_eq!(file.tensors().names().len(), plain.names().len() + extra);
    file
}

#[test]
fn fast_reids_neck_comes_along_and_its_settings_state_the_stride() {
    for (layer, classifier) in [
        ("heads.bottleneck.0", "heads.weight"),
        ("heads.bottleneck", "heads.classifier.weight"),
        ("heads.bnneck", "heads.classifier.weight"),
        ("heads.bnneck.0", "heads.classifier.weight"),
    ] {
        let folder = Folder::new();
        let (file, out) = (folder.at("model_best.pth"), folder.at("out.safetensors"));
        let tensors = [prefixed("backbone."), neck(layer), one(classifier, &[5, D])].concat();
        checkpoint(&file, "model", &tensors);
        // Neither names nor shapes show the stride.
        refuse(&[&file, "--out", &out], &["model_best.pth", "with a neck", "--last-stride 1"]);
        let said = succeed(&[&file, "--out", &out, "--last-stride", "2"]);
        assert!(said.contains(layer) && said.contains(&format!("left out: {classifier}")), "{said}");
        check(&out, NeckKind::Batchnorm, 2);
        // fast-reid writes config.yaml beside its checkpoints.
        let settings = "MODEL:\n  BACKBONE:\n    LAST_STRIDE: 1\n  HEADS:\n    POOL_LAYER: GlobalAvgPool\n";
        std::fs::write(folder.at("config.yaml"), settings).unwrap();
        let said = succeed(&[&file, "--out", &out]);
        assert!(said.contains("LAST_STRIDE of") && said.contains("batch-norm neck"), "{said}");
        check(&out, NeckKind::Batchnorm, 1);
        refuse(&[&file, "--out", &out, "--last-stride", "2"], &["--last-stride 2 contradicts the 1"]);
        std::fs::write(folder.at("config.yaml"), settings.replace("GlobalAvg", "Generalized")).unwrap();
        refuse(&[&file, "--out", &out], &["\"GeneralizedPool\"", "config.yaml", "--without-head"]);
        succeed(&[&file, "--out", &out, "--without-head"]);
        check(&out, NeckKind::None, 1);
    }
}

#[test]
fn fast_reids_pixels_are_the_input_convention() {
    let folder = Folder::new();
    let (file, out) = (folder.at("old.pth"), folder.at("out.safetensors"));
    let tensors = [prefixed("backbone."), neck("heads.bnneck")].concat();
    let with = |mean: [f32; 3], std: [f32; 3]| {
        let pixels = [("pixel_mean", mean), ("pixel_std", std)]
            .map(|(name, values)| (name.to_string(), vec![1, 3, 1, 1], values.to_vec()));
        // A classifier shows that the file is fast-reid's.
        checkpoint(
            &file,
            "model",
            &[&tensors[..], &pixels, &one("heads.classifier.weight", &[5, D])].concat(),
        );
        let said = succeed(&[&file, "--out", &out, "--last-stride", "1"]);
        assert!(said.contains("pixel_mean") && !said.contains("assumed"), "{said}");
        NetworkFile::open(Path::new(&out)).unwrap().config().input.clone()
    };
    let imagenet = with([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]);
    assert_eq!(imagenet, bcreid::config::Input::default());
    let other = with([127.5; 3], [60.0; 3]);
    assert_eq!((other.scale, other.mean, other.std), (1.0, [127.5; 3], [60.0; 3]));
}

#[test]
fn strong_baselines_neck_comes_along_with_a_word_on_its_stem() {
    let folder = Folder::new();
    let (file, out) = (folder.at("market.pth"), folder.at("out.safetensors"));
    let tensors = [prefixed("base."), neck("bottleneck"), one("classifier.weight", &[5, D])].concat();
    checkpoint(&file, "", &tensors);
    refuse(&[&file, "--out", &out], &["--last-stride 1"]);
    let output = convert(&[&file, "--out", &out, "--last-stride", "1"]);
    let warned = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && warned.contains("no ReLU behind bn1"), "{warned}");
    check(&out, NeckKind::Batchnorm, 1);

    // A shift that training moved belongs to the feature.
    let mut shifted = tensors;
    shifted.iter_mut().find(|(name, ..)| name == "bottleneck.bias").unwrap().2[3] = 0.25;
    checkpoint(&file, "", &shifted);
    let output = convert(&[&file, "--out", &out, "--last-stride", "1"]);
    let warned = String::from_utf8(output.stderr).unwrap();
    assert!(warned.contains("its neck has a shift"), "{warned}");
    let converted = check(&out, NeckKind::Batchnorm, 1);
    assert_eq!(converted.tensors().tensor("bottleneck.bias").unwrap().f32().unwrap()[3], 0.25);
    let short = one("bottleneck.running_mean", &[D - 1]);
    shifted.retain(|(name, ..)| name != "bottleneck.running_mean");
    checkpoint(&file, "", &[shifted, short].concat());
    refuse(&[&file, "--out", &out, "--last-stride", "1"], &["bottleneck.running_mean is [127]"]);
}

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
        succeed(&[&file, "--out", &out, "--without-head", "--last-stride", "1"]);
        check(&out, NeckKind::None, 1);
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

#[test]
fn torchreids_network_comes_in_without_an_embedding() {
    let folder = Folder::new();
    let (file, out) = (folder.at("model.pth.tar-60"), folder.at("out.safetensors"));
    let plain = [prefixed("module."), one("module.classifier.weight", &[5, D])].concat();
    checkpoint(&file, "state_dict", &plain);
    succeed(&[&file, "--out", &out]);
    check(&out, NeckKind::None, 2);
    // Two layers without batch normalisation between them are none of torchreid's.
    let layers = [one("module.fc.0.weight", &[16, D]), one("module.fc.3.weight", &[8, 16])].concat();
    checkpoint(&file, "state_dict", &[prefixed("module."), layers].concat());
    refuse(&[&file, "--out", &out], &["fc.0.weight [16, 128]", "in another form", "--without-head"]);
    succeed(&[&file, "--out", &out, "--without-head", "--last-stride", "1"]);
    check(&out, NeckKind::None, 1);
}

#[test]
fn detectrons_names_are_read() {
    let folder = Folder::new();
    let (file, out) = (folder.at("d2.pth"), folder.at("out.safetensors"));
    let theirs = |name: &str| {
        let name = name
            .replace("downsample.0", "shortcut")
            .replace("downsample.1", "shortcut.norm")
            .replace("bn1.", "conv1.norm.")
            .replace("bn2.", "conv2.norm.")
            .replace("bn3.", "conv3.norm.");
        match name.strip_prefix("layer") {
            None => format!("backbone.bottom_up.stem.{name}"),
            Some(rest) => {
                let (stage, rest) = rest.split_at(1);
                format!("backbone.bottom_up.res{}{rest}", stage.parse::<usize>().unwrap() + 1)
            }
        }
    };
    checkpoint(&file, "model", &trunk(theirs));
    let said = succeed(&[&file, "--out", &out]);
    assert!(said.contains("detectron2") && said.contains("STRIDE_IN_1X1"), "{said}");
    check(&out, NeckKind::None, 2);
}

/// One list names the parts that a network here does not have.
#[test]
fn parts_that_no_network_here_has_are_named() {
    let folder = Folder::new();
    let (file, out) = (folder.at("other.pth"), folder.at("out.safetensors"));
    let with = |more: &Tensors| {
        let tensors = [prefixed("backbone."), neck("heads.bottleneck.0"), more.clone()].concat();
        checkpoint(&file, "model", &tensors);
        [&file as &str, "--out", &out, "--last-stride", "1"]
    };
    // In the trunk: nothing leaves them out.
    for (name, words) in [
        ("backbone.layer1.0.bn2.IN.weight", ["instance normalisation", "layer1.0.bn2.IN.weight"]),
        ("backbone.NL_2.0.g.weight", ["non-local", "NL_2.0.g.weight"]),
        ("backbone.layer2.3.IN.weight", ["IBN-b", "layer2.3.IN.weight"]),
    ] {
        let arguments = with(&one(name, &[2]));
        refuse(&arguments, &words);
        refuse(&[&arguments[..], &["--without-head"]].concat(), &words);
    }
    // In the head: the trunk is a start without them.
    for (name, shape, word) in [
        ("global_pool.p", &[D][..], "exponents [128]"),
        ("heads.embedding.weight", &[16, D, 1, 1], "heads.embedding.weight [16, 128, 1, 1]"),
    ] {
        let arguments = with(&one(name, shape));
        refuse(&arguments, &["other.pth", word, "--without-head"]);
        succeed(&[&arguments[..], &["--without-head"]].concat());
        check(&out, NeckKind::None, 1);
    }
}

#[test]
fn a_whole_model_is_refused_with_the_way_to_a_state_dict() {
    let folder = Folder::new();
    let file = folder.at("whole.pth");
    let whole = pickled(b"cmodeling.baseline\nBaseline\n)R");
    std::fs::write(&file, forge::zip(&whole)).unwrap();
    let words = ["modeling.baseline.Baseline", "nothing was executed", "torch.save(model.state_dict()"];
    refuse(&[&file, "--out", &folder.at("out.safetensors"), "--last-stride", "1"], &words);
}
