//! Generated runs: settings, steps and evaluations without training.

use bcreid::config::Config;
use bcreid::device::Device;
use bcreid::eval::stored_evaluation::StoredEvaluation;
use bcreid::eval::{Protocol, evaluate};
use bcreid::run::metrics::{Log, StepMetrics};
use bcreid::tensor::philox::{Philox, RngStream};
use bcreid::weights::Features;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "../common/command.rs"]
mod command;
pub use command::{fail, succeed};

/// The program, on one thread: the tests run side by side.
pub fn bcreid() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bcreid"));
    command.args(["--threads", "1"]);
    command
}

pub fn cpu() -> Device {
    Device::cpu()
}

/// The settings and `steps` steps of a run in `folder`; every third batch has no pair of one identity.
pub fn train(folder: &Path, lambda: f32, steps: u64) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let config = Config::resolve(None, &[format!("loss.batch_contrastive.weight={lambda}")]).unwrap();
    std::fs::write(folder.join("config.toml"), config.to_toml()).unwrap();
    let mut log = Log::continue_at(&folder.join("metrics.jsonl"), 0).unwrap();
    for step in 0..steps {
        let draw = Philox::new(7, step, lambda as u64, RngStream::Test);
        let noise = |index| 0.1 * draw.uniform(index);
        let done = step as f32 / steps as f32;
        let line = StepMetrics {
            step,
            loss: Some(6.0 - 5.0 * done + noise(0)),
            softmax: Some(5.0 - 4.0 * done + noise(1)),
            positive: Some(noise(2)),
            hinge: Some(1.0 + noise(3)),
            center: Some(0.5 + noise(4)),
            rate: Some(if step < steps / 2 { 0.01 } else { 0.001 }),
            lambda: Some(lambda),
            intra: (step % 3 != 0).then(|| 0.6 - 0.2 * done + noise(5)),
            inter: Some(0.8 + noise(6)),
            inter_min: Some(0.4 + noise(7)),
            ..StepMetrics::default()
        };
        log.write(&line).unwrap();
    }
    log.flush().unwrap();
    folder.to_path_buf()
}

/// Unit vectors near one of `people` directions, with cameras 1 to 3; `paths` as given.
pub fn features(pids: &[i64], seed: u64, noise: f32, paths: Vec<String>) -> Features {
    const DIM: usize = 8;
    let mut values = Vec::new();
    for (row, &pid) in pids.iter().enumerate() {
        let person = Philox::new(1, pid.unsigned_abs(), 0, RngStream::Test);
        let own = Philox::new(seed, row as u64, 1, RngStream::Test);
        let mut vector: Vec<f32> =
            (0..DIM as u32).map(|i| person.uniform(i) + noise * own.normal(i)).collect();
        let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|v| *v /= length);
        values.extend(vector);
    }
    // Not in step with the pids.
    let camids = (0..pids.len() as i64).map(|row| 1 + (row + row / 7) % 3).collect();
    Features::new(values, DIM, pids.to_vec(), camids, paths).unwrap()
}

/// A striped picture as a JPEG file.
pub fn jpeg(path: &Path, shade: u8) {
    let picture = image::RgbImage::from_fn(24, 48, |x, y| image::Rgb([shade, (x * 10) as u8, (y * 5) as u8]));
    picture.save(path).unwrap();
}

/// An evaluation of `run` on a data set of that name: 12 queries, 60 gallery images of 10 persons, distractors and
/// junk, with images in the data set `images`, the last of which is missing.
pub fn evaluate_run(run: &Path, set: &str, noise: f32, images: &Path) -> StoredEvaluation {
    let parts = ["query", "bounding_box_test"].map(|part| images.join(part));
    parts.iter().for_each(|part| std::fs::create_dir_all(part).unwrap());
    let query: Vec<i64> = (0..12).map(|i| 1 + i % 10).collect();
    let gallery: Vec<i64> = (0..60).map(|i| [-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10][i % 12]).collect();
    let paths = |part: &Path, n: usize| -> Vec<String> {
        let path = |i: usize| part.join(format!("{i:03}_<b>&\".jpg"));
        (0..n).map(|i| path(i).display().to_string()).collect()
    };
    let (query_paths, gallery_paths) = (paths(&parts[0], query.len()), paths(&parts[1], gallery.len()));
    query_paths
        .iter()
        .chain(&gallery_paths[..59])
        .enumerate()
        .for_each(|(i, path)| jpeg(Path::new(path), 3 * i as u8));
    let query = features(&query, 11, noise, query_paths);
    let gallery = features(&gallery, 12, noise, gallery_paths);
    let report = evaluate(&query, &gallery, &Protocol::default(), &cpu()).unwrap();
    let kept =
        StoredEvaluation::new(set.to_string(), vec![images.display().to_string()], query, gallery, report);
    kept.write(run).unwrap();
    kept
}
