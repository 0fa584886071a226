//! A convolution between device addresses: cuDNN's plan, its workspace, the call.

use super::cudnn::{Direction, Plan, Problem};
use super::{CudaDevice, In, Label, Out};
use crate::Result;
use crate::element::GradMode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl CudaDevice {
    /// The algorithms that cuDNN takes for a problem; made once for each.
    ///
    /// # Errors
    /// Problems beyond cuDNN: 16-bit channels in other than multiples of 8, sizes beyond 2^31.
    pub(crate) fn convolution_plan(&self, problem: &Problem) -> Result<Arc<Plan>> {
        self.bind()?;
        self.cudnn.plan(problem)
    }

    /// Enqueues one direction of a convolution.
    ///
    /// # Errors
    /// cuDNN's; no memory for its workspace.
    ///
    /// # Safety
    /// The operands and the result have the sizes and the element type of the plan's problem for this direction, and the
    /// result overlaps no operand.
    pub(crate) unsafe fn convolve(
        self: &Arc<Self>,
        plan: &Plan,
        direction: Direction,
        operands: [In; 2],
        result: Out,
        mode: GradMode,
    ) -> Result<()> {
        self.bind()?;
        let operands = operands.map(In::address);
        loop {
            let bytes = plan.workspace(direction)?;
            // Freed as soon as the work is enqueued: its next owner comes later in the stream.
            let workspace = match bytes {
                0 => None,
                _ => Some(self.allocate(bytes, &Label::of("the workspace of a convolution"))?),
            };
            let address = workspace.as_ref().map_or(0, |space| space.address());
            // SAFETY: sizes and types are the caller's word; the workspace has the bytes that the plan asks for; memory is
            // handed on in the order of the stream only.
            if unsafe { self.cudnn.run(plan, direction, operands, result.address(), mode.beta(), address) }? {
                break;
            }
        }
        self.launches.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
