//! `bcreid demo`: training and evaluation on a synthetic data set.

use super::compute::Compute;
use super::synth::Size;
use super::{progress, stop};
use crate::{Result, demo, note};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Run the whole method on a synthetic data set, in a few minutes: draw the images, train with and without the
/// batch-contrastive loss, evaluate both runs side by side.
#[derive(Debug, Args)]
pub struct Demo {
    /// The folder for the data set, both runs and the result; a new or an empty folder.
    #[arg(long, value_name = "DIR", default_value = "demo")]
    out: PathBuf,
    #[command(flatten)]
    compute: Compute,
    /// One setting that replaces the demo's, e.g. solver.iterations=2000; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_hint = clap::ValueHint::Other)]
    settings: Vec<String>,
    #[command(flatten)]
    size: Size,
}

impl Demo {
    pub fn run(self) -> Result<ExitCode> {
        let config = demo::config(&self.settings)?;
        demo::require_room(&self.out)?;
        let (device, which) = self.compute.choose()?;
        note!("{which}");
        let stop = stop::on_signal("stopping after this part");
        let table = demo::run(&self.out, &self.size.set(), &config, &device, &stop, &progress::bar)?;
        let Some(table) = table else {
            super::say(format_args!(
                "stopped; the demo cannot be resumed: remove {} or give another --out to run it again",
                self.out.display()
            ))?;
            return Ok(stop::exit_code());
        };
        super::say_lines(table)?;
        super::say(format_args!(
            "Curves, ranked lists and settings of both runs: {}",
            self.out.join(demo::REPORT).display()
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}
