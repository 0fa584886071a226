//! Evaluation during training: the images, and the figures of a network that is being trained.
//!
//! The images are those of held-out identities of the training part, or the test part. They are decoded once, before
//! the first step. An evaluation takes the running statistics and changes neither parameters nor buffers, so that a
//! training step has the same bits with and without evaluations in front of it.

use super::extract::default_batch;
use super::forward::Frozen;
use super::tracklets::TrackletPool;
use super::{Protocol, Report, evaluate};
use crate::autograd::Params;
use crate::config::{Config, EvalOn};
use crate::console::counted;
use crate::data::held_out::hold_out;
use crate::data::{
    BadImages, CacheOptions, Dataset, ImageCache, Images, Labels, Part, Sample, StreamOptions,
};
use crate::error::Remedy;
use crate::model::Model;
use crate::model::folded::FoldedResNet;
use crate::weights::{Features, normalise_rows};
use crate::{Error, Result};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// The training part of a run with evaluations, and the images that these use.
#[derive(Clone, Debug)]
pub struct Split {
    /// The data set without the held-out identities.
    pub train: Dataset,
    /// The data set whose query and gallery are evaluated.
    test: Dataset,
    protocol: Protocol,
    /// Notes for the person: which images are evaluated, and what this means for the figures.
    pub notes: Vec<String>,
}

/// Chooses the images of the evaluations during training; `None` if the settings ask for none.
///
/// # Errors
/// [`Error::Data`] if too few identities can be held out, if the data set has no test part and that is asked for, or if
/// no query has a match.
pub fn split(config: &Config, dataset: &Dataset) -> Result<Option<Split>> {
    let run = &config.run;
    if run.eval_every == 0 {
        return Ok(None);
    }
    let (train, test, what) = match run.eval_on {
        EvalOn::Test => {
            dataset.require_test()?;
            let what = "the test part: figures of a result that is chosen by it are optimistic".to_string();
            (dataset.clone(), dataset.clone(), what)
        }
        EvalOn::HeldOut => {
            let held = hold_out(&dataset.train, run.eval_identities, run.seed)?;
            let what = format!(
                "{} identities that are held out of the training ({} left)",
                held.identities,
                counted(held.train.len(), "training image")
            );
            let train = Dataset { train: held.train, ..dataset.clone() };
            let (query, gallery) = (held.query, held.gallery);
            (train, Dataset { query, gallery, tracklets: None, ..dataset.clone() }, what)
        }
    };
    let protocol = protocol(&test)?;
    let mut notes = vec![format!(
        "evaluation every {}, on {what}; {} and {} in the gallery",
        counted(run.eval_every, "iteration"),
        match test.query.len() {
            1 => "1 query".into(),
            queries => format!("{queries} queries"),
        },
        counted(test.gallery.len(), "image")
    )];
    if protocol.ignore_cameras {
        notes.push("evaluation during training ignores the cameras: too few identities have two".into());
    }
    Ok(Some(Split { train, test, protocol, notes }))
}

/// The plain protocol, or that without cameras if no query has a match under another camera.
///
/// # Errors
/// No query has a match.
fn protocol(test: &Dataset) -> Result<Protocol> {
    let mut cameras: HashMap<i64, HashSet<Option<i64>>> = HashMap::new();
    test.gallery.iter().for_each(|image| {
        cameras.entry(image.pid).or_default().insert(image.camid);
    });
    let has_match = |query: &Sample| query.pid >= 0 && cameras.contains_key(&query.pid);
    let under_another = |query: &Sample| {
        let of = cameras.get(&query.pid).filter(|_| query.pid >= 0);
        of.is_some_and(|of| query.camid.is_none() || of.iter().any(|camera| *camera != query.camid))
    };
    if test.query.iter().any(under_another) {
        return Ok(Protocol::default());
    }
    match test.query.iter().any(has_match) {
        true => Ok(Protocol { ignore_cameras: true, ..Protocol::default() }),
        false => Err(Error::Data(format!(
            "{}: no query has an image of its person in the gallery, so training cannot be evaluated on it; set \
             run.eval_on = \"held-out\" or run.eval_every = 0",
            test.root.display()
        ))),
    }
}

/// The decoded images of the evaluations.
#[derive(Debug)]
pub struct TestImages {
    cache: Arc<ImageCache>,
    query: TestPart,
    gallery: TestPart,
    labels: Labels,
    protocol: Protocol,
    options: StreamOptions,
    /// Unreadable images that were left out, each with the reason.
    pub skipped: Vec<String>,
}

/// The images of one part.
#[derive(Debug)]
struct TestPart {
    samples: Vec<Sample>,
    /// The numbers of the readable images in the part, and in the cache.
    readable: Vec<(usize, usize)>,
    tracklets: Option<Vec<Range<usize>>>,
}

impl Split {
    /// Decodes the images. `progress` gets the number of finished images and of all, from any thread.
    ///
    /// # Errors
    /// An unreadable image, unless such images are left out; a temporary file that cannot be written.
    pub fn decode(self, config: &Config, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<TestImages> {
        let Split { test, protocol, .. } = self;
        let samples: Vec<&Sample> = test.query.iter().chain(&test.gallery).collect();
        let paths: Vec<&Path> = samples.iter().map(|sample| sample.path.as_path()).collect();
        let input = config.image_input();
        let limit = CacheOptions { limit_mib: config.data.cache_mib, folder: None };
        let (cache, bad) = ImageCache::build(&paths, input.height, input.width, &limit, progress)?;
        if let (BadImages::Refuse, Some((_, first))) = (config.data.bad_images, bad.first()) {
            return Err(Error::Data(format!("evaluation during training: {first}"))
                .with_remedies([Remedy::SkipTrainingImages]));
        }
        let is_bad: HashSet<usize> = bad.iter().map(|(i, _)| *i).collect();
        let part = |which: Part, first: usize| {
            let (samples, tracklets) = test.part(which);
            let readable = (0..samples.len()).map(|i| (i, first + i)).filter(|(_, at)| !is_bad.contains(at));
            let (readable, samples) = (readable.collect(), samples.to_vec());
            TestPart { samples, readable, tracklets: tracklets.map(<[_]>::to_vec) }
        };
        Ok(TestImages {
            query: part(Part::Query, 0),
            gallery: part(Part::Gallery, test.query.len()),
            labels: test.labels.clone(),
            protocol,
            options: StreamOptions { batch: default_batch(config), ..StreamOptions::new(input) },
            cache: Arc::new(cache),
            skipped: bad.iter().map(|(_, error)| error.line()).collect(),
        })
    }
}

impl TestImages {
    /// Evaluates the network as `bcreid eval` evaluates its weights.
    ///
    /// # Errors
    /// [`Error::Data`] if the features cannot be ranked, because they are all equal or not finite; errors of the device.
    pub fn evaluate(&self, model: &Model, params: &mut Params) -> Result<Report> {
        let device = params.device().clone();
        let folded = FoldedResNet::new(&model.backbone, params)?;
        let mut frozen = Frozen { model, folded: folded.as_ref(), params };
        let query = self.features(&self.query, &mut frozen)?;
        let gallery = self.features(&self.gallery, &mut frozen)?;
        evaluate(&query, &gallery, &self.protocol, &device)
    }

    /// A checksum of the images after decoding, with identities, cameras and tracklets.
    pub fn fingerprint(&self) -> String {
        let mut hasher = crc32fast::Hasher::new();
        for part in [&self.query, &self.gallery] {
            hasher.update(format!("{:?}", part.tracklets).as_bytes());
            for &(number, at) in &part.readable {
                let Sample { pid, camid, .. } = &part.samples[number];
                hasher.update(format!("{number} {pid} {camid:?}").as_bytes());
                hasher.update(self.cache.image(at));
            }
        }
        format!("{:08x}", hasher.finalize())
    }

    /// The number of queries and of gallery images, or tracklets.
    pub fn sizes(&self) -> (usize, usize) {
        let size = |part: &TestPart| part.tracklets.as_ref().map_or(part.readable.len(), Vec::len);
        (size(&self.query), size(&self.gallery))
    }

    fn features(&self, part: &TestPart, frozen: &mut Frozen<'_>) -> Result<Features> {
        let dim = frozen.model.features();
        let mut pool = TrackletPool::new(part.tracklets.as_deref().unwrap_or_default(), dim);
        let (mut rows, mut kept) = (Vec::new(), Vec::new());
        let in_cache = part.readable.iter().map(|(_, at)| *at).collect();
        let images = Images::Cached(self.cache.clone(), in_cache);
        frozen.for_each_batch(images, self.options.clone(), |images, features| {
            let numbers = images.iter().map(|i| part.readable[*i].0);
            match part.tracklets {
                Some(_) => {
                    numbers.zip(features.chunks_exact(dim)).for_each(|(image, row)| pool.add(image, row));
                }
                None => {
                    kept.extend(numbers);
                    rows.extend_from_slice(features);
                }
            }
            Ok(())
        })?;
        if part.tracklets.is_some() {
            pool.finish();
            (rows, kept) = (pool.means, pool.kept);
            normalise_rows(&mut rows, dim);
        }
        let samples = || kept.iter().map(|&i| &part.samples[i]);
        let pids = samples().map(|sample| sample.pid).collect();
        let camids = samples().map(|sample| sample.camid.unwrap_or(-1)).collect();
        Ok(Features::new(rows, dim, pids, camids, Vec::new())?.with_labels(self.labels.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(images: &[(i64, Option<i64>)]) -> Vec<Sample> {
        let sample = |(i, &(pid, camid)): (usize, &(i64, Option<i64>))| Sample {
            path: format!("{i}.jpg").into(),
            pid,
            camid,
        };
        images.iter().enumerate().map(sample).collect()
    }

    fn of(query: &[(i64, Option<i64>)], gallery: &[(i64, Option<i64>)]) -> Result<Protocol> {
        let (query, gallery) = (samples(query), samples(gallery));
        protocol(&Dataset { query, gallery, ..Dataset::default() })
    }

    #[test]
    fn cameras_count_where_a_query_has_a_match_under_another() {
        let (one, two) = (Some(1), Some(2));
        let ignores = |query: &[_], gallery: &[_]| of(query, gallery).unwrap().ignore_cameras;
        assert!(!ignores(&[(5, one)], &[(5, two), (6, one)]));
        assert!(!ignores(&[(5, None)], &[(5, None)]), "unknown cameras drop nothing");
        assert!(ignores(&[(5, one), (6, two)], &[(5, one), (6, two)]), "no match under another camera");
        assert!(!ignores(&[(5, one), (6, two)], &[(5, one), (6, one)]), "one has a match");
        for (query, gallery) in [([(5, one)], [(6, two)]), ([(-1, one)], [(-1, two)])] {
            let error = of(&query, &gallery).unwrap_err().to_string();
            assert!(error.contains("no query has an image of its person"), "{error}");
        }
    }

    #[test]
    fn identities_are_held_out_only_where_evaluations_ask_for_them() {
        let train = samples(&(0..40).map(|i| (i / 4, Some(i % 2))).collect::<Vec<_>>());
        let dataset = Dataset { train, ..Dataset::default() };
        let config = |settings: &[&str]| {
            let settings: Vec<String> = settings.iter().map(|setting| setting.to_string()).collect();
            Config::resolve_text("", &settings).unwrap()
        };
        assert!(split(&config(&[]), &dataset).unwrap().is_none());
        let held =
            split(&config(&["run.eval_every=5", "run.eval_identities=0.3"]), &dataset).unwrap().unwrap();
        assert_eq!((held.train.train.len(), held.test.query.len(), held.test.gallery.len()), (28, 6, 6));
        assert!(held.notes[0].contains("on 3 identities that are held out"), "{:?}", held.notes);
        let error = split(&config(&["run.eval_every=5", "run.eval_on=test"]), &dataset).unwrap_err();
        assert!(error.to_string().contains("in this data set"), "{error}");
    }
}
