// Expect: a constant input has a gradient after the walk
use std::rc::Rc;

/// A matrix on the tape: its number, its content by rows, and its sizes.
#[derive(Clone)]
pub struct Var {
    pub id: usize,
    pub value: Rc<[f64]>,
    pub shape: [usize; 2],
    pub needs_grad: bool,
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
        if !var.needs_grad {
            self.grads[var.id] = Some(vec![0.0; var.value.len()]);
            return;
        }
        match &mut self.grads[var.id] {
            Some(grad) => grad.iter_mut().zip(values).for_each(|(to, value)| *to += value),
            grad => *grad = Some(values.collect()),
        }
    }
}

type Backward = Box<dyn FnOnce(&[f64], &mut Sinks)>;

/// One line of the tape.
pub struct Node {
    inputs: Vec<Var>,
    output: usize,
    backward: Backward,
}

#[derive(Default)]
pub struct Tape {
    pub nodes: Vec<Node>,
    count: usize,
}

impl Tape {
    /// A value that no operation made and that needs a gradient.
    pub fn leaf(&mut self, shape: [usize; 2], value: Vec<f64>) -> Var {
        self.count += 1;
        Var { id: self.count - 1, value: value.into(), shape, needs_grad: true }
    }

    /// A value that needs no gradient.
    pub fn constant(&mut self, shape: [usize; 2], value: Vec<f64>) -> Var {
        Var { needs_grad: false, ..self.leaf(shape, value) }
    }

    /// Writes an operation down and returns its output. If all inputs are constants, the output is one too, and nothing
    /// is written down.
    pub fn record(
        &mut self,
        inputs: &[&Var],
        shape: [usize; 2],
        output: Vec<f64>,
        backward: impl FnOnce(&[f64], &mut Sinks) + 'static,
    ) -> Var {
        if inputs.iter().all(|input| !input.needs_grad) {
            return self.constant(shape, output);
        }
        let inputs = inputs.iter().copied().cloned().collect();
        let output = self.leaf(shape, output);
        self.nodes.push(Node { inputs, output: output.id, backward: Box::new(backward) });
        output
    }

    /// Walks the tape backwards from `y`, whose gradient is `dy`; returns the gradient of each leaf, by its number.
    pub fn backward(self, y: &Var, dy: Vec<f64>) -> Vec<Option<Vec<f64>>> {
        let mut grads = vec![None; self.count];
        grads[y.id] = Some(dy);
        for node in self.nodes.into_iter().rev() {
            let Some(dy) = grads[node.output].take() else { continue };
            (node.backward)(&dy, &mut Sinks { inputs: &node.inputs, grads: &mut grads });
        }
        grads
    }
}
