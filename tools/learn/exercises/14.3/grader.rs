//! Five launches of the kernels of tests/foreign_op, run on the simulated GPU: what it reports tells what a GPU does.

use crate::checks::{Checks, Numbers, that};
use crate::gpu;
use crate::lines;
use softcuda::{Arg, Buffer, Device, FaultKind, Launch, args};
use std::path::Path;

const KERNELS: &str = "tests/foreign_op/cuda/swish.cu";
const N: usize = 1000;
const LAUNCHES: [&str; 5] = ["a", "b", "c", "d", "e"];
const EFFECTS: [&str; 4] = ["right", "reads-other-memory", "writes-an-input", "misreads-a-number"];

/// The arrays of the launches. Each is written before, as the memory of a GPU always holds something.
struct Arrays {
    x: Buffer<f32>,
    y: Buffer<f32>,
    dy: Buffer<f32>,
    dx: Buffer<f32>,
}

impl Arrays {
    /// The kernel of a launch, and the arguments that it gets.
    fn launch(&self, name: &str) -> (&'static str, Vec<Arg>) {
        let Arrays { x, y, dy, dx } = self;
        let (n, many) = (N as u64, 2 * N as u64);
        match name {
            "a" => ("swish_forward_f32", args![x, y, 1.5f32].to_vec()),
            "b" => ("swish_forward_f32", args![x, y, 2i32, n].to_vec()),
            "c" => ("swish_backward_f32", args![x, dy, dx, 1.5f32, n].to_vec()),
            "d" => ("swish_forward_f32", args![x, y, 1.5f32, many].to_vec()),
            _ => ("swish_backward_f32", args![x, dx, dy, 1.5f32, n].to_vec()),
        }
    }
}

/// The effect of a launch, and its reason.
fn effect(device: &Device, name: &str) -> Result<(&'static str, String), String> {
    let mut numbers = Numbers::new(143);
    let mut array = |name| {
        let host = numbers.many_f32(N);
        device.upload(name, &host).map(|buffer| (buffer, host)).map_err(gpu::told)
    };
    let ((x, x_host), (dy, dy_host)) = (array("x")?, array("dy")?);
    let arrays = Arrays { x, y: array("y")?.0, dy, dx: array("dx")?.0 };
    let (kernel, arguments) = arrays.launch(name);
    let fault = match device.launch(kernel, &Launch::new(8, 64), &arguments) {
        Err(fault) => fault,
        Ok(_) => {
            for (input, buffer, host) in [("x", &arrays.x, &x_host), ("dy", &arrays.dy, &dy_host)] {
                if buffer.read().map_err(gpu::told)? != *host {
                    return Ok(("writes-an-input", format!("{input} has other values after the launch")));
                }
            }
            return Ok(("right", "each argument is the one that the kernel takes".into()));
        }
    };
    match fault.kind {
        FaultKind::OutOfBounds => Ok(("reads-other-memory", fault.message)),
        FaultKind::Launch if fault.message.contains(" given") => {
            let why = "the driver takes as many pointers from the array as the kernel has parameters";
            Ok(("reads-other-memory", format!("{}: {why}", fault.message)))
        }
        FaultKind::Launch => {
            Ok(("misreads-a-number", format!("{}: the bits are not converted", fault.message)))
        }
        _ => Err(gpu::told(fault)),
    }
}

pub fn grade(checks: &mut Checks, answer: &Path) {
    for launch in LAUNCHES {
        checks.check(&format!("launch {launch}"), || {
            let lines = lines::read(answer)?;
            lines::only(&lines, &LAUNCHES)?;
            let given = lines::behind(&lines, launch, "LAUNCH EFFECT")?[0];
            that(EFFECTS.contains(&given), || {
                format!("an effect is one of {}, not `{given}`", EFFECTS.join(", "))
            })?;
            let (want, why) = effect(&gpu::of_repository(KERNELS)?, launch)?;
            that(given == want, || format!("`{given}` instead of `{want}`: {why}"))
        });
    }
}
