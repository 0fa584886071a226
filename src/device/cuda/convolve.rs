//! Convolutions of device buffers by cuDNN: the plan, its workspace, the call.

use super::cudnn::{Direction, Plan, Problem};
use super::{CudaDevice, In, Label, Out};
use crate::Result;
use crate::element::GradMode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl CudaDevice {
    /// The plan of a convolution: its descriptors and algorithms, from a cache of all problems so far.
    ///
    /// # Errors
    /// A problem that cuDNN does not support: 16-bit channels that are no multiple of 8, sizes of 2^31 or more.
    pub(crate) fn convolution_plan(&self, problem: &Problem) -> Result<Arc<Plan>> {
        self.bind()?;
        self.cudnn.plan(problem)
    }

    /// Enqueues one direction of a convolution.
    ///
    /// # Errors
    /// A cuDNN error; out of memory for the workspace.
    ///
    /// # Safety
    /// The operands and the result have the sizes and the element type of the plan's problem for this direction, and
    /// the result overlaps no operand.
    pub(crate) unsafe fn convolve(
        self: &Arc<Self>,
        plan: &Plan,
        direction: Direction,
        operands: [In; 2],
        result: Out,
        mode: GradMode,
    ) -> Result<()> {
        self.bind()?;
        let [a, b] = operands.map(In::inner);
        self.check_owner(direction, [a, b, result.inner()])?;
        let operands = operands.map(In::address);
        loop {
            let choice = plan.choice(direction)?;
            // The workspace is freed as soon as the work is enqueued: its next use comes later in the stream.
            let workspace = match choice.workspace() {
                0 => None,
                bytes => Some(self.allocate(bytes, &Label::of("the workspace of a convolution"))?),
            };
            let address = workspace.as_ref().map_or(0, |space| space.address());
            // SAFETY: the caller guarantees sizes and types; the workspace has the size of the choice; memory is reused
            // in the order of the stream only.
            if unsafe { self.cudnn.run(choice, operands, result.address(), mode.beta(), address) }? {
                break;
            }
        }
        self.launches.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
