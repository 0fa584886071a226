//! Exponential moving average of the weights: a <- a + (1 - d) (w - a) for each element, with the decay d.
//!
//! As `torch.optim.swa_utils.get_ema_multi_avg_fn(d)`. The update reads no value of the step, so that a captured step
//! can be replayed. Polyak and Juditsky 1992 average with equal weights; this form forgets with a factor d.
//!
//! Book: [chapter 10](../../../../../docs/book/src/10-optimisers.md) explains the optimisers in front of it; no chapter
//! explains the average.

use crate::autograd::Params;
use crate::{Error, Result};

const OP: &str = "ema";

/// Moves every parameter of `average` towards that of `params`, in f32. The buffers and the copies for matrix products
/// of `average` stay. Both have the same parameters.
///
/// # Errors
/// If `decay` is outside [0, 1), or the parameters differ in number or shape.
///
/// # Panics
/// If a tape still holds a parameter of `average`, on the CPU.
pub fn ema(average: &mut Params, params: &Params, decay: f32) -> Result<()> {
    if !(0.0..1.0).contains(&decay) {
        return Err(Error::shape(OP, format!("decay {decay} is outside [0, 1)")));
    }
    let shapes = |params: &Params| params.params().iter().map(|p| p.value.shape()).collect::<Vec<_>>();
    if shapes(average) != shapes(params) {
        return Err(Error::shape(OP, "the average is of other parameters"));
    }
    let rest = 1.0 - decay;
    match (average.flat(), params.flat()) {
        (Some(average), Some(params)) => cuda::update(average, params, rest),
        _ => {
            cpu::update(average.params_mut(), params.params(), rest);
            Ok(())
        }
    }
}

mod cpu {
    use crate::autograd::Param;
    use rayon::prelude::*;

    /// Elements of a task: twice 64 KiB.
    const CHUNK: usize = 16 * 1024;

    pub fn update(average: &mut [Param], params: &[Param], rest: f32) {
        average.par_iter_mut().zip(params).for_each(|(average, param)| {
            let chunks = average.value.f32_mut().par_chunks_mut(CHUNK);
            chunks.zip(param.value.f32().par_chunks(CHUNK)).for_each(|(average, weights)| {
                average.iter_mut().zip(weights).for_each(|(a, w)| *a += rest * (w - *a));
            });
        });
    }
}

mod cuda {
    use crate::Result;
    use crate::autograd::FlatParams;
    use crate::device::cuda::{In, kernels};
    use crate::tensor::Tensor;

    /// Enqueues one launch for each section of parameters. The gaps between parameters are 0 in both arrays.
    pub fn update(average: &FlatParams, params: &FlatParams, rest: f32) -> Result<()> {
        for (average, params) in average.sections.iter().zip(&params.sections) {
            let Some(gpu) = params.values.gpu() else { continue };
            let n = params.values.shape().len();
            // Parameters are views of these arrays; the average is used only between steps.
            let average = Tensor::shared_out(&average.values);
            let kernel = kernels::Ema { average, weights: In::from(&params.values), rest, n };
            gpu.launch(gpu.flat(n, 4), kernel)?;
        }
        Ok(())
    }
}
