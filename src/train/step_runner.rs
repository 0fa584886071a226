//! Execution of steps: plain on the CPU; on a GPU captured once as a CUDA graph and replayed.
//!
//! The first steps run plainly and prepare all that a capture must not do: cuDNN's choice of algorithms, tables,
//! memory. When a step has found all its memory in the pool, the next step is captured. Its kernels and their arguments
//! are those of a plain step, so the results are the same bits.
//!
//! Book: [chapter 15](../../../../../docs/book/src/15-memory-streams.md).

use super::step::StepOutput;
use crate::Result;
use crate::device::Device;
use crate::device::cuda::Graph;
use crate::tensor::{Download, Tensor};

/// The output of a step, during its download to the host.
pub struct PendingOutput {
    /// L_s.
    pub softmax: Download,
    /// The terms of the batch-contrastive loss.
    pub terms: Download,
    /// The losses of other methods.
    pub metric_losses: Vec<Download>,
}

impl StepOutput {
    /// Starts the downloads and does not wait for them.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn download_async(&self) -> Result<PendingOutput> {
        Ok(PendingOutput {
            softmax: self.softmax.download_async()?,
            terms: self.terms.download_async()?,
            metric_losses: self.metric_losses.iter().map(Tensor::download_async).collect::<Result<_>>()?,
        })
    }
}

/// The executor of the steps of one run.
pub struct StepRunner {
    device: Device,
    may_capture: bool,
    /// True if the last step found all its memory in the pool.
    is_settled: bool,
    captured: Option<(Graph, StepOutput)>,
    /// The reason why steps are not captured although capture is allowed.
    capture_error: Option<String>,
}

impl StepRunner {
    /// An executor of steps on `device`. On a GPU it captures a step if `may_capture`.
    pub fn new(device: &Device, may_capture: bool) -> Self {
        StepRunner {
            device: device.clone(),
            may_capture,
            is_settled: false,
            captured: None,
            capture_error: None,
        }
    }

    /// Runs a step. `step` is the same function each time: values that change between steps lie in device memory. After
    /// a capture the function is not called again. If the capture fails, this step and all later ones run plainly.
    ///
    /// # Errors
    /// Errors of the step or the device.
    pub fn run(&mut self, mut step: impl FnMut() -> Result<StepOutput>) -> Result<PendingOutput> {
        let Device::Cuda(gpu) = &self.device else { return step()?.download_async() };
        // ANCHOR: run
        if let Some((graph, output)) = &mut self.captured {
            graph.replay()?;
            return output.download_async();
        }
        let region = gpu.enter_step()?;
        if self.may_capture && self.is_settled {
            match gpu.capture(&region, &mut step) {
                Ok((mut graph, output)) => {
                    graph.replay()?;
                    let (_, output) = self.captured.insert((graph, output));
                    return output.download_async();
                }
                Err(error) => {
                    self.may_capture = false;
                    self.capture_error =
                        Some(format!("steps run plainly, because none could be captured: {error}"));
                }
            }
        }
        let before = gpu.memory_growth();
        let pending = step()?.download_async();
        self.is_settled = gpu.memory_growth() == before;
        pending
        // ANCHOR_END: run
    }

    /// The reason why steps run plainly although capture is allowed; returned once.
    pub fn take_capture_error(&mut self) -> Option<String> {
        self.capture_error.take()
    }

    /// The number of graph nodes of the captured step; `None` before a capture.
    pub fn nodes(&self) -> Option<usize> {
        self.captured.as_ref().map(|(graph, _)| graph.nodes())
    }
}
