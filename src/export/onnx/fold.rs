//! Folded convolutions in ONNX's order.

use crate::autograd::Params;
use crate::model::folded::FoldedConv;
use crate::model::resnet::ConvBn;

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
        let [k, r, s, channels] = weight.value.shape().nhwc().expect("filters have four dimensions");
        let instance = layer.instance.map(|own| {
            let [gamma, beta] = [own.gamma, own.beta].map(|id| params.get(id).value.f32().to_vec());
            FoldedInstance { gamma, beta }
        });
        let Some(folding) = FoldedConv::new(layer, params) else {
            return Err(format!(
                "{name}: folding the batch normalisation gives non-finite weights (is a running variance below 0?)"
            ));
        };
        let mut filters = Vec::with_capacity(folding.filters.len());
        for k in 0..k {
            for c in (0..channels).map(|at| if reversed { channels - 1 - at } else { at }) {
                filters.extend((0..r * s).map(|tap| folding.filters[(k * r * s + tap) * channels + c]));
            }
        }
        Ok(Folded { name, shape: [k, channels, r, s], weight: filters, bias: folding.bias, instance })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::ParamSpecs;
    use crate::config::{Arch, Model, Wiring};
    use crate::device::Device;
    use crate::model::resnet::{ResNet, Spec};
    use crate::ops::batchnorm::EPS;

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
