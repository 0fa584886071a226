//! A layer with its parameters and statistics, and one step of it.

use crate::gradient_check::noise;
use crate::on::{self, host};
use bcreid::Result;
use bcreid::autograd::{BufferId, ParamId, ParamSpecs, Params, StepValues, Tape, Var};
use bcreid::device::Device;
use bcreid::element::Shape;
use bcreid::ops::batchnorm::BatchNorm;

/// A layer's parameters and running statistics.
pub struct Layer {
    pub params: Params,
    pub gamma: ParamId,
    pub beta: ParamId,
    pub mean: BufferId,
    pub var: BufferId,
}

impl Layer {
    pub fn new(device: &Device, gamma: &[f32], beta: &[f32], mean: &[f32], var: &[f32]) -> Self {
        let mut specs = ParamSpecs::default();
        let c = gamma.len();
        let ids = (specs.add("gamma", [c]), specs.add("beta", [c]));
        let buffers = (specs.add_buffer("mean", [c], 0.0), specs.add_buffer("var", [c], 0.0));
        let mut params = Params::new(device, &specs).unwrap();
        params.get_mut(ids.0).load(gamma).unwrap();
        params.get_mut(ids.1).load(beta).unwrap();
        params.buffer_mut(buffers.0).copy_from_host_f32(mean).unwrap();
        params.buffer_mut(buffers.1).copy_from_host_f32(var).unwrap();
        Layer { params, gamma: ids.0, beta: ids.1, mean: buffers.0, var: buffers.1 }
    }

    /// Odd numbers in every place.
    pub fn noisy(device: &Device, c: usize) -> Self {
        let var: Vec<f32> = noise(13, c).iter().map(|v| v * v + 0.5).collect();
        Self::new(device, &noise(10, c), &noise(11, c), &noise(12, c), &var)
    }

    pub fn running(&self) -> [Vec<f32>; 2] {
        [self.mean, self.var].map(|id| host(self.params.buffer(id)))
    }
}

/// Everything a step computes.
#[derive(Debug, PartialEq)]
pub struct Step {
    pub y: Vec<f32>,
    pub dx: Vec<f32>,
    pub dresidual: Option<Vec<f32>>,
    pub dgamma: Vec<f32>,
    pub dbeta: Vec<f32>,
    pub running: [Vec<f32>; 2],
}

pub type Forward<'a> = &'a dyn Fn(&mut Tape<'_>, Var, BatchNorm, Option<Var>) -> Result<Var>;

/// One step on the layer's device, in its type of activations.
pub fn step(
    layer: Layer,
    shape: impl Into<Shape>,
    x: &[f32],
    residual: Option<&[f32]>,
    dy: &[f32],
    f: Forward,
) -> Step {
    step_after(layer, shape, (x, None), (residual, None), dy, f)
}

/// As [`step`], of x and residual with what their gradients hold before, if anything.
pub fn step_after(
    mut layer: Layer,
    shape: impl Into<Shape>,
    (x, earlier_dx): (&[f32], Option<&[f32]>),
    (residual, earlier_dresidual): (Option<&[f32]>, Option<&[f32]>),
    dy: &[f32],
    f: Forward,
) -> Step {
    let shape = shape.into();
    let device = layer.params.device().clone();
    let mut tape = Tape::new(&mut layer.params, &StepValues::new(&device, 0).unwrap());
    // The tape's user keeps no value, so that the operation may reuse buffers as in training.
    let x = tape.leaf(on::tensor(&device, shape, x));
    let residual = residual.map(|r| tape.leaf(on::tensor(&device, shape, r)));
    let keys = [Some(&x), residual.as_ref()].map(|v| v.map(|v| on::key(&device, v)));
    let bn = BatchNorm {
        gamma: tape.param(layer.gamma),
        beta: tape.param(layer.beta),
        mean: layer.mean,
        var: layer.var,
    };
    let y = f(&mut tape, x, bn, residual).unwrap();
    let values = host(&y.value);
    let mut seeds = vec![(y, on::tensor(&device, shape, dy))];
    for (key, earlier) in keys.iter().zip([earlier_dx, earlier_dresidual]) {
        seeds.extend(
            key.iter().zip(earlier).map(|(key, earlier)| on::earlier_gradient(&mut tape, key, earlier)),
        );
    }
    let mut grads = tape.backward(seeds).unwrap();
    let [dx, dresidual] = keys.map(|key| key.map(|key| host(&grads.take(&key).unwrap())));
    let [dgamma, dbeta] = [layer.gamma, layer.beta].map(|id| host(&layer.params.get(id).grad));
    Step { y: values, dx: dx.unwrap(), dresidual, dgamma, dbeta, running: layer.running() }
}
