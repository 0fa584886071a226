//! Capture and replay of a step as a CUDA graph: one driver call instead of hundreds.
//!
//! A captured step has fixed addresses and fixed scalar arguments. Values that change from step to step lie in device
//! memory. The addresses stay valid: the step's memory region is used by no other work, and the pool keeps the other
//! blocks until the captured step is dropped ([`super::memory`]).
//!
//! Book: [chapter 15](../../../../../../docs/book/src/15-memory-streams.md).

use super::CudaDevice;
use super::driver::{CAPTURE_THREAD_LOCAL, Handle};
use super::memory::StepRegion;
use crate::Result;
use std::ptr;
use std::sync::Arc;

/// A captured step.
pub(crate) struct Graph {
    executable: Handle,
    nodes: usize,
    device: Arc<CudaDevice>,
}

// SAFETY: a graph may be used from any thread that has its context, by one thread at a time (CUDA driver API, "Graph
// object thread safety"); `replay` takes `&mut`.
unsafe impl Send for Graph {}

impl CudaDevice {
    /// Captures the work that `work` enqueues into a graph, without running it. Its temporary buffers are in the region
    /// of the step, which the caller has entered. Meanwhile calls of other threads on this device are errors: the
    /// capture would take their work.
    ///
    /// # Errors
    /// The error of `work`; an operation that cannot be captured: a new allocation, a wait, an asynchronous transfer.
    pub(crate) fn capture<T>(
        self: &Arc<Self>,
        region: &StepRegion<'_>,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<(Graph, T)> {
        let (mut graphs, done) = self.capture_parts(region, |_| work())?;
        Ok((graphs.pop().expect("a capture ends with a graph"), done))
    }

    /// As [`CudaDevice::capture`], into several graphs: `work` gets a function that ends one graph and begins the next.
    /// Replayed one after the other, in their order and none left out, they do the work of one graph: each finds in
    /// memory what those before it have left there, as no buffer is reused by other work in between. At the end of each
    /// graph the main stream waits for the side stream.
    ///
    /// # Errors
    /// As [`CudaDevice::capture`].
    pub(crate) fn capture_parts<T>(
        self: &Arc<Self>,
        _region: &StepRegion<'_>,
        work: impl FnOnce(&mut dyn FnMut() -> Result<()>) -> Result<T>,
    ) -> Result<(Vec<Graph>, T)> {
        self.bind()?;
        // A capture cannot wait for work from outside of it.
        self.streams.join()?;
        let _no_growth = self.forbid_growth();
        let _alone = self.keep_others_out();
        let launches = self.launches();
        self.begin_capture()?;
        let mut captured = Vec::new();
        let done = work(&mut || {
            captured.push(self.end_capture()?);
            self.begin_capture()
        });
        // After an error of `work` too: a capturing stream runs no work.
        let last = self.end_capture();
        self.work.forget_launches_since(launches);
        // The error of `work` is the cause, that of the capture only its consequence.
        let done = done?;
        captured.push(last?);
        let graphs = captured.iter().map(CapturedGraph::instantiate).collect::<Result<_>>()?;
        Ok((graphs, done))
    }

    fn begin_capture(&self) -> Result<()> {
        let stream = self.streams.join()?;
        // Driver calls of other threads on other devices do not end the capture; those of this thread must be
        // capturable.
        // SAFETY: the stream is open.
        let status = unsafe { (self.driver.cuStreamBeginCapture_v2)(stream, CAPTURE_THREAD_LOCAL) };
        self.driver.check(status, "capturing a step")
    }

    fn end_capture(self: &Arc<Self>) -> Result<CapturedGraph<'_>> {
        // The side stream has joined the capture with its first work, and must be joined to the main stream again.
        let joined = self.streams.join();
        let [stream, _] = self.streams.handles();
        let mut graph = CapturedGraph { device: self, handle: ptr::null_mut() };
        // SAFETY: the stream is open; one value is written, to a variable of its type.
        let status = unsafe { (self.driver.cuStreamEndCapture)(stream, &raw mut graph.handle) };
        self.streams.end_capture();
        joined?;
        self.driver.check(status, "capturing a step")?;
        Ok(graph)
    }
}

/// The result of a capture: the template of an executable graph.
struct CapturedGraph<'a> {
    device: &'a Arc<CudaDevice>,
    handle: Handle,
}

impl CapturedGraph<'_> {
    fn instantiate(&self) -> Result<Graph> {
        let driver = self.device.driver;
        let (mut nodes, mut executable) = (0, ptr::null_mut());
        // SAFETY: the capture of the graph has ended; without an array, only the number of nodes is written.
        let status = unsafe { (driver.cuGraphGetNodes)(self.handle, ptr::null_mut(), &raw mut nodes) };
        driver.check(status, "capturing a step")?;
        // SAFETY: as above; flags 0 are the default.
        let status = unsafe { (driver.cuGraphInstantiateWithFlags)(&raw mut executable, self.handle, 0) };
        driver.check(status, "instantiating a captured step")?;
        self.device.count_graphs(true);
        Ok(Graph { executable, nodes, device: self.device.clone() })
    }
}

impl Drop for CapturedGraph<'_> {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: the graph came from the end of a capture, and its executable is a copy. An error of earlier work
            // is reported again by the next call.
            let _ = unsafe { (self.device.driver.cuGraphDestroy)(self.handle) };
        }
    }
}

impl Graph {
    /// Enqueues the captured work.
    ///
    /// # Errors
    /// A CUDA driver error of this or of earlier work.
    // ANCHOR: replay
    pub(crate) fn replay(&mut self) -> Result<()> {
        self.device.bind()?;
        if self.nodes == 0 {
            // A part of a step that this run does not have.
            return Ok(());
        }
        let driver = self.device.driver;
        let stream = self.device.streams.join()?;
        // SAFETY: graph and stream are open. The memory of the nodes is in the step's region or in blocks that were in
        // use when the graph was captured; the pool frees neither while a graph exists.
        let status = unsafe { (driver.cuGraphLaunch)(self.executable, stream) };
        driver.check(status, "replaying a step")?;
        self.device.work.record("captured step", || [0, 0]);
        Ok(())
    }
    // ANCHOR_END: replay

    /// The number of nodes: kernels, copies and fills of a replay.
    pub(crate) fn nodes(&self) -> usize {
        self.nodes
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let _ = self.device.synchronize();
        // SAFETY: `instantiate` created the executable, and all replays are complete. A destructor cannot return an
        // error.
        let _ = unsafe { (self.device.driver.cuGraphExecDestroy)(self.executable) };
        self.device.count_graphs(false);
    }
}
