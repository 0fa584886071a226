//! What an evaluation found: its figures, distances of pairs as distributions, and ranked lists as pictures.

use super::{EventWriter, Histogram, strip};
use crate::Result;
use crate::device::Device;
use crate::eval::lists;
use crate::eval::run_evaluations::Evaluation;
use crate::eval::scored::Scored;
use crate::eval::stored_evaluation::StoredEvaluation;
use std::io::{self, Write};

/// Buckets of a distribution; TensorBoard shows 30.
const BUCKETS: usize = 120;
/// Lists of each kind: best, worst and random queries.
const QUERIES: usize = 4;
/// Images of a list.
const SHOWN: usize = 10;
/// Which queries are taken at random.
const SEED: u64 = 1;

/// What will be written of one evaluation.
#[derive(Debug)]
pub struct Found {
    /// The evaluation's name, part of every tag.
    name: String,
    figures: [(&'static str, f64); 4],
    same: Histogram,
    different: Histogram,
    strips: Vec<(String, strip::Strip)>,
}

impl Found {
    /// Counts the distances of all pairs and draws the lists of the queries that were answered best, worst, and of some
    /// at random.
    ///
    /// # Errors
    /// What the device reports; query and gallery features that do not fit together.
    pub fn new(evaluation: Evaluation, device: &Device) -> Result<Self> {
        let measured = Scored::new(evaluation, device)?;
        let StoredEvaluation { name, query, gallery, report, .. } = &measured.evaluation.kept;
        let pairs = &measured.pairs;
        let histogram = |counts: &[u64]| Histogram::from_counts(pairs.bin_width(), counts, BUCKETS);

        let scores: Vec<Option<f64>> =
            measured.scores.iter().map(|score| score.as_ref().map(|score| score.ap_market)).collect();
        let chosen = lists::choose(&scores, QUERIES, SEED);
        let kinds = [("best", &chosen.best), ("worst", &chosen.worst), ("random", &chosen.random)];
        let mut strips = Vec::new();
        for (kind, queries) in kinds {
            let lists =
                lists::ranked_lists(query, gallery, queries, SHOWN, &measured.evaluation.protocol(), device)?;
            for (place, list) in lists.iter().enumerate() {
                let strip = strip::draw(query, gallery, list);
                strips.extend(strip.map(|strip| (format!("{kind}/{}", place + 1), strip)));
            }
        }
        let figures = [
            ("rank1", report.rank1),
            ("map_market", report.map_market),
            ("map_sum", report.map_sum),
            ("minp", report.minp),
        ];
        Ok(Found {
            name: name.clone(),
            figures,
            same: histogram(pairs.same()),
            different: histogram(pairs.different()),
            strips,
        })
    }

    /// How many ranked lists there are; none if the images are not where the evaluation says.
    pub fn lists(&self) -> usize {
        self.strips.len()
    }

    /// Writes them as found after `step`.
    ///
    /// # Errors
    /// What writing reports.
    pub fn write<W: Write>(&self, writer: &mut EventWriter<W>, wall_time: f64, step: u64) -> io::Result<()> {
        let name = &self.name;
        let figures =
            self.figures.map(|(figure, value)| (format!("evaluation/{name}/{figure}"), value as f32));
        writer.scalars(wall_time, step, figures.iter().map(|(tag, value)| (tag.as_str(), *value)))?;
        for (kind, histogram) in [("same", &self.same), ("different", &self.different)] {
            writer.histogram(wall_time, step, &format!("pairs/{name}/{kind}"), histogram)?;
        }
        for (which, strip) in &self.strips {
            let tag = format!("lists/{name}/{which}");
            writer.image(wall_time, step, &tag, &strip.png, strip.size)?;
        }
        Ok(())
    }
}
