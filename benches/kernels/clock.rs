//! Times on a CUDA device, between two events.

use super::ops::gpu::Outcome;
use super::ops::gpu::cuda::driver::{Driver, Handle, driver};
use super::ops::lab::measure::median;
use std::ptr;

/// Number of measurements, of which the median is taken.
const SAMPLES: usize = 11;
/// Smallest duration of a measurement in seconds, and its largest number of runs.
const LONG_ENOUGH: f64 = 2e-3;
const MOST_RUNS: f64 = 200.0;

/// A stream and two events in it.
pub struct Clock {
    driver: &'static Driver,
    stream: Handle,
    start: Handle,
    stop: Handle,
}

/// A captured graph, ready to run.
struct Graph(&'static Driver, Handle);

impl Clock {
    /// Creates a clock for the device whose context is current; the context must outlive the clock.
    pub fn new() -> Outcome<Clock> {
        const NON_BLOCKING: u32 = 1;
        let driver = driver()?;
        let null = ptr::null_mut();
        let mut clock = Clock { driver, stream: null, start: null, stop: null };
        // SAFETY: each handle is written to a variable of its type.
        unsafe {
            driver.check((driver.cuStreamCreateWithPriority)(&raw mut clock.stream, NON_BLOCKING, 0))?;
            driver.check((driver.cuEventCreate)(&raw mut clock.start, 0))?;
            driver.check((driver.cuEventCreate)(&raw mut clock.stop, 0))?;
        }
        Ok(clock)
    }

    /// Measures the work that `enqueue` puts into a stream, in seconds: the median of several measurements after a
    /// warm-up. Short work is repeated in one graph, as in a training step, so that the host's launches are not
    /// measured.
    pub fn time(&self, enqueue: &dyn Fn(Handle) -> Outcome) -> Outcome<f64> {
        enqueue(self.stream)?;
        let once = self.between(&|| enqueue(self.stream))?;
        let runs = (LONG_ENOUGH / once).clamp(1.0, MOST_RUNS).ceil();
        let graph = self.capture(&|| (0..runs as usize).try_for_each(|_| enqueue(self.stream)))?;
        let launch = || {
            // SAFETY: graph and stream live, and what the graph's kernels point at is the caller's, who waits here.
            let status = unsafe { (self.driver.cuGraphLaunch)(graph.1, self.stream) };
            Ok(self.driver.check(status)?)
        };
        launch()?;
        let samples = (0..SAMPLES).map(|_| Ok(self.between(&launch)? / runs));
        Ok(median(samples.collect::<Outcome<_>>()?))
    }

    /// Seconds on the device between two events around `work`, which has ended when this returns.
    fn between(&self, work: &dyn Fn() -> Outcome) -> Outcome<f64> {
        // SAFETY: stream and events were made by `new` and live as long as this.
        self.driver.check(unsafe { (self.driver.cuEventRecord)(self.start, self.stream) })?;
        work()?;
        let mut milliseconds = 0.0f32;
        // SAFETY: as above; both events are recorded, and over once the stream has nothing left to do.
        unsafe {
            self.driver.check((self.driver.cuEventRecord)(self.stop, self.stream))?;
            self.driver.check((self.driver.cuStreamSynchronize)(self.stream))?;
            let between = (self.driver.cuEventElapsedTime)(&raw mut milliseconds, self.start, self.stop);
            self.driver.check(between)?;
        }
        Ok(f64::from(milliseconds) * 1e-3)
    }

    fn capture(&self, work: &dyn Fn() -> Outcome) -> Outcome<Graph> {
        const RELAXED: i32 = 2;
        let driver = self.driver;
        // SAFETY: the stream lives, and nothing else is being captured in it.
        driver.check(unsafe { (driver.cuStreamBeginCapture_v2)(self.stream, RELAXED) })?;
        let worked = work();
        let (mut graph, mut ready) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the capture began above; it is ended even if the work failed.
        let ended = unsafe { (driver.cuStreamEndCapture)(self.stream, &raw mut graph) };
        worked?;
        driver.check(ended)?;
        // SAFETY: the graph came from the capture; the executable one does not need it any more.
        unsafe {
            let made = (driver.cuGraphInstantiateWithFlags)(&raw mut ready, graph, 0);
            driver.check((driver.cuGraphDestroy)(graph))?;
            driver.check(made)?;
        }
        Ok(Graph(driver, ready))
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made once and destroyed once, after every run was waited for. A failure cannot be reported from a
        // destructor.
        let _ = unsafe { (self.0.cuGraphExecDestroy)(self.1) };
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let made = |handle: &Handle| !handle.is_null();
        // SAFETY: as for graphs.
        unsafe {
            for event in [self.start, self.stop].iter().filter(|event| made(event)) {
                let _ = (self.driver.cuEventDestroy_v2)(*event);
            }
            if made(&self.stream) {
                let _ = (self.driver.cuStreamDestroy_v2)(self.stream);
            }
        }
    }
}
