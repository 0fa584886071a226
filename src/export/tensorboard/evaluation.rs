//! Results of an evaluation for TensorBoard: figures, histograms of the distances of pairs, and ranked lists as images.

use super::{EventWriter, Histogram, strip};
use crate::Result;
use crate::device::Device;
use crate::eval::image_folders::ImageFolders;
use crate::eval::lists;
use crate::eval::run_evaluations::Evaluation;
use crate::eval::scored::Scored;
use crate::eval::stored_evaluation::StoredEvaluation;
use std::io::{self, Write};

/// Buckets of a histogram; TensorBoard shows 30.
const BUCKETS: usize = 120;
/// Number of lists of each kind: best, worst and random queries.
const QUERIES: usize = 4;
/// Number of images in a list.
const SHOWN: usize = 10;
/// Seed of the random choice of queries.
const SEED: u64 = 1;

/// Results of an evaluation, ready to be written.
#[derive(Debug)]
pub struct Found {
    /// Name of the evaluation, part of every tag.
    name: String,
    figures: [(&'static str, f64); 4],
    same: Histogram,
    different: Histogram,
    strips: Vec<(String, strip::Strip)>,
    /// Messages about the folders of the images.
    notes: Vec<String>,
}

impl Found {
    /// Counts the distances of all pairs and draws the lists of the queries with the best scores, with the worst
    /// scores, and of random queries, with images in `folders`.
    ///
    /// # Errors
    /// An error of the device; query and gallery features that cannot be compared.
    pub fn new(evaluation: Evaluation, folders: &ImageFolders, device: &Device) -> Result<Self> {
        let scored = Scored::new(evaluation, device)?;
        let StoredEvaluation { name, query, gallery, report, .. } = &scored.evaluation.kept;
        let pairs = &scored.pairs;
        let histogram = |counts: &[u64]| Histogram::from_counts(pairs.bin_width(), counts, BUCKETS);

        let scores: Vec<Option<f64>> =
            scored.scores.iter().map(|score| score.as_ref().map(|score| score.ap_market)).collect();
        let chosen = lists::choose(&scores, QUERIES, SEED);
        let kinds = [("best", &chosen.best), ("worst", &chosen.worst), ("random", &chosen.random)];
        let (mut strips, mut shown) = (Vec::new(), Vec::new());
        for (kind, queries) in kinds {
            let lists =
                lists::ranked_lists(query, gallery, queries, SHOWN, &scored.evaluation.protocol(), device)?;
            for (place, list) in lists.iter().enumerate() {
                let paths = strip::paths(query, gallery, list);
                let strip = strip::draw(&paths, list, folders);
                shown.extend(paths.into_iter().flatten());
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
            notes: folders.notes(shown),
        })
    }

    /// Messages about the folders from which images are shown, and about images that are left out.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Number of ranked lists; 0 if none of the images can be read.
    pub fn lists(&self) -> usize {
        self.strips.len()
    }

    /// Writes the results as those of `step`.
    ///
    /// # Errors
    /// An error of writing.
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
