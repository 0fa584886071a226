//! `bcreid query`.

use super::extract::How;
use crate::data::Sample;
use crate::eval::top_k;
use crate::weights::Features;
use crate::{Error, Result};
use clap::Args;
use comfy_table::{Table, presets};
use std::path::PathBuf;
use std::process::ExitCode;

/// Rank a gallery for one image.
#[derive(Debug, Args)]
pub struct Query {
    /// A run's folder, or a weight file: the one that made the gallery's features.
    #[arg(long, value_name = "RUN")]
    run: PathBuf,
    /// The image to look for.
    #[arg(long, value_name = "FILE")]
    image: PathBuf,
    /// Features of the gallery, from bcreid extract.
    #[arg(long, value_name = "G.safetensors")]
    gallery: PathBuf,
    /// How many of the nearest images to show.
    #[arg(long, value_name = "K", default_value_t = 10)]
    top: usize,
    #[command(flatten)]
    how: How,
}

impl Query {
    pub fn run(self) -> Result<ExitCode> {
        if self.top == 0 {
            return Err(Error::Data("--top 0: give at least 1".into()));
        }
        let gallery = Features::read(&self.gallery)?;
        let sample = Sample { path: self.image, pid: -1, camid: None };
        let (device, which) = self.how.compute.choose()?;
        let mut extractor = self.how.extractor(&self.run, &device)?;
        eprintln!("{which}");
        let feature = extractor.extract(&[sample], |_, _| ())?;
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["rank", "distance", "pid", "camera", "image"]);
        for hit in top_k(feature.row(0), &gallery, self.top)? {
            let camera = if hit.camid < 0 { "?".to_string() } else { hit.camid.to_string() };
            let path = hit.path.unwrap_or_else(|| format!("row {}", hit.index));
            let distance = format!("{:.4}", hit.distance);
            table.add_row([hit.rank.to_string(), distance, hit.pid.to_string(), camera, path]);
        }
        super::say(table)?;
        super::say("Euclidean distance of unit vectors: 0 is the same feature, 1.41 unrelated ones.")?;
        Ok(ExitCode::SUCCESS)
    }
}
