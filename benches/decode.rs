//! Reading of training images on one thread: decoding, resizing to 256 x 128, the image cache and the batches.
//!
//! `cargo bench --bench decode` prints images per second for two sets of JPEG files that the synthetic generator draws:
//! 64 x 128 pixels, as in Market-1501, and 480 x 960. `benches/decode_peers.py` asks this program and other libraries in
//! turns: with `--ask` the program prints the folder of each set, then answers each line of standard input with seconds
//! per image, of the thread's CPU time: `decode FOLDER` (from bytes in memory to pixels), `resize FOLDER` (decoded pixels
//! to 256 x 128) or `read FOLDER` (from the file to 256 x 128).

use bcreid::autograd::StepValues;
use bcreid::data::decode::{self, Rgb};
use bcreid::data::folder::Folder;
use bcreid::data::resize::Resizer;
use bcreid::data::synth::Synth;
use bcreid::data::{
    CacheOptions, Classes, Dataset, ImageCache, ImageInput, Loader, LoaderOptions, SamplerKind,
};
use bcreid::device::Device;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

const HEIGHT: usize = 256;
const WIDTH: usize = 128;
const BATCH: usize = 32;
const ROUNDS: usize = 5;

/// Draws a set of pictures of a size into a folder.
fn draw(folder: &Path, width: usize, height: usize, train_ids: usize) {
    let sizes = Synth { train_ids, test_ids: 4, distractors: 0, junk: 0, width, height, ..Synth::default() };
    sizes.write(folder, |_, _| {}).expect("a drawn set");
}

/// The training images of a set, or the images of a folder.
fn paths(folder: &Path) -> Vec<PathBuf> {
    let train = folder.join("bounding_box_train");
    let folder = if train.is_dir() { &train } else { folder };
    Folder::open(folder).expect("a folder of images").samples.into_iter().map(|sample| sample.path).collect()
}

/// CPU time of this thread in seconds, where the system tells it (Linux), since other programs may use the cores;
/// elsewhere the time of the clock.
fn now() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let ran = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = ran.and_then(|ran| ran.split_whitespace().next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| START.get_or_init(Instant::now).elapsed().as_secs_f64(), |ran| ran / 1e9)
}

/// Seconds per image of `work`.
fn timed<T>(images: &[T], mut work: impl FnMut(&T)) -> f64 {
    let start = now();
    images.iter().for_each(&mut work);
    (now() - start) / images.len() as f64
}

/// The answer to a question: seconds per image.
fn answer(task: &str, folder: &Path) -> f64 {
    let paths = paths(folder);
    let files = || paths.iter().map(|path| std::fs::read(path).expect("a file")).collect::<Vec<_>>();
    let mut resizer = Resizer::default();
    let mut out = vec![0; HEIGHT * WIDTH * 3];
    match task {
        "decode" => {
            timed(&files(), |bytes| assert!(!decode::decode(bytes).expect("a picture").pixels.is_empty()))
        }
        "resize" => {
            let decoded: Vec<Rgb> =
                files().iter().map(|bytes| decode::decode(bytes).expect("a picture")).collect();
            timed(&decoded, |picture| resizer.resize(picture, HEIGHT, WIDTH, &mut out))
        }
        "read" => timed(&paths, |path| {
            let picture = decode::read(path).expect("a picture");
            resizer.resize(&picture, HEIGHT, WIDTH, &mut out);
        }),
        other => panic!("unknown question {other}: decode, resize or read"),
    }
}

/// The cache's and the batches' seconds per image.
fn loader(folder: &Path) -> [f64; 2] {
    let data = Dataset::open(folder).expect("a set");
    let files: Vec<&Path> = data.train.iter().map(|sample| sample.path.as_path()).collect();
    let start = Instant::now();
    let (cache, bad) =
        ImageCache::build(&files, HEIGHT, WIDTH, &CacheOptions::default(), &|_, _| {}).expect("a cache");
    let filled = start.elapsed().as_secs_f64() / files.len() as f64;
    assert!(bad.is_empty());
    let classes = Classes::new(&data.train).expect("classes");
    let class = |pid| classes.index(pid).expect("a class") as i32;
    let labels = data.train.iter().map(|sample| class(sample.pid)).collect();
    let options =
        LoaderOptions::new(ImageInput::imagenet(HEIGHT, WIDTH), SamplerKind::Random { batch: BATCH });
    let device = Device::cpu();
    let mut loader = Loader::over(cache, labels, options, &device).expect("a loader");
    let values = StepValues::new(&device, 0).expect("values of a step");
    let mut batch = || {
        loader.prepare().expect("a batch");
        assert_eq!(loader.batch(&values).expect("a batch").labels.shape().len(), BATCH);
    };
    (0..8).for_each(|_| batch());
    let batches = 40;
    let start = Instant::now();
    (0..batches).for_each(|_| batch());
    [filled, start.elapsed().as_secs_f64() / (batches * BATCH) as f64]
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sets = [("64 x 128", 64, 128, 48), ("480 x 960", 480, 960, 2)];
    let sets = sets.map(|(name, width, height, ids)| {
        let set = folder.path().join(width.to_string());
        draw(&set, width, height, ids);
        (name, set)
    });
    if std::env::args().any(|argument| argument == "--ask") {
        sets.iter().for_each(|(_, set)| println!("{}", set.join("bounding_box_train").display()));
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let (task, folder) = line.split_once(' ').expect("a task and a folder");
            println!("{:e}", answer(task, Path::new(folder)));
            std::io::stdout().flush().expect("an open output");
        }
        return;
    }
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread");
    one.install(|| {
        println!("images per second on one thread, median of {ROUNDS}");
        println!("{:<12} {:>9} {:>9} {:>9} {:>9} {:>9}", "", "decode", "resize", "read", "cache", "batches");
        for (name, set) in &sets {
            print!("{name:<12}");
            for task in ["decode", "resize", "read"] {
                let seconds = median((0..ROUNDS).map(|_| answer(task, set)).collect());
                print!(" {:>9.0}", 1.0 / seconds);
            }
            let rounds: Vec<[f64; 2]> = (0..ROUNDS).map(|_| loader(set)).collect();
            for part in 0..2 {
                print!(" {:>9.0}", 1.0 / median(rounds.iter().map(|round| round[part]).collect()));
            }
            println!();
        }
    });
}
