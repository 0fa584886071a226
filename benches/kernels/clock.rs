//! Times on a CUDA device, between two events.

use super::ops::gpu::Outcome;
use super::ops::lab::measure::median;
use cudarc::driver::{result, sys};

/// Number of measurements, of which the median is taken.
const SAMPLES: usize = 11;
/// Smallest duration of a measurement in seconds, and its largest number of runs.
const LONG_ENOUGH: f64 = 2e-3;
const MOST_RUNS: f64 = 200.0;

/// A stream and two events in it.
pub struct Clock {
    stream: sys::CUstream,
    start: sys::CUevent,
    stop: sys::CUevent,
}

/// A captured graph, ready to run.
struct Graph(sys::CUgraphExec);

impl Clock {
    /// Creates a clock for the device whose context is current; the context must outlive the clock.
    pub fn new() -> Outcome<Clock> {
        let event = || result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT);
        Ok(Clock {
            stream: result::stream::create(result::stream::StreamKind::NonBlocking)?,
            start: event()?,
            stop: event()?,
        })
    }

    /// Measures the work that `enqueue` puts into a stream, in seconds: the median of several measurements after a
    /// warm-up. Short work is repeated in one graph, as in a training step, so that the host's launches are not
    /// measured.
    pub fn time(&self, enqueue: &dyn Fn(sys::CUstream) -> Outcome) -> Outcome<f64> {
        enqueue(self.stream)?;
        let once = self.between(&|| enqueue(self.stream))?;
        let runs = (LONG_ENOUGH / once).clamp(1.0, MOST_RUNS).ceil();
        let graph = self.capture(&|| (0..runs as usize).try_for_each(|_| enqueue(self.stream)))?;
        let launch = || {
            // SAFETY: graph and stream live, and what the graph's kernels point at is the caller's, who waits here.
            Ok(unsafe { result::graph::launch(graph.0, self.stream) }?)
        };
        launch()?;
        let samples = (0..SAMPLES).map(|_| Ok(self.between(&launch)? / runs));
        Ok(median(samples.collect::<Outcome<_>>()?))
    }

    /// Seconds on the device between two events around `work`, which has ended when this returns.
    fn between(&self, work: &dyn Fn() -> Outcome) -> Outcome<f64> {
        // SAFETY: stream and events were made by `new` and live as long as this.
        unsafe { result::event::record(self.start, self.stream) }?;
        work()?;
        // SAFETY: as above; both events are recorded, and over once the stream has nothing left to do.
        let milliseconds = unsafe {
            result::event::record(self.stop, self.stream)?;
            result::stream::synchronize(self.stream)?;
            result::event::elapsed(self.start, self.stop)?
        };
        Ok(f64::from(milliseconds) * 1e-3)
    }

    fn capture(&self, work: &dyn Fn() -> Outcome) -> Outcome<Graph> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: the stream lives, and nothing else is being captured in it.
        unsafe { result::stream::begin_capture(self.stream, mode) }?;
        let worked = work();
        // SAFETY: the capture began above; it is ended even if the work failed.
        let graph = unsafe { result::stream::end_capture(self.stream) };
        worked?;
        let graph = graph?;
        // SAFETY: the graph came from the capture; the executable one does not need it any more.
        unsafe {
            let ready = result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0));
            result::graph::destroy(graph)?;
            Ok(Graph(ready?))
        }
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made once and destroyed once, after every run was waited for. A failure cannot be reported from a
        // destructor.
        let _ = unsafe { result::graph::exec_destroy(self.0) };
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        // SAFETY: as for graphs.
        unsafe {
            let _ = result::event::destroy(self.start);
            let _ = result::event::destroy(self.stop);
            let _ = result::stream::destroy(self.stream);
        }
    }
}
