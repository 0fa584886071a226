//! Softsign as an operation of the engine: formula, gradient and refusals, on the CPU and on the CUDA device.

use crate::answer::softsign;
use crate::checks::*;
use bcreid::autograd::{ParamSpecs, Params, StepValues, Tape};
use bcreid::device::cuda::fatbin;
use bcreid::device::{Device, Precision};
use bcreid::tensor::Tensor;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[path = "../../../../tests/ops/gradient_check.rs"]
mod checker;

/// The tool sets it if a check of the kernels alone failed.
const KERNELS_FAIL: &str = "BCREID_LEARN_KERNELS_FAIL";

const SIZES: [usize; 4] = [1, 7, 1000, 5001];

pub fn grade(checks: &mut Checks) {
    on_device(checks, "the CPU", || Ok(Device::cpu()));
    checks.check("the CPU in bf16: y and dx", || {
        let run = || formula(&Device::cpu_in(Precision::Bf16), 8e-3);
        catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|_| Err("`softsign` panics: the loops of the CPU read bf16 too (`with_real!`)".into()))
    });
    if std::env::var_os(KERNELS_FAIL).is_some() {
        // After a fault no kernel runs in a process any more, so the messages would not help.
        checks.leave_out("the CUDA device", "repair the kernels first");
        return;
    }
    if let Err(why) = fatbin::embedded() {
        checks.leave_out("the CUDA device", &format!("kernels of bcreid: {why}"));
        return;
    }
    on_device(checks, "the CUDA device in f32", || open(Precision::F32));
    checks.check("both devices", || {
        SIZES.into_iter().try_for_each(|n| {
            let [cpu, cuda] = [passes(&Device::cpu(), n)?, passes(&open(Precision::F32)?, n)?];
            for (name, cpu, cuda) in [("y", &cpu.y, &cuda.y), ("dx", &cpu.dx, &cuda.dx)] {
                let cpu: Vec<f64> = cpu.iter().map(|value| f64::from(*value)).collect();
                close(name, cuda, &cpu, 1e-6)
                    .map_err(|found| format!("{n} elements, CUDA compared with the CPU: {found}"))?;
            }
            Ok(())
        })
    });
    checks.check("the CUDA device in bf16: y and dx", || formula(&open(Precision::Bf16)?, 8e-3));
}

fn open(precision: Precision) -> Result<Device, String> {
    Device::choose("cuda", precision).map(|(device, _)| device).map_err(|error| error.to_string())
}

fn on_device(checks: &mut Checks, name: &str, device: impl Fn() -> Result<Device, String>) {
    checks.check(&format!("{name}: y and dx"), || formula(&device()?, 2e-6));
    checks.check(&format!("{name}: the gradient by finite differences"), || {
        let device = device()?;
        // The second derivative jumps at 0, so the difference there is none of the gradient.
        let values: Vec<f32> =
            (0..12).map(|i| (0.05 + 0.4 * i as f32) * if i % 3 == 0 { -1.0 } else { 1.0 }).collect();
        let input = checker::Input::new([3, 4], values);
        let run =
            || checker::Check::default().run(&device, &[input], |tape, vars| softsign(tape, vars[0].clone()));
        catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
            let message = payload.downcast_ref::<String>().cloned();
            format!("the product's checker says: {}", message.unwrap_or_default())
        })
    });
    checks.check(&format!("{name}: a tensor of integers"), || {
        let device = device()?;
        let mut params = Params::new(&device, &ParamSpecs::default()).map_err(told)?;
        let mut tape = Tape::no_grad(&mut params).map_err(told)?;
        let x = tape.constant(Tensor::from_i32(&device, [3], &[1, -2, 3]).map_err(told)?);
        let what = match catch_unwind(AssertUnwindSafe(|| softsign(&mut tape, x).is_err())) {
            Ok(true) => return Ok(()),
            Ok(false) => "it is accepted",
            Err(_) => "`softsign` panics",
        };
        Err(format!(
            "{what}: compare x.dtype() with f32 and bf16, and return an error that says what to give"
        ))
    });
}

/// The input, and what both passes made of it.
struct Passes {
    x: Vec<f32>,
    dy: Vec<f32>,
    y: Vec<f32>,
    dx: Vec<f32>,
}

/// Both passes with x [n] in the type of the device's activations.
fn passes(device: &Device, n: usize) -> Result<Passes, String> {
    let mut numbers = Numbers::new(n as u64);
    let x: Vec<f32> = numbers.many_f32(n).iter().map(|x| 6.0 * x).collect();
    let ((x, x_values), (dy, dy_values)) = (of(device, &x)?, of(device, &numbers.many_f32(n))?);
    let mut params = Params::new(device, &ParamSpecs::default()).map_err(told)?;
    let step = StepValues::new(device, 0).map_err(told)?;
    let mut tape = Tape::new(&mut params, &step);
    let x = tape.leaf(x);
    let gpu = x.value.gpu().cloned();
    if let Some(gpu) = &gpu {
        gpu.count_by_kind(true);
    }
    let y = softsign(&mut tape, x.clone()).map_err(|error| format!("softsign: {error}"))?;
    that(y.value.dtype() == device.activations(), || {
        format!(
            "y is {:?}, x is {:?}: the output has the type of the input",
            y.value.dtype(),
            x.value.dtype()
        )
    })?;
    that(y.value.shape() == x.value.shape(), || {
        format!("y has the shape {:?}, x has {:?}", y.value.shape(), x.value.shape())
    })?;
    let y_values = host(&y.value)?;
    let mut gradients =
        tape.backward(vec![(y, dy)]).map_err(|error| format!("the backward pass: {error}"))?;
    let dx = gradients.take(&x).ok_or("x gets no gradient: record a node whose input is x")?;
    if let Some(gpu) = &gpu {
        let launched = gpu.count_by_kind(false);
        for kernel in ["softsign_forward", "softsign_backward"] {
            that(launched.contains_key(kernel), || {
                format!("{kernel} is not launched: on the CUDA device the results come from your kernels")
            })?;
        }
    }
    Ok(Passes { x: x_values, dy: dy_values, y: y_values, dx: host(&dx)? })
}

/// Both passes against the formulas in f64.
fn formula(device: &Device, tolerance: f64) -> Finding {
    for n in SIZES {
        let Passes { x, dy, y, dx } = passes(device, n)?;
        let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
        let (x, dy) = (wide(&x), wide(&dy));
        let want: Vec<f64> = x.iter().map(|x| x / (1.0 + x.abs())).collect();
        close(&format!("n = {n}: y"), &y, &want, tolerance)?;
        let want: Vec<f64> = x.iter().zip(&dy).map(|(x, dy)| dy / (1.0 + x.abs()).powi(2)).collect();
        close(&format!("n = {n}: dx"), &dx, &want, tolerance)?;
    }
    Ok(())
}

/// A tensor in the type of the device's activations, and its values after rounding to this type.
fn of(device: &Device, values: &[f32]) -> Result<(Tensor, Vec<f32>), String> {
    let rounded = Tensor::activations(device, [values.len()], values).map_err(told)?;
    let back = host(&rounded)?;
    Ok((rounded, back))
}

fn host(tensor: &Tensor) -> Result<Vec<f32>, String> {
    tensor.to_host_f32().map_err(told)
}

fn told(error: bcreid::Error) -> String {
    error.to_string()
}
