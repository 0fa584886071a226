//! Gradient sinks: the destinations of an operation's gradients in the backward pass.
//!
//! Every backward pass *adds* its gradients, but the first writer of a buffer need not read it. The sink therefore
//! passes the write mode with each buffer. (To overwrite instead of adding would lose the gradient of a residual's
//! fan-out; to add where overwriting suffices would cost a pass over memory for clearing.)
//!
//! Book: [chapter 4](../../../../../docs/book/src/04-fan-out.md).

use super::{Param, Params};
use crate::device::Device;
use crate::element::{DType, GradMode, Shape};
use crate::tensor::Tensor;
use crate::{Error, Result};

// ANCHOR: destination
/// The destination of a variable's gradient.
#[derive(Clone, Copy, Debug)]
pub(super) enum GradDestination {
    /// The gradient is not needed.
    None,
    /// The gradient of variable `id`, which the tape holds until it reaches the operation that produced the variable.
    Var(usize),
    /// The gradient buffer of a parameter.
    Param(usize),
}
// ANCHOR_END: destination

/// The destination of the gradient of one input, and the shape and element type of that input.
#[derive(Clone, Copy, Debug)]
pub(super) struct GradSlot {
    pub destination: GradDestination,
    pub shape: Shape,
    pub dtype: DType,
}

/// The gradient buffers of one operation's inputs, in the order the operation recorded them.
///
/// y = x^2, element by element, as an operation outside of this crate. x is used twice, so the second writer of its
/// gradient has to add:
///
/// ```
/// use bcreid::autograd::{Backward, Params, Sinks, StepValues, Tape, Var};
/// use bcreid::device::Device;
/// use bcreid::tensor::Tensor;
///
/// /// What the backward needs: the input.
/// struct Square {
///     x: Tensor,
/// }
///
/// impl Backward for Square {
///     fn op(&self) -> &'static str {
///         "square"
///     }
///
///     /// dx = 2 x dy.
///     fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> bcreid::Result<()> {
///         // `mode` says whether to overwrite or to add. It is not called if the gradient is not needed.
///         sinks.add(0, |dx, mode| {
///             mode.store(dx.f32_mut(), self.x.f32().iter().zip(dy.f32()).map(|(x, dy)| 2.0 * x * dy));
///             Ok(())
///         })
///     }
/// }
///
/// fn square(tape: &mut Tape<'_>, x: Var) -> bcreid::Result<Var> {
///     let y: Vec<f32> = x.value.f32().iter().map(|x| x * x).collect();
///     let y = Tensor::from_f32(&tape.device(), x.shape().matrix().unwrap(), &y)?;
///     Ok(tape.record(y, &[x.handle()], |_| Square { x: x.value }))
/// }
///
/// # fn main() -> bcreid::Result<()> {
/// let device = Device::cpu();
/// let mut params = Params::none(&device);
/// let values = StepValues::new(&device, 0)?;
/// let mut tape = Tape::new(&mut params, &values);
/// let x = tape.leaf(Tensor::from_f32(&device, [1, 2], &[3.0, -1.0])?);
/// let once = square(&mut tape, x.clone())?;
/// let again = square(&mut tape, x.clone())?;
/// let ones = Tensor::full(&device, [1, 2], 1.0)?;
/// let mut gradients = tape.backward(vec![(once, ones.clone()), (again, ones)])?;
/// assert_eq!(gradients.take(&x).unwrap().f32(), [12.0, -4.0]);
/// # Ok(())
/// # }
/// ```
pub struct Sinks<'a> {
    pub(super) device: Device,
    /// The operation, for messages.
    pub(super) op: &'static str,
    pub(super) inputs: &'a [GradSlot],
    pub(super) grads: &'a mut [Option<Tensor>],
    pub(super) params: &'a mut Params,
    pub(super) written: &'a mut [bool],
}

impl Sinks<'_> {
    /// The device of the gradients.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// True if the gradient of input `input` is needed; otherwise an operation can skip its computation.
    pub fn needs_grad(&self, input: usize) -> bool {
        !matches!(self.inputs[input].destination, GradDestination::None)
    }

    // ANCHOR: add
    /// Calls `fill` with the gradient buffer of input `input` and its write mode, unless the gradient is not needed.
    ///
    /// # Errors
    /// The error of `fill`, or of the allocation of the buffer; a parameter whose gradient has another type or shape
    /// than its variable ([`super::Tape::weight`]).
    pub fn add(
        &mut self,
        input: usize,
        fill: impl FnOnce(&mut Tensor, GradMode) -> Result<()>,
    ) -> Result<()> {
        let GradSlot { destination, shape, dtype } = self.inputs[input];
        match destination {
            GradDestination::None => Ok(()),
            GradDestination::Var(id) => match &mut self.grads[id] {
                Some(grad) => fill(grad, GradMode::Accumulate),
                none => {
                    let mut grad = Tensor::empty_gradient(&self.device, shape, dtype, self.op)?;
                    fill(&mut grad, GradMode::Overwrite)?;
                    *none = Some(grad);
                    Ok(())
                }
            },
            GradDestination::Param(id) => {
                let Param { name, grad, .. } = &mut self.params.params_mut()[id];
                if (grad.dtype(), grad.shape()) != (dtype, shape) {
                    return Err(Error::shape(
                        self.op,
                        format!(
                            "{name} is used as {dtype} {shape}, and its gradient is {} {}: use Tape::weight",
                            grad.dtype(),
                            grad.shape()
                        ),
                    ));
                }
                let mode = if self.written[id] { GradMode::Accumulate } else { GradMode::Overwrite };
                self.written[id] = true;
                fill(grad, mode)
            }
        }
    }
    // ANCHOR_END: add

    // ANCHOR: give
    /// Adds a whole tensor to the gradient of input `input`. The first gradient of a variable becomes its buffer
    /// without a copy.
    ///
    /// # Errors
    /// A device error.
    pub fn give(&mut self, input: usize, grad: Tensor) -> Result<()> {
        if let GradSlot { destination: GradDestination::Var(id), shape, .. } = self.inputs[input]
            && self.grads[id].is_none()
        {
            self.grads[id] = Some(grad.reshape(shape));
            return Ok(());
        }
        self.add(input, |to, mode| to.store(&grad, mode))
    }
    // ANCHOR_END: give
}
