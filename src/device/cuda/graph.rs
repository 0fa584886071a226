//! A step recorded once and replayed: one call to the driver instead of hundreds.
//!
//! A recorded step has its addresses and numbers built in. What changes from step to step lies in device memory, and
//! the addresses stay good because memory of the step's region is handed to nobody else ([`super::memory`]).

use super::{CudaDevice, fault};
use crate::Result;
use cudarc::driver::{result, sys};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A recorded step.
pub struct Graph {
    executable: sys::CUgraphExec,
    nodes: usize,
    device: Arc<CudaDevice>,
}

// SAFETY: a graph may be used from any thread that has its context, by one at a time (CUDA driver API, "Graph object
// thread safety"); replaying takes `&mut`.
unsafe impl Send for Graph {}

impl CudaDevice {
    /// Records what `work` asks for instead of doing it.
    ///
    /// # Errors
    /// What `work` returns; something in it that cannot be recorded: new memory, a wait.
    pub fn record<T>(self: &Arc<Self>, work: impl FnOnce() -> Result<T>) -> Result<(Graph, T)> {
        self.bind()?;
        let _no_growth = self.forbid_growth();
        // What other threads ask of the driver does not spoil the recording; what this one does must be recordable.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is open.
        unsafe { result::stream::begin_capture(self.stream.0, mode) }.map_err(fault("recording a step"))?;
        let launches = self.launches();
        let done = work();
        // In any case: a stream that records does no work.
        // SAFETY: the stream is open, and recording was begun above.
        let graph = unsafe { result::stream::end_capture(self.stream.0) };
        self.launches.store(launches, Ordering::Relaxed);
        let done = match done {
            Ok(done) => done,
            // What the driver then says of the whole is the consequence, this the cause.
            Err(error) => {
                if let Ok(graph) = graph {
                    destroy(graph);
                }
                return Err(error);
            }
        };
        let graph = graph.map_err(fault("recording a step"))?;
        let made = self.instantiate(graph);
        destroy(graph);
        Ok((made?, done))
    }

    fn instantiate(self: &Arc<Self>, graph: sys::CUgraph) -> Result<Graph> {
        let mut nodes = 0;
        // SAFETY: the graph is a whole one; with no array to fill, the number of nodes is all that is written.
        unsafe { sys::cuGraphGetNodes(graph, std::ptr::null_mut(), &raw mut nodes) }
            .result()
            .map_err(fault("recording a step"))?;
        // SAFETY: as above; flags 0 are the default.
        let executable = unsafe { result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0)) }
            .map_err(fault("making a recorded step ready"))?;
        self.count_graphs(true);
        Ok(Graph { executable, nodes, device: self.clone() })
    }
}

fn destroy(graph: sys::CUgraph) {
    if !graph.is_null() {
        // SAFETY: the graph came from the end of a recording, and what was made from it is a copy. An error is of earlier
        // work and shows again.
        let _ = unsafe { result::graph::destroy(graph) };
    }
}

impl Graph {
    /// Enqueues the recorded work.
    ///
    /// # Errors
    /// What the driver says, of this or of earlier work.
    pub fn replay(&mut self) -> Result<()> {
        self.device.bind()?;
        // SAFETY: graph and stream are open; the memory its nodes work on is of the step's region, which lives as long as
        // there are graphs, or belongs to what a step was recorded with, which its owner keeps.
        unsafe { result::graph::launch(self.executable, self.device.stream.0) }
            .map_err(fault("replaying a step"))?;
        self.device.launches.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// How many kernels, copies and fills a replay is made of.
    pub fn nodes(&self) -> usize {
        self.nodes
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let _ = self.device.synchronize();
        // SAFETY: made by `instantiate`, replayed by nobody any more. An error is of earlier work and shows again.
        let _ = unsafe { result::graph::exec_destroy(self.executable) };
        self.device.count_graphs(false);
    }
}
