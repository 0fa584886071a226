//! Timing events in the main stream.

use super::CudaDevice;
use super::driver::{EVENT_DEFAULT, RawEvent};
use crate::{Error, Result};
use std::sync::Arc;

/// A CUDA event: a point in the stream whose time the GPU records.
pub struct Event {
    event: RawEvent,
    device: Arc<CudaDevice>,
}

impl CudaDevice {
    /// Records an event after all enqueued work, without waiting.
    ///
    /// # Errors
    /// A CUDA driver error.
    pub fn mark(self: &Arc<Self>) -> Result<Event> {
        self.bind()?;
        let event = RawEvent::new(self.driver, EVENT_DEFAULT)?;
        self.streams.join()?;
        self.streams.record(&event, "recording an event")?;
        Ok(Event { event, device: self.clone() })
    }
}

impl Event {
    /// Waits for this event; returns the seconds between `earlier` and this event on the GPU, with a resolution of half
    /// a microsecond.
    ///
    /// # Errors
    /// An event of another device; a CUDA driver error of the work before the event.
    pub fn seconds_since(&self, earlier: &Event) -> Result<f64> {
        if !Arc::ptr_eq(&self.device, &earlier.device) {
            return Err(Error::Device("the time between events of two device objects is not defined".into()));
        }
        self.device.bind()?;
        // The events are of one stream, so the earlier one is complete when the later one is.
        self.event.wait()?;
        Ok(f64::from(self.event.milliseconds_since(&earlier.event)?) * 1e-3)
    }
}
