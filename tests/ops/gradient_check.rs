//! A finite-difference checker in the manner of Caffe's `GradientChecker`, made harder to fool:
//!
//! - the loss is a *random-weighted* sum of the outputs, so that a wrong sign or a swapped channel cannot
//!   cancel out;
//! - every gradient buffer already holds noise when the operation's backward runs, and must hold noise +
//!   gradient after: an operation that overwrites instead of adding fails; a second pass checks the first
//!   writer's way (garbage in the buffer, which must be overwritten);
//! - sums run in f64 from f32 outputs.

use bcreid::Result;
use bcreid::autograd::{ParamSpecs, Params, StepValues, Tape, Var};
use bcreid::device::Device;
use bcreid::element::Shape;
use bcreid::ops::add::add;
use bcreid::tensor::Tensor;
use bcreid::tensor::philox::{Philox, RngStream};

/// Random values in [-1, 1), always the same for the same `seed`.
pub fn noise(seed: u64, n: usize) -> Vec<f32> {
    let stream = Philox::new(seed, 0, 0, RngStream::Test);
    (0..n as u32).map(|i| 2.0 * stream.uniform(i) - 1.0).collect()
}

/// One differentiable input of an operation under test.
#[derive(Clone)]
pub struct Input {
    pub shape: Shape,
    pub values: Vec<f32>,
}

impl Input {
    pub fn new(shape: impl Into<Shape>, values: Vec<f32>) -> Self {
        Input { shape: shape.into(), values }
    }

    /// Noise in [-1, 1).
    pub fn noise(shape: impl Into<Shape>, seed: u64) -> Self {
        let shape = shape.into();
        Input { shape, values: noise(seed, shape.len()) }
    }
}

/// How far an analytic gradient may lie from the numeric one: |a - n| <= tolerance * max(1, |a|, |n|).
pub struct Check {
    pub step: f32,
    pub tolerance: f64,
    /// Contents of the buffers the tape's parameters shall have, in this order.
    pub buffers: Vec<Vec<f32>>,
}

impl Default for Check {
    fn default() -> Self {
        Check { step: 1e-2, tolerance: 2e-3, buffers: Vec::new() }
    }
}

impl Check {
    /// Parameters with the buffers asked for.
    pub fn params(&self, device: &Device) -> Params {
        let mut specs = ParamSpecs::default();
        let add = |values: &Vec<f32>| specs.add_buffer("buffer", [values.len()], 0.0);
        let ids: Vec<_> = self.buffers.iter().map(add).collect();
        let mut params = Params::new(device, &specs).unwrap();
        for (id, values) in ids.into_iter().zip(&self.buffers) {
            params.buffer_mut(id).copy_from_host_f32(values).unwrap();
        }
        params
    }

    /// Checks the gradient of `op` with respect to each of `inputs`, on a device that computes in f32; `op` must be a
    /// pure function of them and of the buffers.
    pub fn run(&self, device: &Device, inputs: &[Input], op: impl Fn(&mut Tape<'_>, &[Var]) -> Result<Var>) {
        let output = |values: &[Vec<f32>]| -> Vec<f32> {
            let mut params = self.params(device);
            let step = StepValues::new(device, 1).unwrap();
            let mut tape = Tape::new(&mut params, &step);
            let vars: Vec<Var> = inputs
                .iter()
                .zip(values)
                .map(|(i, v)| tape.leaf(Tensor::from_f32(device, i.shape, v).unwrap()))
                .collect();
            op(&mut tape, &vars).expect("forward").value.to_host_f32().unwrap()
        };
        let values: Vec<Vec<f32>> = inputs.iter().map(|i| i.values.clone()).collect();
        let weights = noise(99, output(&values).len());
        let loss = |values: &[Vec<f32>]| -> f64 {
            output(values).iter().zip(&weights).map(|(&y, &w)| f64::from(y) * f64::from(w)).sum()
        };
        // ANCHOR: loop
        for accumulate in [false, true] {
            let analytic = self.analytic(device, inputs, &weights, accumulate, &op);
            for (i, input) in inputs.iter().enumerate() {
                for j in 0..input.values.len() {
                    let at = |delta: f32| {
                        let mut moved = values.clone();
                        moved[i][j] += delta;
                        (f64::from(moved[i][j]), loss(&moved))
                    };
                    let ((x1, l1), (x0, l0)) = (at(self.step), at(-self.step));
                    let numeric = (l1 - l0) / (x1 - x0);
                    let analytic = f64::from(analytic[i][j]);
                    let scale = 1.0_f64.max(numeric.abs()).max(analytic.abs());
                    assert!(
                        (analytic - numeric).abs() <= self.tolerance * scale,
                        "input {i}, element {j} (accumulate: {accumulate}): analytic {analytic}, numeric {numeric}"
                    );
                }
            }
        }
        // ANCHOR_END: loop
    }

    /// The gradients the tape gives. With `accumulate`, every input is also the second input of an `add`
    /// recorded after the operation, seeded with noise, so that the operation finds its gradient buffers
    /// filled; the noise is subtracted again here.
    fn analytic(
        &self,
        device: &Device,
        inputs: &[Input],
        weights: &[f32],
        accumulate: bool,
        op: &impl Fn(&mut Tape<'_>, &[Var]) -> Result<Var>,
    ) -> Vec<Vec<f32>> {
        poison(device, inputs);
        let mut params = self.params(device);
        let step = StepValues::new(device, 1).unwrap();
        let mut tape = Tape::new(&mut params, &step);
        let vars: Vec<Var> =
            inputs.iter().map(|i| tape.leaf(Tensor::from_f32(device, i.shape, &i.values).unwrap())).collect();
        let y = op(&mut tape, &vars).expect("forward");
        let seed = Tensor::from_f32(device, y.shape(), weights).unwrap();
        let mut seeds = vec![(y, seed)];
        let fill: Vec<Vec<f32>> =
            inputs.iter().enumerate().map(|(i, x)| noise(7 + i as u64, x.values.len())).collect();
        // ANCHOR: noise
        if accumulate {
            for ((input, var), fill) in inputs.iter().zip(&vars).zip(&fill) {
                let zero = tape.constant(Tensor::zeros(device, input.shape).unwrap());
                let sum = add(&mut tape, zero, var.clone()).expect("add");
                seeds.push((sum, Tensor::from_f32(device, input.shape, fill).unwrap()));
            }
        }
        // ANCHOR_END: noise
        let mut grads = tape.backward(seeds).expect("backward");
        vars.iter()
            .zip(&fill)
            .zip(inputs)
            .map(|((var, fill), input)| {
                let grad = grads
                    .take(var)
                    .map_or_else(|| vec![0.0; input.values.len()], |g| g.to_host_f32().unwrap());
                grad.iter().zip(fill).map(|(g, f)| if accumulate { g - f } else { *g }).collect()
            })
            .collect()
    }
}

// ANCHOR: poison
/// Leaves NaN in the device's free buffers, so that an element that is not written shows.
fn poison(device: &Device, inputs: &[Input]) {
    let blocks: Vec<Tensor> = inputs
        .iter()
        .flat_map(|i| (0..8).map(|_| Tensor::full(device, i.shape, f32::NAN).unwrap()))
        .collect();
    drop(blocks);
}
// ANCHOR_END: poison
