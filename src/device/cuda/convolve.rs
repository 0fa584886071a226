//! Convolutions of device buffers by cuDNN: the plan, its workspace, the call.

use super::arguments::Address;
use super::cudnn::{Direction, Plan, Problem};
use super::streams::Use;
use super::{CudaDevice, In, Label, Lane, Out};
use crate::Result;
use crate::element::GradMode;
use std::sync::Arc;

const WORKSPACE: Label = Label::of("the workspace of a convolution");

impl CudaDevice {
    /// The plan of a convolution: its descriptors and algorithms, from a cache of all problems so far.
    ///
    /// # Errors
    /// A problem that cuDNN does not support: 16-bit channels that are no multiple of 8, sizes of 2^31 or more.
    pub(crate) fn convolution_plan(&self, problem: &Problem) -> Result<Arc<Plan>> {
        self.bind()?;
        self.cudnn.plan(problem)
    }

    /// Enqueues one direction of a convolution in a stream.
    ///
    /// # Errors
    /// A cuDNN error; out of memory for the workspace.
    ///
    /// # Safety
    /// The operands and the result have the sizes and the element type of the plan's problem for this direction, and
    /// the result overlaps no operand.
    pub(crate) unsafe fn convolve(
        self: &Arc<Self>,
        lane: Lane,
        plan: &Plan,
        direction: Direction,
        operands: [In; 2],
        result: Out,
        mode: GradMode,
    ) -> Result<()> {
        self.bind()?;
        let lane = self.streams.resolve(lane);
        let [a, b] = operands.map(In::inner);
        self.check_owner(direction, [a, b, result.inner()])?;
        let mut uses = [a, b, result.inner()].map(Address::usage).to_vec();
        let operands = operands.map(In::address);
        let choice = match plan.choice(direction, mode) {
            Some(choice) => choice,
            None => {
                // SAFETY: the caller guarantees sizes and types.
                let dry_run = |_| unsafe { self.try_out(plan, direction, operands, result, mode) };
                self.streams.enqueue(Lane::Main, &uses, dry_run)?;
                plan.choice(direction, mode).expect("the direction has been tried out")
            }
        }?;
        // The workspace is freed as soon as the work is enqueued: its next use comes later in the same stream.
        let workspace = match choice.workspace() {
            0 => None,
            bytes => Some(self.allocate_in(lane, bytes, &WORKSPACE)?),
        };
        uses.extend(workspace.as_ref().map(|space| Use::write(space.address(), space.bytes())));
        let address = workspace.as_ref().map_or(0, |space| space.address());
        let work = |_| {
            // SAFETY: the caller guarantees sizes and types; the workspace has the size of the choice; memory is reused
            // in the order of the streams only.
            unsafe { self.cudnn.run_in(lane, choice, operands, result.address(), address) }
        };
        self.streams.enqueue(lane, &uses, work)?;
        self.note_launch(direction.kind(), || plan.problem().work())
    }

    /// Lets cuDNN's algorithms for a direction run on the arrays of its first call, before the run that counts: so a
    /// dry run takes no memory but a workspace. If that call adds to its result, the dry run has one of its own.
    ///
    /// # Errors
    /// A captured step, which would contain the dry runs; a wrong parameter; out of memory.
    ///
    /// # Safety
    /// As for [`CudaDevice::convolve`].
    unsafe fn try_out(
        self: &Arc<Self>,
        plan: &Plan,
        direction: Direction,
        operands: [u64; 2],
        result: Out,
        mode: GradMode,
    ) -> Result<()> {
        self.refuse_during_capture("the choice of a convolution's algorithm")?;
        let spare = match mode {
            GradMode::Overwrite => None,
            GradMode::Accumulate => {
                let bytes = plan.problem().result_bytes(direction);
                let spare = self.allocate(bytes, &Label::of("the dry run of a convolution"))?;
                spare.clear(bytes)?;
                Some(spare)
            }
        };
        let result = spare.as_ref().map_or(result.address(), |spare| spare.address());
        let workspace = |bytes| self.allocate(bytes, &WORKSPACE).map(|space| (space.address(), space));
        // SAFETY: the caller guarantees sizes and types, and that the result may be overwritten if that is its mode.
        unsafe { self.cudnn.try_out(plan, direction, operands, result, workspace) }
    }
}
