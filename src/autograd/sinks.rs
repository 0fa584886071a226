//! Where an operation's backward puts its gradients.
//!
//! Every backward *adds*, but the first writer of a buffer need not read it: the sink knows which one it is
//! talking to and says so. (Overwriting where one must add loses the gradient of residual fan-out; adding
//! where one may overwrite costs a pass over memory for clearing.)

use super::Params;
use crate::Result;
use crate::device::Device;
use crate::element::{DType, GradMode, Shape};
use crate::tensor::Tensor;

/// Where a variable's gradient goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum GradDestination {
    /// Nobody asks for it.
    None,
    /// The gradient of variable `id`, kept by the tape until its own operation's turn.
    Var(usize),
    /// The gradient buffer of a parameter.
    Param(usize),
}

/// Where the gradient of one input goes, and its shape and type, which are the input's.
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
///         // `mode` says whether to overwrite or to add. Nothing is called if nobody wants the gradient.
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
    pub(super) inputs: &'a [GradSlot],
    pub(super) grads: &'a mut [Option<Tensor>],
    pub(super) params: &'a mut Params,
    pub(super) written: &'a mut [bool],
}

impl Sinks<'_> {
    /// The device the gradients live on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Whether input `input` wants a gradient at all; the work for one that does not can be left out.
    pub fn wants(&self, input: usize) -> bool {
        !matches!(self.inputs[input].destination, GradDestination::None)
    }

    /// Lets `fill` write or add the gradient of input `input`; not called when nobody wants it.
    ///
    /// # Errors
    /// Whatever `fill` returns.
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
                    let mut grad = Tensor::empty(&self.device, shape, dtype)?;
                    fill(&mut grad, GradMode::Overwrite)?;
                    *none = Some(grad);
                    Ok(())
                }
            },
            GradDestination::Param(id) => {
                let mode = if self.written[id] { GradMode::Accumulate } else { GradMode::Overwrite };
                self.written[id] = true;
                fill(&mut self.params.params_mut()[id].grad, mode)
            }
        }
    }

    /// Hands over a whole tensor as the gradient of input `input`: the first writer of a variable gives its
    /// buffer away instead of copying it.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn give(&mut self, input: usize, grad: Tensor) -> Result<()> {
        if let GradSlot { destination: GradDestination::Var(id), shape, .. } = self.inputs[input]
            && self.grads[id].is_none()
        {
            self.grads[id] = Some(grad.reshape(shape));
            return Ok(());
        }
        self.add(input, |to, mode| to.store(&grad, mode))
    }
}
