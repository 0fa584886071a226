//! Runs steps one after the other: plainly, or on a GPU recorded once and replayed.
//!
//! The first steps run plainly, which makes ready what a recording cannot: cuDNN's choices, tables, memory. As soon as a
//! step has found all the memory it wanted, the next one is recorded; its kernels and their numbers are those of a plain
//! step, so the results are the same bits.

use super::step::StepOutput;
use crate::Result;
use crate::device::Device;
use crate::device::cuda::Graph;
use crate::tensor::Download;

/// What a step measured, on its way to the host.
pub struct PendingOutput {
    /// L_s.
    pub softmax: Download,
    /// The terms of the batch-contrastive loss.
    pub terms: Download,
}

impl StepOutput {
    /// Asks for the values without waiting.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn send(&self) -> Result<PendingOutput> {
        Ok(PendingOutput { softmax: self.softmax.download_async()?, terms: self.terms.download_async()? })
    }
}

/// Runs the steps of one run.
pub struct StepRunner {
    device: Device,
    may_record: bool,
    /// Whether the last step found all the memory it wanted.
    is_settled: bool,
    recorded: Option<(Graph, StepOutput)>,
    /// Why steps are not recorded although they may be.
    capture_error: Option<String>,
}

impl StepRunner {
    /// For steps on `device`; on a GPU they are recorded if `may_record`.
    pub fn new(device: &Device, may_record: bool) -> Self {
        StepRunner {
            device: device.clone(),
            may_record,
            is_settled: false,
            recorded: None,
            capture_error: None,
        }
    }

    /// Runs a step, which is the same function each time: what changes from one to the next lies in device memory. A
    /// recorded one is not called again. One that cannot be recorded is called again, to run plainly, as all that follow.
    ///
    /// # Errors
    /// What the step or the device reports.
    pub fn run(&mut self, mut step: impl FnMut() -> Result<StepOutput>) -> Result<PendingOutput> {
        let Device::Cuda(gpu) = &self.device else { return step()?.send() };
        if let Some((graph, measured)) = &mut self.recorded {
            graph.replay()?;
            return measured.send();
        }
        let _region = gpu.enter_step()?;
        if self.may_record && self.is_settled {
            match gpu.capture(&mut step) {
                Ok((mut graph, measured)) => {
                    graph.replay()?;
                    let (_, measured) = self.recorded.insert((graph, measured));
                    return measured.send();
                }
                Err(error) => {
                    self.may_record = false;
                    self.capture_error =
                        Some(format!("steps run plainly, for none could be recorded: {error}"));
                }
            }
        }
        let before = gpu.memory_growth();
        let sent = step()?.send();
        self.is_settled = gpu.memory_growth() == before;
        sent
    }

    /// Once, why steps run plainly although they might be recorded.
    pub fn take_capture_error(&mut self) -> Option<String> {
        self.capture_error.take()
    }

    /// How many pieces of work a replay of the recorded step is made of; none while nothing is recorded.
    pub fn nodes(&self) -> Option<usize> {
        self.recorded.as_ref().map(|(graph, _)| graph.nodes())
    }
}
