//! Timing events in the stream.

use super::{CudaDevice, driver_error};
use crate::Result;
use cudarc::driver::{result, sys};
use std::sync::Arc;

/// A CUDA event: a point in the stream whose time the GPU records.
pub struct Event {
    event: sys::CUevent,
    device: Arc<CudaDevice>,
}

// SAFETY: an event may be used from any thread that has its context (CUDA driver API).
unsafe impl Send for Event {}

impl CudaDevice {
    /// Records an event after all enqueued work, without waiting.
    ///
    /// # Errors
    /// A CUDA driver error.
    pub fn mark(self: &Arc<Self>) -> Result<Event> {
        self.bind()?;
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT)
            .map_err(driver_error("creating an event"))?;
        let event = Event { event, device: self.clone() };
        // SAFETY: event and stream are open.
        unsafe { result::event::record(event.event, self.stream.0) }
            .map_err(driver_error("recording an event"))?;
        Ok(event)
    }
}

impl Event {
    /// Waits for this event; returns the seconds between `earlier` and this event on the GPU, with a resolution of half
    /// a microsecond.
    ///
    /// # Errors
    /// A CUDA driver error of the work before the event.
    pub fn seconds_since(&self, earlier: &Event) -> Result<f64> {
        self.device.bind()?;
        // SAFETY: both events exist and were recorded in one stream, so the earlier one is complete when the later one
        // is.
        let milliseconds = unsafe {
            result::event::synchronize(self.event).map_err(driver_error("waiting for the GPU"))?;
            result::event::elapsed(earlier.event, self.event)
                .map_err(driver_error("reading the time between two events"))?
        };
        Ok(f64::from(milliseconds) * 1e-3)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: `mark` created the event; the driver defers its destruction while a record is pending. A destructor
        // cannot return an error.
        let _ = unsafe { result::event::destroy(self.event) };
    }
}
