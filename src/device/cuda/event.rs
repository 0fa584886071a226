//! Points in the stream whose time the GPU writes down when it gets there.

use super::{CudaDevice, fault};
use crate::Result;
use cudarc::driver::{result, sys};
use std::sync::Arc;

/// A point behind all work that had been asked for when it was made.
pub struct Event {
    event: sys::CUevent,
    device: Arc<CudaDevice>,
}

// SAFETY: an event may be used from any thread that has its context (CUDA driver API).
unsafe impl Send for Event {}

impl CudaDevice {
    /// Marks the point behind all work so far, without waiting for it.
    ///
    /// # Errors
    /// What the driver says.
    pub fn mark(self: &Arc<Self>) -> Result<Event> {
        self.bind()?;
        let event =
            result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT).map_err(fault("making an event"))?;
        let event = Event { event, device: self.clone() };
        // SAFETY: event and stream are open.
        unsafe { result::event::record(event.event, self.stream.0) }.map_err(fault("marking a point"))?;
        Ok(event)
    }
}

impl Event {
    /// Waits until the GPU has come here, and tells how many seconds it took it from `earlier`, in steps of half a
    /// microsecond.
    ///
    /// # Errors
    /// What went wrong in the work before it.
    pub fn seconds_since(&self, earlier: &Event) -> Result<f64> {
        self.device.bind()?;
        // SAFETY: both events live, and were recorded in one stream when they were made, so that the earlier one has
        // been reached when the later one is.
        let milliseconds = unsafe {
            result::event::synchronize(self.event).map_err(fault("waiting for the GPU"))?;
            result::event::elapsed(earlier.event, self.event).map_err(fault("reading a time of the GPU"))?
        };
        Ok(f64::from(milliseconds) * 1e-3)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made by `mark`; the driver keeps what a record under way still needs. An error is of earlier work and
        // shows again.
        let _ = unsafe { result::event::destroy(self.event) };
    }
}
