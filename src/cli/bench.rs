//! `bcreid bench`: timing of training steps.

use super::compute::Compute;
use super::counter::Counter;
use super::output::Json;
use super::settings::Settings;
use crate::bench::{self, Plan};
use crate::{Error, Result, note};
use clap::Args;
use std::process::ExitCode;

/// Default number of timed steps of each kind on the CPU.
const CPU_STEPS: usize = 5;
/// Default number of timed steps of each kind on a GPU.
const GPU_STEPS: usize = 100;

/// Time training steps of a network on synthetic images.
///
/// Without --config the network and the batch are those of the paper: ResNet-50, 256 x 128, batch 16, 751 identities.
/// On CUDA it also times replays of a CUDA graph, the parts of a step as graphs of their own, and each kind of launch
/// by events in a graph with one stream, beside a model of an H100.
#[derive(Debug, Args)]
pub struct Bench {
    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    settings: Settings,
    /// Number of identities; Market-1501 has 751.
    #[arg(long, value_name = "N", default_value_t = 751)]
    classes: usize,
    /// Number of timed steps of each kind, after a warm-up (default: 100 on CUDA, 5 on the CPU).
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    #[command(flatten)]
    json: Json,
    /// On CUDA, time plain steps and their parts only, without anything replayed from a CUDA graph.
    #[arg(long)]
    no_graph: bool,
    /// On CUDA, compute the gradients of filters and update the weights in the stream of all other work instead of a
    /// second one.
    #[arg(long)]
    one_stream: bool,
}

impl Bench {
    pub fn run(mut self) -> Result<ExitCode> {
        self.json.prepare([])?;
        in_range("--classes", self.classes, 2, 1_000_000)?;
        self.steps.map_or(Ok(()), |steps| in_range("--steps", steps, 1, 100_000))?;
        let config = self.settings.resolve(None)?;
        let (device, which) = self.compute.choose()?;
        device.use_one_stream(self.one_stream);
        note!("{which}");
        let default = if matches!(device, crate::device::Device::Cpu(_)) { CPU_STEPS } else { GPU_STEPS };
        let steps = self.steps.unwrap_or(default);
        let plan = Plan { config, classes: self.classes, steps, may_capture: !self.no_graph };
        let bar = Counter::new("timing");
        let report = bench::run(&plan, &device, &|done, total| bar.advance(done, total))?;
        bar.finish();
        self.json.write(&report)?;
        if !self.json.is_printed() {
            super::say_lines(report)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn in_range(name: &str, value: usize, least: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::Run(format!("{name} {value}: give {least} to {most}")))
}
