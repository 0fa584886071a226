//! Ranks as threads of one process.

use crate::{TINY, assert_near, assert_same, data, losses};
use bcreid::config::Config;
use bcreid::data::Dataset;
use bcreid::device::{Device, Precision};
use bcreid::ranks::{Group, threads};
use bcreid::run::RunFolder;
use bcreid::train::{Observers, Outcome, Start, Trainer};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);

fn config(more: &[&str]) -> Config {
    let settings: Vec<String> = TINY.iter().chain(more).map(|setting| setting.to_string()).collect();
    Config::resolve_text("", &settings).unwrap()
}

/// Trains with `ranks` ranks into `out`; each makes its trainer from `configs`, by its number, the last one for the rest.
fn train_each(ranks: usize, out: &Path, configs: &[Config], precision: Precision) -> Vec<bcreid::Result<()>> {
    let groups = match ranks {
        1 => vec![Group::Alone],
        _ => threads::groups(ranks, TIMEOUT),
    };
    let dataset = Dataset::open(data()).unwrap();
    let run_rank = |rank: usize, group: &Group| {
        let config = configs.get(rank).unwrap_or(configs.last().unwrap());
        let device = Device::cpu_in(precision).in_group(group.clone())?;
        let trainer = Trainer::new(config, &dataset, Start::Random, &device, &|_, _| ())?;
        let stop = AtomicBool::new(false);
        match group.is_first() {
            true => {
                let run = RunFolder::create(out, config)?;
                let outcome = trainer.run(&run, &stop, Observers::none())?;
                assert!(matches!(outcome, Outcome::Finished(_)));
            }
            false => assert_eq!(trainer.follow(&stop)?, None),
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let run_rank = &run_rank;
        let threads = groups.into_iter().enumerate().map(|(rank, group)| {
            scope.spawn(move || {
                let result = run_rank(rank, &group);
                if result.is_err() {
                    group.abort();
                }
                result
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn train(ranks: usize, out: &Path, more: &[&str]) {
    train_each(ranks, out, &[config(more)], Precision::F32).into_iter().for_each(|result| result.unwrap());
}

/// N ranks with m images each are the method on N m images: each loss of twenty steps is that of one rank, to rounding.
#[test]
fn the_method_does_not_depend_on_the_number_of_ranks() {
    let folder = tempfile::tempdir().unwrap();
    // The hardest partners of a triplet may change where two are nearly as far.
    let variants: [(&str, f64, &[&str]); 5] = [
        ("adam", 1e-3, &["solver.optimizer=adam", "solver.ema=0.9", "solver.lr=0.00001"]),
        ("batch", 1e-4, &["data.sampler=random"]),
        ("frozen", 1e-4, &["solver.batchnorm=frozen", "data.sampler=random"]),
        (
            "pk",
            1e-3,
            &[
                "data.sampler=pk",
                "data.pk_images=2",
                "model.neck=batchnorm",
                "loss.triplet.weight=1",
                "loss.center.weight=0.1",
                "solver.lr=0.00001",
            ],
        ),
        (
            "pairs",
            1e-3,
            &[
                "data.sampler=pairs",
                "loss.verification.weight=1",
                "loss.circle.weight=0.1",
                "solver.lr=0.00001",
                "loss.verification.dropout=0.5",
            ],
        ),
    ];
    for (name, share, more) in variants {
        let out = |ranks: usize| folder.path().join(format!("{name}-{ranks}"));
        train(1, &out(1), more);
        for ranks in [2, 4] {
            train(ranks, &out(ranks), more);
            assert_near(&format!("{name}, {ranks} ranks"), &out(ranks), &out(1), share);
        }
    }
}

#[test]
fn two_runs_of_the_same_ranks_have_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    for ranks in [2, 4] {
        for (kind, more) in [("all", "solver.batchnorm_scope=all"), ("rank", "solver.batchnorm_scope=rank")] {
            let out = |which: &str| folder.path().join(format!("{kind}-{ranks}-{which}"));
            train(ranks, &out("one"), &[more]);
            train(ranks, &out("two"), &[more]);
            assert_same(&format!("{kind}, {ranks} ranks"), &out("one"), &out("two"));
        }
    }
}

#[test]
fn gradients_in_bf16_are_summed_too() {
    let folder = tempfile::tempdir().unwrap();
    let out = |which: &str| folder.path().join(which);
    for which in ["one", "two"] {
        let results = train_each(2, &out(which), &[config(&[])], Precision::Bf16);
        results.into_iter().for_each(|result| result.unwrap());
    }
    assert_same("bf16", &out("one"), &out("two"));
    train(1, &out("exact"), &[]);
    let apart =
        losses(&out("one")).into_iter().zip(losses(&out("exact"))).flat_map(|(a, b)| a.into_iter().zip(b));
    for ((name, a), (_, b)) in apart {
        assert!((a - b).abs() <= 0.05 * b.abs().max(0.1), "bf16, two ranks, beside f32, {name}: {a} and {b}");
    }
}

/// Evaluations during training are shared, and have the figures of one rank.
#[test]
fn evaluations_are_those_of_one_rank() {
    let folder = tempfile::tempdir().unwrap();
    let out = |ranks: usize| folder.path().join(ranks.to_string());
    // With frozen statistics and no step the weights are the initial ones for all.
    let more =
        &["run.eval_every=10", "run.eval_identities=0.5", "solver.lr=0.0000001", "solver.batchnorm=frozen"];
    let figures = |ranks: usize| {
        train(ranks, &out(ranks), more);
        let text = std::fs::read_to_string(out(ranks).join("validation.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 2);
        text
    };
    let alone = figures(1);
    assert!(alone.contains("\"rank1\":0") || alone.contains("\"rank1\":1"), "{alone}");
    assert_eq!(figures(2), alone);
    assert_eq!(figures(4), alone);
}

#[test]
fn a_rank_that_differs_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let configs = [config(&[]), config(&["solver.momentum=0.8"])];
    let results = train_each(2, &folder.path().join("run"), &configs, Precision::F32);
    for result in results {
        let error = result.unwrap_err().to_string();
        assert!(error.starts_with("the settings of rank 1 on "), "{error}");
        assert!(error.contains("other than on rank 0"), "{error}");
    }
    assert!(!folder.path().join("run").exists());
}

#[test]
fn a_batch_that_cannot_be_shared_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let results = train_each(3, &folder.path().join("run"), &[config(&[])], Precision::F32);
    let error = results.into_iter().next().unwrap().unwrap_err().to_string();
    assert!(error.contains("solver.batch is 8, which 3 ranks cannot share equally"), "{error}");
}

/// A rank that does not come is missed after the time-out, by its number.
#[test]
fn a_missing_rank_is_named() {
    let mut groups = threads::groups(2, Duration::from_millis(50));
    let error = groups.remove(0).largest("a number", 1).unwrap_err().to_string();
    assert!(error.contains("a number: no answer of rank 1 in 0.05 seconds"), "{error}");
}

#[test]
fn a_rank_that_aborts_ends_the_others() {
    let groups = threads::groups(2, TIMEOUT);
    groups[1].abort();
    let error = groups[0].largest("a number", 1).unwrap_err().to_string();
    assert!(error.contains("rank 1 failed"), "{error}");
}

/// Sums are those in f32 in rank order, whatever the number of values.
#[test]
fn sums_are_in_rank_order() {
    for ranks in [2, 3, 5] {
        for length in [0usize, 1, 4, 7, 100_001] {
            let of_rank = |rank: usize| -> Vec<f32> {
                (0..length).map(|i| ((i * 37 + rank * 1001) % 997) as f32 * 0.1 - 30.0).collect()
            };
            let mut expected = vec![0.0; length];
            for rank in 0..ranks {
                expected.iter_mut().zip(of_rank(rank)).for_each(|(sum, own)| *sum += own);
            }
            let groups = threads::groups(ranks, TIMEOUT);
            let sums: Vec<Vec<f32>> = std::thread::scope(|scope| {
                let of_rank = &of_rank;
                let threads: Vec<_> = groups
                    .into_iter()
                    .enumerate()
                    .map(|(rank, group)| {
                        scope.spawn(move || {
                            let mut values = of_rank(rank);
                            let mut scratch = vec![0.0; group.sum_scratch(length)];
                            group.sum("a sum", &mut values, &mut scratch).unwrap();
                            values
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            sums.iter().for_each(|sums| assert_eq!(sums, &expected, "{ranks} ranks, {length} values"));
        }
    }
}
