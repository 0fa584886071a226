//! The moments of all parameters, and on a GPU the tables of segments for the launches.
//!
//! Book: [chapter 10](../../../../../../docs/book/src/10-optimisers.md).

use crate::Result;
use crate::autograd::Params;
use crate::ops::param_state::{ParamState, Segments};
use crate::tensor::Tensor;

/// The moments of each parameter, f32: means of the gradients and of their squares, and for AMSGrad the largest mean
/// squares so far. On a GPU they are views of flat arrays, one for each section of parameters.
#[derive(Debug)]
pub struct Moments {
    pub(super) means: ParamState,
    pub(super) squares: ParamState,
    pub(super) largest: Option<ParamState>,
    pub(super) segments: Segments,
}

impl Moments {
    /// Allocates moments of 0 for these parameters; with `amsgrad` also the largest mean squares.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub fn new(params: &Params, amsgrad: bool) -> Result<Self> {
        Ok(Moments {
            means: ParamState::zeros(params, "means")?,
            squares: ParamState::zeros(params, "mean squares")?,
            largest: amsgrad.then(|| ParamState::zeros(params, "largest mean squares")).transpose()?,
            segments: Segments::new(params),
        })
    }

    /// Each kind of moment with the name that `torch.optim.Adam` gives it, in the order of the parameters.
    pub fn each(&self) -> Vec<(&'static str, &[Tensor])> {
        let mut each = vec![(MEAN, self.means.each()), (SQUARE, self.squares.each())];
        each.extend(self.largest.as_ref().map(|largest| (LARGEST, largest.each())));
        each
    }

    /// As [`Moments::each`], mutable.
    pub fn each_mut(&mut self) -> Vec<(&'static str, &mut [Tensor])> {
        let mut each = vec![(MEAN, self.means.each_mut()), (SQUARE, self.squares.each_mut())];
        each.extend(self.largest.as_mut().map(|largest| (LARGEST, largest.each_mut())));
        each
    }

    /// Uploads the tables of segments if multipliers or weight decay have changed; does nothing on the CPU.
    ///
    /// # Errors
    /// A device error.
    pub fn upload_segments(&mut self, params: &Params, weight_decay: f32) -> Result<()> {
        (0..params.sections()).try_for_each(|section| self.segments.upload(params, section, weight_decay))
    }
}

const MEAN: &str = "exp_avg";
const SQUARE: &str = "exp_avg_sq";
const LARGEST: &str = "max_exp_avg_sq";
