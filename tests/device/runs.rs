//! Training on a CUDA device and on the CPU: the same images, masks and initial weights give the same losses.

use crate::support::{On, Run, apart, data, drawn, f32, on_gpu, stand_ins};
use bcreid::data::Dataset;

/// Between two devices in f32: sums in another order, over the steps of a run.
pub const F32: f64 = 1e-4;
/// Between bf16 and f32: 4e-3 a rounding, of features that lie on a sphere of radius 1. The hinge is what the margin,
/// 1, leaves of a distance, so that its error is to be seen beside the margin and not beside what is left.
pub const BF16: f64 = 3e-2;
/// Between TF32 and f32: 1e-3 a rounding, of the factors of products alone.
const TF32: f64 = 1e-2;

/// Runs with these settings on both devices, and compares losses and weights.
#[track_caller]
fn devices_agree(settings: &[&str]) {
    let Some(stand_ins) = stand_ins() else { return };
    let (cpu, gpu) = (On::Cpu.trained_once(settings), f32(stand_ins).trained(settings));
    let losses = apart(&gpu.losses(), &cpu.losses());
    assert!(losses < F32, "losses are {losses:.1e} apart");
    assert_weights_alike(&gpu, cpu);
}

/// Asserts |ours - theirs| <= share |theirs|, in Euclidean length, for each tensor. A bias began at 0 and is only a sum
/// of small gradients of either sign. Centers follow the features at half a step each: where rounding lets a ReLU pass one
/// more value, they differ by more than weights do (by 1.5e-4 between two instruction sets of the CPU after 20 steps).
#[track_caller]
pub fn assert_weights_alike(ours: &Run, theirs: &Run) {
    let (ours, theirs) = (ours.weights(), theirs.weights());
    assert_eq!(ours.len(), theirs.len());
    for ((name, ours), (_, theirs)) in ours.iter().zip(&theirs) {
        let length = |values: &mut dyn Iterator<Item = f32>| {
            values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
        };
        let off = length(&mut ours.iter().zip(theirs).map(|(a, b)| a - b));
        let size = length(&mut theirs.iter().copied());
        let share = match name.as_str() {
            "centers" => 1e-3,
            name if name.ends_with("bias") => 4e-2,
            _ => F32,
        };
        assert!(off <= share * size, "{name}: {off:.1e} of {size:.1e}");
    }
}

#[test]
fn twenty_steps() {
    devices_agree(&["solver.iterations=20"]);
}

#[test]
fn twenty_steps_in_bf16() {
    let Some(stand_ins) = stand_ins() else { return };
    let settings = &["solver.iterations=20"];
    let cpu = On::Cpu.trained_once(settings).losses();
    let gpu = On::Gpu(stand_ins, "bf16").trained(settings).losses();
    let off = apart_beside_1(&gpu, &cpu);
    // Nearer than bf16 can come would be f32 under another name.
    assert!((1e-5..BF16).contains(&off), "losses are {off:.1e} apart");
}

/// The largest difference of two runs' losses, relative to the loss, or to 1 where that is larger.
#[track_caller]
pub fn apart_beside_1(ours: &[[f64; 5]], theirs: &[[f64; 5]]) -> f64 {
    assert!(!ours.is_empty() && ours.len() == theirs.len(), "{} steps and {}", ours.len(), theirs.len());
    let pairs = ours.iter().flatten().zip(theirs.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs() / b.max(1.0)).fold(0.0, f64::max)
}

/// The losses are near those of f32. They are others, except on a GPU that has no TF32: before compute capability 8.0.
#[test]
fn tf32_runs() {
    let Some(stand_ins) = stand_ins() else { return };
    let [f32, tf32] = ["f32", "tf32"].map(|precision| On::Gpu(stand_ins, precision).trained(&[]).losses());
    let off = apart_beside_1(&tf32, &f32);
    assert!(off < TF32, "losses are {off:.1e} apart");
    assert!(on_gpu() || off > 1e-7, "losses are {off:.1e} apart");
}

/// An epoch of three steps, and the next one's first.
#[test]
fn each_image_once_an_epoch() {
    devices_agree(&["data.sampler=epochs", "solver.batch=43", "solver.iterations=4"]);
}

#[test]
fn identities_with_images_each() {
    devices_agree(&["data.sampler=pk", "data.pk_images=2"]);
}

/// Each identity as often as it has images, in a few epochs.
#[test]
fn identities_as_often_as_their_images() {
    devices_agree(&["data.sampler=pk", "data.pk_images=2", "data.pk_order=images"]);
}

#[test]
fn pairs_of_images() {
    devices_agree(&["data.sampler=pairs", "data.pairs_decay=0.5"]);
}

#[test]
fn augmented_images() {
    devices_agree(&[
        "data.resize=[72, 40]",
        "data.brightness=0.3",
        "data.contrast=0.2",
        "data.saturation=0.4",
        "data.erase=0.7",
        "data.erase_fill=noise",
    ]);
}

#[test]
fn images_without_identities() {
    let setting = format!("data.unlabelled={}", crate::support::data().join("query").display());
    devices_agree(&["loss.batch_contrastive.weight=0", "loss.softmax.smoothing=0.1", &setting]);
}

#[test]
fn exact_gradient() {
    devices_agree(&["loss.batch_contrastive.gradient=exact"]);
}

#[test]
fn frozen_statistics() {
    devices_agree(&["solver.batchnorm=frozen"]);
}

/// It pools in another way, and its first convolution has a bias, which has a gradient only where batch normalisation
/// does not take every channel's mean away.
#[test]
fn caffe_wiring() {
    let settings =
        ["model.wiring=caffe", "input.channels=bgr", "solver.convention=caffe", "solver.batchnorm=frozen"];
    devices_agree(&settings);
}

#[test]
fn a_neck_in_front_of_the_classifier() {
    devices_agree(&["model.neck=batchnorm"]);
    devices_agree(&[
        "model.neck=batchnorm",
        "loss.batch_contrastive.feature=neck",
        "loss.softmax.weight=0.5",
    ]);
}

#[test]
fn an_embedding_behind_pool5() {
    devices_agree(&[
        "model.embedding=[24, 16]",
        "model.embedding_init=orthogonal",
        // The triplet loss takes differences, in which a bias cancels.
        "model.embedding_bias=false",
        "loss.softmax.weight=0",
        "loss.triplet.weight=0.1",
        "loss.triplet.feature=embedding",
        "data.sampler=pk",
    ]);
    devices_agree(&[
        "model.embedding=[16]",
        "model.embedding_batchnorm=true",
        "model.embedding_relu=true",
        "model.neck=batchnorm",
        "loss.batch_contrastive.feature=embedding",
    ]);
}

#[test]
fn generalised_mean_pooling() {
    devices_agree(&["model.pooling=gem", "solver.head_rate=3"]);
}

#[test]
fn instance_normalisation_of_half_the_channels() {
    devices_agree(&["model.ibn=true"]);
    devices_agree(&["model.ibn=true", "solver.batchnorm=frozen"]);
}

#[test]
fn losses_of_other_methods() {
    devices_agree(&[
        "data.sampler=pk",
        "loss.batch_contrastive.weight=0",
        "loss.softmax.smoothing=0.1",
        "loss.triplet.weight=0.1",
        "loss.circle.weight=0.01",
        "loss.contrastive.weight=0.1",
        "loss.center.weight=0.01",
    ]);
}

#[test]
fn a_head_of_pairs() {
    devices_agree(&["loss.verification.weight=0.5", "loss.verification.dropout=0.5"]);
}

/// Attributes of the persons of the data set.
#[test]
fn heads_of_attributes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("attributes.csv");
    let mut persons: Vec<i64> = Dataset::open(data()).unwrap().train.iter().map(|image| image.pid).collect();
    persons.sort_unstable();
    persons.dedup();
    let line = |(i, pid): (usize, &i64)| format!("{pid},{},{}\n", i % 2, ["a", "b", "c"][i % 3]);
    let lines: String = persons.iter().enumerate().map(line).collect();
    std::fs::write(&file, format!("identity,hat,bag\n{lines}")).unwrap();
    let named = format!("data.attributes={}", file.display());
    devices_agree(&["loss.attributes.weight=0.5", &named]);
    // A dropout of pool5 beside that of the feature behind the neck.
    devices_agree(&["loss.attributes.weight=0.5", &named, "model.neck=batchnorm", "solver.iterations=4"]);
}

#[test]
fn adam() {
    devices_agree(&["solver.optimizer=adam", "solver.lr=1e-6"]);
}

#[test]
fn groups_of_parameters() {
    devices_agree(&[
        "solver.lr_factors={ \"layer1.*\" = 0.5, \"*.bias\" = 2 }",
        "solver.decay_factors={ \"*.bias\" = 0 }",
        "solver.freeze=[\"conv1.*\", \"bn1.*\"]",
        "solver.freeze_iterations=3",
        "solver.ema=0.5",
    ]);
}

/// SVDNet: the layer that is decomposed on the host, and the stages.
#[test]
fn rounds_of_decompositions() {
    devices_agree(&[
        "model.embedding=[16]",
        "model.embedding_bias=false",
        "loss.batch_contrastive.feature=embedding",
        "solver.svd_lr=[1e-5]",
        "solver.svd_start=2",
        "solver.svd_restraint=2",
        "solver.svd_relaxation=2",
        "solver.svd_freeze=[\"conv1.*\", \"bn1.*\"]",
    ]);
}

#[test]
fn weighted_triplets() {
    devices_agree(&["data.sampler=pk", "loss.triplet.weight=0.1", "loss.triplet.mining=weighted"]);
}

#[test]
fn softmax_alone() {
    devices_agree(&["loss.batch_contrastive.weight=0", "data.pad_mode=edge"]);
}

#[test]
fn a_broken_image_is_left_out() {
    let Some(stand_ins) = stand_ins() else { return };
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("set");
    drawn(&set, 8);
    let mut images = std::fs::read_dir(set.join("bounding_box_train")).unwrap();
    let broken = images.next().unwrap().unwrap().path();
    std::fs::write(&broken, b"\xff\xd8\xff\xe0 no JPEG").unwrap();
    let settings = &["data.bad_images=skip"];
    let runs = [On::Cpu, f32(stand_ins)].map(|on| Run::of(|out| on.train(&set, out, settings)));
    let [cpu, gpu] = &runs;
    let losses = apart(&gpu.losses(), &cpu.losses());
    assert!(losses < F32, "losses are {losses:.1e} apart");
    let skipped = String::from_utf8(gpu.bytes("skipped.txt")).unwrap();
    assert!(skipped.contains(broken.file_name().unwrap().to_str().unwrap()), "{skipped}");
}
