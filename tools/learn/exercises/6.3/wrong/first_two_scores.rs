// Expect: only the classes 0 and 1
//! The network of examples/mlp.rs, for any number of spirals.

use bcreid::autograd::{Init, ParamId, ParamSpecs, Params, StepValues, Tape, Var};
use bcreid::device::Device;
use bcreid::ops::linear::linear;
use bcreid::ops::relu::relu;
use bcreid::ops::sgd::{Convention, Sgd};
use bcreid::ops::softmax_cross_entropy::softmax_cross_entropy;
use bcreid::optim::{MomentumSgd, Optimizer};
use bcreid::tensor::Tensor;

const HIDDEN: usize = 48;
const STEPS: u64 = 800;
const LEARNING_RATE: f32 = 0.1;

#[derive(Clone, Copy)]
struct Layer {
    weights: ParamId,
    bias: ParamId,
}

impl Layer {
    fn new(specs: &mut ParamSpecs, name: &str, inputs: usize, outputs: usize) -> Self {
        let init = Init::Normal((2.0 / inputs as f32).sqrt());
        Layer {
            weights: specs.add_with(format!("{name}.weight"), [outputs, inputs], init, 1.0),
            bias: specs.add(format!("{name}.bias"), [outputs]),
        }
    }

    fn forward(self, tape: &mut Tape<'_>, x: Var) -> bcreid::Result<Var> {
        let (weights, bias) = (tape.param(self.weights), tape.param(self.bias));
        linear(tape, x, weights, bias)
    }
}

/// A trained network.
pub struct Network {
    layers: [Layer; 3],
    params: Params,
    classes: usize,
}

impl Network {
    /// Trains on points `[n, 2]` by rows with labels `[n]`, which are 0 to classes - 1.
    pub fn train(points: &[f32], labels: &[i32], classes: usize) -> bcreid::Result<Self> {
        let device = Device::cpu();
        let mut specs = ParamSpecs::default();
        let layers = [
            Layer::new(&mut specs, "first", 2, HIDDEN),
            Layer::new(&mut specs, "second", HIDDEN, HIDDEN),
            Layer::new(&mut specs, "third", HIDDEN, classes),
        ];
        let mut params = Params::new(&device, &specs)?;
        params.initialise(0)?;
        let constants =
            Sgd { momentum: 0.9, weight_decay: 0.0, convention: Convention::PyTorch, nesterov: false };
        let mut optimizer = MomentumSgd::new(&params, constants)?;
        optimizer.prepare(&params)?;
        let points = Tensor::from_f32(&device, [labels.len(), 2], points)?;
        let labels = Tensor::from_i32(&device, [labels.len()], labels)?;
        let mut values = StepValues::new(&device, 0)?.with_scalars(&["lr"])?;
        for step in 0..STEPS {
            values.set(step, &[("lr", LEARNING_RATE)])?;
            let mut tape = Tape::new(&mut params, &values);
            let x = tape.constant(points.clone());
            let scores = forward(&layers, &mut tape, x)?;
            let loss = softmax_cross_entropy(&mut tape, scores, &labels)?;
            tape.backward(vec![(loss, Tensor::full(&device, [1], 1.0)?)])?;
            optimizer.step(&mut params, values.scalar("lr")?, &values.step)?;
        }
        Ok(Network { layers, params, classes })
    }

    /// The class of each of the points `[n, 2]`.
    pub fn classes(&mut self, points: &[f32]) -> bcreid::Result<Vec<i32>> {
        let points = Tensor::from_f32(self.params.device(), [points.len() / 2, 2], points)?;
        let mut tape = Tape::no_grad(&mut self.params)?;
        let points = tape.constant(points);
        let scores = forward(&self.layers, &mut tape, points)?.value.to_host_f32()?;
        let largest = |z: &[f32]| (0..2usize).max_by(|&i, &j| z[i].total_cmp(&z[j])).unwrap_or(0) as i32;
        Ok(scores.chunks_exact(self.classes).map(largest).collect())
    }
}

fn forward([first, second, third]: &[Layer; 3], tape: &mut Tape<'_>, points: Var) -> bcreid::Result<Var> {
    let h = first.forward(tape, points)?;
    let h = relu(tape, h)?;
    let h = second.forward(tape, h)?;
    let h = relu(tape, h)?;
    third.forward(tape, h)
}
