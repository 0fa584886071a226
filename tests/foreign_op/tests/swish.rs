//! Swish on the CPU and on the CUDA device: the stand-ins, or with `BCREID_TEST_GPU=1` the GPU of the machine. Each
//! body runs on both; a build without kernels skips the second and says so.

use bcreid::Result;
use bcreid::autograd::{Init, ParamSpecs, Params, StepValues, Tape};
use bcreid::device::cuda::{In, Module, Out};
use bcreid::device::{Device, Precision};
use bcreid::element::DType;
use bcreid::ops::linear::linear;
use bcreid::ops::sgd::{Convention, Sgd};
use bcreid::ops::softmax_cross_entropy::softmax_cross_entropy;
use bcreid::optim::{MomentumSgd, Optimizer};
use bcreid::tensor::Tensor;
use foreign_op::swish;
use softcuda::{Build, StandIns};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const INNER: &str = "FOREIGN_OP_TEST_INNER";

/// The stand-ins with the kernels of both crates, in one library.
fn stand_ins() -> Option<&'static StandIns> {
    static BUILT: OnceLock<StandIns> = OnceLock::new();
    if let Err(why) = bcreid::device::cuda::fatbin::embedded() {
        let required = std::env::var_os("BCREID_REQUIRE_KERNELS").is_some_and(|value| value == "1");
        assert!(!required, "BCREID_REQUIRE_KERNELS=1, but kernels: {why}");
        eprintln!("skipped on CUDA, kernels: {why}");
        return None;
    }
    Some(BUILT.get_or_init(|| {
        let home = Path::new(env!("CARGO_MANIFEST_DIR"));
        let engine = std::fs::read_dir(home.join("../../cuda")).unwrap().map(|entry| entry.unwrap().path());
        let mut kernels: Vec<PathBuf> =
            engine.filter(|file| file.extension().is_some_and(|extension| extension == "cu")).collect();
        kernels.sort();
        kernels.push(home.join("cuda/swish.cu"));
        let build = kernels.into_iter().fold(Build::new(env!("CARGO_TARGET_TMPDIR")), Build::file);
        build.stand_ins().unwrap_or_else(|error| panic!("{error}"))
    }))
}

/// Runs `body` on the CPU here, and on the CUDA device in a process of its own: a library path counts only when a
/// process starts. `name` is that of the test.
fn on_each(name: &str, body: fn(&Device)) {
    if std::env::var_os(INNER).is_some() {
        for precision in [Precision::F32, Precision::Bf16] {
            body(&Device::choose("cuda", precision).unwrap().0);
        }
        return;
    }
    for precision in [Precision::F32, Precision::Bf16] {
        body(&Device::cpu_in(precision));
    }
    let Some(stand_ins) = stand_ins() else { return };
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture"]).env(INNER, "1");
    if std::env::var_os("BCREID_TEST_GPU").is_none_or(|value| value != "1") {
        command.envs(stand_ins.environment());
    }
    let output = command.output().unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success() && out.contains("1 passed"), "{out}{err}");
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// x in the type of the device's activations, and its values after rounding to this type.
fn activations(device: &Device, values: &[f32]) -> (Tensor, Vec<f32>) {
    let rounded = Tensor::activations(device, [values.len()], values).unwrap();
    let back = host(&rounded);
    (rounded, back)
}

fn host(tensor: &Tensor) -> Vec<f32> {
    tensor.to_host_f32().unwrap()
}

/// Forward and gradient against the formula in f64; 5,001 elements are no multiple of a block.
#[test]
fn swish_equals_its_formula() {
    on_each("swish_equals_its_formula", |device| {
        let beta = 1.5;
        let values: Vec<f32> = (0..5001).map(|i| (i as f32 - 2500.0) / 250.0).collect();
        let (x, values) = activations(device, &values);
        let (dy, gradients) = activations(device, &values.iter().map(|v| v.cos()).collect::<Vec<_>>());
        let mut params = Params::new(device, &ParamSpecs::default()).unwrap();
        let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
        let x = tape.leaf(x);
        let y = swish(&mut tape, x.clone(), beta).unwrap();
        let out = host(&y.value);
        let dx = host(&tape.backward(vec![(y, dy)]).unwrap().take(&x).unwrap());
        let tolerance = if device.activations() == DType::F32 { 2e-6 } else { 8e-3 };
        for (i, (&x, &dy)) in values.iter().zip(&gradients).enumerate() {
            let (x, beta) = (f64::from(x), f64::from(beta));
            let s = sigmoid(beta * x);
            let (y, dx_exact) = (x * s, f64::from(dy) * (s + beta * x * s * (1.0 - s)));
            for (name, found, exact) in [("y", out[i], y), ("dx", dx[i], dx_exact)] {
                let error = (f64::from(found) - exact).abs();
                assert!(error <= tolerance * (1.0 + exact.abs()), "{name}[{i}] is {found}, not {exact}");
            }
        }
    });
}

#[test]
fn a_beta_that_is_not_finite_is_refused() {
    on_each("a_beta_that_is_not_finite_is_refused", |device| {
        let mut params = Params::new(device, &ParamSpecs::default()).unwrap();
        let mut tape = Tape::no_grad(&mut params).unwrap();
        let x = tape.constant(Tensor::zeros(device, [2]).unwrap());
        let error = swish(&mut tape, x, f32::NAN).unwrap_err().to_string();
        assert!(error.starts_with("swish: beta is NaN"), "{error}");
    });
}

#[test]
fn a_file_that_is_no_fatbin_is_refused() {
    // SAFETY: the bytes are refused before the driver gets them, and no kernel is launched.
    static NOTHING: Module = unsafe { Module::new(b"not a fatbin", include_str!("../cuda/swish.cu")) };
    on_each("a_file_that_is_no_fatbin_is_refused", |device| {
        let Device::Cuda(gpu) = device else { return };
        let x = Tensor::zeros(device, [4]).unwrap();
        let mut y = Tensor::zeros(device, [4]).unwrap();
        let arguments = [("x", In::from(&x).into()), ("y", Out::from(&mut y).into()), ("n", 4usize.into())];
        // SAFETY: nothing is launched.
        let error = unsafe { gpu.launch_from(&NOTHING, gpu.flat(4, 1), "swish_forward", &arguments) };
        let error = error.unwrap_err().to_string();
        assert!(error.contains("neither a fatbin nor a cubin"), "{error}");
    });
}

/// The operation inside a network: XOR is learnt with one hidden layer.
#[test]
fn a_network_with_swish_learns() -> Result<()> {
    on_each("a_network_with_swish_learns", |device| {
        if device.activations() != DType::F32 {
            return;
        }
        let (first, last) = train(device).unwrap();
        assert!(first > 0.4 && last < 0.05, "the loss went from {first} to {last}");
    });
    Ok(())
}

fn train(device: &Device) -> Result<(f32, f32)> {
    let mut specs = ParamSpecs::default();
    let normal = |fan_in: usize| Init::Normal((1.0 / fan_in as f32).sqrt());
    let (w1, b1) = (specs.add_with("w1", [8, 2], normal(2), 1.0), specs.add("b1", [8]));
    let (w2, b2) = (specs.add_with("w2", [2, 8], normal(8), 1.0), specs.add("b2", [2]));
    let mut params = Params::new(device, &specs)?;
    params.initialise(3)?;
    let constants =
        Sgd { momentum: 0.9, weight_decay: 0.0, convention: Convention::PyTorch, nesterov: false };
    let mut optimizer = MomentumSgd::new(&params, constants)?;
    let mut values = StepValues::new(device, 3)?.with_scalars(&["lr"])?;
    let mut losses = Vec::new();
    for step in 0..150 {
        values.set(step, &[("lr", 0.1)])?;
        let mut tape = Tape::new(&mut params, &values);
        let x = tape.constant(Tensor::from_f32(device, [4, 2], &[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])?);
        let labels = Tensor::from_i32(device, [4], &[0, 1, 1, 0])?;
        let (w1, b1, w2, b2) = (tape.param(w1), tape.param(b1), tape.param(w2), tape.param(b2));
        let hidden = linear(&mut tape, x, w1, b1)?;
        let hidden = swish(&mut tape, hidden, 1.0)?;
        let logits = linear(&mut tape, hidden, w2, b2)?;
        let loss = softmax_cross_entropy(&mut tape, logits, &labels)?;
        losses.push(loss.value.to_host_f32()?[0]);
        tape.backward(vec![(loss, Tensor::full(device, [1], 1.0)?)])?;
        optimizer.step(&mut params, values.scalar("lr")?, &values.step)?;
    }
    Ok((losses[0], losses[losses.len() - 1]))
}
