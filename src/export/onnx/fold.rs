//! Folding of batch normalisation into the convolution before it.
//!
//! With running statistics, gamma (w x + b - mean) / sqrt(var + eps) + beta is again a convolution: filters g w and
//! bias g (b - mean) + beta, with g = gamma / sqrt(var + eps) for each output channel. The folded weights are
//! computed in f64 and rounded once; a runtime saves one pass over every activation.

use crate::autograd::Params;
use crate::model::resnet::ConvBn;
use crate::ops::batchnorm::EPS;

/// Filters and bias of a folded convolution.
#[derive(Clone, Debug)]
pub struct Folded {
    /// Name of the layer in weight files, such as `layer1.0.conv1`.
    pub name: String,
    /// Shape of the filters, `[K, C, R, S]` in ONNX's order; weight files have KRSC.
    pub shape: [usize; 4],
    /// Filters.
    pub weight: Vec<f32>,
    /// Bias `[K]`.
    pub bias: Vec<f32>,
    /// The instance normalisation of the first channels, which cannot be folded; `None` but for IBN-a.
    pub instance: Option<FoldedInstance>,
}

/// Scale and shift of an instance normalisation, one each for its channels.
#[derive(Clone, Debug)]
pub struct FoldedInstance {
    /// The scale.
    pub gamma: Vec<f32>,
    /// The shift.
    pub beta: Vec<f32>,
}

impl Folded {
    /// Folds the batch normalisation of `layer` into its convolution. `reversed` reverses the order of the input's
    /// channels, which turns a network for BGR into one for RGB.
    ///
    /// # Errors
    /// Folded weights that are not finite.
    pub fn new(layer: &ConvBn, params: &Params, reversed: bool) -> Result<Self, String> {
        let weight = params.get(layer.weight);
        let name = weight.name.strip_suffix(".weight").unwrap_or(&weight.name).to_string();
        let [k, r, s, c] = weight.value.shape().nhwc().expect("filters have four dimensions");
        let [gamma, beta] = [layer.gamma, layer.beta].map(|id| params.get(id).value.f32());
        let [mean, var] = [layer.mean, layer.var].map(|id| params.buffer(id).f32());
        let bias = layer.bias.map(|id| params.get(id).value.f32());

        let instance = layer.instance.map(|own| {
            let [gamma, beta] = [own.gamma, own.beta].map(|id| params.get(id).value.f32().to_vec());
            FoldedInstance { gamma, beta }
        });
        // The channels of an instance normalisation, in front of the others, stay as they are.
        let before = instance.as_ref().map_or(0, |own| own.gamma.len());
        let gain = |k: usize| match k.checked_sub(before) {
            None => 1.0,
            Some(k) => f64::from(gamma[k]) / (f64::from(var[k]) + f64::from(EPS)).sqrt(),
        };
        let filters = weight.value.f32();
        let mut folded = Vec::with_capacity(filters.len());
        for k in 0..k {
            let gain = gain(k);
            for c in (0..c).map(|at| if reversed { c - 1 - at } else { at }) {
                folded.extend((0..r * s).map(|tap| {
                    let w = filters[(k * r * s + tap) * weight.value.shape().last() + c];
                    (gain * f64::from(w)) as f32
                }));
            }
        }
        let bias: Vec<f32> = (0..k)
            .map(|k| {
                let b = bias.map_or(0.0, |bias| f64::from(bias[k]));
                match k.checked_sub(before) {
                    None => b as f32,
                    Some(own) => (gain(k) * (b - f64::from(mean[own])) + f64::from(beta[own])) as f32,
                }
            })
            .collect();
        match bias.iter().chain(&folded).all(|v| v.is_finite()) {
            true => Ok(Folded { name, shape: [k, c, r, s], weight: folded, bias, instance }),
            false => Err(format!(
                "{name}: folding the batch normalisation gives non-finite weights (is a running variance below 0?)"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::ParamSpecs;
    use crate::config::{Arch, Model, Wiring};
    use crate::device::Device;
    use crate::model::resnet::{ResNet, Spec};

    /// conv1 of Caffe's wiring, with bias, normalisation and reversed input channels.
    #[test]
    fn the_folded_convolution_equals_convolution_and_normalisation() {
        let spec =
            Spec::of(&Model { arch: Arch::Slim, width: Some(2), wiring: Wiring::Caffe, ..Model::default() });
        let mut specs = ParamSpecs::default();
        let stem = ResNet::new(&spec, &mut specs).stem;
        let mut params = Params::new(&Device::cpu(), &specs).unwrap();
        let filters: Vec<f32> = (0..2 * 49 * 3).map(|i| ((i * 37 % 101) as f32 - 50.0) / 64.0).collect();
        let (bias, gamma, beta) = ([0.5, -0.25], [1.5, 0.0], [0.125, -2.0]);
        let (mean, var) = ([-3.0, 0.75], [4.0, 1e-6]);
        params.get_mut(stem.weight).load(&filters).unwrap();
        for (id, values) in [(stem.bias.unwrap(), &bias), (stem.gamma, &gamma), (stem.beta, &beta)] {
            params.get_mut(id).load(values).unwrap();
        }
        for (id, values) in [(stem.mean, &mean), (stem.var, &var)] {
            params.buffer_mut(id).copy_from_host_f32(values).unwrap();
        }

        let folded = Folded::new(&stem, &params, true).unwrap();
        assert_eq!((folded.name.as_str(), folded.shape), ("conv1", [2, 3, 7, 7]));
        // Input values under the filter, by tap and channel.
        let under = |tap: usize, c: usize| ((tap * 3 + c) * 13 % 17) as f64 - 8.0;
        for k in 0..2 {
            let taps = (0..49).flat_map(|tap| (0..3).map(move |c| (tap, c)));
            let plain: f64 =
                taps.clone().map(|(tap, c)| f64::from(filters[(k * 49 + tap) * 3 + c]) * under(tap, c)).sum();
            let std = (f64::from(var[k]) + f64::from(EPS)).sqrt();
            let normalised = f64::from(gamma[k]) * (plain + f64::from(bias[k]) - f64::from(mean[k])) / std;
            let expected = normalised + f64::from(beta[k]);
            let reversed =
                taps.map(|(tap, c)| f64::from(folded.weight[(k * 3 + 2 - c) * 49 + tap]) * under(tap, c));
            let found = reversed.sum::<f64>() + f64::from(folded.bias[k]);
            assert!((found - expected).abs() < 1e-4, "channel {k}: {found} instead of {expected}");
        }
    }
}
