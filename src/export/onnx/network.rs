//! The network as an ONNX graph, from images to normalised features.

use super::fold::{Folded, FoldedInstance};
use super::graph::{Builder, float, int, ints};
use super::proto::TensorProto;
use super::{INPUT, OUTPUT, Options, Pixels};
use crate::autograd::Params;
use crate::data::{Channels, ImageInput};
use crate::model::Model;
use crate::model::embedding::Dense;
use crate::model::neck::{NECK, Neck};
use crate::model::pooling::EXPONENT;
use crate::model::resnet::ConvBn;
use crate::ops::gem::EPS;
use crate::ops::instancenorm::EPS as INSTANCE_EPS;
use crate::ops::l2_normalize::EPSILON;
use crate::ops::maxpool::MaxPool;

/// Builds the graph of the feature extractor.
///
/// # Errors
/// Folded weights that are not finite.
pub fn build(
    model: &Model,
    params: &Params,
    input: &ImageInput,
    options: Options,
) -> Result<Builder, String> {
    let backbone = &model.backbone;
    let mut graph = Builder::default();
    let mut images = pixels(&mut graph, input, options.pixels);
    if options.flip {
        images = with_mirrored(&mut graph, &images, input.width);
    }
    let bgr = input.channels == Channels::Bgr;
    let stem = conv(&mut graph, &images, &backbone.stem, params, bgr)?;
    let stem = relu(&mut graph, &stem);
    let mut x = pool1(&mut graph, &stem, backbone.pool1);
    for block in &backbone.blocks {
        let (last, inner) = block.convs.split_last().expect("a block has convolutions");
        let shortcut = match &block.downsample {
            Some(projection) => conv(&mut graph, &x, projection, params, false)?,
            None => x.clone(),
        };
        for layer in inner {
            let y = conv(&mut graph, &x, layer, params, false)?;
            x = relu(&mut graph, &y);
        }
        let y = conv(&mut graph, &x, last, params, false)?;
        let sum = graph.node("Add", format!("{y}.add"), &[&y, &shortcut], Vec::new());
        x = relu(&mut graph, &sum);
    }
    let pooled = pooled(&mut graph, &x, model, params)?;
    let mut features = graph.node("Flatten", "pool5", &[&pooled], vec![int("axis", 1)]);
    if let Some(embedding) = &model.embedding {
        for layer in embedding.folded(params).map_err(|e| e.to_string())? {
            features = dense(&mut graph, &features, &layer)?;
        }
    }
    if let Some(neck) = &model.neck {
        features = batchnorm(&mut graph, &features, neck, params)?;
    }
    if options.flip {
        features = sum_of_both(&mut graph, &features, model.features());
    }
    l2_normalise(&mut graph, &features);
    Ok(graph)
}

/// Smallest change of a normalised pixel that is computed: below it the caller's own rounding is larger.
const NO_CHANGE: f64 = 1e-6;

/// Adds the input normalisation: the images as normalised float `[N, 3, H, W]`. With x = u v + o, the pixel of 0 to 1
/// of a value v, (255 x scale - mean) / std is computed as (v - shift) gain, where shift = (mean / (255 scale) - o) / u
/// and gain = 255 u scale / std. This rounds less, and not at all for bytes in Caffe's convention.
fn pixels(graph: &mut Builder, input: &ImageInput, pixels: Pixels) -> String {
    let name = match pixels {
        Pixels::Bytes => {
            let cast = vec![int("to", i64::from(TensorProto::FLOAT))];
            let floats = graph.node("Cast", "images.float", &[INPUT], cast);
            graph.node("Transpose", "images.nchw", &[&floats], vec![ints("perm", &[0, 3, 1, 2])])
        }
        Pixels::Floats | Pixels::Normalised => INPUT.to_string(),
    };
    // The graph's input is always RGB.
    let channel = |c: usize| match input.channels {
        Channels::Rgb => c,
        Channels::Bgr => 2 - c,
    };
    let imagenet = ImageInput::imagenet(input.height, input.width);
    let affine = [0, 1, 2].map(|c| {
        let (mean, std) = (f64::from(input.mean[channel(c)]), f64::from(input.std[channel(c)]));
        let scale = f64::from(input.scale);
        match pixels {
            Pixels::Bytes => (mean / scale, scale / std),
            Pixels::Floats => (mean / (scale * 255.0), scale * 255.0 / std),
            Pixels::Normalised => {
                let (offset, unit) = (f64::from(imagenet.mean[c]), f64::from(imagenet.std[c]));
                ((mean / (scale * 255.0) - offset) / unit, unit * scale * 255.0 / std)
            }
        }
    });
    if affine.iter().all(|(shift, gain)| shift.abs() < NO_CHANGE && (gain - 1.0).abs() < NO_CHANGE) {
        return name;
    }
    let mean = graph.f32("images.mean", &[1, 3, 1, 1], &affine.map(|(shift, _)| shift as f32));
    let gain = graph.f32("images.gain", &[1, 3, 1, 1], &affine.map(|(_, gain)| gain as f32));
    let centred = graph.node("Sub", "images.centred", &[&name, &mean], Vec::new());
    graph.node("Mul", "images.normalised", &[&centred, &gain], Vec::new())
}

/// Appends the mirrored images: one batch of 2N, so that the network is in the graph once.
fn with_mirrored(graph: &mut Builder, name: &str, width: usize) -> String {
    let columns: Vec<i64> = (0..width as i64).rev().collect();
    let columns = graph.i64("images.columns", &columns);
    let mirrored = graph.node("Gather", "images.mirrored", &[name, &columns], vec![int("axis", 3)]);
    graph.node("Concat", "images.both", &[name, &mirrored], vec![int("axis", 0)])
}

/// Adds the pooling of the last feature map: the mean, or the generalised mean (mean of max(x, eps)^p)^(1/p).
///
/// # Errors
/// An exponent whose powers are not finite.
fn pooled(graph: &mut Builder, x: &str, model: &Model, params: &Params) -> Result<String, String> {
    let Some(p) = model.pooling.exponent(params).map_err(|e| e.to_string())? else {
        return Ok(graph.node("GlobalAveragePool", "pool5.map", &[x], Vec::new()));
    };
    let (smallest, root) = (EPS.powf(p), 1.0 / p);
    if !root.is_finite() || !smallest.is_normal() {
        return Err(format!(
            "{EXPONENT} is {p}, and f32 has no {EPS:e}^{p} or no 1/{p}; export weights with an exponent of 0.1 to 6"
        ));
    }
    let least = graph.f32("pool5.least", &[], &[EPS]);
    let power = graph.f32("pool5.exponent", &[], &[p]);
    let root = graph.f32("pool5.root", &[], &[root]);
    let raised = graph.node("Clip", "pool5.raised", &[x, &least], Vec::new());
    let powers = graph.node("Pow", "pool5.powers", &[&raised, &power], Vec::new());
    let mean = graph.node("GlobalAveragePool", "pool5.mean", &[&powers], Vec::new());
    Ok(graph.node("Pow", "pool5.map", &[&mean, &root], Vec::new()))
}

/// Adds a layer of the embedding, with its batch normalisation folded in.
///
/// # Errors
/// Folded weights that are not finite.
fn dense(graph: &mut Builder, features: &str, layer: &Dense) -> Result<String, String> {
    let Dense { name, weight, bias, relu: rectified } = layer;
    if weight.iter().chain(bias).any(|value| !value.is_finite()) {
        return Err(format!(
            "{name}: the layer is not finite with its batch normalisation; export other weights"
        ));
    }
    let outputs = bias.len();
    let weight = graph.f32(format!("{name}.weight"), &[outputs, weight.len() / outputs], weight);
    let bias = graph.f32(format!("{name}.bias"), &[outputs], bias);
    let y = graph.node("Gemm", name, &[features, &weight, &bias], vec![int("transB", 1)]);
    Ok(if *rectified { relu(graph, &y) } else { y })
}

/// Adds the neck with its running statistics folded: y = a x + b with a = gamma / sqrt(var + eps) and b = beta - a mean.
///
/// # Errors
/// Factors that are not finite.
fn batchnorm(graph: &mut Builder, features: &str, neck: &Neck, params: &Params) -> Result<String, String> {
    let affine = neck.affine(params).map_err(|e| e.to_string())?;
    let (factors, shifts): (Vec<f32>, Vec<f32>) =
        affine.iter().map(|(factor, shift)| (*factor as f32, *shift as f32)).unzip();
    if factors.iter().chain(&shifts).any(|value| !value.is_finite()) {
        return Err(format!("{NECK}*: the batch normalisation is not finite; export other weights"));
    }
    let factors = graph.f32("bottleneck.factors", &[affine.len()], &factors);
    let shifts = graph.f32("bottleneck.shifts", &[affine.len()], &shifts);
    let scaled = graph.node("Mul", "bottleneck.scaled", &[features, &factors], Vec::new());
    Ok(graph.node("Add", "bottleneck", &[&scaled, &shifts], Vec::new()))
}

/// Adds the features of each image and of its mirror image: `[2N, D]` to `[N, D]`.
fn sum_of_both(graph: &mut Builder, pool5: &str, features: usize) -> String {
    let shape = graph.i64("pool5.shape", &[2, -1, features as i64]);
    let both = graph.node("Reshape", "pool5.both", &[pool5, &shape], Vec::new());
    let axes = graph.i64("pool5.axes", &[0]);
    graph.node("ReduceSum", "pool5.sum", &[&both, &axes], vec![int("keepdims", 0)])
}

/// Divides rows by max(length, epsilon), as [`crate::ops::l2_normalize`]: a row of zeros stays zero.
fn l2_normalise(graph: &mut Builder, pool5: &str) {
    let rows = vec![ints("axes", &[1]), int("keepdims", 1)];
    let length = graph.node("ReduceL2", "features.length", &[pool5], rows);
    let epsilon = graph.f32("features.epsilon", &[], &[EPSILON as f32]);
    let divisor = graph.node("Max", "features.divisor", &[&length, &epsilon], Vec::new());
    graph.node("Div", OUTPUT, &[pool5, &divisor], Vec::new());
}

/// Adds a convolution with its batch normalisation folded in.
fn conv(
    graph: &mut Builder,
    x: &str,
    layer: &ConvBn,
    params: &Params,
    reversed: bool,
) -> Result<String, String> {
    let Folded { name, shape, weight, bias, instance } = Folded::new(layer, params, reversed)?;
    let [k, _, r, s] = shape;
    let weight = graph.f32(format!("{name}.weight"), &shape, &weight);
    let bias = graph.f32(format!("{name}.bias"), &[k], &bias);
    let attributes = vec![
        ints("kernel_shape", &[r, s]),
        ints("strides", &[layer.conv.stride; 2]),
        ints("pads", &[layer.conv.pad; 4]),
    ];
    let y = graph.node("Conv", name, &[x, &weight, &bias], attributes);
    Ok(match instance {
        Some(own) => half_instance(graph, &y, &own, k),
        None => y,
    })
}

/// Adds the instance normalisation of the first of `k` channels; the others pass.
fn half_instance(graph: &mut Builder, x: &str, own: &FoldedInstance, k: usize) -> String {
    let channels = own.gamma.len();
    let [first, rest, whole] = ["first", "rest", "whole"].map(|part| format!("{x}.{part}"));
    let sizes = graph.i64(format!("{x}.sizes"), &[channels as i64, (k - channels) as i64]);
    graph.node_of("Split", &first, &[x, &sizes], &[&first, &rest], vec![int("axis", 1)]);
    let gamma = graph.f32(format!("{x}.instance.weight"), &[channels], &own.gamma);
    let beta = graph.f32(format!("{x}.instance.bias"), &[channels], &own.beta);
    let epsilon = vec![float("epsilon", INSTANCE_EPS)];
    let normalised =
        graph.node("InstanceNormalization", format!("{x}.instance"), &[&first, &gamma, &beta], epsilon);
    graph.node("Concat", whole, &[&normalised, &rest], vec![int("axis", 1)])
}

fn relu(graph: &mut Builder, x: &str) -> String {
    graph.node("Relu", format!("{x}.relu"), &[x], Vec::new())
}

/// Adds the max pooling. ONNX's `ceil_mode` counts windows as [`crate::ops::maxpool`] does: the last window may extend
/// beyond the border.
fn pool1(graph: &mut Builder, x: &str, pool: MaxPool) -> String {
    let attributes = vec![
        ints("kernel_shape", &[pool.kernel; 2]),
        ints("strides", &[pool.stride; 2]),
        ints("pads", &[pool.pad; 4]),
        int("ceil_mode", i64::from(pool.ceil)),
    ];
    graph.node("MaxPool", "pool1", &[x], attributes)
}
