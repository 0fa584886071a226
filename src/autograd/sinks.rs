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
