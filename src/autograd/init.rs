//! Initial values of parameters: each parameter declares a distribution, and the seed alone determines the values.

use crate::tensor::philox::{Philox, RngStream};
use rayon::prelude::*;

/// The distribution of a parameter's initial values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// The same value for every element.
    Constant(f32),
    /// A normal distribution with mean 0 and this standard deviation.
    Normal(f32),
}

impl Init {
    /// The initialisation of filters `[K, R, S, C]` before a ReLU: normal, fan-out K R S, gain 2 (He et al. 2015).
    pub fn he_fan_out([k, r, s, _]: [usize; 4]) -> Self {
        Init::Normal((2.0 / (k * r * s) as f32).sqrt())
    }

    /// The initial values of parameter `number` with `n` elements, drawn from Philox(seed, 0, number, Init).
    pub(super) fn values(self, seed: u64, number: u64, n: usize) -> Vec<f32> {
        let stream = Philox::new(seed, 0, number, RngStream::Init);
        match self {
            Init::Normal(std) => (0..n).into_par_iter().map(|i| std * stream.normal(i as u32)).collect(),
            Init::Constant(value) => vec![value; n],
        }
    }
}
