//! Results of a benchmark, as JSON; `table` prints them.

use super::clock::median;
use super::model::StepWork;
use super::parts::Parts;
use crate::config::Config;
use serde::Serialize;

/// Timing of steps.
#[derive(Clone, Debug, Serialize)]
pub struct Times {
    /// Milliseconds of the median step.
    pub median_ms: f64,
    /// Milliseconds of the fastest step.
    pub fastest_ms: f64,
    /// Images a second at the median.
    pub images_per_second: f64,
    /// Launches a step: kernels and library functions of a plain step, nodes of a captured step; `None` on the CPU.
    pub launches: Option<u64>,
}

impl Times {
    /// Summarises the seconds of steps; there must be at least one.
    pub(super) fn new(mut seconds: Vec<f64>, batch: usize, launches: Option<u64>) -> Self {
        let median = median(&mut seconds);
        Times {
            median_ms: 1e3 * median,
            fastest_ms: 1e3 * seconds[0],
            images_per_second: batch as f64 / median,
            launches,
        }
    }
}

/// The times of all layers of one shape.
#[derive(Clone, Debug, Serialize)]
pub struct BatchNormTimes {
    /// The sizes of the activations, `[N, H, W, C]` or `[N, C]`.
    pub shape: Vec<usize>,
    /// True if a residual is added.
    pub residual: bool,
    /// The number of such layers in the network.
    pub layers: usize,
    /// By the kernels of this program.
    pub own: Passes,
    /// By cuDNN, with the residual and the ReLU by kernels of this program.
    pub cudnn: Passes,
    /// Whether cuDNN took its persistent mode for the forward and for the backward pass.
    pub cudnn_persistent: [bool; 2],
}

/// The median microseconds of a layer.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Passes {
    /// The forward pass.
    pub forward_us: f64,
    /// The backward pass.
    pub backward_us: f64,
}

impl Passes {
    /// Both passes.
    pub fn total_us(&self) -> f64 {
        self.forward_us + self.backward_us
    }
}

/// Results of a benchmark and its settings.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of the program.
    pub version: &'static str,
    /// `cpu`, or the GPU's name.
    pub device: String,
    /// Precision of convolutions and matrix products.
    pub precision: String,
    /// The backend of batch normalisation in the timed steps: `own` or `cudnn`.
    pub batchnorm_by: String,
    /// Number of computing threads, on a CPU.
    pub threads: Option<usize>,
    /// Number of identities.
    pub classes: usize,
    /// Number of timed steps of each kind.
    pub steps: usize,
    /// Timing of plain steps, which launch one kernel after the other.
    pub plain: Times,
    /// Timing of the parts of a step.
    pub parts: Parts,
    /// True if the parts were timed as captured graphs, false if in plain steps.
    pub parts_captured: bool,
    /// The work of a step, counted, with the time that a model gives it, and measured with captured steps, on a GPU.
    pub work: Option<StepWork>,
    /// Timing of replays of a captured step, on a GPU.
    pub graph: Option<Times>,
    /// Timing of batch normalisation at each shape of the network, by both backends, with captured steps on a GPU.
    pub batchnorm: Option<Vec<BatchNormTimes>>,
    /// Peak memory in bytes: the program's buffers on a GPU, the whole process on the CPU; `None` where the system does
    /// not report it.
    pub peak_bytes: Option<usize>,
    /// Bytes that the allocator got from the GPU's driver, in use or free for reuse.
    pub held_bytes: Option<usize>,
    /// Number of streams of a GPU: in a second one, the gradients of filters are computed and the weights updated, beside all other
    /// work.
    pub streams: Option<usize>,
    /// Largest number of bytes of the peak that were freed, and not yet reused because the second stream used them.
    pub waiting_bytes: Option<usize>,
    /// Number of all steps, plain and captured, with those of warm-ups.
    pub steps_run: u64,
    /// Softmax loss of the last step, as a check that the steps were computed.
    pub softmax_loss: f32,
    /// Parts and kinds that could not be timed, each with the reason.
    pub notes: Vec<String>,
    /// All settings.
    pub config: Config,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middle_ones() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), 2.5);
        let times = Times::new(vec![0.5, 0.25, 1.0], 16, None);
        assert_eq!((times.median_ms, times.fastest_ms, times.images_per_second), (500.0, 250.0, 32.0));
    }
}
