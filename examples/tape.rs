//! A reverse-mode tape in about 100 lines: how `bcreid::autograd` works, in small.
//!
//!     cargo run --release --example tape [-- --device cuda]
//!
//! The mathematics. A network is a chain of operations y = f(a, b, ...), and its last value is the loss L. Write dv =
//! dL/dv for the gradient of the loss by a value v. The chain rule goes from the output of an operation to its
//! inputs:
//!
//!     da += (dy/da)^T dy        for each input a of the operation
//!
//! It adds because a value may be used more than once, and then its gradient is the sum over its uses. So reverse-mode
//! differentiation takes three steps:
//!
//! 1. Run the operations, and write down for each which values went in and which came out: the tape.
//! 2. Set dL = 1, and walk the tape backwards. By the time an operation's turn comes, all users of its output have had
//!    theirs, so dy is complete.
//! 3. Each operation turns its dy into the gradients of its inputs. The first writer of a gradient overwrites (there is
//!    nothing to add to, and nobody has to clear the buffer before), each later one adds.
//!
//! The example differentiates a small network with its own tape and with `bcreid::autograd::Tape`, and compares:
//!
//!     h = x A^T + a                      x [4, 3], A [5, 3], a [5], h [4, 5]
//!     s = h + relu(h B^T + b)            B [5, 5], b [5]: h is used twice, as in a residual block
//!     L = cross entropy(s B^T + b, labels)       B and b are used twice: shared weights
//!
//! The small tape is in f64 on the host. It leaves out what the library's has besides: devices, gradients that nobody
//! wants, buffers used again in place, and parameters with gradient buffers of their own.

use bcreid::autograd::{Params, StepValues};
use bcreid::device::{Device, Precision};
use bcreid::ops::add::add;
use bcreid::ops::linear::linear;
use bcreid::ops::relu::relu;
use bcreid::ops::softmax_cross_entropy::softmax_cross_entropy;
use bcreid::tensor::Tensor;
use bcreid::tensor::philox::{Philox, RngStream};
use clap::Parser;
use std::error::Error;
use std::process::ExitCode;

/// The small tape.
mod small {
    use std::rc::Rc;

    /// A matrix on the tape: its number, its content by rows, and its sizes. Cloning it shares the content.
    #[derive(Clone)]
    pub struct Var {
        pub id: usize,
        pub value: Rc<[f64]>,
        pub shape: [usize; 2],
    }

    /// Whether a gradient buffer already holds something to add to.
    #[derive(Clone, Copy, Debug)]
    pub enum Mode {
        Overwrite,
        Accumulate,
    }

    impl Mode {
        /// Writes the values, or adds them.
        fn store(self, to: &mut [f64], values: impl Iterator<Item = f64>) {
            match self {
                Mode::Overwrite => to.iter_mut().zip(values).for_each(|(to, value)| *to = value),
                Mode::Accumulate => to.iter_mut().zip(values).for_each(|(to, value)| *to += value),
            }
        }
    }

    // ANCHOR: sinks
    /// Where an operation puts the gradients of its inputs, which are numbered as it recorded them.
    pub struct Sinks<'a> {
        op: &'static str,
        inputs: &'a [Var],
        grads: &'a mut [Option<Vec<f64>>],
    }

    impl Sinks<'_> {
        /// Stores `values` as the gradient of an input: the first writer overwrites, later ones add.
        pub fn add(&mut self, input: usize, values: impl Iterator<Item = f64>) {
            let var = &self.inputs[input];
            let grad = &mut self.grads[var.id];
            let mode = if grad.is_none() { Mode::Overwrite } else { Mode::Accumulate };
            println!("    {:<22} input {input} = value {}: {mode:?}", self.op, var.id);
            // NaN stands for what a reused buffer holds. Whoever added where it must overwrite would spoil the result.
            mode.store(grad.get_or_insert_with(|| vec![f64::NAN; var.value.len()]), values);
        }
    }
    // ANCHOR_END: sinks

    // ANCHOR: small_tape
    /// How an operation turns the gradient of its output into those of its inputs. The values it needs for that are
    /// saved in the closure.
    type Backward = Box<dyn FnOnce(&[f64], &mut Sinks)>;

    /// One line of the tape.
    struct Node {
        op: &'static str,
        inputs: Vec<Var>,
        output: usize,
        backward: Backward,
    }

    #[derive(Default)]
    pub struct Tape {
        nodes: Vec<Node>,
        /// Values so far.
        count: usize,
    }

    impl Tape {
        /// A value that no operation made: an input or a weight.
        pub fn leaf(&mut self, shape: [usize; 2], value: Vec<f64>) -> Var {
            self.count += 1;
            Var { id: self.count - 1, value: value.into(), shape }
        }

        /// Writes an operation down and returns its output.
        pub fn record(
            &mut self,
            op: &'static str,
            inputs: &[&Var],
            shape: [usize; 2],
            output: Vec<f64>,
            backward: impl FnOnce(&[f64], &mut Sinks) + 'static,
        ) -> Var {
            let inputs = inputs.iter().copied().cloned().collect();
            let output = self.leaf(shape, output);
            self.nodes.push(Node { op, inputs, output: output.id, backward: Box::new(backward) });
            output
        }

        /// Walks the tape backwards from `loss`; returns the gradient of each leaf, by its number.
        pub fn backward(self, loss: &Var) -> Vec<Option<Vec<f64>>> {
            let mut grads = vec![None; self.count];
            grads[loss.id] = Some(vec![1.0]);
            for node in self.nodes.into_iter().rev() {
                // No gradient: the loss does not depend on this output.
                let Some(dy) = grads[node.output].take() else { continue };
                let mut sinks = Sinks { op: node.op, inputs: &node.inputs, grads: &mut grads };
                (node.backward)(&dy, &mut sinks);
            }
            grads
        }
    }
    // ANCHOR_END: small_tape

    // ANCHOR: small_ops
    /// y = x w^T + b of x `[m, c]`, w `[k, c]`, b `[1, k]`: `[m, k]`. dx = dy w, dw = dy^T x, db = sum of dy's rows.
    pub fn linear(tape: &mut Tape, x: &Var, w: &Var, b: &Var) -> Var {
        let ([m, c], k) = (x.shape, w.shape[0]);
        let y = |i: usize, j: usize| (0..c).map(|l| x.value[i * c + l] * w.value[j * c + l]).sum::<f64>();
        let y = (0..m * k).map(|at| y(at / k, at % k) + b.value[at % k]).collect();
        let (saved_x, saved_w) = (x.value.clone(), w.value.clone());
        tape.record("linear", &[x, w, b], [m, k], y, move |dy, sinks| {
            let dx = |i, l| (0..k).map(|j| dy[i * k + j] * saved_w[j * c + l]).sum();
            let dw = |j, l| (0..m).map(|i| dy[i * k + j] * saved_x[i * c + l]).sum();
            sinks.add(0, (0..m * c).map(|at| dx(at / c, at % c)));
            sinks.add(1, (0..k * c).map(|at| dw(at / c, at % c)));
            sinks.add(2, (0..k).map(|j| (0..m).map(|i| dy[i * k + j]).sum()));
        })
    }
    // ANCHOR_END: small_ops

    /// y = max(x, 0). dx = dy where y > 0, else 0.
    pub fn relu(tape: &mut Tape, x: &Var) -> Var {
        let y: Vec<f64> = x.value.iter().map(|x| x.max(0.0)).collect();
        let saved = y.clone();
        tape.record("relu", &[x], x.shape, y, move |dy, sinks| {
            sinks.add(0, dy.iter().zip(&saved).map(|(dy, y)| if *y > 0.0 { *dy } else { 0.0 }));
        })
    }

    /// y = a + b. da = dy, db = dy.
    pub fn add(tape: &mut Tape, a: &Var, b: &Var) -> Var {
        let y = a.value.iter().zip(b.value.iter()).map(|(a, b)| a + b).collect();
        tape.record("add", &[a, b], a.shape, y, |dy, sinks| {
            sinks.add(0, dy.iter().copied());
            sinks.add(1, dy.iter().copied());
        })
    }

    /// L = -(1/m) sum_i log p_i\[label_i\] with p_i = softmax(z_i), z `[m, n]`. dz = (p - \[j = label_i\]) dL / m.
    pub fn softmax_cross_entropy(tape: &mut Tape, z: &Var, labels: &'static [i32]) -> Var {
        let [m, n] = z.shape;
        let softmax = |row: &[f64]| -> Vec<f64> {
            let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let exp: Vec<f64> = row.iter().map(|z| (z - max).exp()).collect();
            let sum: f64 = exp.iter().sum();
            exp.into_iter().map(|e| e / sum).collect()
        };
        let p: Vec<f64> = z.value.chunks_exact(n).flat_map(softmax).collect();
        let label = move |at: usize| f64::from(u8::from(at % n == labels[at / n] as usize));
        let loss: f64 = (0..m * n).map(|at| -label(at) * p[at].ln()).sum();
        tape.record("softmax_cross_entropy", &[z], [1, 1], vec![loss / m as f64], move |dy, sinks| {
            sinks.add(0, p.iter().enumerate().map(|(at, p)| (p - label(at)) * dy[0] / m as f64));
        })
    }
}

/// Name and shape of the values the network starts from.
const LEAVES: [(&str, [usize; 2]); 5] =
    [("x", [4, 3]), ("A", [5, 3]), ("a", [1, 5]), ("B", [5, 5]), ("b", [1, 5])];
/// The class of each row of x.
const LABELS: [i32; 4] = [0, 3, 1, 4];
/// How far the library's gradients, of f32, may lie from ours of f64.
const TOLERANCE: f64 = 1e-5;

/// Compares two ways to differentiate one network.
#[derive(Parser)]
struct Arguments {
    /// Compute device: cpu, cuda or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tape: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let (device, which) = Device::choose(&arguments.device, Precision::F32)?;
    println!("{which}");
    // Numbers in [-1, 1), the same on each run.
    let numbers = |leaf: usize, n: usize| -> Vec<f32> {
        let stream = Philox::new(0, 0, leaf as u64, RngStream::Init);
        (0..n as u32).map(|i| 2.0 * stream.uniform(i) - 1.0).collect()
    };
    let leaves: Vec<Vec<f32>> = LEAVES.iter().enumerate().map(|(i, (_, [r, c]))| numbers(i, r * c)).collect();

    println!("the walk backwards: which operation writes which gradient");
    let (our_loss, ours) = with_small_tape(&leaves);
    let (their_loss, theirs) = with_library(&device, &leaves)?;
    println!("loss: {our_loss:.6} here, {their_loss:.6} in the library");
    let mut differences = vec![(our_loss - f64::from(their_loss)).abs()];
    for (((name, shape), ours), theirs) in LEAVES.iter().zip(&ours).zip(&theirs) {
        println!("d{name} {shape:?}: [{:.6}, ...] here, [{:.6}, ...] in the library", ours[0], theirs[0]);
        differences.extend(ours.iter().zip(theirs).map(|(ours, theirs)| (ours - f64::from(*theirs)).abs()));
    }
    // Not `f64::max`, which ignores a NaN.
    let larger = |a: f64, b: f64| if a.is_nan() || a >= b { a } else { b };
    let largest = differences.into_iter().fold(0.0, larger);
    println!("largest difference: {largest:.1e} (allowed: {TOLERANCE:.0e})");
    if largest <= TOLERANCE {
        Ok(())
    } else {
        Err(format!("the gradients differ by more than {TOLERANCE:.0e}").into())
    }
}

/// The loss, and its gradient by each leaf.
fn with_small_tape(leaves: &[Vec<f32>]) -> (f64, Vec<Vec<f64>>) {
    let mut tape = small::Tape::default();
    let vars: Vec<small::Var> = LEAVES
        .iter()
        .zip(leaves)
        .map(|((_, shape), values)| tape.leaf(*shape, values.iter().copied().map(f64::from).collect()))
        .collect();
    let [x, a_weights, a_bias, b_weights, b_bias] = &vars[..] else { unreachable!("five leaves") };
    let h = small::linear(&mut tape, x, a_weights, a_bias);
    let inner = small::linear(&mut tape, &h, b_weights, b_bias);
    let inner = small::relu(&mut tape, &inner);
    let s = small::add(&mut tape, &h, &inner);
    let logits = small::linear(&mut tape, &s, b_weights, b_bias);
    let loss = small::softmax_cross_entropy(&mut tape, &logits, &LABELS);
    let mut grads = tape.backward(&loss);
    let grads = vars.iter().map(|var| grads[var.id].take().expect("the loss depends on each leaf"));
    (loss.value[0], grads.collect())
}

/// The same with `bcreid::autograd`.
fn with_library(device: &Device, leaves: &[Vec<f32>]) -> bcreid::Result<(f32, Vec<Vec<f32>>)> {
    // A tape works on the parameters of a network and on the values of a step. Here all values are leaves instead.
    let mut params = Params::none(device);
    let values = StepValues::new(device, 0)?;
    let mut tape = bcreid::autograd::Tape::new(&mut params, &values);
    let mut vars = Vec::new();
    for ((_, [rows, columns]), leaf) in LEAVES.iter().zip(leaves) {
        // The library's biases are vectors.
        let tensor = match rows {
            1 => Tensor::from_f32(device, [*columns], leaf)?,
            _ => Tensor::from_f32(device, [*rows, *columns], leaf)?,
        };
        vars.push(tape.leaf(tensor));
    }
    // An operation takes its inputs by value; what is used again is cloned, which copies no element.
    let [x, a_weights, a_bias, b_weights, b_bias] = [0, 1, 2, 3, 4].map(|i| vars[i].clone());
    let h = linear(&mut tape, x, a_weights, a_bias)?;
    let inner = linear(&mut tape, h.clone(), b_weights.clone(), b_bias.clone())?;
    let inner = relu(&mut tape, inner)?;
    let s = add(&mut tape, h, inner)?;
    let logits = linear(&mut tape, s, b_weights, b_bias)?;
    let loss = softmax_cross_entropy(&mut tape, logits, &Tensor::from_i32(device, [LABELS.len()], &LABELS)?)?;
    let loss_value = loss.value.to_host_f32()?[0];
    let mut grads = tape.backward(vec![(loss, Tensor::full(device, [1], 1.0)?)])?;
    let host = |var| grads.take(var).expect("the loss depends on each leaf").to_host_f32();
    Ok((loss_value, vars.iter().map(host).collect::<bcreid::Result<_>>()?))
}
