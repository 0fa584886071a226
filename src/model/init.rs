//! Initial weights, from the run's seed and nothing else.

use crate::Result;
use crate::autograd::{Param, Params};
use crate::tensor::philox::{Philox, RngStream};
use rayon::prelude::*;

/// Deviation of the classifier's initial weights: small, so that all classes start nearly equal.
const CLASSIFIER_STD: f32 = 0.001;

/// Gives every parameter its initial value; parameter number p draws from Philox(seed, 0, p, Init).
pub fn initialise(params: &mut Params, seed: u64) -> Result<()> {
    for (number, param) in params.params_mut().iter_mut().enumerate() {
        let stream = Philox::new(seed, 0, number as u64, RngStream::Init);
        let n = param.value.shape().len();
        let values = match kind(param) {
            Kind::Normal(std) => (0..n).into_par_iter().map(|i| std * stream.normal(i as u32)).collect(),
            Kind::Constant(value) => vec![value; n],
        };
        param.load(&values)?;
    }
    Ok(())
}

enum Kind {
    Normal(f32),
    Constant(f32),
}

fn kind(param: &Param) -> Kind {
    match *param.value.shape().dims() {
        // [K, R, S, C]: fan-out is K R S; the gain of a rectifier is the square root of 2.
        [k, r, s, _] => Kind::Normal((2.0 / (k * r * s) as f32).sqrt()),
        [_, _] => Kind::Normal(CLASSIFIER_STD),
        _ if param.name.ends_with(".weight") => Kind::Constant(1.0),
        _ => Kind::Constant(0.0),
    }
}
