//! Results of a benchmark, as JSON and as tables.

use super::model::{Row, StepWork};
use crate::config::Config;
use crate::console::Bytes;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use std::fmt;

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

/// Median of `values`, which are sorted in place.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// Median milliseconds of each part of a plain step.
#[derive(Clone, Debug, Serialize)]
pub struct Parts {
    /// Assembling the batch; on the CPU, whose loader has its own threads, waiting for the batch.
    pub assemble_ms: f64,
    /// Forward pass: network and losses.
    pub forward_ms: f64,
    /// Backward pass.
    pub backward_ms: f64,
    /// Update of the class centers.
    pub center_step_ms: f64,
    /// Update of the weights.
    pub optimizer_ms: f64,
}

impl Parts {
    /// Summarises the seconds of each part of several steps.
    pub(super) fn new(steps: &[Vec<f64>]) -> Self {
        let part = |i: usize| 1e3 * median(&mut steps.iter().map(|parts| parts[i]).collect::<Vec<_>>());
        Parts {
            assemble_ms: part(0),
            forward_ms: part(1),
            backward_ms: part(2),
            center_step_ms: part(3),
            optimizer_ms: part(4),
        }
    }

    /// The names of the parts, in the order of a step.
    pub(super) const NAMES: [&'static str; 5] =
        ["assemble", "forward", "backward", "center step", "optimizer"];

    fn named(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let times =
            [self.assemble_ms, self.forward_ms, self.backward_ms, self.center_step_ms, self.optimizer_ms];
        Parts::NAMES.into_iter().zip(times)
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
    /// Timing of the parts of plain steps.
    pub parts: Parts,
    /// The work of a plain step, counted, and the time that a model gives it, on a GPU.
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
    /// Number of streams of a GPU: in a second one, the gradients of filters are computed beside all other work.
    pub streams: Option<usize>,
    /// Largest number of bytes of the peak that were freed, and not yet reused because the second stream used them.
    pub waiting_bytes: Option<usize>,
    /// Softmax loss of the last step, as a check that the steps were computed.
    pub softmax_loss: f32,
    /// All settings.
    pub config: Config,
}

/// Writes a table of the steps and a table of their parts.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { solver, input, .. } = &self.config;
        let device = match self.threads {
            Some(threads) => format!("the CPU, {threads} threads (what counts are times of a GPU)"),
            None => self.device.clone(),
        };
        writeln!(
            f,
            "Training steps on {device}, {}{}: {} x {}, batch {}, {} classes; median of {}",
            self.precision,
            if self.batchnorm_by == "own" { "" } else { ", batch norm by cudnn" },
            input.height,
            input.width,
            solver.batch,
            self.classes,
            self.steps
        )?;
        let mut table = ruled(&["", "ms a step", "fastest", "images/s", "launches"]);
        for (name, times) in [("plain", Some(&self.plain)), ("graph", self.graph.as_ref())] {
            let Some(times) = times else { continue };
            table.add_row([
                name.to_string(),
                format!("{:.3}", times.median_ms),
                format!("{:.3}", times.fastest_ms),
                format!("{:.0}", times.images_per_second),
                times.launches.map_or(String::new(), |n| n.to_string()),
            ]);
        }
        writeln!(f, "{}", aligned(table))?;
        let mut table = ruled(&["part of a plain step", "ms", "%"]);
        for (name, ms) in self.parts.named() {
            table.add_row([
                name.to_string(),
                format!("{ms:.3}"),
                format!("{:.1}", 100.0 * ms / self.plain.median_ms),
            ]);
        }
        write!(f, "{}", aligned(table))?;
        if let Some(work) = &self.work {
            write!(f, "\n{}", work_table(work))?;
        }
        if let Some(batchnorm) = &self.batchnorm {
            write!(f, "\n{}", aligned(batchnorm_table(batchnorm)))?;
        }
        if let Some(peak) = self.peak_bytes {
            write!(f, "\nPeak memory: {}", Bytes(peak))?;
        }
        if let Some(held) = self.held_bytes {
            write!(f, " in use, {} held", Bytes(held))?;
        }
        match (self.streams, self.waiting_bytes) {
            (Some(1), _) => write!(f, "\nOne stream")?,
            (Some(streams), Some(waiting)) => {
                let waiting = Bytes(waiting);
                write!(
                    f,
                    "\n{streams} streams; at most {waiting} of freed memory could not be reused yet, as the second one used it"
                )?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// The kinds that take most of the modelled time; the others are one row.
fn work_table(work: &StepWork) -> Table {
    const KINDS: usize = 12;
    let mut table = ruled(&["work of a step", "launches", "MB", "GFLOP", "model of an H100, us"]);
    let mut add = |row: &Row| {
        table.add_row([
            row.name.clone(),
            row.work.launches.to_string(),
            format!("{:.1}", row.work.bytes as f64 * 1e-6),
            format!("{:.2}", row.work.flops as f64 * 1e-9),
            format!("{:.1}", row.model_us),
        ]);
    };
    let (most, rest) = work.kinds.split_at(work.kinds.len().min(KINDS));
    most.iter().for_each(&mut add);
    if !rest.is_empty() {
        let mut others = Row { name: format!("{} other kinds", rest.len()), ..rest[0].clone() };
        for row in &rest[1..] {
            others.work += row.work;
            others.model_us += row.model_us;
        }
        add(&others);
    }
    add(&work.total);
    aligned(table)
}

/// A row for each kind of layer, and the sums over all layers of a step.
fn batchnorm_table(kinds: &[BatchNormTimes]) -> Table {
    let mut table = ruled(&[
        "batch norm, us a layer",
        "layers",
        "own forward",
        "backward",
        "cudnn forward",
        "backward",
        "faster",
    ]);
    let row = |name: String, layers: usize, own: Passes, cudnn: Passes| {
        let faster = if own.total_us() <= cudnn.total_us() { "own" } else { "cudnn" };
        let us = |value: f64| format!("{value:.1}");
        [
            name,
            layers.to_string(),
            us(own.forward_us),
            us(own.backward_us),
            us(cudnn.forward_us),
            us(cudnn.backward_us),
            faster.to_string(),
        ]
    };
    for BatchNormTimes { shape, residual, layers, own, cudnn, .. } in kinds {
        let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
        let name = format!("{}{}", sizes.join(" x "), if *residual { ", residual" } else { "" });
        table.add_row(row(name, *layers, *own, *cudnn));
    }
    let sum = |passes: fn(&BatchNormTimes) -> Passes| {
        let each = |pass: fn(Passes) -> f64| kinds.iter().map(|of| of.layers as f64 * pass(passes(of))).sum();
        Passes { forward_us: each(|of| of.forward_us), backward_us: each(|of| of.backward_us) }
    };
    let layers = kinds.iter().map(|of| of.layers).sum();
    table.add_row(row("all layers of a step".into(), layers, sum(|of| of.own), sum(|of| of.cudnn)));
    table
}

fn ruled(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(header);
    table
}

fn aligned(mut table: Table) -> Table {
    table.column_iter_mut().skip(1).for_each(|c| c.set_cell_alignment(CellAlignment::Right));
    table
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
