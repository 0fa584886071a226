//! Where an operation's backward puts its gradients.
//!
//! Every backward *adds*, but the first writer of a buffer need not read it: the sink knows which one it is
//! talking to and says so. (Overwriting where one must add loses the gradient of residual fan-out; adding
//! where one may overwrite costs a pass over memory for clearing.)

use super::{DType, Params, Shape, Tensor};
use crate::Result;
use crate::device::Device;
use crate::ops::add;
use rayon::prelude::*;

/// Whether the gradient buffer already holds something to add to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// The first writer: the buffer holds garbage.
    Overwrite,
    /// A later writer.
    Accumulate,
}

impl Write {
    /// The factor for the buffer's old content: 0 or 1.
    pub fn beta(self) -> f32 {
        match self {
            Write::Overwrite => 0.0,
            Write::Accumulate => 1.0,
        }
    }

    /// The flag `accumulate` of a kernel.
    pub(crate) fn flag(self) -> usize {
        usize::from(self == Write::Accumulate)
    }

    /// Writes or adds `values`, element by element.
    pub fn store(self, to: &mut [f32], values: impl IntoIterator<Item = f32>) {
        match self {
            Write::Overwrite => to.iter_mut().zip(values).for_each(|(t, v)| *t = v),
            Write::Accumulate => to.iter_mut().zip(values).for_each(|(t, v)| *t += v),
        }
    }

    /// Writes or adds a whole tensor of as many elements of the same type.
    ///
    /// # Errors
    /// What the device reports.
    pub fn store_tensor(self, to: &mut Tensor, from: &Tensor) -> Result<()> {
        /// Elements a thread takes at a time: 64 KiB.
        const CHUNK: usize = 16 * 1024;
        match (self, from.gpu()) {
            (Write::Overwrite, Some(_)) => to.copy_from(from),
            (Write::Accumulate, Some(gpu)) => add::cuda::add_to(gpu, to, from),
            (_, None) => {
                to.f32_mut()
                    .par_chunks_mut(CHUNK)
                    .zip(from.f32().par_chunks(CHUNK))
                    .for_each(|(to, from)| self.store(to, from.iter().copied()));
                Ok(())
            }
        }
    }
}

/// Where a variable's gradient goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// Nobody asks for it.
    None,
    /// The gradient of variable `id`, kept by the tape until its own operation's turn.
    Var(usize),
    /// The gradient buffer of a parameter.
    Param(usize),
}

/// Where the gradient of one input goes, and its shape and type, which are the input's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub target: Target,
    pub shape: Shape,
    pub dtype: DType,
}

/// The gradient buffers of one operation's inputs, in the order the operation recorded them.
pub struct Sinks<'a> {
    pub(super) device: Device,
    pub(super) inputs: &'a [Wanted],
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
        !matches!(self.inputs[input].target, Target::None)
    }

    /// Lets `fill` write or add the gradient of input `input`; not called when nobody wants it.
    ///
    /// # Errors
    /// Whatever `fill` returns.
    pub fn add(&mut self, input: usize, fill: impl FnOnce(&mut Tensor, Write) -> Result<()>) -> Result<()> {
        let Wanted { target, shape, dtype } = self.inputs[input];
        match target {
            Target::None => Ok(()),
            Target::Var(id) => match &mut self.grads[id] {
                Some(grad) => fill(grad, Write::Accumulate),
                none => {
                    let mut grad = Tensor::empty(&self.device, shape, dtype)?;
                    fill(&mut grad, Write::Overwrite)?;
                    *none = Some(grad);
                    Ok(())
                }
            },
            Target::Param(id) => {
                let write = if self.written[id] { Write::Accumulate } else { Write::Overwrite };
                self.written[id] = true;
                fill(&mut self.params.params_mut()[id].grad, write)
            }
        }
    }

    /// Hands over a whole tensor as the gradient of input `input`: the first writer of a variable gives its
    /// buffer away instead of copying it.
    ///
    /// # Errors
    /// What the device reports.
    pub fn give(&mut self, input: usize, grad: Tensor) -> Result<()> {
        if let Wanted { target: Target::Var(id), shape, .. } = self.inputs[input]
            && self.grads[id].is_none()
        {
            self.grads[id] = Some(grad.reshape(shape));
            return Ok(());
        }
        self.add(input, |to, write| write.store_tensor(to, &grad))
    }
}
