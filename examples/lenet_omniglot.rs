//! LeNet reads handwritten characters: a convolutional network, trained on some drawings of each character and tested
//! on others.
//!
//!     cargo run --release --example lenet_omniglot [-- FOLDER] [--characters 30] [--device cuda]
//!
//! FOLDER holds images of the Omniglot set (Lake, Salakhutdinov, Tenenbaum, Science 2015; `images_background` of
//! github.com/brendenlake/omniglot): either one folder for each character, at any depth, or files named like
//! Market-1501's, in which the person is the character. Without FOLDER the example draws characters of its own, each
//! a few curved strokes, drawn with another hand each time.
//!
//! The mathematics. A convolution slides K filters over an image x; each place of the output is the scalar product of a
//! filter with the pixels below it,
//!
//!     y[i, j, k] = b[k] + sum over r, s, c of x[i + r, j + s, c] w[k, r, s, c],
//!
//! so the same few weights look for the same feature everywhere. A maximum over windows of 2 x 2 keeps the strongest
//! answer and halves the image. LeNet (LeCun et al. 1998, in the form of Caffe's example) does this twice; two linear
//! layers then tell the character from what was found where. For m images:
//!
//!     image                     [m, 28, 28,  1]
//!     convolution 5 x 5         [m, 24, 24, 16]
//!     maximum of 2 x 2          [m, 12, 12, 16]
//!     convolution 5 x 5         [m,  8,  8, 32]
//!     maximum of 2 x 2          [m,  4,  4, 32]
//!     one row for each image    [m, 512]
//!     linear, rectifier         [m, 128]
//!     linear                    [m, characters]: one score for each
//!
//! The loss is softmax cross entropy, as in examples/mlp.rs, which is the example to read first. There are few
//! drawings of each character, so each step moves its images by up to two pixels: a moved character is the same
//! character.

use bcreid::autograd::{Backward, Init, ParamId, ParamSpecs, Params, Sinks, StepValues, Tape, Var};
use bcreid::data::decode;
use bcreid::data::folder::Folder;
use bcreid::data::resize::Resizer;
use bcreid::device::{Device, Precision};
use bcreid::ops::conv2d::{Conv, conv2d};
use bcreid::ops::linear::linear;
use bcreid::ops::maxpool::{MaxPool, maxpool};
use bcreid::ops::relu::relu;
use bcreid::ops::sgd::{Convention, Sgd};
use bcreid::ops::softmax_cross_entropy::softmax_cross_entropy;
use bcreid::optim::{MomentumSgd, Optimizer};
use bcreid::tensor::Tensor;
use bcreid::tensor::philox::{Philox, RngStream};
use clap::Parser;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Height and width of an image.
const SIDE: usize = 28;
/// Images of a step.
const BATCH: usize = 32;
const STEPS: u64 = 600;
/// The most pixels that an image is moved by.
const SHIFT: u32 = 2;
/// Promise of the example: the accuracy on drawings outside of the training set.
const LEAST_ACCURACY: f64 = 0.8;

/// Trains LeNet on handwritten characters.
#[derive(Parser)]
struct Arguments {
    /// Images of Omniglot; without it, characters are made up.
    folder: Option<PathBuf>,
    /// Number of characters, 10 to 50.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(10..=50))]
    characters: u16,
    /// Compute device: cpu, cuda or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lenet_omniglot: {error}");
            ExitCode::FAILURE
        }
    }
}

// The data.

/// A drawing `[28, 28]` by rows: 0 is paper, 1 is ink. And its character.
struct Drawing {
    ink: Vec<f32>,
    character: i32,
}

/// Drawings to train on, and others for the test.
#[derive(Default)]
struct Drawings {
    train: Vec<Drawing>,
    test: Vec<Drawing>,
}

impl Drawings {
    /// Adds drawing `number` of a character; every fourth is for the test.
    fn add(&mut self, number: usize, drawing: Drawing) {
        if number % 4 == 3 { self.test.push(drawing) } else { self.train.push(drawing) }
    }
}

/// The first characters of a folder that have at least 8 drawings.
fn read(folder: &Path, characters: usize) -> Result<Drawings, Box<dyn Error>> {
    let mut of_character: BTreeMap<(PathBuf, i64), Vec<PathBuf>> = BTreeMap::new();
    // In the order of the paths. The person of a name that names none is -1: then the folder alone is the character.
    for sample in Folder::open(folder)?.samples {
        let parent = sample.path.parent().map(Path::to_path_buf).unwrap_or_default();
        of_character.entry((parent, sample.pid)).or_default().push(sample.path);
    }
    of_character.retain(|_, drawings| drawings.len() >= 8);
    if of_character.len() < characters {
        return Err(format!(
            "{}: characters with 8 drawings or more: {}, requested: {characters}; give a folder that has a \
             folder for each character, or fewer --characters",
            folder.display(),
            of_character.len()
        )
        .into());
    }
    let mut all = Drawings::default();
    let mut resizer = Resizer::default();
    for (character, drawings) in of_character.into_values().take(characters).enumerate() {
        for (number, path) in drawings.iter().enumerate() {
            let mut pixels = vec![0; SIDE * SIDE * 3];
            let image = decode::read(path)?;
            resizer.resize(&image, SIDE, SIDE, &mut pixels);
            // Black on white: the three channels are alike, and 255 is paper.
            let ink = pixels.chunks_exact(3).map(|rgb| 1.0 - f32::from(rgb[0]) / 255.0).collect();
            all.add(number, Drawing { ink, character: character as i32 });
        }
    }
    Ok(all)
}

/// Characters of our own: two to four strokes, each a quadratic Bezier curve with its own three points; 20 drawings
/// of each.
fn make_up(characters: usize) -> Drawings {
    let mut all = Drawings::default();
    for character in 0..characters {
        let own = Philox::new(0, 0, character as u64, RngStream::Synth);
        let points: Vec<[f32; 2]> = (0..3 * (2 + own.below(0, 3)))
            .map(|i| [2 * i + 1, 2 * i + 2].map(|index| 0.15 + 0.7 * own.uniform(index)))
            .collect();
        for number in 0..20 {
            let ink = draw(&points, &Philox::new(1, number as u64, character as u64, RngStream::Synth));
            all.add(number, Drawing { ink, character: character as i32 });
        }
    }
    all
}

/// Draws strokes, three points of the unit square each, with a hand that moves every point a little, turns, scales
/// and shifts the whole.
fn draw(points: &[[f32; 2]], hand: &Philox) -> Vec<f32> {
    let (turn, scale) = (0.12 * hand.normal(0), 1.0 + 0.08 * hand.normal(1));
    let shift = [2, 3].map(|i| 0.5 + 0.04 * hand.normal(i));
    let (sin, cos) = turn.sin_cos();
    let place = |i: usize, [x, y]: [f32; 2]| {
        let [x, y] = [x + 0.03 * hand.normal(4 + 2 * i as u32), y + 0.03 * hand.normal(5 + 2 * i as u32)];
        let [x, y] = [scale * (x - 0.5), scale * (y - 0.5)];
        [cos * x - sin * y + shift[0], sin * x + cos * y + shift[1]].map(|z| z * SIDE as f32)
    };
    let points: Vec<[f32; 2]> = points.iter().enumerate().map(|(i, point)| place(i, *point)).collect();
    let mut ink = vec![0.0_f32; SIDE * SIDE];
    for stroke in points.chunks_exact(3) {
        for step in 0..=40 {
            let t = step as f32 / 40.0;
            let along = |axis: usize| {
                (1.0 - t).powi(2) * stroke[0][axis]
                    + 2.0 * t * (1.0 - t) * stroke[1][axis]
                    + t * t * stroke[2][axis]
            };
            let [x, y] = [along(0), along(1)];
            for (at, ink) in ink.iter_mut().enumerate() {
                // From the pixel's middle. The pen is about two pixels wide and its edge is soft.
                let (dx, dy) = ((at % SIDE) as f32 + 0.5 - x, (at / SIDE) as f32 + 0.5 - y);
                *ink = ink.max((1.5 - (dx * dx + dy * dy).sqrt()).clamp(0.0, 1.0));
            }
        }
    }
    ink
}

/// The drawing moved right by `dx` and down by `dy` pixels, with paper behind it.
fn moved(ink: &[f32], [dx, dy]: [i32; 2]) -> Vec<f32> {
    let source = |at: usize| {
        let [x, y] = [(at % SIDE) as i32 - dx, (at / SIDE) as i32 - dy];
        let inside = 0..SIDE as i32;
        if inside.contains(&x) && inside.contains(&y) { ink[y as usize * SIDE + x as usize] } else { 0.0 }
    };
    (0..SIDE * SIDE).map(source).collect()
}

// The network.

// ANCHOR: flatten
/// `[m, H, W, C]` as `[m, H W C]`: an operation of our own. The elements stay where they are, so its gradient is the
/// same buffer under the other shape.
fn flatten(tape: &mut Tape<'_>, x: Var) -> bcreid::Result<Var> {
    let Some([m, h, w, c]) = x.shape().nhwc() else {
        return Err(bcreid::Error::shape("flatten", format!("x is {}, expected [m, H, W, C]", x.shape())));
    };
    let input = x.handle();
    Ok(tape.record(x.value.reshape([m, h * w * c]), &[input], |_| Flatten))
}

struct Flatten;

impl Backward for Flatten {
    fn op(&self) -> &'static str {
        "flatten"
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> bcreid::Result<()> {
        // The sink gives it the shape of the input.
        sinks.give(0, dy)
    }
}
// ANCHOR_END: flatten

/// Filters or weights, and the bias.
#[derive(Clone, Copy)]
struct Layer(ParamId, ParamId);

struct LeNet {
    conv1: Layer,
    conv2: Layer,
    hidden: Layer,
    scores: Layer,
}

impl LeNet {
    fn new(specs: &mut ParamSpecs, characters: usize) -> Self {
        // Initial deviation sqrt(2 / inputs of an output), after He et al. 2015.
        let deviation = |inputs: usize| Init::Normal((2.0 / inputs as f32).sqrt());
        let mut conv = |name: &str, channels: usize, filters: usize| {
            let shape = [filters, 5, 5, channels];
            let weight = specs.add_with(format!("{name}.weight"), shape, deviation(25 * channels), 1.0);
            Layer(weight, specs.add(format!("{name}.bias"), [filters]))
        };
        let (conv1, conv2) = (conv("conv1", 1, 16), conv("conv2", 16, 32));
        let mut full = |name: &str, inputs: usize, outputs: usize| {
            let weight = specs.add_with(format!("{name}.weight"), [outputs, inputs], deviation(inputs), 1.0);
            Layer(weight, specs.add(format!("{name}.bias"), [outputs]))
        };
        let (hidden, scores) = (full("hidden", 4 * 4 * 32, 128), full("scores", 128, characters));
        LeNet { conv1, conv2, hidden, scores }
    }

    // ANCHOR: forward
    /// Scores `[m, characters]` of images `[m, 28, 28, 1]`.
    fn forward(&self, tape: &mut Tape<'_>, images: Var) -> bcreid::Result<Var> {
        const POOL: MaxPool = MaxPool { kernel: 2, stride: 2, pad: 0, ceil: false };
        let mut x = images;
        for Layer(filters, bias) in [self.conv1, self.conv2] {
            let (filters, bias) = (tape.weight(filters), tape.param(bias));
            x = conv2d(tape, x, filters, Some(bias), Conv { stride: 1, pad: 0 })?;
            x = maxpool(tape, x, POOL)?;
        }
        x = flatten(tape, x)?;
        let Layer(weights, bias) = self.hidden;
        let (weights, bias) = (tape.param(weights), tape.param(bias));
        x = linear(tape, x, weights, bias)?;
        x = relu(tape, x)?;
        let Layer(weights, bias) = self.scores;
        let (weights, bias) = (tape.param(weights), tape.param(bias));
        linear(tape, x, weights, bias)
    }
    // ANCHOR_END: forward

    /// The share of drawings whose highest score is that of their character.
    fn accuracy(&self, params: &mut Params, drawings: &[Drawing], characters: usize) -> bcreid::Result<f64> {
        let ink: Vec<f32> = drawings.iter().flat_map(|drawing| drawing.ink.iter().copied()).collect();
        let images = Tensor::from_f32(params.device(), [drawings.len(), SIDE, SIDE, 1], &ink)?;
        let mut tape = Tape::no_grad(params)?;
        let images = tape.constant(images);
        let scores = self.forward(&mut tape, images)?.value.to_host_f32()?;
        let is_right = |(scores, drawing): &(&[f32], &Drawing)| {
            let best = (0..characters).max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
            best == Some(drawing.character as usize)
        };
        let right = scores.chunks_exact(characters).zip(drawings).filter(is_right).count();
        Ok(right as f64 / drawings.len() as f64)
    }
}

/// The baseline of the nearest pixels: the share of test drawings whose most similar training drawing, pixel by pixel,
/// is of their character. A network that learned more than this is better.
fn nearest_pixels(drawings: &Drawings) -> f64 {
    let difference =
        |a: &Drawing, b: &Drawing| a.ink.iter().zip(&b.ink).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
    let is_right = |test: &&Drawing| {
        let nearest =
            drawings.train.iter().min_by(|a, b| difference(a, test).total_cmp(&difference(b, test)));
        nearest.is_some_and(|nearest| nearest.character == test.character)
    };
    drawings.test.iter().filter(is_right).count() as f64 / drawings.test.len() as f64
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let (device, which) = Device::choose(&arguments.device, Precision::F32)?;
    println!("{which}");
    let characters = usize::from(arguments.characters);
    let drawings = match &arguments.folder {
        Some(folder) => {
            println!("characters of {}", folder.display());
            read(folder, characters)?
        }
        None => {
            println!("made-up characters (no folder is given)");
            make_up(characters)
        }
    };
    println!(
        "{characters} characters: {} drawings to train on, {} others for the test",
        drawings.train.len(),
        drawings.test.len()
    );

    let mut specs = ParamSpecs::default();
    let lenet = LeNet::new(&mut specs, characters);
    let mut params = Params::new(&device, &specs)?;
    params.initialise(0)?;
    let constants =
        Sgd { momentum: 0.9, weight_decay: 5e-4, convention: Convention::PyTorch, nesterov: false };
    let mut optimizer = MomentumSgd::new(&params, constants)?;
    optimizer.prepare(&params)?;

    let mut values = StepValues::new(&device, 0)?.with_scalars(&["lr"])?;
    for step in 0..STEPS {
        // Which drawings, and how far each is moved.
        let batch = BATCH.min(drawings.train.len());
        let chosen = Philox::new(0, step, 0, RngStream::Sampler).distinct(batch, drawings.train.len());
        let moves = Philox::new(0, step, 0, RngStream::Augment);
        let (mut ink, mut labels) = (Vec::new(), Vec::new());
        for (i, number) in chosen.into_iter().enumerate() {
            let drawing = &drawings.train[number as usize];
            let shift =
                [2 * i, 2 * i + 1].map(|i| moves.below(i as u32, 2 * SHIFT + 1) as i32 - SHIFT as i32);
            ink.extend(moved(&drawing.ink, shift));
            labels.push(drawing.character);
        }

        // A tenth of the rate for the last quarter: smaller steps come closer to the minimum.
        let learning_rate = if step < STEPS * 3 / 4 { 0.02 } else { 0.002 };
        values.set(step, &[("lr", learning_rate)])?;
        let mut tape = Tape::new(&mut params, &values);
        let images = tape.constant(Tensor::from_f32(&device, [batch, SIDE, SIDE, 1], &ink)?);
        let scores = lenet.forward(&mut tape, images)?;
        let loss = softmax_cross_entropy(&mut tape, scores, &Tensor::from_i32(&device, [batch], &labels)?)?;
        let loss_value = loss.value.clone();
        tape.backward(vec![(loss, Tensor::full(&device, [1], 1.0)?)])?;
        optimizer.step(&mut params, values.scalar("lr")?, &values.step)?;
        if step % 100 == 0 || step + 1 == STEPS {
            println!("step {step:>3}: loss {:.4}", loss_value.to_host_f32()?[0]);
        }
    }

    let pixels = nearest_pixels(&drawings);
    println!("most similar pixels: {:.1} % of the other drawings right", 100.0 * pixels);
    let accuracy = lenet.accuracy(&mut params, &drawings.test, characters)?;
    println!("LeNet: {:.1} % of the other drawings right", 100.0 * accuracy);
    if accuracy >= LEAST_ACCURACY && accuracy >= pixels {
        Ok(())
    } else {
        let least = 100.0 * LEAST_ACCURACY;
        Err(format!("promised: at least {least:.0} %, and no fewer than by pixels").into())
    }
}
