//! The parts of a step, and their times.

use super::clock::median;
use crate::train::step::Phase;
use serde::Serialize;

/// A part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Assemble,
    Forward,
    Backward,
    CenterStep,
    Optimizer,
}

impl Part {
    /// The number of parts.
    pub const COUNT: usize = 5;
    /// All parts, in the order of a step.
    pub const ALL: [Part; Part::COUNT] =
        [Part::Assemble, Part::Forward, Part::Backward, Part::CenterStep, Part::Optimizer];

    pub fn name(self) -> &'static str {
        match self {
            Part::Assemble => "assemble",
            Part::Forward => "forward",
            Part::Backward => "backward",
            Part::CenterStep => "center step",
            Part::Optimizer => "optimizer",
        }
    }
}

impl From<Phase> for Part {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Forward => Part::Forward,
            Phase::Backward => Part::Backward,
            Phase::Centers => Part::CenterStep,
            Phase::Weights => Part::Optimizer,
        }
    }
}

/// The seconds of each part of a step, from pieces that belong to `parts`.
pub(super) fn by_part(parts: &[Part], seconds: &[f64]) -> [f64; Part::COUNT] {
    let mut sums = [0.0; Part::COUNT];
    parts.iter().zip(seconds).for_each(|(part, seconds)| sums[*part as usize] += seconds);
    sums
}

/// Median milliseconds of each part of a step: on a GPU, of replays of a graph of its own; otherwise of plain steps.
#[derive(Clone, Debug, Serialize)]
pub struct Parts {
    /// Assembling the batch; on the CPU, whose loader has its own threads, waiting for the batch.
    pub assemble_ms: f64,
    /// Forward pass: network and losses.
    pub forward_ms: f64,
    /// Backward pass; on a GPU with the update of the weights.
    pub backward_ms: f64,
    /// Update of the class centers.
    pub center_step_ms: f64,
    /// Update of the weights; on a GPU the average of the weights alone.
    pub optimizer_ms: f64,
}

impl Parts {
    /// Summarises the seconds of each part of several steps.
    pub(super) fn new(steps: &[[f64; Part::COUNT]]) -> Self {
        let [assemble_ms, forward_ms, backward_ms, center_step_ms, optimizer_ms] = Part::ALL.map(|part| {
            1e3 * median(&mut steps.iter().map(|parts| parts[part as usize]).collect::<Vec<_>>())
        });
        Parts { assemble_ms, forward_ms, backward_ms, center_step_ms, optimizer_ms }
    }

    /// The name and the milliseconds of each part, in the order of [`Part::ALL`].
    pub(super) fn named(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let times =
            [self.assemble_ms, self.forward_ms, self.backward_ms, self.center_step_ms, self.optimizer_ms];
        Part::ALL.map(Part::name).into_iter().zip(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A phase of the step may come in several pieces.
    #[test]
    fn pieces_are_summed_up_by_part() {
        let pieces = [Part::Assemble, Part::Backward, Part::Optimizer, Part::Backward, Part::Optimizer];
        let step = |scale: f64| by_part(&pieces, &[1.0, 2.0, 3.0, 4.0, 5.0].map(|seconds| scale * seconds));
        assert_eq!(step(1.0), [1.0, 0.0, 6.0, 0.0, 8.0]);
        let parts = Parts::new(&[step(1.0), step(3.0), step(2.0)]);
        assert_eq!((parts.backward_ms, parts.optimizer_ms, parts.center_step_ms), (12e3, 16e3, 0.0));
    }
}
