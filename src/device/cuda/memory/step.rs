//! The pool during a step and during a capture: whose allocations come from the step's region, and what a captured step
//! keeps.

use super::Pool;
use crate::device::cuda::CudaDevice;
use crate::{Error, Result};
use std::thread;

impl CudaDevice {
    /// Makes allocations of this thread come from the step's region until the result is dropped.
    ///
    /// # Errors
    /// If a step of another run is under way on this device, or a captured one exists: the two would overwrite each
    /// other's memory.
    pub(crate) fn enter_step(&self) -> Result<StepRegion<'_>> {
        let mut state = self.pool.lock();
        if state.graphs > 0 {
            return Err(Error::Device(
                "another run on this device object has captured its step; end that run first, or open the device again"
                    .into(),
            ));
        }
        if state.step.is_some() {
            return Err(Error::Device(
                "another run is in the middle of a step on this device object; open the device again for each run"
                    .into(),
            ));
        }
        state.step = Some(thread::current().id());
        Ok(StepRegion(&self.pool))
    }

    /// Makes driver allocations an error until the result is dropped: a capture cannot contain one.
    pub(in crate::device::cuda) fn forbid_growth(&self) -> NoGrowth<'_> {
        self.pool.lock().is_capturing = true;
        NoGrowth(&self.pool)
    }

    /// Refuses work that a capture on this thread cannot contain.
    pub(in crate::device::cuda) fn refuse_during_capture(&self, what: &str) -> Result<()> {
        if self.pool.lock().is_capturing {
            return Err(Error::Device(format!("{what} cannot be part of a captured step")));
        }
        Ok(())
    }

    /// Counts a captured step that is created (`begins`) or dropped.
    pub(in crate::device::cuda) fn count_graphs(&self, begins: bool) {
        let mut state = self.pool.lock();
        if begins {
            state.graphs += 1;
            state.owned_below = state.serial;
        } else {
            state.graphs = state.graphs.saturating_sub(1);
            state.end_retention();
        }
    }
}

/// A guard: while it exists, allocations come from the step's region.
pub(crate) struct StepRegion<'a>(&'a Pool);

impl Drop for StepRegion<'_> {
    fn drop(&mut self) {
        self.0.lock().step = None;
    }
}

/// A guard: while it exists, the pool does not grow.
pub(in crate::device::cuda) struct NoGrowth<'a>(&'a Pool);

impl Drop for NoGrowth<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_capturing = false;
        state.end_retention();
    }
}
