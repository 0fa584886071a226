//! `bcreid query`: the nearest gallery images of query images.

use super::extract::How;
use super::output::{self, Json};
use crate::command_help::{require_other, require_outside};
use crate::console::Bytes;
use crate::data::Sample;
use crate::data::folder::identity_of_name;
use crate::error::printable;
use crate::eval::extract::Extractor;
use crate::eval::image_folders::ImageFolders;
use crate::eval::{Hit, report, top_k};
use crate::files::write_atomically;
use crate::report::neighbours::{self, Source};
use crate::weights::Features;
use crate::{Error, Result, note, tell};
use clap::Args;
use comfy_table::{Table, presets};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Rank a gallery by the distance to query images.
#[derive(Debug, Args)]
pub struct Query {
    /// The run folder or weight file that the gallery's features were extracted with; requires --image.
    #[arg(long, visible_alias = "weights", value_name = "RUN", requires = "image")]
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
    /// Also draw the nearest images: a picture, or a page without external resources.
    #[arg(long, value_name = "FILE.png|FILE.html", requires = "images")]
    out: Option<PathBuf>,
    /// The folder of the gallery's images, for --out; may be repeated. Images that have moved since the extraction are
    /// searched in it by the end of their path.
    #[arg(long, value_name = "DIR", requires = "out")]
    images: Vec<PathBuf>,
    /// Distance below which an image is accepted as the query's person, as in the report's table of thresholds; marked
    /// in the table and with --out.
    #[arg(long, value_name = "DISTANCE")]
    threshold: Option<f64>,
    /// With --out, also show where the network responds: the strength of its last feature map, and what brings an image
    /// near the query (Grad-CAM of the distance).
    #[arg(long, requires = "out", requires = "run")]
    maps: bool,
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
        let inputs = self.image.iter().chain([&self.gallery]).chain(&self.features).map(PathBuf::as_path);
        self.json.prepare(inputs.clone())?;
        if self.top == 0 {
            return Err(Error::Data("--top 0: give at least 1".into()));
        }
        if let Some(threshold) =
            self.threshold.filter(|threshold| !(threshold.is_finite() && *threshold > 0.0))
        {
            return Err(Error::Data(format!("--threshold {threshold}: give a distance above 0")));
        }
        if let Some(out) = &self.out {
            let format = PictureFormat::of(out)?;
            require_other(out, inputs)?;
            // An HTML page is no image; a picture would be one of the data set.
            if format == PictureFormat::Png {
                require_outside(out, self.images.iter().map(|folder| ("--images", folder.as_path())))?;
            }
            self.out = Some(output::prepare(out, self.json.force())?);
        }
        if self.maps && self.how.flip {
            return Err(Error::Data(
                "--maps with --flip: a map is of one image, and the feature is of two; leave one of them out"
                    .into(),
            ));
        }
        super::require_folders(&self.images)?;
        if let Some(folder) = self.image.iter().find(|image| image.is_dir()) {
            return Err(Error::Data(format!(
                "--image {}: a folder; give images, or the features of a folder with --features (bcreid extract)",
                folder.display()
            )));
        }
        super::require_images("--image", &self.image)?;
        let gallery = super::read_features(&self.gallery)?;
        let (query, extractor) = self.query()?;
        if query.len() > MAX_QUERIES {
            return Err(Error::Data(format!(
                "{} queries, and one call ranks at most {MAX_QUERIES}; split the file of queries",
                query.len()
            )));
        }
        let names =
            || (0..query.len()).map(|i| query.paths().get(i).cloned().unwrap_or_else(|| format!("row {i}")));
        let hits = top_k(&query, &gallery, self.top)?;
        if let Some(out) = &self.out {
            self.draw(out, [&query, &gallery], &hits, names(), extractor)?;
        }
        let lists: Vec<RankedList> =
            names().zip(hits).map(|(query, hits)| RankedList { query, hits }).collect();
        self.json.write(&lists)?;
        if self.json.is_printed() {
            return Ok(ExitCode::SUCCESS);
        }
        for RankedList { query, hits } in &lists {
            if lists.len() > 1 {
                super::say(query)?;
            }
            super::say_lines(table(hits, self.threshold))?;
        }
        let ((q_min, q_max), (g_min, g_max)) = (query.lengths(), gallery.lengths());
        let are_unit = q_min.min(g_min) > 0.998 && q_max.max(g_max) < 1.002;
        super::say(format_args!(
            "{} Nothing is dropped, neither junk (pid -1) nor images from the query's camera.",
            match are_unit {
                true => "Euclidean distance of unit vectors: 0 for equal features, 1.41 for orthogonal ones.",
                false =>
                    "Euclidean distance; the features are taken as they are, and their lengths differ from 1.",
            }
        ))?;
        super::say(format_args!("Feature: {}.", report::feature(&query, &gallery)))?;
        if query.origin().network.is_none() || gallery.origin().network.is_none() {
            super::say(
                "Not checked: whether one network extracted the features of both files; a file does not name its \
                 network.",
            )?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The query features, and for images the network that extracted them.
    fn query(&self) -> Result<(Features, Option<Extractor>)> {
        match (&self.features, &self.run) {
            (Some(features), _) => {
                self.how.refuse_for_files()?;
                Ok((super::read_features(features)?, None))
            }
            (None, Some(run)) => {
                let sample = |path: &PathBuf| Sample { path: path.clone(), pid: -1, camid: None };
                let samples: Vec<Sample> = self.image.iter().map(sample).collect();
                let (device, which) = self.how.compute.choose()?;
                let mut extractor = self.how.extractor(run, &device)?;
                note!("{which}");
                let features = extractor.extract(&samples, |_, _| ()).map_err(|error| match error {
                    // Without its only image a query is none.
                    Error::Remedied { error, .. } if samples.len() == 1 => *error,
                    other => other,
                })?;
                extractor.take_skipped().iter().for_each(|line| tell!("left out: {line}"));
                Ok((features, Some(extractor)))
            }
            (None, None) => {
                Err(Error::Data("query needs --run RUN --image FILE, or --features Q.safetensors".into()))
            }
        }
    }

    /// Draws the lists into the file of --out.
    fn draw(
        &self,
        out: &Path,
        [query, gallery]: [&Features; 2],
        lists: &[Vec<Hit>],
        names: impl Iterator<Item = String>,
        mut extractor: Option<Extractor>,
    ) -> Result<()> {
        let folders = ImageFolders::new(&self.images, []);
        let names = neighbours::shortest_names(&names.collect::<Vec<_>>());
        let queries = names.into_iter().enumerate().map(|(row, name)| {
            // The features of images have no identity; a name in the style of a data set tells it, unless the gallery
            // has names of persons, which have other numbers.
            let (pid, camid) = match self.image.get(row) {
                Some(_) if !gallery.labels().is_empty() => (-1, -1),
                Some(image) => identity_of_name(image),
                None => (query.pids()[row], query.camids()[row]),
            };
            let image = match self.image.get(row) {
                Some(image) => Some(Source::File(image.clone())),
                None => query.paths().get(row).map(|path| Source::Recorded(path.clone())),
            };
            let labels = query.labels();
            let shown = [labels.pid(pid), labels.camera(camid)].map(|name| printable(&name));
            neighbours::Query { name, pid, camid, shown, image, feature: query.row(row).to_vec() }
        });
        let queries: Vec<neighbours::Query> = queries.collect();
        let maps = extractor.as_mut().filter(|_| self.maps);
        let ranked = neighbours::ranked(&queries, lists, &folders, self.threshold, maps)?;
        let bytes = match PictureFormat::of(out)? {
            PictureFormat::Png => neighbours::picture(&ranked, self.threshold)?,
            PictureFormat::Html => neighbours::page(&ranked, self.threshold)?.into_bytes(),
        };
        folders
            .notes(lists.iter().flatten().filter_map(|hit| hit.path.as_deref()))
            .iter()
            .for_each(|note| tell!("{note}"));
        write_atomically(out, |writer| writer.write_all(&bytes))?;
        note!("{}: {}", out.display(), Bytes(bytes.len()));
        Ok(())
    }
}

/// Format of the file of --out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PictureFormat {
    Png,
    Html,
}

impl PictureFormat {
    /// The format of a file, by the ending of its name.
    ///
    /// # Errors
    /// Another ending.
    fn of(out: &Path) -> Result<Self> {
        let extension = out.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        match extension.as_deref() {
            Some("png") => Ok(PictureFormat::Png),
            Some("html" | "htm") => Ok(PictureFormat::Html),
            _ => Err(Error::Data(format!(
                "--out {}: the nearest images are drawn as .png or .html; give such a name",
                out.display()
            ))),
        }
    }
}

fn table(hits: &[Hit], threshold: Option<f64>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    let accepted = |text: &str| threshold.map(|_| text.to_string());
    let columns = ["rank", "distance"].map(String::from).into_iter().chain(accepted("accepted"));
    table.set_header(columns.chain(["pid", "camera", "image"].map(String::from)));
    for hit in hits {
        let camera = match &hit.camera {
            Some(name) => printable(name),
            None if hit.camid < 0 => "?".to_string(),
            None => hit.camid.to_string(),
        };
        let person = hit.person.as_deref().map_or_else(|| hit.pid.to_string(), printable);
        let path = hit.path.clone().unwrap_or_else(|| format!("row {}", hit.index));
        let distance = format!("{:.4}", hit.distance);
        let is_accepted = threshold.map(|threshold| if hit.distance < threshold { "yes" } else { "no" });
        let row = [hit.rank.to_string(), distance].into_iter().chain(is_accepted.map(String::from));
        table.add_row(row.chain([person, camera, printable(&path)]));
    }
    table
}
