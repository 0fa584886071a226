//! Batch normalisation of device buffers by cuDNN: the plan, its memory, the calls.

use super::arguments::Address;
use super::cudnn::batchnorm::{BatchNormPlan, BatchNormProblem, Gradients, Inference, Space, Training};
use super::streams::Use;
use super::{CudaBuffer, CudaDevice, In, Label, Lane, Out};
use crate::Result;
use crate::element::GradMode;
use std::sync::Arc;

/// cuDNN's reserve space of a layer: memory that the forward pass writes and the backward pass reads. None in the mode
/// that has no such space.
#[derive(Debug)]
pub(crate) struct Reserve(Option<CudaBuffer>);

impl CudaDevice {
    /// The plan of a batch normalisation, from a cache of all problems so far.
    ///
    /// # Errors
    /// A size of 0 or sizes of 2^31 or more; a cuDNN error.
    pub(crate) fn batchnorm_plan(&self, problem: &BatchNormProblem) -> Result<Arc<BatchNormPlan>> {
        self.bind()?;
        self.cudnn.batchnorm_plan(problem)
    }

    /// Enqueues the forward pass of training; `numbers` are the momentum and the epsilon.
    ///
    /// # Errors
    /// A cuDNN error; out of memory for its workspace or what it leaves to the backward pass.
    ///
    /// # Safety
    /// x and y have the sizes and the element type of the plan's problem, the others are `[c]` of f32. No array
    /// overlaps another one.
    pub(crate) unsafe fn batchnorm_forward(
        self: &Arc<Self>,
        plan: &BatchNormPlan,
        (x, y): (In, Out),
        gamma_beta: [In; 2],
        running: [Out; 2],
        saved: [Out; 2],
        (momentum, epsilon): (f32, f32),
    ) -> Result<Reserve> {
        self.bind()?;
        let written = [y].into_iter().chain(running).chain(saved).map(Out::inner);
        let uses = self.uses([x].into_iter().chain(gamma_beta).map(In::inner).chain(written))?;
        let arrays = Training {
            x: x.address(),
            y: y.address(),
            gamma_beta: gamma_beta.map(In::address),
            running: running.map(Out::address),
            saved: saved.map(Out::address),
            momentum: momentum.into(),
            epsilon: epsilon.into(),
        };
        let reserve = self.streams.enqueue(Lane::Main, &uses, |_| {
            // SAFETY: the caller guarantees sizes and types; the workspace is reused in the order of the streams only,
            // and the reserve space lives as long as its guard.
            unsafe { self.cudnn.batchnorm_forward(plan, &arrays, |space, bytes| self.space(space, bytes)) }
        })?;
        self.count("batchnorm forward of cuDNN", &uses)?;
        Ok(Reserve(reserve))
    }

    /// Enqueues the backward pass of training.
    ///
    /// # Errors
    /// A cuDNN error; out of memory for its workspace.
    ///
    /// # Safety
    /// As for [`CudaDevice::batchnorm_forward`]; `reserve` is that of the forward pass, and x, gamma and the saved
    /// statistics are unchanged since then.
    #[expect(clippy::too_many_arguments, reason = "each is one group of the library function's arguments")]
    pub(crate) unsafe fn batchnorm_backward(
        self: &Arc<Self>,
        plan: &BatchNormPlan,
        (x, dy, dx): (In, In, Out),
        gamma: In,
        (parameters, mode): ([Out; 2], GradMode),
        saved: [In; 2],
        reserve: &Reserve,
        epsilon: f32,
    ) -> Result<()> {
        self.bind()?;
        let written = [dx].into_iter().chain(parameters).map(Out::inner);
        let read = [x, dy, gamma].into_iter().chain(saved).map(In::inner);
        let uses = self.uses(read.chain(written))?;
        let arrays = Gradients {
            x: x.address(),
            dy: dy.address(),
            dx: dx.address(),
            gamma: gamma.address(),
            parameters: parameters.map(Out::address),
            mode,
            saved: saved.map(In::address),
            epsilon: epsilon.into(),
        };
        let reserve = reserve.0.as_ref().map(CudaBuffer::address);
        self.streams.enqueue(Lane::Main, &uses, |_| {
            // SAFETY: as above.
            unsafe {
                self.cudnn.batchnorm_backward(plan, &arrays, reserve, |space, bytes| self.space(space, bytes))
            }
        })?;
        self.count("batchnorm backward of cuDNN", &uses)
    }

    /// Enqueues the forward pass with given statistics: mean and variance.
    ///
    /// # Errors
    /// A cuDNN error.
    ///
    /// # Safety
    /// As for [`CudaDevice::batchnorm_forward`].
    pub(crate) unsafe fn batchnorm_inference(
        &self,
        plan: &BatchNormPlan,
        (x, y): (In, Out),
        gamma_beta: [In; 2],
        statistics: [In; 2],
        epsilon: f32,
    ) -> Result<()> {
        self.bind()?;
        let read = [x].into_iter().chain(gamma_beta).chain(statistics).map(In::inner);
        let uses = self.uses(read.chain([y.inner()]))?;
        let arrays = Inference {
            x: x.address(),
            y: y.address(),
            gamma_beta: gamma_beta.map(In::address),
            statistics: statistics.map(In::address),
            epsilon: epsilon.into(),
        };
        self.streams.enqueue(Lane::Main, &uses, |_| {
            // SAFETY: the caller guarantees sizes and types.
            unsafe { self.cudnn.batchnorm_inference(plan, &arrays) }
        })?;
        self.count("batchnorm inference of cuDNN", &uses)
    }

    /// The bytes that a pass uses, for the order of the streams.
    fn uses(&self, pointers: impl Iterator<Item = Address> + Clone) -> Result<Vec<Use>> {
        self.check_owner("batchnorm", pointers.clone())?;
        Ok(pointers.map(Address::usage).collect())
    }

    fn count(&self, kind: &str, uses: &[Use]) -> Result<()> {
        self.note_launch(kind, || [uses.iter().map(Use::bytes).sum(), 0])
    }

    /// Memory for a pass. The block of a workspace is freed as soon as the pass is enqueued: its next use comes later
    /// in the stream.
    fn space(self: &Arc<Self>, space: Space, bytes: usize) -> Result<(u64, CudaBuffer)> {
        let label = match space {
            Space::Workspace => Label::of("the workspace of a batch normalisation"),
            Space::Reserve => Label::of("the reserve space of a batch normalisation"),
        };
        self.allocate(bytes, &label).map(|buffer| (buffer.address(), buffer))
    }
}
