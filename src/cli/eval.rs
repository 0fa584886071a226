//! `bcreid eval`: evaluation of runs and feature files.

use super::counter::Counter;
use super::data::Opening;
use super::extract::How;
use super::output::Json;
use super::ranks::Ranks;
use crate::data::{Dataset, folder};
use crate::device::{BatchNormBackend, Device, Numerics, Precision};
use crate::eval::extract::Extractor;
use crate::eval::multi_query::{self, Pool};
use crate::eval::stored_evaluation::{self, StoredEvaluation};
use crate::eval::traps;
use crate::eval::{self, Protocol, Report, Rerank, Table, Unmatched};
use crate::ranks::Group;
use crate::run::weight_file;
use crate::train::agreement;
use crate::weights::{Features, NetworkFile};
use crate::{Error, Result, note, tell};
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use serde::{Serialize, Serializer};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Evaluate a run on data sets, or feature files: CMC, both mAPs, mINP.
#[derive(Debug, Args)]
pub struct Eval {
    /// A run folder or a weight file; requires --data.
    #[arg(long, visible_alias = "weights", value_name = "RUN", requires = "data", conflicts_with_all = ["query", "gallery"])]
    run: Option<PathBuf>,
    /// The data set whose query and gallery images are compared; several give one table.
    // clap does not require what a given option excludes, so both say that feature files exclude them.
    #[arg(long, value_name = "DIR", requires = "run", conflicts_with_all = ["query", "gallery"], num_args = 1..)]
    data: Vec<PathBuf>,
    #[command(flatten)]
    opening: Opening,
    /// Features of the query images; requires --gallery.
    #[arg(long, value_name = "Q.safetensors", requires = "gallery")]
    query: Option<PathBuf>,
    /// Features of the gallery images. Several files form one gallery in memory; a single file may be larger than the
    /// memory.
    #[arg(long, value_name = "G.safetensors", requires = "query", num_args = 1..)]
    gallery: Vec<PathBuf>,
    /// Folders of distractors, for example the 500,000 of Market-1501. All their images are added to the gallery with
    /// pid 0, whatever their file names.
    #[arg(long, value_name = "DIR", requires = "run", conflicts_with_all = ["query", "gallery"], num_args = 1..)]
    distractors: Vec<PathBuf>,
    /// Multi-query evaluation: pool the features of all boxes of the query's person from the query's camera, by their
    /// mean or maximum. The boxes are in the data set's gt_bbox, or in --gt-bbox.
    #[arg(long, value_name = "POOL", value_enum)]
    multi_query: Option<Pool>,
    /// Features of the boxes for --multi-query; requires --query.
    #[arg(long, value_name = "B.safetensors", requires_all = ["multi_query", "query"])]
    gt_bbox: Option<PathBuf>,
    /// Re-rank by k-reciprocal neighbours (Zhong et al. 2017).
    #[arg(long)]
    rerank: bool,
    /// Number of neighbours of re-ranking, at most 1000.
    #[arg(long, value_name = "N", requires = "rerank", default_value_t = Rerank::default().k1)]
    k1: usize,
    /// Number of neighbours of the local query expansion of re-ranking, at most 1000.
    #[arg(long, value_name = "N", requires = "rerank", default_value_t = Rerank::default().k2)]
    k2: usize,
    /// Weight of the original distance in re-ranking, from 0 to 1.
    #[arg(long, value_name = "SHARE", requires = "rerank", default_value_t = Rerank::default().lambda)]
    lambda: f64,
    /// Keep gallery images of the query's person and camera, for data without meaningful camera numbers.
    #[arg(long)]
    ignore_cameras: bool,
    #[command(flatten)]
    json: Json,
    /// Divide each feature by its Euclidean length first (features extracted by this program are normalised already).
    #[arg(long)]
    normalise: bool,
    /// Count a query without a match as a miss, as the evaluator of Market-1501 does, instead of leaving it out.
    #[arg(long)]
    count_unmatched: bool,
    #[command(flatten)]
    ranks: Ranks,
    #[command(flatten)]
    how: How,
}

/// The values of the flag. The library itself does not use clap.
impl ValueEnum for Pool {
    fn value_variants<'a>() -> &'a [Self] {
        &[Pool::Mean, Pool::Max]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Pool::Mean => PossibleValue::new("mean").help("Their mean"),
            Pool::Max => PossibleValue::new("max").help("The largest of each value"),
        })
    }
}

/// Query and gallery features of one test set.
struct TestSet {
    name: String,
    /// The folders of the images.
    images: Vec<String>,
    /// One row for each query; pooled rows with --multi-query.
    query: Features,
    gallery: Features,
    /// Unreadable images that were left out, with the reasons.
    skipped: Vec<String>,
}

/// The features of distractors, and the unreadable images that were left out.
struct Distractors {
    features: Features,
    skipped: Vec<String>,
}

impl Eval {
    pub fn run(mut self) -> Result<ExitCode> {
        self.opening.require_data(!self.data.is_empty())?;
        let inputs = [&self.query, &self.gt_bbox].into_iter().flatten().chain(&self.gallery);
        self.json.prepare(inputs.map(PathBuf::as_path))?;
        let protocol = self.protocol()?;
        let group = self.ranks.join()?;
        if group.ranks() > 1 && self.run.is_none() {
            return Err(Error::Data(
                "features are extracted already, and one process compares them: start eval without a launcher".into(),
            ));
        }
        let (device, which) = self.how.compute.choose()?;
        let device = device.in_group(group.clone())?;
        let mut rows = Vec::new();
        let done = match (&self.run, &self.query) {
            (Some(run), _) => self.of_run(run, &protocol, (&device, &which), &mut rows),
            (None, Some(query)) => self.of_features(query, &protocol, (&device, &which), &mut rows),
            (None, None) => Err(Error::Data(
                "eval needs --run RUN --data DIR, or --query Q.safetensors --gallery G.safetensors".into(),
            )),
        };
        if !group.is_first() {
            return done.map(|()| ExitCode::SUCCESS);
        }
        if done.is_ok() {
            self.json.write(&Rows(&rows))?;
        }
        // The results of earlier data sets are printed even if a later one fails.
        if !rows.is_empty() && !self.json.is_printed() {
            super::say_lines(Table(&rows))?;
        }
        done.map(|()| ExitCode::SUCCESS)
    }

    /// Evaluates a run on each data set, stores the evaluations in the run folder and adds the reports to `rows`.
    fn of_run(
        &self,
        run: &Path,
        protocol: &Protocol,
        (device, which): (&Device, &str),
        rows: &mut Vec<(String, Report)>,
    ) -> Result<()> {
        // Before the data set, which may take long to list.
        NetworkFile::open(&weight_file(run)?.0)?;
        let datasets = self.opening.open_all(&self.data)?;
        datasets.iter().try_for_each(|dataset| self.check(dataset))?;
        super::tell_notes(datasets.iter().flat_map(|dataset| &dataset.notes));
        let mut names = HashSet::new();
        for dataset in &datasets {
            let name = stored_evaluation::name_of(&dataset.root);
            if !names.insert(name.clone()) {
                return Err(Error::Data(format!(
                    "two data sets are in folders called {name}, and a run stores its evaluations under that name; \
                     rename one of the folders or evaluate them one after the other"
                )));
            }
        }
        let collapse = traps::collapsed_training(run).unwrap_or_else(|error| {
            tell!("not checked, whether the training collapsed: {error}");
            None
        });
        let mut extractor = self.how.extractor(run, device)?;
        note!("{which}");
        self.agree(&device.group(), &extractor, &datasets)?;
        let distractors = self.distractors(&mut extractor, &datasets)?;
        for dataset in &datasets {
            let test = self.extract(&mut extractor, dataset, distractors.as_ref())?;
            if !device.group().is_first() {
                // The ranks share the extraction. Rank 0 compares the features.
                continue;
            }
            let TestSet { name, images, query, gallery, skipped } = test;
            let mut report = eval::evaluate(&query, &gallery, protocol, device)?.with_skipped(skipped);
            report.notes.extend(collapse.clone());
            rows.push((name.clone(), report.clone()));
            if run.is_dir() {
                let name = name + &self.variant();
                // A run folder that cannot be written must not cost the result.
                match StoredEvaluation::new(name, images, query, gallery, report).write(run) {
                    Ok(folder) => note!("evaluation stored for reports: {}", folder.display()),
                    Err(error) => tell!("evaluation not stored for reports: {error}"),
                }
            }
        }
        Ok(())
    }

    /// Checks that all ranks have the same program, arguments, weights and lists of images. The content of an image is read by
    /// one rank alone.
    fn agree(&self, group: &Group, extractor: &Extractor, datasets: &[Dataset]) -> Result<()> {
        if group.ranks() == 1 {
            return Ok(());
        }
        agreement::same_program(group, &extractor.device().describe())?;
        const SAME: &str = "give each host the same files and start the same command on each";
        group.require_equal("the arguments", &format!("{self:?}"), SAME)?;
        group.require_equal("the weights", &extractor.weights_file().sha256.to_string(), SAME)?;
        let samples = datasets.iter().flat_map(|set| set.query.iter().chain(&set.gallery));
        let list: Vec<_> = samples.map(|s| (s.path.file_name(), s.pid, s.camid)).collect();
        group.require_equal("the list of images", &format!("{list:?}"), SAME)
    }

    /// Evaluates feature files and adds the report to `rows`.
    fn of_features(
        &self,
        query: &Path,
        protocol: &Protocol,
        (device, which): (&Device, &str),
        rows: &mut Vec<(String, Report)>,
    ) -> Result<()> {
        let test = self.read(query)?;
        note!("{which}");
        rows.push((test.name, eval::evaluate(&test.query, &test.gallery, protocol, device)?));
        Ok(())
    }

    fn protocol(&self) -> Result<Protocol> {
        let rerank = Rerank { k1: self.k1, k2: self.k2, lambda: self.lambda };
        let rerank = self.rerank.then_some(rerank);
        rerank.as_ref().map_or(Ok(()), Rerank::check)?;
        let unmatched = if self.count_unmatched { Unmatched::Missed } else { Unmatched::Dropped };
        let Eval { normalise, ignore_cameras, .. } = *self;
        if ignore_cameras && self.multi_query.is_some() {
            return Err(Error::Data(
                "--ignore-cameras with --multi-query: the pooled boxes are from the query's camera, and the gallery \
                 holds some of them; without cameras they would count as matches; leave one of the two out"
                    .into(),
            ));
        }
        Ok(Protocol { normalise, unmatched, ignore_cameras, rerank })
    }

    /// A suffix of a stored evaluation's name that lists all options besides the plain protocol, so that evaluations
    /// with different options do not overwrite each other.
    fn variant(&self) -> String {
        let Numerics { precision, batchnorm } = self.how.compute.numerics();
        let parts = [
            self.how.flip.then(|| "flip".to_string()),
            self.multi_query.map(|pool| format!("multi-query-{pool}")),
            self.rerank.then(|| format!("rerank-{}-{}-{:?}", self.k1, self.k2, self.lambda)),
            (!self.distractors.is_empty()).then(|| "distractors".to_string()),
            self.ignore_cameras.then(|| "ignore-cameras".to_string()),
            self.count_unmatched.then(|| "count-unmatched".to_string()),
            self.normalise.then(|| "normalise".to_string()),
            (precision != Precision::default()).then(|| precision.to_string()),
            (batchnorm != BatchNormBackend::default()).then(|| format!("batchnorm-{batchnorm}")),
        ];
        parts.into_iter().flatten().map(|part| format!("+{part}")).collect()
    }

    /// Checks that a data set has all parts that the evaluation needs.
    fn check(&self, dataset: &Dataset) -> Result<()> {
        dataset.require_test()?;
        if self.multi_query.is_some() {
            dataset.boxes()?;
        }
        if !self.distractors.is_empty() && dataset.query.iter().any(|sample| sample.pid == 0) {
            return Err(Error::Data(format!(
                "{}: a query has pid 0, which marks distractors; number the identities from 1 to add distractors",
                dataset.root.display()
            )));
        }
        Ok(())
    }

    /// The features of all folders of distractors; none without --distractors.
    fn distractors(&self, extractor: &mut Extractor, datasets: &[Dataset]) -> Result<Option<Distractors>> {
        let whole = |folder: &Path| folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
        let images = datasets.iter().flat_map(|set| set.query.iter().chain(&set.gallery));
        let folders: HashSet<&Path> = images.filter_map(|sample| sample.path.parent()).collect();
        let folders: Vec<PathBuf> = folders.into_iter().map(whole).collect();
        let given: Vec<PathBuf> = self.distractors.iter().map(|path| whole(path)).collect();
        let mut samples = Vec::new();
        for (index, path) in self.distractors.iter().enumerate() {
            // A folder includes its sub-folders, so neither may lie inside the other.
            let (own, others) = (&given[index], &given[..index]);
            let twice = others.iter().any(|other| own.starts_with(other) || other.starts_with(own));
            if twice || folders.iter().any(|folder| folder.starts_with(own)) {
                let why = match twice {
                    true => "its images are given twice",
                    false => "it holds images of a data set that is evaluated",
                };
                return Err(Error::Data(format!("--distractors {}: {why}; leave it out", path.display())));
            }
            let folder = folder::Folder::open(path)?;
            super::tell_notes(&folder.notes);
            samples.extend(folder.samples);
        }
        if samples.is_empty() {
            return Ok(None);
        }
        for sample in &mut samples {
            (sample.pid, sample.camid) = (0, None);
        }
        let bar = Counter::new("extracting distractors");
        let features = extractor.extract(&samples, |done, total| bar.advance(done, total))?;
        bar.finish();
        // They are in the gallery of each data set.
        let skipped = extractor.take_skipped();
        skipped.iter().for_each(|line| tell!("left out: {line}"));
        Ok(Some(Distractors { features, skipped }))
    }

    fn extract(
        &self,
        extractor: &mut Extractor,
        dataset: &Dataset,
        distractors: Option<&Distractors>,
    ) -> Result<TestSet> {
        let bar = Counter::new("extracting");
        let advance = |done, total| bar.advance(done, total);
        let (mut query, mut gallery) = extractor.extract_test(dataset, advance)?;
        if let Some(pool) = self.multi_query {
            query = multi_query::pool(&query, &extractor.extract(&dataset.boxes()?, advance)?, pool)?;
        }
        bar.finish();
        let mut skipped = extractor.take_skipped();
        skipped.iter().for_each(|line| tell!("left out: {line}"));
        if let Some(distractors) = distractors {
            gallery = Features::concat(&[gallery, distractors.features.clone()])?;
            skipped.extend(distractors.skipped.iter().cloned());
        }
        let folders = std::iter::once(&dataset.root).chain(&self.distractors);
        let images = folders.map(|folder| stored_evaluation::whole_path(folder)).collect();
        Ok(TestSet { name: stored_evaluation::name_of(&dataset.root), images, query, gallery, skipped })
    }

    fn read(&self, path: &Path) -> Result<TestSet> {
        self.how.refuse_for_files()?;
        let mut parts =
            self.gallery.iter().map(|path| super::read_features(path)).collect::<Result<Vec<_>>>()?;
        let gallery = match parts.len() {
            1 => parts.remove(0),
            _ => Features::concat(&parts)?,
        };
        if self.multi_query.is_some() && self.gt_bbox.is_none() {
            return Err(Error::Data("--multi-query with --query needs --gt-bbox B.safetensors".into()));
        }
        let mut query = super::read_features(path)?;
        if let (Some(pool), Some(boxes)) = (self.multi_query, &self.gt_bbox) {
            query = multi_query::pool(&query, &super::read_features(boxes)?, pool)?;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(TestSet { name, images: Vec::new(), query, gallery, skipped: Vec::new() })
    }
}

/// The reports as JSON: one alone, or a list of several with the names of their data sets.
struct Rows<'a>(&'a [(String, Report)]);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Row<'a> {
            data: &'a str,
            #[serde(flatten)]
            report: &'a Report,
        }
        match self.0 {
            [(_, report)] => report.serialize(serializer),
            rows => serializer.collect_seq(rows.iter().map(|(data, report)| Row { data, report })),
        }
    }
}
