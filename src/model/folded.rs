//! A backbone for inference on the CPU: each batch normalisation is folded into the convolution before it.
//!
//! With running statistics, gamma (w x + b - mean) / sqrt(var + eps) + beta is again a convolution: filters g w and bias
//! g (b - mean) + beta, with g = gamma / sqrt(var + eps) for each output channel. Filters and biases are computed in f64,
//! rounded once, and packed once. So an activation is written once for each convolution, with residual and ReLU, where
//! layers one by one write it twice. Features differ from those of the layers one by one by rounding: in f32 by less than
//! 1e-5 of the largest. In bf16 the folded filters stay f32, and a residual is added before the result is rounded.
//!
//! Book: [chapter 8](../../../../../docs/book/src/08-normalise.md).

use super::resnet::{ConvBn, Layers, ResNet};
use crate::Result;
use crate::autograd::{ParamId, Params, Tape, Var};
use crate::ops::batchnorm::{EPS, Epilogue, Statistics};
use crate::ops::conv2d::{PackedConv, conv2d_packed};
use crate::tensor::Tensor;
use std::collections::HashMap;

/// Filters and bias of a convolution with the batch normalisation behind it.
#[derive(Clone, Debug)]
pub(crate) struct FoldedConv {
    /// Filters `[K, R, S, C]`.
    pub filters: Vec<f32>,
    /// Bias `[K]`.
    pub bias: Vec<f32>,
}

impl FoldedConv {
    /// Folds a layer, whose parameters are on the CPU. Channels with an instance normalisation, the first ones of a layer
    /// of IBN-a, stay as they are. `None` if a result is not finite.
    pub fn new(layer: &ConvBn, params: &Params) -> Option<Self> {
        let [gamma, beta] = [layer.gamma, layer.beta].map(|id| params.get(id).value.f32());
        let [mean, var] = [layer.mean, layer.var].map(|id| params.buffer(id).f32());
        let bias = layer.bias.map(|id| params.get(id).value.f32());
        let filters = &params.get(layer.weight).value;
        let before = layer.instance.map_or(0, |instance| instance.channels);
        let channels = filters.shape().dims()[0];
        // ANCHOR: fold
        let gain = |k: usize| match k.checked_sub(before) {
            None => 1.0,
            Some(own) => f64::from(gamma[own]) / (f64::from(var[own]) + f64::from(EPS)).sqrt(),
        };
        let of_channel = filters.f32().len() / channels;
        let scaled = filters.f32().chunks_exact(of_channel).enumerate().flat_map(|(k, filter)| {
            let gain = gain(k);
            filter.iter().map(move |w| (gain * f64::from(*w)) as f32)
        });
        let shifted = (0..channels).map(|k| {
            let b = bias.map_or(0.0, |bias| f64::from(bias[k]));
            match k.checked_sub(before) {
                None => b as f32,
                Some(own) => (gain(k) * (b - f64::from(mean[own])) + f64::from(beta[own])) as f32,
            }
        });
        // ANCHOR_END: fold
        let folded = FoldedConv { filters: scaled.collect(), bias: shifted.collect() };
        folded.filters.iter().chain(&folded.bias).all(|value| value.is_finite()).then_some(folded)
    }
}

/// A backbone with folded batch normalisations.
#[derive(Debug)]
pub struct FoldedResNet {
    backbone: ResNet,
    /// The folded convolutions, by their filters. An instance normalisation has no constants to fold: its layer is not
    /// here, and is computed as in training.
    convs: HashMap<ParamId, PackedConv>,
}

impl FoldedResNet {
    /// Folds and packs the layers of a backbone. `None` if the parameters are on a GPU, whose convolutions cuDNN computes,
    /// or if a folded value is not finite.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn new(backbone: &ResNet, params: &Params) -> Result<Option<Self>> {
        if params.get(backbone.stem.weight).value.gpu().is_some() {
            return Ok(None);
        }
        let (device, mut convs) = (params.device(), HashMap::new());
        for layer in backbone.layers().filter(|layer| layer.instance.is_none()) {
            let Some(folded) = FoldedConv::new(layer, params) else { return Ok(None) };
            let shape = params.get(layer.weight).value.shape();
            let filters = Tensor::from_f32(device, shape, &folded.filters)?;
            let bias = Tensor::from_f32(device, [folded.bias.len()], &folded.bias)?;
            convs.insert(layer.weight, PackedConv::new(&filters, &bias, layer.conv)?);
        }
        Ok(Some(FoldedResNet { backbone: backbone.clone(), convs }))
    }

    /// Computes the last feature map `[N, H / 32, W / 32, D]` from pixels `[N, H, W, 3]`, as [`ResNet::feature_map`] with
    /// running statistics does, up to rounding.
    ///
    /// # Errors
    /// As [`ResNet::forward`].
    pub fn feature_map(&self, tape: &mut Tape<'_>, pixels: Var) -> Result<Var> {
        self.backbone.feature_map_by(tape, pixels, self)
    }
}

impl Layers for FoldedResNet {
    fn forward(&self, layer: &ConvBn, tape: &mut Tape<'_>, x: Var, epilogue: Epilogue) -> Result<Var> {
        match self.convs.get(&layer.weight) {
            Some(conv) => conv2d_packed(tape, &x, conv, epilogue.residual.as_ref(), epilogue.relu),
            None => Statistics::Frozen.forward(layer, tape, x, epilogue),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::ParamSpecs;
    use crate::config::{Arch, Model, Wiring};
    use crate::device::Device;
    use crate::model::resnet::Spec;
    use crate::tensor::philox::{Philox, RngStream};

    fn noise(seed: u64, n: usize) -> Vec<f32> {
        let stream = Philox::new(seed, 0, 0, RngStream::Test);
        (0..n as u32).map(|i| 2.0 * stream.uniform(i) - 1.0).collect()
    }

    /// A network with uneven statistics.
    fn network(model: &Model) -> (ResNet, Params) {
        let mut specs = ParamSpecs::default();
        let network = ResNet::new(&Spec::of(model), &mut specs);
        let mut params = Params::new(&Device::cpu(), &specs).unwrap();
        params.initialise(3).unwrap();
        for (seed, layer) in (10..).step_by(4).zip(network.layers()) {
            for (seed, id) in [(seed, layer.gamma), (seed + 1, layer.beta)] {
                let n = params.get(id).value.shape().len();
                let values: Vec<f32> = noise(seed, n).iter().map(|v| 0.75 + 0.5 * v).collect();
                params.get_mut(id).load(&values).unwrap();
            }
            for (seed, id, offset) in [(seed + 2, layer.mean, 0.0), (seed + 3, layer.var, 1.5)] {
                let n = params.buffer(id).shape().len();
                let values: Vec<f32> = noise(seed, n).iter().map(|v| offset + v).collect();
                params.buffer_mut(id).copy_from_host_f32(&values).unwrap();
            }
        }
        (network, params)
    }

    #[test]
    fn folded_networks_have_the_features_of_the_layers_one_by_one() {
        let slim = Model { width: Some(32), ..Model::default() };
        for model in [
            Model { arch: Arch::Resnet50, ..slim.clone() },
            Model { arch: Arch::Resnet50, wiring: Wiring::Caffe, last_stride: 1, ..slim.clone() },
            Model { arch: Arch::Resnet50, ibn: true, width: Some(4), ..slim.clone() },
            Model { arch: Arch::Resnet18, ..slim },
        ] {
            let (network, mut params) = network(&model);
            let folded = FoldedResNet::new(&network, &params).unwrap().expect("finite filters");
            let device = Device::cpu();
            let pixels = Tensor::from_f32(&device, [2, 64, 32, 3], &noise(1, 2 * 64 * 32 * 3)).unwrap();
            let mut tape = Tape::no_grad(&mut params).unwrap();
            let pixels = tape.constant(pixels);
            let plain = network.feature_map(&mut tape, pixels.clone(), Statistics::Frozen).unwrap();
            let fused = folded.feature_map(&mut tape, pixels).unwrap();
            assert_eq!(plain.shape(), fused.shape());
            let (plain, fused) = (plain.value.f32(), fused.value.f32());
            let largest = plain.iter().fold(0.0f32, |most, v| most.max(v.abs()));
            let worst = plain.iter().zip(fused).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(largest > 0.1 && worst <= 1e-5 * largest, "{model:?}: {worst} of {largest}");
            assert!(worst > 0.0, "the same bits: was it folded?");
        }
    }

    /// A running variance below 0 gives NaN layer by layer too, and the error of that path.
    #[test]
    fn what_is_not_finite_is_not_folded() {
        let (network, mut params) = network(&Model { arch: Arch::Slim, width: Some(4), ..Model::default() });
        let var = network.blocks[1].convs[0].var;
        let values = vec![-2.0; params.buffer(var).shape().len()];
        params.buffer_mut(var).copy_from_host_f32(&values).unwrap();
        assert!(FoldedResNet::new(&network, &params).unwrap().is_none());
    }
}
