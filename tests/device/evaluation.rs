//! Feature extraction and evaluation on a CUDA device and on the CPU.

use crate::support::{On, Run, bcreid, data, f32, on_device, stand_ins, succeed};
use bcreid::eval::Protocol;
use bcreid::eval::ranking::{score_queries, score_queries_in_parts};
use bcreid::weights::Features;
use std::path::PathBuf;
use std::sync::OnceLock;

/// Weights that are far enough from random ones to have statistics of their own.
fn run() -> PathBuf {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| On::Cpu.trained(&["solver.iterations=40"])).path()
}

/// The features of the query images.
fn extracted(on: On, more: &[&str]) -> Features {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("features.safetensors");
    let mut command = on.bcreid("extract");
    command.arg("--weights").arg(run()).arg("--images").arg(data().join("query"));
    succeed(command.arg("--out").arg(&file).args(more));
    Features::read(&file).unwrap()
}

/// The smallest cosine of two devices' features of an image.
fn cosine(ours: &Features, theirs: &Features) -> f64 {
    assert_eq!((ours.len(), ours.paths()), (theirs.len(), theirs.paths()));
    let row =
        |i: usize| ours.row(i).iter().zip(theirs.row(i)).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    (0..ours.len()).map(row).fold(1.0, f64::min)
}

#[test]
fn features_agree() {
    let Some(stand_ins) = stand_ins() else { return };
    // 21 images: two whole batches and a part of one.
    for more in [&["--batch", "8"][..], &["--flip"]] {
        let (cpu, gpu) = (extracted(On::Cpu, more), extracted(f32(stand_ins), more));
        let apart = cpu.features().iter().zip(gpu.features()).map(|(a, b)| (a - b).abs());
        let apart = apart.fold(0.0, f32::max);
        assert!(cpu.len() == gpu.len() && apart < 1e-4, "{more:?}: {apart:.1e} apart");
    }
}

#[test]
fn features_in_bf16_point_the_same_way() {
    let Some(stand_ins) = stand_ins() else { return };
    let (cpu, gpu) = (extracted(On::Cpu, &[]), extracted(On::Gpu(stand_ins, "bf16"), &[]));
    let cosine = cosine(&gpu, &cpu);
    assert!((0.999..1.0 - 1e-7).contains(&cosine), "{cosine}");
}

/// Inference with cuDNN's batch normalisation; its evaluation is stored beside that of the own kernels.
#[test]
fn batch_norm_by_cudnn_agrees() {
    let Some(stand_ins) = stand_ins() else { return };
    let [cpu, f32] = [On::Cpu, On::Cudnn(stand_ins, "f32")].map(|on| extracted(on, &[]));
    let apart = cpu.features().iter().zip(f32.features()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(cpu.len() == f32.len() && apart < 1e-4, "{apart:.1e} apart");
    let cosine = cosine(&extracted(On::Cudnn(stand_ins, "bf16"), &[]), &cpu);
    assert!((0.999..1.0 - 1e-7).contains(&cosine), "{cosine}");

    let trained = On::Cpu.trained(&["solver.iterations=1"]);
    for on in [On::Gpu(stand_ins, "f32"), On::Cudnn(stand_ins, "f32")] {
        succeed(on.bcreid("eval").arg("--run").arg(trained.path()).arg("--data").arg(data()));
    }
    let stored = std::fs::read_dir(trained.path().join("evaluations")).unwrap();
    let mut names: Vec<String> =
        stored.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name != ".lock");
    names.sort();
    assert_eq!(names, ["set", "set+batchnorm-cudnn"]);
}

/// Asserts that two texts have the same words, and numbers of which none differs by more than 0.02: rounding exchanges
/// two gallery images of nearly one distance.
#[track_caller]
fn assert_alike(ours: &str, theirs: &str, about: &str) {
    let words = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>();
    let (one, other) = (words(ours), words(theirs));
    let alike = |(a, b): (&String, &String)| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() < 0.02,
        _ => a == b,
    };
    assert!(one.len() == other.len() && one.iter().zip(&other).all(alike), "{about}:\n{ours}\nand\n{theirs}");
}

#[test]
fn eval_and_query_print_the_same() {
    let Some(stand_ins) = stand_ins() else { return };
    for protocol in [&[][..], &["--rerank"], &["--multi-query", "mean", "--normalise"]] {
        let table = |on: On| {
            let mut command = on.bcreid("eval");
            succeed(command.arg("--run").arg(run()).arg("--data").arg(data()).args(protocol))
        };
        assert_alike(&table(f32(stand_ins)), &table(On::Cpu), &format!("{protocol:?}"));
    }

    let folder = tempfile::tempdir().unwrap();
    let gallery = folder.path().join("gallery.safetensors");
    let mut extract = bcreid();
    extract.args(["extract", "--device", "cpu", "--weights"]).arg(run());
    succeed(extract.arg("--images").arg(data().join("query")).arg("--out").arg(&gallery));
    let mut images: Vec<_> =
        std::fs::read_dir(data().join("query")).unwrap().map(|e| e.unwrap().path()).collect();
    images.sort();
    let ranking = |on: On| {
        let mut command = on.bcreid("query");
        command.arg("--run").arg(run()).arg("--image").arg(&images[3]).arg("--gallery").arg(&gallery);
        succeed(&mut command)
    };
    let nearest = ranking(f32(stand_ins));
    assert_eq!(nearest, ranking(On::Cpu));
    assert!(nearest.contains(images[3].file_name().unwrap().to_str().unwrap()), "{nearest}");
}

/// Galleries above a gigabyte are ranked in parts, and must be ranked as if they were not.
#[test]
fn parts_rank_like_the_whole() {
    on_device("evaluation::parts_rank_like_the_whole", |device, _| {
        let list = |rows: usize, seed: usize, offset: f32| {
            // Values in no order that a ranking could follow.
            let value = |i: usize| ((i * 7919 + seed) % 1009 % 97) as f32 / 97.0 + offset;
            let pids = (0..rows).map(|row| row as i64 * 31 % 23 - 1).collect();
            let camids = (0..rows).map(|row| row as i64 % 3).collect();
            Features::new((0..rows * 24).map(value).collect(), 24, pids, camids, Vec::new()).unwrap()
        };
        // With the offset, lengths dwarf distances.
        for offset in [0.0, 100.0] {
            let (query, gallery) = (list(300, 5, offset), list(1000, 11, offset));
            let protocol = Protocol::default();
            let whole = score_queries(&query, &gallery, &protocol, device).unwrap();
            assert!(whole.iter().flatten().count() > 200);
            assert_eq!(score_queries_in_parts(&query, &gallery, &protocol, device, 1).unwrap(), whole);
        }
    });
}

/// All of the pipeline. At the demo's own rate rounding would decide before long; at this one the numbers stay
/// together, up to ties in a ranking.
#[test]
fn the_demo_ends_in_the_same_table() {
    let Some(stand_ins) = stand_ins() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = [
        "model.width=8",
        "model.depths=[1, 1, 1, 1]",
        "input.height=64",
        "input.width=32",
        "solver.batch=8",
        "solver.iterations=6",
        "solver.lr=3e-5",
        "loss.batch_contrastive.weight=0.1",
        "solver.lr_milestones=[5]",
    ];
    let sizes =
        ["--train-ids", "6", "--test-ids", "4", "--distractors", "4", "--junk", "2", "--cameras", "2"];
    let result = |on: On, name: &str| {
        let out = folder.path().join(name);
        let mut command = on.bcreid("demo");
        command.arg("--out").arg(&out).args(sizes);
        settings.iter().for_each(|setting| {
            command.args(["--set", setting]);
        });
        let table = succeed(&mut command);
        assert!(table.contains("+ batch-contrastive") && table.contains("rank-1"), "{table}");
        let text = std::fs::read_to_string(out.join("result.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let (cpu, gpu) = (result(On::Cpu, "cpu"), result(f32(stand_ins), "gpu"));
    let rows = |result: &serde_json::Value| result["rows"].as_array().unwrap().clone();
    assert_eq!(rows(&cpu).len(), 3);
    for (ours, theirs) in rows(&gpu).iter().zip(rows(&cpu)) {
        assert_eq!(ours["name"], theirs["name"]);
        for value in ["rank1", "rank5", "rank10", "map_market", "minp"] {
            let [ours, theirs] = [ours, &theirs].map(|row| row["report"][value].as_f64().unwrap());
            assert!((ours - theirs).abs() < 1e-2, "{value}: {ours} and {theirs}");
        }
    }
}
