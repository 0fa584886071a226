//! An optimiser that also averages the weights: [`crate::ops::ema`] behind each step of another optimiser.

use super::Optimizer;
use crate::Result;
use crate::autograd::Params;
use crate::ops::ema::ema;
use crate::tensor::Tensor;

/// An optimiser with the moving average of the weights. The average starts at the weights that it is created with, and
/// is a set of parameters of its own: it takes the memory of the weights and of their gradients once more.
pub struct Averaged {
    inner: Box<dyn Optimizer + Send>,
    average: Params,
    decay: f32,
}

impl Averaged {
    /// Creates the average of these parameters, with `decay` in [0, 1).
    ///
    /// # Errors
    /// If the device is out of memory.
    pub fn new(params: &Params, inner: Box<dyn Optimizer + Send>, decay: f32) -> Result<Self> {
        Ok(Averaged { inner, average: params.duplicate()?, decay })
    }
}

/// The key of a parameter's average in checkpoints.
fn key(name: &str) -> String {
    format!("ema/{name}")
}

impl Optimizer for Averaged {
    fn prepare(&mut self, params: &Params) -> Result<()> {
        self.inner.prepare(params)
    }

    fn step_section(
        &mut self,
        params: &mut Params,
        section: usize,
        lr: &Tensor,
        number: &Tensor,
    ) -> Result<()> {
        self.inner.step_section(params, section, lr, number)
    }

    fn finish_step(&mut self, params: &mut Params) -> Result<()> {
        self.inner.finish_step(params)?;
        ema(&mut self.average, params, self.decay)
    }

    fn average(&mut self, params: &Params) -> Result<Option<&mut Params>> {
        for (own, current) in self.average.buffers_mut().iter_mut().zip(params.buffers()) {
            own.value.copy_from(&current.value)?;
        }
        for param in self.average.params_mut() {
            param.fill_compute_copy()?;
        }
        Ok(Some(&mut self.average))
    }

    fn state(&self, params: &Params) -> Vec<(String, &Tensor)> {
        let own = self.average.params().iter().map(|param| (key(&param.name), &param.value));
        self.inner.state(params).into_iter().chain(own).collect()
    }

    fn state_mut(&mut self, params: &Params) -> Vec<(String, &mut Tensor)> {
        let own = self.average.params_mut().iter_mut().map(|param| (key(&param.name), &mut param.value));
        self.inner.state_mut(params).into_iter().chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::ParamSpecs;
    use crate::device::Device;
    use crate::ops::sgd::{Convention, Sgd};
    use crate::optim::MomentumSgd;

    /// The average trails the weights, has their buffers as they are, and is a state with the optimiser's own.
    #[test]
    fn the_average_follows_the_weights_and_takes_their_buffers() {
        let device = Device::cpu();
        let mut specs = ParamSpecs::default();
        let (w, mean) = (specs.add("w", [2]), specs.add_buffer("mean", [1], 0.0));
        let mut params = Params::new(&device, &specs).unwrap();
        params.get_mut(w).load(&[1.0, 2.0]).unwrap();
        params.get_mut(w).grad.copy_from_host_f32(&[1.0, -1.0]).unwrap();
        let constants =
            Sgd { momentum: 0.0, weight_decay: 0.0, convention: Convention::PyTorch, nesterov: false };
        let inner = Box::new(MomentumSgd::new(&params, constants).unwrap());
        let mut optimizer = Averaged::new(&params, inner, 0.75).unwrap();
        let (lr, number) =
            (Tensor::full(&device, [1], 1.0).unwrap(), Tensor::from_i32(&device, [1], &[0]).unwrap());
        for average in [[0.75, 2.25], [0.3125, 2.6875]] {
            optimizer.step(&mut params, &lr, &number).unwrap();
            let own = optimizer.average(&params).unwrap().unwrap();
            assert_eq!(own.get(w).value.f32(), average);
        }
        assert_eq!(params.get(w).value.f32(), [-1.0, 4.0], "the weights themselves do not change");
        params.buffer_mut(mean).copy_from_host_f32(&[5.0]).unwrap();
        assert_eq!(optimizer.average(&params).unwrap().unwrap().buffer(mean).f32(), [5.0]);
        let names: Vec<String> = optimizer.state(&params).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["momentum/w", "ema/w"]);
    }
}
