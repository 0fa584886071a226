//! `bcreid query`: the nearest gallery images of query images.

use super::extract::How;
use super::output::Json;
use crate::data::Sample;
use crate::error::printable;
use crate::eval::{Hit, report, top_k};
use crate::weights::Features;
use crate::{Error, Result, tell};
use clap::Args;
use comfy_table::{Table, presets};
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Rank a gallery by the distance to query images.
#[derive(Debug, Args)]
pub struct Query {
    /// The run folder or weight file that the gallery's features were extracted with; requires --image.
    #[arg(long, value_name = "RUN", requires = "image")]
    run: Option<PathBuf>,
    /// The query image; several give one table each.
    #[arg(long, value_name = "FILE", requires = "run", num_args = 1..)]
    image: Vec<PathBuf>,
    /// Query features instead of images.
    #[arg(long, value_name = "Q.safetensors", conflicts_with = "image")]
    features: Option<PathBuf>,
    /// Features of the gallery, from bcreid extract; the file may be larger than the memory.
    #[arg(long, value_name = "G.safetensors")]
    gallery: PathBuf,
    /// Number of nearest images to show.
    #[arg(long, value_name = "K", default_value_t = 10)]
    top: usize,
    #[command(flatten)]
    json: Json,
    #[command(flatten)]
    how: How,
}

/// Most queries of one call: a list is kept in memory, and printed, for each.
const MAX_QUERIES: usize = 100_000;

/// The ranked list of one query.
#[derive(Serialize)]
struct RankedList {
    query: String,
    hits: Vec<Hit>,
}

impl Query {
    pub fn run(mut self) -> Result<ExitCode> {
        self.json.prepare()?;
        if self.top == 0 {
            return Err(Error::Data("--top 0: give at least 1".into()));
        }
        let gallery = Features::read(&self.gallery)?;
        let query = self.query()?;
        if query.len() > MAX_QUERIES {
            return Err(Error::Data(format!(
                "{} queries, and one call ranks at most {MAX_QUERIES}; split the file of queries",
                query.len()
            )));
        }
        let names =
            (0..query.len()).map(|i| query.paths().get(i).cloned().unwrap_or_else(|| format!("row {i}")));
        let hits = top_k(&query, &gallery, self.top)?;
        let lists: Vec<RankedList> =
            names.zip(hits).map(|(query, hits)| RankedList { query, hits }).collect();
        self.json.write(&lists)?;
        if self.json.is_printed() {
            return Ok(ExitCode::SUCCESS);
        }
        for RankedList { query, hits } in &lists {
            if lists.len() > 1 {
                super::say(query)?;
            }
            super::say_lines(table(hits))?;
        }
        super::say(
            "Euclidean distance of unit vectors without negative values: 0 for equal features, 1.41 for orthogonal \
             ones. Nothing is dropped, neither junk (pid -1) nor images from the query's camera.",
        )?;
        super::say(format_args!("Feature: {}.", report::feature(&query, &gallery)))?;
        if query.origin().network.is_none() || gallery.origin().network.is_none() {
            super::say(
                "Not checked: whether one network extracted the features of both files; a file does not name its \
                 network.",
            )?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The query features.
    fn query(&self) -> Result<Features> {
        match (&self.features, &self.run) {
            (Some(features), _) => {
                self.how.refuse_for_files()?;
                Features::read(features)
            }
            (None, Some(run)) => {
                let sample = |path: &PathBuf| Sample { path: path.clone(), pid: -1, camid: None };
                let samples: Vec<Sample> = self.image.iter().map(sample).collect();
                let (device, which) = self.how.compute.choose()?;
                let mut extractor = self.how.extractor(run, &device)?;
                tell!("{which}");
                let features = extractor.extract(&samples, |_, _| ())?;
                extractor.take_skipped().iter().for_each(|line| tell!("left out: {line}"));
                Ok(features)
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
        let camera = match &hit.camera {
            Some(name) => printable(name),
            None if hit.camid < 0 => "?".to_string(),
            None => hit.camid.to_string(),
        };
        let person = hit.person.as_deref().map_or_else(|| hit.pid.to_string(), printable);
        let path = hit.path.clone().unwrap_or_else(|| format!("row {}", hit.index));
        let distance = format!("{:.4}", hit.distance);
        table.add_row([hit.rank.to_string(), distance, person, camera, printable(&path)]);
    }
    table
}
