//! Capture and replay of a step as a CUDA graph: one driver call instead of hundreds.
//!
//! A captured step has fixed addresses and fixed scalar arguments. Values that change from step to step lie in device
//! memory, and the addresses stay valid because the step's memory region is used by no other work ([`super::memory`]).

use super::{CudaDevice, driver_error};
use crate::Result;
use cudarc::driver::{result, sys};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A captured step.
pub struct Graph {
    executable: sys::CUgraphExec,
    nodes: usize,
    device: Arc<CudaDevice>,
}

// SAFETY: a graph may be used from any thread that has its context, by one thread at a time (CUDA driver API, "Graph
// object thread safety"); `replay` takes `&mut`.
unsafe impl Send for Graph {}

impl CudaDevice {
    /// Captures the work that `work` enqueues into a graph, without running it.
    ///
    /// # Errors
    /// The error of `work`; an operation that cannot be captured: a new allocation, a wait.
    pub fn capture<T>(self: &Arc<Self>, work: impl FnOnce() -> Result<T>) -> Result<(Graph, T)> {
        self.bind()?;
        let _no_growth = self.forbid_growth();
        // Driver calls of other threads do not end the capture; those of this thread must be capturable.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is open.
        unsafe { result::stream::begin_capture(self.stream.0, mode) }
            .map_err(driver_error("capturing a step"))?;
        let launches = self.launches();
        let done = work();
        // After an error of `work` too: a capturing stream runs no work.
        // SAFETY: the stream is open, and the capture was begun above.
        let graph = unsafe { result::stream::end_capture(self.stream.0) };
        self.launches.store(launches, Ordering::Relaxed);
        let done = match done {
            Ok(done) => done,
            // The error of `work` is the cause, that of the capture only its consequence.
            Err(error) => {
                if let Ok(graph) = graph {
                    destroy(graph);
                }
                return Err(error);
            }
        };
        let graph = graph.map_err(driver_error("capturing a step"))?;
        let instantiated = self.instantiate(graph);
        destroy(graph);
        Ok((instantiated?, done))
    }

    fn instantiate(self: &Arc<Self>, graph: sys::CUgraph) -> Result<Graph> {
        let mut nodes = 0;
        // SAFETY: the capture of the graph has ended; without an array, only the number of nodes is written.
        unsafe { sys::cuGraphGetNodes(graph, std::ptr::null_mut(), &raw mut nodes) }
            .result()
            .map_err(driver_error("capturing a step"))?;
        // SAFETY: as above; flags 0 are the default.
        let executable = unsafe { result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0)) }
            .map_err(driver_error("instantiating a captured step"))?;
        self.count_graphs(true);
        Ok(Graph { executable, nodes, device: self.clone() })
    }
}

fn destroy(graph: sys::CUgraph) {
    if !graph.is_null() {
        // SAFETY: the graph came from the end of a capture, and its executable is a copy. An error of earlier work is
        // reported again by the next call.
        let _ = unsafe { result::graph::destroy(graph) };
    }
}

impl Graph {
    /// Enqueues the captured work.
    ///
    /// # Errors
    /// A CUDA driver error of this or of earlier work.
    pub fn replay(&mut self) -> Result<()> {
        self.device.bind()?;
        // SAFETY: graph and stream are open. The memory of the nodes is in the step's region, which is not freed while
        // a graph exists, or in buffers that the owner of the graph keeps.
        unsafe { result::graph::launch(self.executable, self.device.stream.0) }
            .map_err(driver_error("replaying a step"))?;
        self.device.launches.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The number of nodes: kernels, copies and fills of a replay.
    pub fn nodes(&self) -> usize {
        self.nodes
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let _ = self.device.synchronize();
        // SAFETY: `instantiate` created the executable, and all replays are complete. A destructor cannot return an
        // error.
        let _ = unsafe { result::graph::exec_destroy(self.executable) };
        self.device.count_graphs(false);
    }
}
