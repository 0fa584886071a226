//! The tape: a step's operations in the order they ran, walked once backwards.

use super::sinks::{GradDestination, GradSlot};
use super::{BufferId, ParamId, Params, Sinks, StepValues};
use crate::Result;
use crate::device::Device;
use crate::element::{DType, Shape};
use crate::tensor::Tensor;

/// A value on a tape. Operations take variables by value; clone one that is used twice (cloning shares the
/// buffer). An operation that holds the last handle to its input may reuse the buffer.
#[derive(Clone, Debug)]
pub struct Var {
    id: usize,
    /// The value.
    pub value: Tensor,
}

/// Which variable, without its value: what [`Tape::record`] needs to know of an input.
#[derive(Clone, Copy, Debug)]
pub struct Handle {
    id: usize,
    shape: Shape,
    dtype: DType,
}

impl Var {
    /// The value's shape.
    pub fn shape(&self) -> Shape {
        self.value.shape()
    }

    /// The variable without its value, so that the value can be moved out and worked on in place.
    pub fn handle(&self) -> Handle {
        Handle { id: self.id, shape: self.shape(), dtype: self.value.dtype() }
    }
}

/// What an operation leaves on the tape: its saved values and how to turn the gradient of its output into
/// those of its inputs. There is no other way to record an operation, so none can lack a backward.
pub trait Backward: Send {
    /// The operation's stem, as its file is called.
    fn op(&self) -> &'static str;

    /// Adds the gradients of the inputs to `sinks`. `dy` is the gradient of the output: the operation owns it
    /// and may reuse its buffer.
    ///
    /// # Errors
    /// Errors of the device.
    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()>;
}

struct Node {
    output: usize,
    inputs: Vec<GradSlot>,
    backward: Box<dyn Backward>,
}

/// One step being recorded, with the parameters it works on.
///
/// The sum of y = x w^T + b, and its gradients by x, w and b:
///
/// ```
/// use bcreid::autograd::{ParamSpecs, Params, StepValues, Tape};
/// use bcreid::device::Device;
/// use bcreid::ops::linear::linear;
/// use bcreid::tensor::Tensor;
///
/// # fn main() -> bcreid::Result<()> {
/// let device = Device::cpu();
/// let mut specs = ParamSpecs::default();
/// let (w, b) = (specs.add("w", [1, 2]), specs.add("b", [1]));
/// let mut params = Params::new(&device, &specs)?;
/// params.get_mut(w).load(&[2.0, -1.0])?;
///
/// let values = StepValues::new(&device, 0)?;
/// let mut tape = Tape::new(&mut params, &values);
/// // x is a leaf to get its gradient too; data that needs none is `constant`.
/// let x = tape.leaf(Tensor::from_f32(&device, [2, 2], &[1.0, 2.0, 3.0, 4.0])?);
/// let (weights, bias) = (tape.param(w), tape.param(b));
/// let y = linear(&mut tape, x.clone(), weights, bias)?;
/// assert_eq!(y.value.to_host_f32()?, [0.0, 2.0]);
///
/// // With L = y_1 + y_2, dL/dy is 1 for both rows.
/// let dy = Tensor::full(&device, [2, 1], 1.0)?;
/// let mut gradients = tape.backward(vec![(y, dy)])?;
/// // Gradients of parameters are with the parameters, those of leaves are returned.
/// assert_eq!(params.get(w).grad.to_host_f32()?, [4.0, 6.0]);
/// assert_eq!(params.get(b).grad.to_host_f32()?, [2.0]);
/// let dx = gradients.take(&x).expect("L depends on x");
/// assert_eq!(dx.to_host_f32()?, [2.0, -1.0, 2.0, -1.0]);
/// # Ok(())
/// # }
/// ```
pub struct Tape<'p> {
    params: &'p mut Params,
    values: StepValues,
    recording: bool,
    nodes: Vec<Node>,
    /// For each variable made so far: where its gradient goes.
    destinations: Vec<GradDestination>,
}

/// The gradients of the leaves, left over when a tape has been walked.
#[derive(Debug)]
pub struct Gradients(Vec<Option<Tensor>>);

impl Gradients {
    /// The gradient of a leaf; none if the loss does not depend on it.
    pub fn take(&mut self, leaf: &Var) -> Option<Tensor> {
        self.0[leaf.id].take()
    }
}

impl<'p> Tape<'p> {
    /// A tape that records: for training.
    pub fn new(params: &'p mut Params, values: &StepValues) -> Self {
        Tape { params, values: values.clone(), recording: true, nodes: Vec::new(), destinations: Vec::new() }
    }

    /// A tape that keeps nothing: for inference. Dropout is off on it.
    ///
    /// # Errors
    /// If the device lacks the memory.
    pub fn no_grad(params: &'p mut Params) -> Result<Self> {
        let values = StepValues::new(params.device(), 0)?;
        Ok(Tape { params, values, recording: false, nodes: Vec::new(), destinations: Vec::new() })
    }

    /// Whether operations are recorded (training), or not (inference).
    pub fn is_recording(&self) -> bool {
        self.recording
    }

    /// The device of the parameters, and so of the step.
    pub fn device(&self) -> Device {
        self.params.device().clone()
    }

    /// Seed, step number and rates of this step, as device values.
    pub fn values(&self) -> &StepValues {
        &self.values
    }

    fn var(&mut self, value: Tensor, destination: GradDestination) -> Var {
        self.destinations.push(if self.recording { destination } else { GradDestination::None });
        Var { id: self.destinations.len() - 1, value }
    }

    /// A value that gets no gradient: pixels, labels.
    pub fn constant(&mut self, value: Tensor) -> Var {
        self.var(value, GradDestination::None)
    }

    /// A value whose gradient [`Tape::backward`] returns.
    pub fn leaf(&mut self, value: Tensor) -> Var {
        let id = self.destinations.len();
        self.var(value, GradDestination::Var(id))
    }

    /// A parameter: its gradient goes to its own buffer. One whose rate multiplier is 0 gets none.
    pub fn param(&mut self, id: ParamId) -> Var {
        let value = self.params.get(id).value.clone();
        self.var(value, self.gradient_of(id))
    }

    /// A parameter in the type the device multiplies it in, which is also that of its gradient: the filters of a
    /// convolution.
    pub fn weight(&mut self, id: ParamId) -> Var {
        let value = self.params.get(id).weight().clone();
        self.var(value, self.gradient_of(id))
    }

    fn gradient_of(&self, id: ParamId) -> GradDestination {
        if self.params.get(id).lr_mult == 0.0 { GradDestination::None } else { GradDestination::Param(id.0) }
    }

    /// A buffer's content, to be read.
    pub fn buffer(&self, id: BufferId) -> &Tensor {
        self.params.buffer(id)
    }

    /// A buffer's content, to be changed by the operation that owns it.
    pub fn buffer_mut(&mut self, id: BufferId) -> &mut Tensor {
        self.params.buffer_mut(id)
    }

    /// Whether anybody wants the gradient of `var`, so that an operation can leave out saving for it.
    pub fn wants(&self, var: Handle) -> bool {
        !matches!(self.destinations[var.id], GradDestination::None)
    }

    /// Records an operation: its output and, if any input wants a gradient, what `save` returns. Inputs are
    /// numbered for [`Sinks`] in the order given here.
    pub fn record<B: Backward + 'static>(
        &mut self,
        output: Tensor,
        inputs: &[Handle],
        save: impl FnOnce(Tensor) -> B,
    ) -> Var {
        let wanted =
            |v: &Handle| GradSlot { destination: self.destinations[v.id], shape: v.shape, dtype: v.dtype };
        let inputs: Vec<GradSlot> = inputs.iter().map(wanted).collect();
        if inputs.iter().all(|input| matches!(input.destination, GradDestination::None)) {
            return self.constant(output);
        }
        let backward = Box::new(save(output.clone()));
        let var = self.leaf(output);
        self.nodes.push(Node { output: var.id, inputs, backward });
        var
    }

    /// Walks the tape from the end, with the gradients of its last values as `seeds`. Fills the gradient
    /// buffer of every parameter that learns (with zeros where the losses do not depend on it) and returns the leaves'.
    ///
    /// # Errors
    /// The first error of an operation.
    pub fn backward(self, seeds: Vec<(Var, Tensor)>) -> Result<Gradients> {
        let Tape { params, nodes, destinations, .. } = self;
        let mut grads: Vec<Option<Tensor>> = destinations.iter().map(|_| None).collect();
        let mut written = vec![false; params.params().len()];
        let device = params.device().clone();
        for (var, seed) in seeds {
            let wanted =
                GradSlot { destination: destinations[var.id], shape: var.shape(), dtype: var.value.dtype() };
            Sinks {
                device: device.clone(),
                inputs: &[wanted],
                grads: &mut grads,
                params,
                written: &mut written,
            }
            .give(0, seed)?;
        }
        for node in nodes.into_iter().rev() {
            // A value no loss depends on has no gradient; its operation has nothing to add.
            let Some(dy) = grads[node.output].take() else { continue };
            let mut sinks = Sinks {
                device: device.clone(),
                inputs: &node.inputs,
                grads: &mut grads,
                params,
                written: &mut written,
            };
            node.backward.backward(dy, &mut sinks)?;
        }
        for (param, written) in params.params_mut().iter_mut().zip(written) {
            if !written && param.lr_mult != 0.0 {
                param.grad.clear()?;
            }
        }
        Ok(Gradients(grads))
    }
}
