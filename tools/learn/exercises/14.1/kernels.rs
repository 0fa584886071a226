//! The kernels of softsign alone, on the simulated GPU: several grids, blocks and orders of threads.

use crate::checks::{Checks, Finding, Numbers, close};
use crate::gpu::{self, SEEDS};
use softcuda::{Buffer, Device, Element, Fault, FaultKind, Launch, args};
use std::path::Path;

/// Blocks and threads of a block.
const GRIDS: [(u32, u32); 4] = [(1, 32), (2, 64), (5, 96), (40, 32)];
const SIZES: [usize; 3] = [1, 33, 1000];

/// A number as the kernels have it in memory.
trait Number: Element {
    const NAME: &str;
    /// The relative error of one rounding, with some room.
    const TOLERANCE: f64;
    fn of(value: f32) -> Self;
    fn value(self) -> f32;
}

impl Number for f32 {
    const NAME: &str = "f32";
    const TOLERANCE: f64 = 1e-6;

    fn of(value: f32) -> Self {
        value
    }

    fn value(self) -> f32 {
        self
    }
}

/// The bits of a bf16.
impl Number for u16 {
    const NAME: &str = "bf16";
    const TOLERANCE: f64 = 5e-3;

    fn of(value: f32) -> Self {
        (value.to_bits() >> 16) as u16
    }

    fn value(self) -> f32 {
        f32::from_bits(u32::from(self) << 16)
    }
}

pub fn grade(checks: &mut Checks, answer: &Path) {
    let names = ["forward_f32", "forward_bf16", "backward_f32", "backward_bf16"];
    let names = names.map(|name| format!("softsign_{name}"));
    checks.check("the four kernels exist", || {
        gpu::has_kernels(&gpu::open(answer)?.0, &names.each_ref().map(String::as_str))
    });
    run::<f32>(checks, answer);
    run::<u16>(checks, answer);
}

fn run<T: Number>(checks: &mut Checks, answer: &Path) {
    checks.check(&format!("the kernels of {}", T::NAME), || {
        let (_, device) = gpu::open(answer)?;
        for (blocks, threads) in GRIDS {
            let grid = Launch::new(blocks, threads);
            for (n, seed) in SIZES.into_iter().flat_map(|n| SEEDS.map(|seed| (n, seed))) {
                one::<T>(&device, grid.seed(seed), n).map_err(|found| {
                    format!("{n} elements, a grid of {blocks} x {threads} threads: {found}")
                })?;
            }
        }
        Ok(())
    });
}

/// Forward and backward of n elements. With the second order of the threads dx lies in the memory of dy.
fn one<T: Number>(device: &Device, grid: Launch, n: usize) -> Finding {
    let mut numbers = Numbers::new(n as u64);
    let x: Vec<T> = (0..n).map(|_| T::of(6.0 * numbers.uniform() as f32)).collect();
    let dy: Vec<T> = (0..n).map(|_| T::of(numbers.uniform() as f32)).collect();
    let (x_buffer, dy_buffer) =
        (device.upload("x", &x).map_err(gpu::told)?, device.upload("dy", &dy).map_err(gpu::told)?);
    let y = device.unwritten::<T>("y", n).map_err(gpu::told)?;
    let forward = format!("softsign_forward_{}", T::NAME);
    device.launch(&forward, &grid, args![&x_buffer, &y, n as u64]).map_err(told)?;
    let formula = |x: f64| x / (1.0 + x.abs());
    let want: Vec<f64> = x.iter().map(|x| formula(f64::from(x.value()))).collect();
    compare("y", &y, &want)?;

    let dx = match grid.seed == SEEDS[1] {
        true => None,
        false => Some(device.unwritten::<T>("dx", n).map_err(gpu::told)?),
    };
    let dx = dx.as_ref().unwrap_or(&dy_buffer);
    let backward = format!("softsign_backward_{}", T::NAME);
    device.launch(&backward, &grid, args![&x_buffer, &dy_buffer, dx, n as u64]).map_err(told)?;
    let slope = |x: f64| 1.0 / (1.0 + x.abs()).powi(2);
    let gradient = |(x, dy): (&T, &T)| f64::from(dy.value()) * slope(f64::from(x.value()));
    let want: Vec<f64> = x.iter().zip(&dy).map(gradient).collect();
    compare("dx", dx, &want)
}

fn compare<T: Number>(name: &str, got: &Buffer<T>, want: &[f64]) -> Finding {
    let got = got.read().map_err(|fault| match fault.kind {
        FaultKind::Unwritten => format!(
            "elements of {name} are left out: a thread takes the elements i, i + stride, i + 2 stride, ..., so that \
             any number of blocks gives the same result; the simulated GPU says: {}",
            gpu::told(fault)
        ),
        _ => gpu::told(fault),
    })?;
    let got: Vec<f32> = got.into_iter().map(T::value).collect();
    close(name, &got, want, T::TOLERANCE)
}

fn told(fault: Fault) -> String {
    match fault.kind {
        FaultKind::OutOfBounds => format!(
            "the grid may have more threads than there are elements: compare the number of the element with n; the \
             simulated GPU says: {fault}"
        ),
        FaultKind::Race => {
            format!("two threads take the same element of a result; the simulated GPU says: {fault}")
        }
        _ => gpu::told(fault),
    }
}
