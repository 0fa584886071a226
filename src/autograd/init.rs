//! Initial values, declared where a parameter is, drawn from a seed and nothing else.

use super::Params;
use crate::Result;
use crate::tensor::philox::{Philox, RngStream};
use rayon::prelude::*;

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every element is this.
    Constant(f32),
    /// Normal with mean 0 and this deviation.
    Normal(f32),
}

impl Init {
    /// Filters `[K, R, S, C]` in front of a rectifier: normal, fan-out K R S, gain 2 (He et al. 2015).
    pub fn he_fan_out([k, r, s, _]: [usize; 4]) -> Self {
        Init::Normal((2.0 / (k * r * s) as f32).sqrt())
    }
}

impl Params {
    /// Gives every parameter its initial value; parameter number p draws from Philox(seed, 0, p, Init).
    ///
    /// # Errors
    /// Errors of the device.
    pub fn initialise(&mut self, seed: u64) -> Result<()> {
        for (number, param) in self.params_mut().iter_mut().enumerate() {
            let stream = Philox::new(seed, 0, number as u64, RngStream::Init);
            let n = param.value.shape().len();
            let values = match param.init {
                Init::Normal(std) => (0..n).into_par_iter().map(|i| std * stream.normal(i as u32)).collect(),
                Init::Constant(value) => vec![value; n],
            };
            param.load(&values)?;
        }
        Ok(())
    }
}
