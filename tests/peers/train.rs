//! Training compared with PyTorch (`tools/reference/train.py`): from the same checkpoint, on the same images, both
//! compute the same steps.
//!
//! PyTorch is larger than all other peers together, so `tools/get-peers.sh` does not fetch it: `BCREID_TORCH_PYTHON`
//! names a Python with torch, NumPy and safetensors. Without it these tests say so and pass.

mod data;
mod solver;

use crate::command::succeed;
use crate::{bcreid, skip};
use bcreid::data::Dataset;
use bcreid::export::training_images;
use bcreid::weights::NetworkFile;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// Relative difference of losses in f32. At these rates rounding errors have not grown to it after 20 steps.
const TOLERANCE: &str = "1e-4";

/// Settings of all runs; those of each stand beside it.
const COMMON: &[&str] = &[
    "model.arch=slim",
    "model.width=8",
    "model.depths=[1, 1, 1, 1]",
    "model.dropout=0.5",
    "input.height=96",
    "input.width=48",
    "loss.batch_contrastive.weight=0.1",
    "solver.iterations=20",
    "solver.batch=12",
    "solver.lr=3e-5",
    "data.pad=4",
    "data.crop=true",
    "run.log_every=5",
    "run.checkpoint_every=20",
];

fn torch() -> Option<OsString> {
    let python = std::env::var_os("BCREID_TORCH_PYTHON").filter(|python| !python.is_empty());
    if python.is_none() {
        skip("no Python with torch (BCREID_TORCH_PYTHON)");
    }
    python
}

fn script(python: &OsString, run: &Path, images: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/reference/train.py"));
    command.arg(run).arg("--images").arg(images).args(["--threads", "1"]).args(more);
    command
}

/// Options of the script for settings that amplify the rounding errors of PyTorch's own f32 beyond [`TOLERANCE`]. Steps
/// of this program stay close to exact ones.
const EXACT: &[&str] = &["--dtype", "f64"];

/// Trains 20 steps, and the script the same.
fn agrees(python: &OsString, folder: &Path, name: &str, settings: &[&str]) {
    agrees_with(python, folder, name, settings, &[]);
}

/// As [`agrees`], with more options of the script. Returns the lines about the states of the optimiser, if they are
/// compared.
fn agrees_with(
    python: &OsString,
    folder: &Path,
    name: &str,
    settings: &[&str],
    more: &[&str],
) -> Vec<String> {
    let (set, run) = (folder.join("set"), folder.join(name));
    let mut train = bcreid();
    train.arg("train").arg("--data").arg(&set).arg("--out").arg(&run);
    COMMON.iter().chain(settings).for_each(|setting| {
        train.args(["--set", setting]);
    });
    succeed(&mut train);
    let images = folder.join(format!("{name}.safetensors"));
    let checkpoint = NetworkFile::open(&run.join("checkpoints/step_0000000000.safetensors")).unwrap();
    let count = training_images::write(&Dataset::open(&set).unwrap(), checkpoint.config(), &images).unwrap();
    assert!(count >= 32, "{count}");
    let check = [&["--check", TOLERANCE], more].concat();
    let table = succeed(&mut script(python, &run, &images, &check));
    let lines: Vec<&str> = table.lines().collect();
    println!("{name}: {}", lines[21..].join(", "));
    assert!(lines.len() >= 22 && lines[21].starts_with("largest relative difference"), "{table}");
    lines[22..].iter().map(|line| line.to_string()).collect()
}

/// A folder with the data set `set` of 8 training persons with 4 images each.
fn with_set() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let sizes = ["--train-ids", "8", "--test-ids", "4", "--cameras", "2", "--images-per-camera", "2"];
    succeed(bcreid().arg("synth").arg("--out").arg(folder.path().join("set")).args(sizes));
    folder
}

#[test]
fn pytorch_makes_the_same_steps() {
    let Some(python) = torch() else { return };
    let folder = with_set();
    let folder = folder.path();
    agrees(&python, folder, "torchvision", &[]);
    agrees(
        &python,
        folder,
        "mean",
        &["loss.batch_contrastive.reduction=mean", "loss.batch_contrastive.weight=1"],
    );
    agrees(&python, folder, "caffe", &["model.wiring=caffe", "input.channels=bgr", "data.sampler=epochs"]);
    let exact = [
        "loss.batch_contrastive.gradient=exact",
        "loss.batch_contrastive.center_rate=tied",
        "solver.convention=caffe",
        "solver.lr_milestones=[8, 15]",
        "solver.lr_warmup=4",
        "loss.batch_contrastive.warmup=7",
        "data.sampler=pk",
        "data.pad_mode=edge",
    ];
    agrees(&python, folder, "exact", &exact);
    let frozen = [
        "model.arch=resnet18",
        "model.last_stride=1",
        "model.dropout=0",
        "solver.batchnorm=frozen",
        "solver.head_rate=10",
        "data.flip=false",
        "data.crop=false",
    ];
    agrees(&python, folder, "frozen", &frozen);
    // Losses of other methods, and a neck.
    let pk = ["data.sampler=pk", "loss.batch_contrastive.weight=0"];
    for (name, settings) in [
        ("triplet", &["loss.triplet.weight=0.1", "loss.softmax.smoothing=0.1"][..]),
        // Of features of length 1: squared distances of pool5 are above 30 here, and amplify rounding.
        (
            "soft_squared",
            &[
                "loss.triplet.weight=0.1",
                "loss.triplet.soft=true",
                "loss.triplet.distance=squared",
                "loss.triplet.normalise=true",
            ],
        ),
        // The loss of AGW.
        (
            "weighted_triplet",
            &["loss.triplet.weight=0.1", "loss.triplet.mining=weighted", "loss.triplet.soft=true"],
        ),
        ("circle", &["loss.circle.weight=0.01", "loss.softmax.weight=0.5"]),
        ("circle_of_batch", &["loss.circle.weight=0.01", "loss.circle.scope=batch"]),
        ("contrastive", &["loss.contrastive.weight=0.1", "loss.contrastive.negative=0.5"]),
        ("center", &["loss.center.weight=0.01", "loss.center.rate=0.25"]),
        ("neck", &["model.neck=batchnorm", "loss.batch_contrastive.weight=0.1", "loss.triplet.weight=0.1"]),
        (
            "behind_the_neck",
            &[
                "model.neck=batchnorm",
                "loss.batch_contrastive.weight=0.1",
                "loss.batch_contrastive.feature=neck",
                "loss.circle.weight=0.01",
                "loss.circle.feature=neck",
                "loss.center.weight=0.01",
                "loss.center.feature=neck",
                "loss.center.normalise=true",
            ],
        ),
        // TriNet's head, with the losses on three features.
        (
            "embedding",
            &[
                "model.embedding=[24, 16]",
                "model.embedding_init=orthogonal",
                "loss.softmax.weight=0",
                "loss.batch_contrastive.weight=0.1",
                "loss.triplet.weight=0.1",
                "loss.triplet.feature=embedding",
            ],
        ),
        // Two normalisations of a small batch: at ten times this rate rounding grows a thousandfold in 20 steps.
        (
            "embedding_and_neck",
            &[
                "model.embedding=[16]",
                "model.embedding_batchnorm=true",
                "model.embedding_relu=true",
                "model.neck=batchnorm",
                "solver.lr=3e-6",
                "solver.head_rate=10",
                "loss.batch_contrastive.weight=0.1",
                "loss.batch_contrastive.feature=embedding",
                "loss.contrastive.weight=0.1",
                "loss.contrastive.feature=neck",
            ],
        ),
        ("ibn", &["model.ibn=true", "loss.triplet.weight=0.1"]),
        ("gem", &["model.pooling=gem", "solver.head_rate=10", "loss.triplet.weight=0.1"]),
        (
            "embedding_without_bias",
            &["model.embedding=[16]", "model.embedding_bias=false", "model.embedding_init=0.01"],
        ),
    ] {
        agrees(&python, folder, name, &[&pk, settings].concat());
    }

    // SVDNet: two decompositions, by the singular values of NumPy, and the stages behind them.
    let rounds = [
        "model.embedding=[16]",
        "model.embedding_bias=false",
        "model.embedding_init=0.01",
        "loss.batch_contrastive.weight=0",
        "solver.lr=1e-3",
        "solver.svd_lr=[1e-3, 3e-4]",
        "solver.svd_start=5",
        "solver.svd_restraint=4",
        "solver.svd_relaxation=4",
        "solver.svd_lr_milestones=[2]",
        r#"solver.svd_freeze=["conv1.*", "bn1.*", "layer1.*"]"#,
        "solver.head_rate=10",
    ];
    agrees(&python, folder, "rounds", &rounds);

    let of_pairs =
        ["loss.batch_contrastive.weight=0", "loss.verification.weight=0.5", "loss.verification.dropout=0.5"];
    agrees(&python, folder, "verification", &of_pairs);
    let behind = [
        "model.neck=batchnorm",
        "data.sampler=epochs",
        "loss.verification.feature=neck",
        "solver.head_rate=10",
    ];
    agrees(&python, folder, "verification_behind_the_neck", &[&of_pairs[..], &behind].concat());

    // Attributes by number, of all persons: two as words, one as numbers that are no row of whole ones.
    let persons: BTreeSet<i64> =
        Dataset::open(&folder.join("set")).unwrap().train.iter().map(|s| s.pid).collect();
    let line = |(i, pid): (usize, i64)| {
        format!("{pid},{},{},{}\n", ["no", "yes"][i % 2], 7 * (i % 3), ["red", "green", "blue"][(i / 2) % 3])
    };
    let lines: String = persons.into_iter().enumerate().map(line).collect();
    let file = folder.join("attributes.csv");
    std::fs::write(&file, "identity,hat,age,bag\n".to_string() + &lines).unwrap();
    let named = format!("data.attributes={}", file.display());
    let of_attributes = ["loss.batch_contrastive.weight=0", "loss.attributes.weight=0.5", &named];
    agrees(&python, folder, "attributes", &of_attributes);
    let behind = ["model.neck=batchnorm", "loss.attributes.feature=neck", "solver.head_rate=10"];
    agrees(&python, folder, "attributes_behind_the_neck", &[&of_attributes[..], &behind].concat());

    // What it trains can be evaluated here, and wrong images are noticed.
    let (weights, images) = (folder.join("torch.safetensors"), folder.join("exact.safetensors"));
    let out = weights.to_str().unwrap();
    succeed(&mut script(&python, &folder.join("exact"), &images, &["--out", out]));
    let table = succeed(bcreid().args(["eval", "--run"]).arg(&weights).arg("--data").arg(folder.join("set")));
    assert!(table.contains("rank-1"), "{table}");
    let mut bytes = std::fs::read(&images).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&images, bytes).unwrap();
    let output = script(&python, &folder.join("exact"), &images, &["--steps", "1"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("not those of the run"), "{said}");
}
