//! The times of all pieces of work in a captured step: an event behind each of them, as a node of the graph.
//!
//! The step runs as a whole, with its own data and with what one kernel leaves in the caches for the next. The times
//! are therefore those of a step, and of each kind, and they add up to that of the step. An event takes time itself,
//! which the caller can take off by comparing with a graph that has none.

use super::driver::{EVENT_DEFAULT, RawEvent};
use super::memory::StepRegion;
use super::{CudaDevice, Graph};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// The events behind the work that is captured now.
#[derive(Default)]
pub(super) struct Timeline {
    is_on: AtomicBool,
    ends: Mutex<Vec<(String, RawEvent)>>,
}

impl Timeline {
    fn lock(&self) -> MutexGuard<'_, Vec<(String, RawEvent)>> {
        self.ends.lock().expect("the lock is never held across a panic")
    }
}

/// A captured step whose pieces of work are timed in each replay.
pub(crate) struct TimedGraph {
    // Dropped before the events that it records.
    graph: Graph,
    begin: RawEvent,
    /// The kind of each piece of work, and the event behind it, in their order.
    ends: Vec<(String, RawEvent)>,
    device: Arc<CudaDevice>,
}

/// The seconds of a kind of work in one replay, and the number of its pieces.
pub(crate) type TimeByKind = BTreeMap<String, (f64, u64)>;

impl CudaDevice {
    /// As [`CudaDevice::capture`], with an event behind each piece of work. The device uses one stream: pieces of work
    /// that run at the same time would have no time of their own.
    ///
    /// # Errors
    /// As [`CudaDevice::capture`]; two streams.
    pub(crate) fn capture_timed<T>(
        self: &Arc<Self>,
        region: &StepRegion<'_>,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<(TimedGraph, T)> {
        if !self.streams.is_one() {
            return Err(Error::Device("pieces of work are timed in one stream; two are in use".into()));
        }
        self.bind()?;
        let begin = RawEvent::new(self.driver, EVENT_DEFAULT)?;
        let captured = self.capture(region, || {
            self.streams.record_as_node(&begin, "timing a captured step")?;
            self.work.timeline.is_on.store(true, Ordering::Relaxed);
            work()
        });
        self.work.timeline.is_on.store(false, Ordering::Relaxed);
        let ends = std::mem::take(&mut *self.work.timeline.lock());
        let (graph, done) = captured?;
        Ok((TimedGraph { graph, begin, ends, device: self.clone() }, done))
    }

    /// Records an event behind the work that has just been enqueued, if a step is captured with times.
    pub(super) fn time_in_capture(&self, kind: &str) -> Result<()> {
        if !self.work.timeline.is_on.load(Ordering::Relaxed) {
            return Ok(());
        }
        let end = RawEvent::new(self.driver, EVENT_DEFAULT)?;
        self.streams.record_as_node(&end, "timing a captured step")?;
        self.work.timeline.lock().push((kind.to_string(), end));
        Ok(())
    }
}

impl TimedGraph {
    /// Runs the captured work once, waits for it, and returns the time from one event to the next, summed up by kind.
    ///
    /// # Errors
    /// A CUDA driver error of this or of earlier work.
    pub(crate) fn time(&mut self) -> Result<TimeByKind> {
        self.graph.replay()?;
        self.device.synchronize()?;
        let mut times = TimeByKind::new();
        let mut earlier = &self.begin;
        for (kind, end) in &self.ends {
            let (seconds, count) = times.entry(kind.clone()).or_default();
            *seconds += f64::from(end.milliseconds_since(earlier)?) * 1e-3;
            *count += 1;
            earlier = end;
        }
        Ok(times)
    }

    /// The number of nodes without the events.
    pub(crate) fn nodes(&self) -> usize {
        self.graph.nodes().saturating_sub(self.ends.len() + 1)
    }
}
