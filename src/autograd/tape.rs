//! The tape: a record of a step's operations in the order they ran, for one backward pass.
//!
//! Book: [chapter 3](../../../../../docs/book/src/03-tape.md).

use super::sinks::{GradDestination, GradSlot};
use super::{BufferId, ParamId, Params, Sinks, StepValues};
use crate::Result;
use crate::device::Device;
use crate::element::{DType, Shape};
use crate::tensor::Tensor;

/// A variable: a value on a tape. Operations take variables by value; clone a variable that is used twice (a clone
/// shares the buffer). An operation that holds the last handle to its input may reuse the buffer.
#[derive(Clone, Debug)]
pub struct Var {
    id: usize,
    /// The value.
    pub value: Tensor,
}

/// A reference to a variable without its value, for [`Tape::record`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    id: usize,
    shape: Shape,
    dtype: DType,
}

impl Var {
    /// The shape of the value.
    pub fn shape(&self) -> Shape {
        self.value.shape()
    }

    /// A handle of the variable, so that the value can be moved out and changed in place.
    pub fn handle(&self) -> Handle {
        Handle { id: self.id, shape: self.shape(), dtype: self.value.dtype() }
    }
}

// ANCHOR: backward_trait
/// The backward pass of a recorded operation: saved values, and the computation of the inputs' gradients from the
/// output's. Recording an operation requires one, so every operation has a backward pass.
pub trait Backward: Send {
    /// The name of the operation, which is the stem of its file.
    fn op(&self) -> &'static str;

    /// Adds the gradients of the inputs to `sinks`. `dy` is the gradient of the output; the operation owns `dy` and may
    /// reuse its buffer. It reads the weights of no parameter but those that are inputs of the operation: others may be
    /// updated already ([`Tape::backward_by_section`]).
    ///
    /// # Errors
    /// A device error.
    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()>;
}
// ANCHOR_END: backward_trait

// ANCHOR: node
struct Node {
    output: usize,
    inputs: Vec<GradSlot>,
    backward: Box<dyn Backward>,
}
// ANCHOR_END: node

/// The tape of one step, with the parameters of the model.
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
    /// The destination of the gradient of each variable so far.
    destinations: Vec<GradDestination>,
}

/// The gradients of the leaves after a backward pass.
#[derive(Debug)]
pub struct Gradients(Vec<Option<Tensor>>);

impl Gradients {
    /// Takes the gradient of a leaf; none if the losses do not depend on the leaf.
    pub fn take(&mut self, leaf: &Var) -> Option<Tensor> {
        self.0[leaf.id].take()
    }
}

impl<'p> Tape<'p> {
    /// A tape that records operations, for training.
    pub fn new(params: &'p mut Params, values: &StepValues) -> Self {
        Tape { params, values: values.clone(), recording: true, nodes: Vec::new(), destinations: Vec::new() }
    }

    /// A tape that records nothing, for inference: no gradients, no dropout, running statistics in batch normalisation.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub fn no_grad(params: &'p mut Params) -> Result<Self> {
        let values = StepValues::new(params.device(), 0)?;
        Ok(Tape { params, values, recording: false, nodes: Vec::new(), destinations: Vec::new() })
    }

    /// True if the tape records operations (training), false for inference.
    pub fn is_recording(&self) -> bool {
        self.recording
    }

    /// The device of the parameters and of the step.
    pub fn device(&self) -> Device {
        self.params.device().clone()
    }

    /// The seed, step number and learning rates of this step, as device values.
    pub fn values(&self) -> &StepValues {
        &self.values
    }

    fn var(&mut self, value: Tensor, destination: GradDestination) -> Var {
        self.destinations.push(if self.recording { destination } else { GradDestination::None });
        Var { id: self.destinations.len() - 1, value }
    }

    /// Adds a variable without gradient: pixels, labels.
    pub fn constant(&mut self, value: Tensor) -> Var {
        self.var(value, GradDestination::None)
    }

    /// Adds a leaf: a variable whose gradient [`Tape::backward`] returns.
    pub fn leaf(&mut self, value: Tensor) -> Var {
        let id = self.destinations.len();
        self.var(value, GradDestination::Var(id))
    }

    /// Adds a parameter as a variable with the gradient buffer [`super::Param::grad`], or none if it is not updated.
    pub fn param(&mut self, id: ParamId) -> Var {
        let value = self.params.get(id).value.clone();
        self.var(value, self.gradient_of(id))
    }

    /// Adds a parameter as the device's matrix products read it ([`super::Param::weight`]), which is also the type and
    /// the shape of its gradient: the filters of a convolution.
    pub fn weight(&mut self, id: ParamId) -> Var {
        let value = self.params.get(id).weight().clone();
        self.var(value, self.gradient_of(id))
    }

    /// As [`Tape::param`], for an operation that computes the same on each rank because its other inputs are gathered
    /// ([`crate::ops::gather`]): rank 0 alone has the gradient, so that the sum over the ranks counts it once.
    pub fn param_of_all(&mut self, id: ParamId) -> Var {
        if self.device().group().is_first() {
            return self.param(id);
        }
        let value = self.params.get(id).value.clone();
        self.constant(value)
    }

    fn gradient_of(&self, id: ParamId) -> GradDestination {
        if self.params.get(id).is_updated() { GradDestination::Param(id.0) } else { GradDestination::None }
    }

    /// Whether a parameter is frozen.
    pub fn is_frozen(&self, id: ParamId) -> bool {
        self.params.get(id).frozen
    }

    /// The content of a buffer.
    pub fn buffer(&self, id: BufferId) -> &Tensor {
        self.params.buffer(id)
    }

    /// The content of a buffer, for the operation that updates it.
    pub fn buffer_mut(&mut self, id: BufferId) -> &mut Tensor {
        self.params.buffer_mut(id)
    }

    /// True if the gradient of `var` is needed; otherwise an operation need not save values for it.
    pub fn needs_grad(&self, var: Handle) -> bool {
        !matches!(self.destinations[var.id], GradDestination::None)
    }

    /// The operations recorded so far, in their order: the name of each, and the shapes of its inputs.
    pub fn recorded(&self) -> impl Iterator<Item = (&'static str, Vec<Shape>)> {
        self.nodes
            .iter()
            .map(|node| (node.backward.op(), node.inputs.iter().map(|input| input.shape).collect()))
    }

    // ANCHOR: record
    /// Records an operation and returns its output as a variable. `save` is called with the output if the gradient of
    /// any input is needed. [`Sinks`] numbers the inputs in the order of `inputs`.
    pub fn record<B: Backward + 'static>(
        &mut self,
        output: Tensor,
        inputs: &[Handle],
        save: impl FnOnce(Tensor) -> B,
    ) -> Var {
        let slot =
            |v: &Handle| GradSlot { destination: self.destinations[v.id], shape: v.shape, dtype: v.dtype };
        let inputs: Vec<GradSlot> = inputs.iter().map(slot).collect();
        if inputs.iter().all(|input| matches!(input.destination, GradDestination::None)) {
            return self.constant(output);
        }
        let backward = Box::new(save(output.clone()));
        let var = self.leaf(output);
        self.nodes.push(Node { output: var.id, inputs, backward });
        var
    }
    // ANCHOR_END: record

    /// Runs the backward pass from `seeds`: the outputs and their gradients. Fills the gradient buffer of every
    /// parameter that is updated (with zeros if the outputs do not depend on it) and returns the gradients of
    /// the leaves.
    ///
    /// # Errors
    /// The first error of an operation.
    pub fn backward(self, seeds: Vec<(Var, Tensor)>) -> Result<Gradients> {
        self.backward_by_section(seeds, &mut |_, _| Ok(()))
    }

    /// As [`Tape::backward`]; calls `on_complete` once with the number of each section of the parameters
    /// ([`Params::sections`]), as soon as its gradients are complete: no later work of the pass changes them. It may
    /// update the weights. The rest of the pass does not read those of updated parameters, as far as operations have
    /// recorded them as inputs.
    ///
    /// # Errors
    /// The first error of an operation or of `on_complete`. Some sections may be updated then and others not.
    pub fn backward_by_section(
        self,
        seeds: Vec<(Var, Tensor)>,
        on_complete: &mut dyn FnMut(&mut Params, usize) -> Result<()>,
    ) -> Result<Gradients> {
        let device = self.device();
        let gradients = self.run_backward(seeds, on_complete);
        // Gradients of filters may have been enqueued beside all other work, before an error too.
        let joined = device.join_streams();
        let gradients = gradients?;
        joined.map(|()| gradients)
    }

    fn run_backward(
        self,
        seeds: Vec<(Var, Tensor)>,
        on_complete: &mut dyn FnMut(&mut Params, usize) -> Result<()>,
    ) -> Result<Gradients> {
        let Tape { params, nodes, destinations, .. } = self;
        let mut grads: Vec<Option<Tensor>> = destinations.iter().map(|_| None).collect();
        let mut written = vec![false; params.params().len()];
        let mut sections = Sections::new(params, &nodes);
        let device = params.device().clone();
        for (var, seed) in seeds {
            let slot =
                GradSlot { destination: destinations[var.id], shape: var.shape(), dtype: var.value.dtype() };
            Sinks {
                device: device.clone(),
                op: "the loss",
                inputs: &[slot],
                grads: &mut grads,
                params,
                written: &mut written,
            }
            .give(0, seed)?;
        }
        sections.end_of(nodes.len(), params, &written, on_complete)?;
        // ANCHOR: walk
        for (number, node) in nodes.into_iter().enumerate().rev() {
            // A variable that no seed depends on has no gradient, and its operation is skipped.
            if let Some(dy) = grads[node.output].take() {
                let mut sinks = Sinks {
                    device: device.clone(),
                    op: node.backward.op(),
                    inputs: &node.inputs,
                    grads: &mut grads,
                    params,
                    written: &mut written,
                };
                node.backward.backward(dy, &mut sinks)?;
            }
            sections.end_of(number, params, &written, on_complete)?;
        }
        // ANCHOR_END: walk
        Ok(Gradients(grads))
    }
}

/// The sections of the parameters during a backward pass.
struct Sections {
    section_of: Vec<usize>,
    /// The number of parameters of each section whose gradients are not complete.
    left: Vec<usize>,
    /// For each node the parameters whose gradients are complete behind its backward pass: it used them first. The last
    /// entry has the parameters that no node uses.
    last_of: Vec<Vec<usize>>,
}

impl Sections {
    fn new(params: &Params, nodes: &[Node]) -> Self {
        let section_of = params.section_of_each();
        let mut left = vec![0; params.sections()];
        section_of.iter().for_each(|&section| left[section] += 1);
        let mut first_use = vec![nodes.len(); section_of.len()];
        for (number, node) in nodes.iter().enumerate().rev() {
            for input in &node.inputs {
                if let GradDestination::Param(id) = input.destination {
                    first_use[id] = number;
                }
            }
        }
        let mut last_of = vec![Vec::new(); nodes.len() + 1];
        first_use.into_iter().enumerate().for_each(|(id, number)| last_of[number].push(id));
        Sections { section_of, left, last_of }
    }

    /// Ends the backward pass of a node: clears the gradients that are complete and that no operation has written;
    /// calls
    /// `on_complete` with each section that is complete now.
    fn end_of(
        &mut self,
        number: usize,
        params: &mut Params,
        written: &[bool],
        on_complete: &mut dyn FnMut(&mut Params, usize) -> Result<()>,
    ) -> Result<()> {
        for &id in &self.last_of[number] {
            let param = &mut params.params_mut()[id];
            if !written[id] && param.is_updated() {
                param.grad.clear()?;
            }
            let section = self.section_of[id];
            self.left[section] -= 1;
            if self.left[section] == 0 {
                on_complete(params, section)?;
            }
        }
        Ok(())
    }
}
