//! `bcreid query`.

use super::extract::How;
use crate::data::Sample;
use crate::error::printable;
use crate::eval::{Hit, report, top_k};
use crate::files::write_json;
use crate::weights::Features;
use crate::{Error, Result, tell};
use clap::Args;
use comfy_table::{Table, presets};
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Rank a gallery for images.
#[derive(Debug, Args)]
pub struct Query {
    /// A run's folder, or a weight file: the one that made the gallery's features; goes with --image.
    #[arg(long, value_name = "RUN", requires = "image")]
    run: Option<PathBuf>,
    /// The image to look for; several give a table each.
    #[arg(long, value_name = "FILE", requires = "run", num_args = 1..)]
    image: Vec<PathBuf>,
    /// Features to look for instead of images.
    #[arg(long, value_name = "Q.safetensors", conflicts_with = "image")]
    features: Option<PathBuf>,
    /// Features of the gallery, from bcreid extract; they may be larger than the memory.
    #[arg(long, value_name = "G.safetensors")]
    gallery: PathBuf,
    /// How many of the nearest images to show.
    #[arg(long, value_name = "K", default_value_t = 10)]
    top: usize,
    /// Write what was found as JSON too. A file that is there is only overwritten if it ends in .json.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    how: How,
}

/// What was found for one query.
#[derive(Serialize)]
struct Found {
    query: String,
    hits: Vec<Hit>,
}

impl Query {
    pub fn run(self) -> Result<ExitCode> {
        if self.top == 0 {
            return Err(Error::Data("--top 0: give at least 1".into()));
        }
        self.json.as_deref().map_or(Ok(()), super::require_json)?;
        let gallery = Features::read(&self.gallery)?;
        let query = self.query()?;
        let names =
            (0..query.len()).map(|i| query.paths().get(i).cloned().unwrap_or_else(|| format!("row {i}")));
        let hits = top_k(&query, &gallery, self.top)?;
        let found: Vec<Found> = names.zip(hits).map(|(query, hits)| Found { query, hits }).collect();
        if let Some(path) = &self.json {
            write_json(path, &found)?;
        }
        for Found { query, hits } in &found {
            if found.len() > 1 {
                super::say(printable(query))?;
            }
            super::say(table(hits))?;
        }
        super::say(
            "Euclidean distance: of unit vectors without negative values 0 is the same feature, 1.41 one with nothing in \
             common. Nothing is dropped, neither junk (pid -1) nor images of the query's own camera.",
        )?;
        super::say(format_args!("Feature: {}.", report::feature(&query, &gallery)))?;
        if query.origin().network.is_none() || gallery.origin().network.is_none() {
            super::say(
                "Which network made the features is not known of both files, so nobody checked that it is one.",
            )?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The features to look for.
    fn query(&self) -> Result<Features> {
        match (&self.features, &self.run) {
            (Some(features), _) => {
                self.how.require_unasked()?;
                Features::read(features)
            }
            (None, Some(run)) => {
                let sample = |path: &PathBuf| Sample { path: path.clone(), pid: -1, camid: None };
                let samples: Vec<Sample> = self.image.iter().map(sample).collect();
                let (device, which) = self.how.compute.choose()?;
                let mut extractor = self.how.extractor(run, &device)?;
                tell!("{which}");
                extractor.extract(&samples, |_, _| ())
            }
            (None, None) => {
                Err(Error::Data("query needs --run RUN --image FILE, or --features Q.safetensors".into()))
            }
        }
    }
}

fn table(hits: &[Hit]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["rank", "distance", "pid", "camera", "image"]);
    for hit in hits {
        let camera = if hit.camid < 0 { "?".to_string() } else { hit.camid.to_string() };
        let path = hit.path.clone().unwrap_or_else(|| format!("row {}", hit.index));
        let distance = format!("{:.4}", hit.distance);
        table.add_row([hit.rank.to_string(), distance, hit.pid.to_string(), camera, printable(&path)]);
    }
    table
}
