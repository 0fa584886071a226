//! The pooling of the last feature map to pool5: the mean, or the generalised mean with a learnt exponent.

use crate::Result;
use crate::autograd::{Init, ParamId, ParamSpecs, Params, Tape, Var};
use crate::config;
use crate::ops::gem::gem;
use crate::ops::global_avg_pool::global_avg_pool;

/// The name of the exponent in weight files.
pub const EXPONENT: &str = "pool.p";

/// The exponent at the start of a training, as in fast-reid and AGW.
const START: f32 = 3.0;

/// A pooling over all positions.
#[derive(Clone, Copy, Debug)]
pub struct Pooling {
    /// `None` for the mean.
    exponent: Option<ParamId>,
}

impl Pooling {
    /// Adds `pool.p` `[1]` to `specs` for the generalised mean. `lr_mult` is the factor on its learning rate.
    pub fn new(kind: config::Pooling, lr_mult: f32, specs: &mut ParamSpecs) -> Self {
        let exponent = match kind {
            config::Pooling::Average => None,
            config::Pooling::Gem => Some(specs.add_with(EXPONENT, [1], Init::Constant(START), lr_mult)),
        };
        Pooling { exponent }
    }

    /// Pools a feature map `[N, H, W, C]`: `[N, C]`.
    ///
    /// # Errors
    /// If the map has no position.
    pub fn forward(&self, tape: &mut Tape<'_>, map: Var) -> Result<Var> {
        match self.exponent {
            None => global_avg_pool(tape, map),
            Some(exponent) => {
                let p = tape.param(exponent);
                gem(tape, map, p)
            }
        }
    }

    /// The exponent of the generalised mean; `None` for the mean.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn exponent(&self, params: &Params) -> Result<Option<f32>> {
        self.exponent.map(|id| Ok(params.get(id).value.to_host_f32()?[0])).transpose()
    }
}
