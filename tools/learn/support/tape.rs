//! The small tape of chapter 3 (examples/tape.rs), without its printed lines. Read it; your answer uses it.

use std::rc::Rc;

/// A matrix on the tape: its number, its content by rows, and its sizes. Cloning it shares the content.
#[derive(Clone)]
pub struct Var {
    pub id: usize,
    pub value: Rc<[f64]>,
    pub shape: [usize; 2],
}

/// Where an operation puts the gradients of its inputs, which are numbered as it recorded them.
pub struct Sinks<'a> {
    inputs: &'a [Var],
    grads: &'a mut [Option<Vec<f64>>],
}

impl Sinks<'_> {
    /// Stores `values` as the gradient of an input: the first writer overwrites, later ones add.
    pub fn add(&mut self, input: usize, values: impl Iterator<Item = f64>) {
        let var = &self.inputs[input];
        match &mut self.grads[var.id] {
            Some(grad) => grad.iter_mut().zip(values).for_each(|(to, value)| *to += value),
            grad => *grad = Some(values.collect()),
        }
    }
}

/// How an operation turns the gradient of its output into those of its inputs. The values it needs for that are saved
/// in the closure.
type Backward = Box<dyn FnOnce(&[f64], &mut Sinks)>;

/// One line of the tape.
pub struct Node {
    pub op: &'static str,
    pub inputs: Vec<Var>,
    /// The number of the output.
    pub output: usize,
    backward: Backward,
}

/// The list of operations.
#[derive(Default)]
pub struct Tape {
    pub nodes: Vec<Node>,
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

    /// Walks the tape backwards from `y`, whose gradient is `dy`; returns the gradient of each leaf, by its number.
    pub fn backward(self, y: &Var, dy: Vec<f64>) -> Vec<Option<Vec<f64>>> {
        let mut grads = vec![None; self.count];
        grads[y.id] = Some(dy);
        for node in self.nodes.into_iter().rev() {
            // No gradient: the loss does not depend on this output.
            let Some(dy) = grads[node.output].take() else { continue };
            (node.backward)(&dy, &mut Sinks { inputs: &node.inputs, grads: &mut grads });
        }
        grads
    }
}

/// y = a + b. da = dy, db = dy.
pub fn add(tape: &mut Tape, a: &Var, b: &Var) -> Var {
    let y = a.value.iter().zip(b.value.iter()).map(|(a, b)| a + b).collect();
    tape.record("add", &[a, b], a.shape, y, |dy, sinks| {
        sinks.add(0, dy.iter().copied());
        sinks.add(1, dy.iter().copied());
    })
}

/// y = max(x, 0). dx = dy where y > 0, else 0.
pub fn relu(tape: &mut Tape, x: &Var) -> Var {
    let y: Vec<f64> = x.value.iter().map(|x| x.max(0.0)).collect();
    let saved = y.clone();
    tape.record("relu", &[x], x.shape, y, move |dy, sinks| {
        sinks.add(0, dy.iter().zip(&saved).map(|(dy, y)| if *y > 0.0 { *dy } else { 0.0 }));
    })
}

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
