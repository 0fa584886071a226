//! Rounds of decomposition, restraint and relaxation (SVDNet) from the command line.

use crate::support::{assert_same, data, fail, resume, stderr, stop_after, succeed, train};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Two rounds: decompositions in front of iterations 4 and 10, relaxations from 7 and 13 on.
const ROUNDS: &[&str] = &[
    "model.embedding=[12]",
    "model.embedding_bias=false",
    "model.embedding_init=0.01",
    "loss.batch_contrastive.weight=0",
    "solver.svd_lr=[0.003, 0.001]",
    "solver.svd_start=4",
    "solver.svd_restraint=3",
    "solver.svd_relaxation=3",
    "solver.svd_lr_milestones=[2]",
    r#"solver.svd_freeze=["conv1.*", "bn1.*", "layer1.*"]"#,
    "solver.lr=0.003",
    "solver.lr_milestones=[3]",
    "solver.iterations=16",
    "run.checkpoint_every=1",
    "run.checkpoints_kept=99",
];

const LAYER: &str = "embedding.0.weight";

type Tensors = BTreeMap<String, Vec<u8>>;

fn checkpoint(run: &Path, step: u64) -> Tensors {
    let file = run.join(format!("checkpoints/step_{step:010}.safetensors"));
    let read = bcreid::weights::read_tensors(&file).unwrap();
    read.names().map(|name| (name.to_string(), read.get(name).unwrap().bytes().to_vec())).collect()
}

fn values(of: &Tensors, name: &str) -> Vec<f64> {
    of[name].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).into()).collect()
}

/// The products of all pairs of the columns (inputs) or rows (outputs) of `[12, 256]` weights.
fn products(weight: &[f64], of_columns: bool) -> Vec<f64> {
    let (rows, columns) = (12, weight.len() / 12);
    let (count, length) = if of_columns { (columns, rows) } else { (rows, columns) };
    let at = |i: usize, k: usize| if of_columns { weight[k * columns + i] } else { weight[i * columns + k] };
    let product = |i: usize, j: usize| (0..length).map(|k| at(i, k) * at(j, k)).sum();
    (0..count).flat_map(|i| (0..count).map(move |j| product(i, j)).collect::<Vec<f64>>()).collect()
}

/// Each stage freezes its own layers; a decomposition keeps all distances of embedded features, and makes the weight
/// vectors orthogonal. A run that is resumed at any place has the bits of the whole one.
#[test]
fn a_run_with_rounds_trains_each_stage_and_resumes_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, state) in [("sgd", "momentum"), ("adam", "exp_avg")] {
        let calm = folder.path().join(kind);
        let optimizer = format!("solver.optimizer={kind}");
        let output = train(data(), &calm, &[ROUNDS, &[&optimizer]].concat()).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let said = stderr(&output);
        let lines: Vec<&str> = said.lines().filter(|line| line.contains("is decomposed: S(W) was")).collect();
        assert!(
            lines.len() == 2 && lines[0].contains("iteration 4, round 1 of 2: embedding.0.weight"),
            "{said}"
        );
        assert!(lines.iter().all(|line| line.contains("is 1.0000")), "{said}");

        let steps: Vec<Tensors> = (0..=16).map(|step| checkpoint(&calm, step)).collect();
        let same = |name: &str, a: usize, b: usize| steps[a][name] == steps[b][name];
        for begin in [4, 10] {
            // The frozen layer after a step of the restraint is what the decomposition has made of the one before it.
            let [before, after] = [begin, begin + 1].map(|step| values(&steps[step], LAYER));
            assert_ne!(before, after);
            let [old, new] = [&before, &after].map(|weight| products(weight, true));
            let largest = old.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
            assert!(old.iter().zip(&new).all(|(a, b)| (a - b).abs() < 1e-5 * largest), "distances changed");
            let of_outputs = products(&after, false);
            let diagonal = |i: usize| of_outputs[13 * i];
            for (pair, product) in of_outputs.iter().enumerate() {
                let (i, j) = (pair / 12, pair % 12);
                let cosine = product / (diagonal(i) * diagonal(j)).sqrt();
                assert!(i == j || cosine.abs() < 1e-4, "{kind}: cosine {cosine} of outputs {i} and {j}");
            }
            let (restraint, relaxation) = (begin + 3, begin + 6);
            assert!(same(LAYER, begin + 1, restraint), "{kind}: a restraint moves the layer");
            assert!(values(&steps[restraint], &format!("{state}/{LAYER}")).iter().all(|value| *value == 0.0));
            for name in ["conv1.weight", "layer1.0.conv2.weight", "layer4.0.conv1.weight", "fc.weight"] {
                assert!(!same(name, begin, begin + 1) && !same(name, begin + 2, restraint), "{kind}: {name}");
            }
            for name in [LAYER, "layer2.0.conv1.weight", "fc.weight"] {
                assert!(!same(name, restraint, relaxation), "{kind}: {name} is not trained in a relaxation");
            }
            for name in ["conv1.weight", "bn1.running_mean", "layer1.0.bn2.bias", "layer1.0.conv2.weight"] {
                assert!(same(name, restraint, relaxation), "{kind}: {name} is not frozen in a relaxation");
                let state = format!("{state}/{name}");
                assert!(
                    steps[relaxation].get(&state).is_none_or(|state| state.iter().all(|byte| *byte == 0))
                );
            }
        }

        let stopped = folder.path().join("stopped");
        for newest in [3, 4, 5, 7, 9, 10, 13, 15] {
            stop_after(&calm, newest, &stopped);
            succeed(&mut resume(&stopped));
            assert_same(&calm, &stopped);
        }
    }
}

/// The first step of Adam in a stage is as large as a first step is: the rate, for each element.
#[test]
fn adam_starts_anew_in_each_stage() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let adam = ["solver.optimizer=adam", "solver.weight_decay=0"];
    succeed(&mut train(data(), &out, &[ROUNDS, &adam].concat()));
    for (stage, rate) in [(4, 0.003), (7, 0.003), (10, 0.001), (13, 0.001)] {
        let [before, after] =
            [stage, stage + 1].map(|step| values(&checkpoint(&out, step), "layer4.0.conv2.weight"));
        let largest = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!((largest / rate - 1.0).abs() < 2e-2, "iteration {stage}: a step of {largest}");
    }
    let metrics = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let rates: Vec<f64> = metrics
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["rate"].as_f64().unwrap())
        .collect();
    let [a, b, c] = [3e-3, 3e-4, 1e-3];
    let d = 1e-4;
    let right = [a, a, a, b, a, a, b, a, a, b, c, c, d, c, c, d];
    assert!(rates.iter().zip(right).all(|(a, b)| (a / b - 1.0).abs() < 1e-5), "{rates:?}");
}

#[test]
fn rounds_that_cannot_be_are_refused_and_late_ones_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (setting, words) in [
        ("model.embedding=[]", "and there is none: set model.embedding to its width"),
        ("model.embedding_bias=true", "needs an embedding whose last layer is linear"),
        ("model.embedding_batchnorm=true", "needs an embedding whose last layer is linear"),
        ("model.embedding_relu=true", "needs an embedding whose last layer is linear"),
        ("model.neck=batchnorm", "solver.svd_lr needs model.neck = none"),
        ("solver.schedule=cosine", "solver.svd_lr needs solver.schedule = steps"),
        ("solver.ema=0.9", "solver.svd_lr needs solver.ema = 0"),
        ("solver.svd_lr=[0]", "solver.svd_lr must be rates above 0"),
        ("solver.svd_lr=0.1", "solver.svd_lr is a list of numbers"),
        ("solver.svd_restraint=0", "solver.svd_restraint and solver.svd_relaxation must be 1 to 2^31"),
        ("solver.svd_lr_milestones=[2, 1]", "solver.svd_lr_milestones must grow"),
        (r#"solver.svd_freeze=["res2*"]"#, "solver.svd_freeze: \"res2*\" matches no parameter"),
        (r#"solver.svd_freeze=["*"]"#, "leave no parameter to be trained in a relaxation"),
        (r#"solver.freeze=["*", "!embedding.*"]"#, "leave no parameter to be trained in a restraint"),
    ] {
        let error = fail(&mut train(data(), &at("refused"), &[ROUNDS, &[setting]].concat()));
        assert!(error.contains(words) && !error.contains('\n'), "{setting}: {error}");
        assert!(!at("refused").exists());
    }
    let told = |out: &str, settings: &[&str]| stderr(&train(data(), &at(out), settings).output().unwrap());
    let said = told("short", &[ROUNDS, &["solver.iterations=8"]].concat());
    assert!(said.contains("does 1 of 2 rounds, which begin at 4 and every 6 iterations"), "{said}");
    let said = told("none", &["solver.svd_start=3", "solver.iterations=2", "solver.lr_milestones=[]"]);
    assert!(said.contains("solver.svd_start = 3 has no effect with solver.svd_lr = []"), "{said}");
    // A run that ended between two rounds goes on with them.
    let mut longer = resume(&at("short"));
    succeed(longer.args(["--iterations", "16"]));
    succeed(&mut train(data(), &at("whole"), ROUNDS));
    let [one, other] = ["short", "whole"].map(|run| fs::read(at(run).join("weights.safetensors")).unwrap());
    assert!(one == other, "a run that is trained longer has other weights");
}
