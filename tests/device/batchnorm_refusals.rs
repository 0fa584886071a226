//! Refusals of cuDNN's batch normalisation and planted errors, on the stand-ins: survived, noticed or explained.

use crate::bits::trained;
use crate::runs::{F32, assert_weights_alike};
use crate::support::{On, apart, data, fail, losses, stand_ins, stderr};

/// The mode that cuDNN refuses is left, in both directions or in one, before the first step counts.
#[test]
fn refused_modes_are_survived() {
    let Some(stand_ins) = stand_ins() else { return };
    let settings = &["solver.iterations=3"];
    let cpu = On::Cpu.trained(settings).losses();
    for refusal in ["refused-persistent", "refused-persistent-gradient", "no-persistent"] {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run");
        let mut command = On::Cudnn(stand_ins, "f32").train(data(), &out, settings);
        let output = command.env("SOFTCUDA_PLANT", refusal).output().unwrap();
        let said = stderr(&output);
        assert!(output.status.success() && said.contains("the persistent mode is"), "{refusal}: {said}");
        let apart = apart(&losses(&out), &cpu);
        assert!(apart < F32, "{refusal}: {apart:.1e}");
    }
}

/// The losses of training do not depend on the running statistics: the weight file shows them.
#[test]
fn swapped_running_statistics_are_noticed() {
    let Some(stand_ins) = stand_ins() else { return };
    let settings = &["solver.iterations=2"];
    let run = |plant: &str| {
        trained(On::Cudnn(stand_ins, "f32"), settings, |command| {
            command.env("SOFTCUDA_PLANT", plant);
        })
    };
    let cpu = On::Cpu.trained(settings);
    assert_weights_alike(&run(""), &cpu);
    let swapped = run("swapped-running");
    assert!(std::panic::catch_unwind(|| assert_weights_alike(&swapped, &cpu)).is_err(), "not noticed");
}

/// Each message names the layer, or says what to do.
#[test]
fn refusals_are_explained() {
    let Some(stand_ins) = stand_ins() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut command = On::Cudnn(stand_ins, "f32").train(data(), &folder.path().join("run"), &[]);
    let error = fail(command.env("SOFTCUDA_STATUS", "cudnnBatchNormalizationForwardTrainingEx=5000"));
    assert!(error.contains("cuDNN: the forward pass of the f32 batch normalisation of [8, "), "{error}");
    let mut command = On::Cpu.train(data(), &folder.path().join("cpu"), &[]);
    let error = fail(command.args(["--batchnorm", "cudnn"]));
    let words = ["batch norm by cudnn needs a CUDA device", "asked for", "give --batchnorm own"];
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}
