//! Runs with batch normalisation by cuDNN: near the CPU's, the same bits in each run, and a setting of the run that a
//! resumed one keeps.

use crate::bits::{BATCH, assert_same_bits, stopped, trained};
use crate::runs::{BF16, F32, apart_beside_1, assert_weights_alike};
use crate::support::{On, Run, apart, data, f32, fail, stand_ins, stderr};

/// In f32: losses, weights and running statistics of both devices.
#[track_caller]
fn agrees_with_the_cpu(settings: &[&str]) {
    let Some(stand_ins) = stand_ins() else { return };
    let (cpu, gpu) = (On::Cpu.trained(settings), On::Cudnn(stand_ins, "f32").trained(settings));
    let losses = apart(&gpu.losses(), &cpu.losses());
    assert!(losses < F32, "losses are {losses:.1e} apart");
    assert_weights_alike(&gpu, &cpu);
}

/// The losses alone: a sum in another order moves the centers by 1.5e-4 of themselves until then.
#[test]
fn twenty_steps() {
    let Some(stand_ins) = stand_ins() else { return };
    let settings = &["solver.iterations=20"];
    let (cpu, gpu) = (On::Cpu.trained_once(settings), On::Cudnn(stand_ins, "f32").trained(settings));
    let losses = apart(&gpu.losses(), &cpu.losses());
    assert!(losses < F32, "losses are {losses:.1e} apart");
}

#[test]
fn weights_and_statistics() {
    agrees_with_the_cpu(&[]);
}

#[test]
fn twenty_steps_in_bf16() {
    let Some(stand_ins) = stand_ins() else { return };
    let settings = &["solver.iterations=20"];
    let cpu = On::Cpu.trained_once(settings).losses();
    let gpu = On::Cudnn(stand_ins, "bf16").trained(settings).losses();
    let off = apart_beside_1(&gpu, &cpu);
    assert!((1e-5..BF16).contains(&off), "losses are {off:.1e} apart");
}

/// Layers of features, of half the channels, of frozen statistics with and without gradients.
#[test]
fn other_layers() {
    agrees_with_the_cpu(&["model.neck=batchnorm", "model.ibn=true", "solver.iterations=3"]);
    agrees_with_the_cpu(&["solver.batchnorm=frozen", "solver.iterations=3"]);
    let frozen = "solver.freeze=[\"conv1.*\", \"bn1.*\", \"layer1.*\"]";
    agrees_with_the_cpu(&[frozen, "solver.freeze_iterations=2", "solver.iterations=4"]);
}

#[test]
fn repeated_and_plain_runs_have_the_same_bits() {
    let Some(stand_ins) = stand_ins() else { return };
    for precision in ["f32", "bf16"] {
        let on = On::Cudnn(stand_ins, precision);
        let first = on.trained(&[BATCH]);
        assert_same_bits(&on.trained(&[BATCH]), &first, "a second run");
        let plain = trained(on, &[BATCH], |command| {
            command.arg("--no-graph");
        });
        assert_same_bits(&plain, &first, "--no-graph");
        let own = On::Gpu(stand_ins, precision).trained_once(&[BATCH]);
        assert!(own.weights() != first.weights(), "{precision}: cuDNN computes nothing");
    }
}

#[cfg(unix)]
#[test]
fn a_stop_leaves_no_trace() {
    let Some(stand_ins) = stand_ins() else { return };
    let (cudnn, own) = (On::Cudnn(stand_ins, "f32"), f32(stand_ins));
    let settings = &[BATCH, "solver.iterations=10", "run.checkpoint_every=4"];
    for (on, other, flag) in [(cudnn, own, "--batchnorm cudnn"), (own, cudnn, "--batchnorm own")] {
        let calm = on.trained_once(settings);
        let resumed = Run::of(|out| {
            let output = stopped(on.train(data(), out, settings), out, 3);
            assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
            let told = String::from_utf8(output.stdout).unwrap();
            assert_eq!(told.contains(" --batchnorm cudnn"), flag.ends_with("cudnn"), "{told}");
            let error = fail(&mut other.resume(data(), out));
            assert!(error.contains("was made with batch norm by") && error.contains(flag), "{error}");
            on.resume(data(), out)
        });
        assert_same_bits(&resumed, calm, "a stopped run");
    }
}
