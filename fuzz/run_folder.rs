//! Run folders made by edits of a small valid one, so that inputs get beyond the first check of each file.
//!
//! An input is a list of edits of at most [`MOST`]: a byte that names the file and the kind of edit, then for a splice
//! two bytes of position and one of the number of bytes that are dropped, then a byte of length and the new bytes. An
//! edit of a safetensors file is within its header, whose length is set again, or within its data.

use crate::folder;
use bcreid::config::Config;
use bcreid::data::Dataset;
use bcreid::data::synth::Synth;
use bcreid::device::Device;
use bcreid::eval::extract::Extractor;
use bcreid::eval::stored_evaluation::StoredEvaluation;
use bcreid::eval::{Protocol, evaluate};
use bcreid::run::RunFolder;
use bcreid::train::{Observers, Start, Trainer};
use bcreid::weights::Features;
use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

thread_local! {
    static BASE: OnceCell<Base> = const { OnceCell::new() };
}

/// Calls `read` with the base, which the first input makes.
pub fn with_base(read: impl FnOnce(&Base)) {
    BASE.with(|base| read(base.get_or_init(Base::new)));
}

/// The files that are edited. The others of the run stay as they are.
const FILES: [&str; 9] = [
    "config.toml",
    "metrics.jsonl",
    "checkpoints/step_0000000002.safetensors",
    "weights.safetensors",
    "evaluations/set/query.safetensors",
    "evaluations/set/gallery.safetensors",
    "evaluations/set/result.json",
    "evaluations/set/.new/result.json",
    "provenance.json",
];
/// Most edits of an input.
const MOST: usize = 8;
/// Kinds of edits, see [`edit`].
const KINDS: usize = 4;
/// The folder in which the evaluation's images were, the same in every process.
const SET: &str = "/nowhere/set";

/// A run folder in memory, its data set, and the content of its files before the edits.
pub struct Base {
    home: TempDir,
    /// The settings of the run.
    pub config: Config,
    /// The data set of the run.
    pub dataset: Dataset,
    content: Vec<Option<Vec<u8>>>,
}

impl Base {
    /// Trains two steps on a made-up data set and evaluates. The files are the same bytes in every process.
    fn new() -> Self {
        // SAFETY: called with the first input, when no other thread of this process reads the environment.
        unsafe { std::env::set_var("RAYON_NUM_THREADS", "1") };
        let home = folder();
        let (data, run) = (home.path().join("set"), home.path().join("run"));
        let synth = Synth {
            train_ids: 2,
            test_ids: 2,
            cameras: 2,
            images_per_camera: 2..=2,
            distractors: 0,
            junk: 0,
            ..Synth::default()
        };
        synth.write(&data, |_, _| ()).expect("a data set");
        let dataset = Dataset::open(&data).expect("a data set");
        let settings = [
            "model.arch=slim",
            "model.width=1",
            "model.depths=[1, 1, 1, 1]",
            "input.height=32",
            "input.width=32",
            "solver.batch=2",
            "solver.iterations=2",
            "solver.lr_milestones=[]",
            "run.checkpoint_every=2",
        ];
        let config = Config::resolve_text("", &settings.map(String::from)).expect("settings");
        let device = Device::cpu();
        let trainer = Trainer::new(&config, &dataset, Start::Random, &device, &|_, _| ()).expect("a network");
        let folder = RunFolder::create(&run, &config).expect("a run folder");
        trainer.run(&folder, &AtomicBool::new(false), Observers::none()).expect("two steps");
        let mut extractor = Extractor::load(&folder.weights(), &device).expect("the result");
        let (query, gallery) = extractor.extract_test(&dataset, |_, _| ()).expect("features");
        let moved = |features: Features| {
            let path = |path: &String| {
                SET.to_string() + path.strip_prefix(&*data.to_string_lossy()).expect("in the set")
            };
            let paths = features.paths().iter().map(path).collect();
            let (pids, camids) = (features.pids().to_vec(), features.camids().to_vec());
            Features::new(features.features().to_vec(), features.dim(), pids, camids, paths)
                .expect("as before")
                .with_origin(features.origin().clone())
        };
        let (query, gallery) = (moved(query), moved(gallery));
        let report = evaluate(&query, &gallery, &Protocol::default(), &device).expect("figures");
        let stored = StoredEvaluation::new("set".into(), vec![SET.into()], query, gallery, report);
        stored.write(&run).expect("an evaluation");
        let content = FILES.map(|file| fs::read(run.join(file)).ok()).to_vec();
        assert_eq!(content.iter().filter(|content| content.is_some()).count(), FILES.len() - 1);
        Base { home, config, dataset, content }
    }

    /// The run folder.
    pub fn run(&self) -> PathBuf {
        self.home.path().join("run")
    }

    /// Applies the edits of an input to the files, calls `read`, and restores the files.
    pub fn with(&self, input: &[u8], read: impl FnOnce(&Path)) {
        let mut files = self.content.clone();
        let mut edited = vec![false; FILES.len()];
        edited[1] = true; // A resumed run writes the metrics.
        let mut input = Input(input);
        for _ in 0..MOST {
            let Some(what) = input.byte() else { break };
            let file = what % FILES.len();
            edited[file] = true;
            edit(&mut files[file], what / FILES.len() % KINDS, &mut input);
        }
        let run = self.run();
        let put = |files: &[Option<Vec<u8>>]| {
            for (index, name) in FILES.iter().enumerate().filter(|(index, _)| edited[*index]) {
                let path = run.join(name);
                match &files[index] {
                    Some(content) => {
                        fs::create_dir_all(path.parent().expect("in the run")).expect("room");
                        fs::write(&path, content).expect("room");
                    }
                    None => drop(fs::remove_file(&path)),
                }
            }
        };
        put(&files);
        read(&run);
        put(&self.content);
        // Without its files it would still count as a folder of new files.
        let _ = fs::remove_dir(run.join("evaluations/set/.new"));
    }
}

/// The part of an input that is not used yet.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<usize> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(usize::from(*first))
    }

    /// A length and that many bytes, as far as there are.
    fn chunk(&mut self) -> &'a [u8] {
        let length = self.byte().unwrap_or(0).min(self.0.len());
        let (chunk, rest) = self.0.split_at(length);
        self.0 = rest;
        chunk
    }
}

/// One edit of a file: removal or a new content, or a splice in the header, the text or the data.
fn edit(file: &mut Option<Vec<u8>>, kind: usize, input: &mut Input<'_>) {
    if kind == 0 {
        *file = Some(input.0.to_vec()).filter(|content| !content.is_empty());
        input.0 = &[];
        return;
    }
    let content = file.get_or_insert_default();
    let header = content.first_chunk().map(|length| u64::from_le_bytes(*length) as usize);
    let header = header.filter(|&length| length < content.len().saturating_sub(8));
    let place = input.byte().unwrap_or(0) << 8 | input.byte().unwrap_or(0);
    let dropped = input.byte().unwrap_or(0);
    let new = input.chunk();
    let within = match (header, kind) {
        (Some(length), 1 | 2) => 8..8 + length,
        (Some(length), _) => 8 + length..content.len(),
        (None, _) => 0..content.len(),
    };
    let start = within.start + place.min(within.len());
    let end = (start + dropped).min(within.end);
    content.splice(start..end, new.iter().copied());
    if let (Some(length), 1 | 2) = (header, kind) {
        let length = (length + new.len() - (end - start)) as u64;
        content[..8].copy_from_slice(&length.to_le_bytes());
    }
}
