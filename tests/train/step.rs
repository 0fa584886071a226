//! One step from a trained network against PyTorch in float64 (`tests/golden/step.py`): losses, the velocity of every
//! parameter, centers and running statistics. Trained, because velocities of a random network are mostly rounding
//! amplified, and one step, because errors of a step add up over many.

use super::{CLASSES, SEED, batch, velocities};
use bcreid::autograd::{Params, StepValues};
use bcreid::config::{
    Config, Convention, Distance, FeatureKind, Gradient, NeckKind, Normalization, Scope, Wiring,
};
use bcreid::data::{Attributes, Classes, Labels, Sample};
use bcreid::device::Device;
use bcreid::model::Model;
use bcreid::model::attributes::ATTRIBUTES;
use bcreid::model::head::{CENTER_LOSS, Outputs};
use bcreid::model::neck::NECK;
use bcreid::model::verification::VERIFICATION;
use bcreid::ops::batch_contrastive::Term;
use bcreid::optim::Optimizer;
use bcreid::train::schedule::{self, Scheduled};
use bcreid::train::step::{optimizer, step};
use bcreid::weights::{TensorFile, load_into, read_tensors};

/// The step that is made.
const STEP: u64 = 60;
const RATE: f32 = 0.01;
const LAMBDA: f32 = 0.1;
const CENTER_RATE: f32 = 0.5;
/// Weight of the loss of another method.
const OTHER: f32 = 0.25;
/// Relative error of a loss: ours was off by up to 6.2e-7, PyTorch in f32 by up to 1.6e-6.
const LOSS: f64 = 2e-6;
/// Error of a velocity relative to the length of what the step adds to it, gradient and decay: ours was off by up to
/// 1.5e-5, PyTorch in f32 by up to 4.3e-5.
const VELOCITY: f64 = 2.5e-5;
/// Relative error of centers and running statistics.
const STATE: f64 = 2e-6;

/// One way to make the step.
#[derive(Clone, Copy, PartialEq)]
enum Variant {
    Base,
    Exact,
    CaffeMomentum,
    Tied,
    Frozen,
    Neck,
    NeckBehind,
    Smoothed,
    Triplet,
    TripletSoft,
    Circle,
    CircleOfBatch,
    Contrastive,
    Center,
    Verification,
    Attributes,
    AttributesBehind,
}

impl Variant {
    const ALL: [(Variant, &str); 17] = [
        (Variant::Base, "base"),
        (Variant::Exact, "exact"),
        (Variant::CaffeMomentum, "caffe_momentum"),
        (Variant::Tied, "tied"),
        (Variant::Frozen, "frozen"),
        (Variant::Neck, "neck"),
        (Variant::NeckBehind, "neck_behind"),
        (Variant::Smoothed, "smoothed"),
        (Variant::Triplet, "triplet"),
        (Variant::TripletSoft, "triplet_soft"),
        (Variant::Circle, "circle"),
        (Variant::CircleOfBatch, "circle_of_batch"),
        (Variant::Contrastive, "contrastive"),
        (Variant::Center, "center"),
        (Variant::Verification, "verification"),
        (Variant::Attributes, "attributes"),
        (Variant::AttributesBehind, "attributes_behind"),
    ];

    fn has_neck(self) -> bool {
        matches!(self, Variant::Neck | Variant::NeckBehind | Variant::AttributesBehind)
    }

    fn has_attributes(self) -> bool {
        matches!(self, Variant::Attributes | Variant::AttributesBehind)
    }
}

fn file() -> TensorFile {
    let path = format!("{}/tests/golden/step.safetensors", env!("CARGO_MANIFEST_DIR"));
    read_tensors(path.as_ref()).unwrap()
}

fn golden(file: &TensorFile, name: &str) -> Vec<f64> {
    let view = file.tensor(name).unwrap();
    view.f32().unwrap().iter().map(|&v| f64::from(v)).collect()
}

fn length(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

fn config(wiring: Wiring, variant: Variant) -> Config {
    let settings = [
        "model.arch=slim",
        "model.width=4",
        "model.depths=[1, 1, 1, 1]",
        "model.dropout=0.5",
        "loss.batch_contrastive.tau=1.3",
        "run.seed=11",
    ];
    let mut config = Config::resolve(None, &settings.map(String::from)).unwrap();
    config.model.wiring = wiring;
    match variant {
        Variant::Base | Variant::Tied => {}
        Variant::Exact => config.loss.batch_contrastive.gradient = Gradient::Exact,
        Variant::CaffeMomentum => config.solver.convention = Convention::Caffe,
        Variant::Frozen => config.solver.batchnorm = Normalization::Frozen,
        Variant::Neck => config.model.neck = NeckKind::Batchnorm,
        Variant::NeckBehind => {
            config.model.neck = NeckKind::Batchnorm;
            let own = &mut config.loss.batch_contrastive;
            (own.feature, own.tau) = (FeatureKind::Neck, 3.0);
        }
        Variant::Smoothed => config.loss.softmax.smoothing = 0.25,
        Variant::Triplet => (config.loss.triplet.weight, config.loss.triplet.margin) = (OTHER, 16.0),
        Variant::TripletSoft => {
            let own = &mut config.loss.triplet;
            (own.weight, own.soft, own.distance, own.normalise) = (OTHER, true, Distance::Squared, true);
        }
        Variant::Circle | Variant::CircleOfBatch => {
            let own = &mut config.loss.circle;
            (own.weight, own.margin, own.gamma) = (OTHER, 0.5, 8.0);
            own.scope = if variant == Variant::Circle { Scope::Anchor } else { Scope::Batch };
        }
        Variant::Contrastive => {
            let own = &mut config.loss.contrastive;
            (own.weight, own.positive, own.negative) = (OTHER, 0.25, 1.25);
        }
        Variant::Center => (config.loss.center.weight, config.loss.center.rate) = (OTHER, 0.25),
        Variant::Verification => {
            let own = &mut config.loss.verification;
            (own.weight, own.dropout) = (OTHER, 0.75);
        }
        Variant::Attributes | Variant::AttributesBehind => {
            config.loss.attributes.weight = OTHER;
            if variant == Variant::AttributesBehind {
                // Of pool5, while the classifier of identities takes the feature behind the neck.
                config.model.neck = NeckKind::Batchnorm;
            }
        }
    }
    config
}

/// Three attributes of the five identities, as the script has them.
fn attributes() -> Attributes {
    let text = "identity,hat,age,bag\n0,yes,1,red\n1,no,3,blue\n2,no,2,red\n3,yes,4,green\n4,no,1,blue\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attributes.csv");
    std::fs::write(&path, text).unwrap();
    let sample = |pid| Sample { path: "a.jpg".into(), pid, camid: None };
    let classes = Classes::new(&(0..CLASSES as i64).map(sample).collect::<Vec<_>>()).unwrap();
    Attributes::read(&path, &classes, &Labels::default()).unwrap()
}

/// Weights, statistics, centers and velocities of the trained network.
fn start(
    file: &TensorFile,
    wiring: &str,
    variant: Variant,
    params: &mut Params,
    optimizer: &mut dyn Optimizer,
) {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("start.safetensors");
    let prefix = format!("{wiring}.start.");
    let tensors: Vec<_> = file
        .names()
        .filter_map(|name| Some((name.strip_prefix(&prefix)?, file.get(name)?)))
        .filter(|(name, _)| variant.has_neck() || !name.starts_with(NECK))
        .filter(|(name, _)| variant == Variant::Center || *name != CENTER_LOSS)
        .filter(|(name, _)| variant == Variant::Verification || !name.starts_with(VERIFICATION))
        .filter(|(name, _)| variant.has_attributes() || !name.starts_with(ATTRIBUTES))
        .map(|(name, view)| (name.to_string(), view.shape().to_vec(), view.f32().unwrap().into_owned()))
        .collect();
    let out: Vec<_> = tensors
        .iter()
        .map(|(name, shape, values)| bcreid::weights::TensorOut::f32(name, shape, values))
        .collect();
    bcreid::weights::write_tensors(&plain, &out, &Default::default()).unwrap();
    let plain = read_tensors(&plain).unwrap();
    // Shift and statistics of the neck are its initial ones.
    load_into(params, &plain, |name| name.starts_with(NECK)).unwrap();
    for (name, state) in optimizer.state_mut(params) {
        // New parameters begin without a velocity.
        if [NECK, VERIFICATION, ATTRIBUTES].iter().any(|new| name.contains(new)) {
            continue;
        }
        let mut velocity = plain.tensor(&name).unwrap().f32().unwrap().into_owned();
        if variant == Variant::CaffeMomentum {
            velocity.iter_mut().for_each(|v| *v *= RATE);
        }
        state.copy_from_host_f32(&velocity).unwrap();
    }
}

/// The values that the golden file has of so many: all, or some evenly spaced.
fn sample(values: &[f32], count: usize) -> Vec<f64> {
    (0..count).map(|i| f64::from(values[i * values.len() / count])).collect()
}

fn makes_pytorchs_step(wiring: Wiring, name: &str, variant: Variant, key: &str) {
    let (device, file, config) = (Device::cpu(), file(), config(wiring, variant));
    let attributes = attributes();
    let outputs = Outputs { classes: CLASSES, attributes: Some(&attributes) };
    let (model, mut params) = Model::new(&config, outputs, &device).unwrap();
    let mut optimizer = optimizer(&params, &config).unwrap();
    start(&file, name, variant, &mut params, &mut *optimizer);
    let before: Vec<Vec<f32>> = velocities(&*optimizer, &params).iter().map(|v| v.f32().to_vec()).collect();
    let mut values = StepValues::new(&device, SEED).unwrap().with_scalars(&schedule::SCALARS).unwrap();
    let center_rate = if variant == Variant::Tied { RATE } else { CENTER_RATE };
    values.set(STEP, &Scheduled { lr: RATE, lambda: LAMBDA, center_rate }.scalars()).unwrap();
    let measured =
        step(&model, &mut params, &mut *optimizer, &values, batch(&device, STEP), &config).unwrap();

    let key = format!("{name}.{key}");
    let terms = measured.terms.to_host_f32().unwrap();
    let term = |term: Term| terms[term as usize];
    let softmax = measured.softmax.to_host_f32().unwrap()[0];
    let mut losses = vec![softmax, term(Term::Positive), term(Term::Hinge), term(Term::Center)];
    losses.extend(measured.metric_losses.iter().map(|loss| loss.to_host_f32().unwrap()[0]));
    let theirs = golden(&file, &format!("{key}.losses"));
    assert_eq!(losses.len(), theirs.len(), "{key}");
    for (what, (ours, theirs)) in
        ["softmax", "positive", "hinge", "center", "other"].iter().zip(losses.iter().zip(theirs))
    {
        let off = (f64::from(*ours) - theirs).abs() / theirs;
        println!("{key} {what}: off by {off:.1e}");
        assert!(off < LOSS, "{key}, {what}: {ours}, PyTorch {theirs} ({off:.1e})");
    }

    // What the step adds to each velocity, and by how much ours is off.
    let compared: Vec<(&str, f64, f64)> = params
        .params()
        .iter()
        .zip(velocities(&*optimizer, &params))
        .zip(&before)
        .map(|((param, velocity), before)| {
            let theirs = golden(&file, &format!("{key}.velocity.{}", param.name));
            let ours = sample(velocity.f32(), theirs.len());
            let before = sample(before, theirs.len());
            let momentum = f64::from(config.solver.momentum);
            let added = length(theirs.iter().zip(before).map(|(v, before)| v - momentum * before));
            let off = length(ours.iter().zip(&theirs).map(|(a, b)| a - b));
            (param.name.as_str(), added, off)
        })
        .collect();
    let mut worst = ("", 0.0);
    for &(name, added, off) in &compared {
        // A bias in front of batch statistics has no gradient but rounding; that of the statistics' own shift, which
        // sums the same values, is its measure.
        let of = match name {
            "conv1.bias" => compared.iter().find(|(name, ..)| *name == "bn1.bias").unwrap().1,
            _ => added,
        };
        worst = if off / of > worst.1 { (name, off / of) } else { worst };
        assert!(off <= VELOCITY * of, "{key}, velocity of {name}: off by {:.1e}", off / of);
    }
    println!("{key} velocities: off by at most {:.1e} ({})", worst.1, worst.0);

    let mut compared = 0;
    for buffer in params.buffers() {
        if buffer.name == format!("{NECK}bias") {
            assert!(buffer.value.f32().iter().all(|shift| *shift == 0.0));
            compared += 1;
            continue;
        }
        let what = format!("{key}.state.{}", buffer.name);
        // Frozen statistics stay what they were.
        let what = if file.get(&what).is_some() { what } else { format!("{name}.start.{}", buffer.name) };
        let theirs = golden(&file, &what);
        let off = length(buffer.value.f32().iter().zip(&theirs).map(|(&a, b)| f64::from(a) - b));
        let off = off / length(theirs.into_iter());
        assert!(off < STATE, "{what}: off by {off:.1e}");
        compared += 1;
    }
    assert_eq!(compared, params.buffers().len());
}

#[test]
fn torchvision_wiring() {
    for (variant, key) in Variant::ALL {
        makes_pytorchs_step(Wiring::Torchvision, "torchvision", variant, key);
    }
}

#[test]
fn caffe_wiring() {
    for (variant, key) in Variant::ALL {
        makes_pytorchs_step(Wiring::Caffe, "caffe", variant, key);
    }
}

/// Half of both weights gives half of each gradient: 0.5 is exact in binary, so bit for bit.
#[test]
fn each_loss_enters_with_its_weight() {
    let device = Device::cpu();
    let velocities = |softmax: f32, lambda: f32| -> Vec<Vec<f32>> {
        let mut config = config(Wiring::Torchvision, Variant::Base);
        (config.loss.softmax.weight, config.solver.weight_decay) = (softmax, 0.0);
        let (model, mut params) = Model::new(&config, CLASSES, &device).unwrap();
        let mut optimizer = optimizer(&params, &config).unwrap();
        let mut values = StepValues::new(&device, SEED).unwrap().with_scalars(&schedule::SCALARS).unwrap();
        values.set(STEP, &Scheduled { lr: RATE, lambda, center_rate: CENTER_RATE }.scalars()).unwrap();
        step(&model, &mut params, &mut *optimizer, &values, batch(&device, STEP), &config).unwrap();
        velocities(&*optimizer, &params).iter().map(|velocity| velocity.f32().to_vec()).collect()
    };
    let whole = velocities(1.0, 0.5);
    let halved: Vec<Vec<f32>> = whole.iter().map(|v| v.iter().map(|v| 0.5 * v).collect()).collect();
    assert!(whole.iter().flatten().any(|v| *v != 0.0));
    assert_eq!(velocities(0.5, 0.25), halved);
    // Without the softmax loss the classifier, the last two parameters, has no gradient.
    let without = velocities(0.0, 0.5);
    assert!(without[without.len() - 2..].iter().flatten().all(|v| *v == 0.0));
    assert!(without[0].iter().any(|v| *v != 0.0));
}
