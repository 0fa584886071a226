//! Chapter 7: one convolution in five steps, each checked, counted and timed.

mod im2col;
mod implicit_gemm;
mod layer;
mod meter;
mod microkernel;
mod naive;
mod winograd;

use bcreid::autograd::{Params, Tape};
use bcreid::device::Device;
use bcreid::device::cpu::simd::vectorized;
use bcreid::ops::conv2d::{Conv, conv2d};
use bcreid::tensor::Tensor;
use bcreid::tensor::philox::{Philox, RngStream};
use layer::{Layer, TAPS};
use meter::{Cost, Counts, Off};
use std::error::Error;
use std::time::Instant;

/// A step for one kind of meter.
type Work<M> = fn(&mut M, &Layer, &[f32], &[f32], &mut [f32]);

/// A step: its name, the convolution with counters and without, and its cost as a formula.
struct Step(&'static str, Work<Counts>, Work<Off>, fn(&Layer) -> Cost);

const STEPS: [Step; 5] = [
    Step("naive", naive::run, naive::run, naive::cost),
    Step("im2col", im2col::run, im2col::run, im2col::cost),
    Step("implicit-gemm", implicit_gemm::run, implicit_gemm::run, implicit_gemm::cost),
    Step("micro-kernel", microkernel::run, microkernel::run, microkernel::cost),
    Step("winograd", winograd::run, winograd::run, winograd::cost),
];

// ANCHOR: check
/// Runs a step with counters; compares the result with the definition, and the counts with the formula.
fn check(step: &Step, layer: &Layer, x: &[f32], w: &[f32]) -> Result<(Vec<f32>, Cost), String> {
    let Step(name, counted, _, formula) = step;
    let mut y = vec![f32::NAN; layer.pixels() * layer.k];
    let mut counts = Counts::default();
    counted(&mut counts, layer, x, w, &mut y);
    let wrong = error(&y, &layer.definition(x, w));
    // Written so that NaN fails.
    let is_right = wrong < 1e-5;
    if !is_right {
        return Err(format!("{name}: an error of {wrong:e}"));
    }
    if counts.0 != formula(layer) {
        return Err(format!("{name}: {:?}, by the formula {:?}", counts.0, formula(layer)));
    }
    Ok((y, counts.0))
}
// ANCHOR_END: check

fn noise(seed: u64, len: usize) -> Vec<f32> {
    (0..len).map(|i| Philox::new(seed, 0, i as u64, RngStream::Synth).normal(0)).collect()
}

/// The shortest of several times, in milliseconds.
fn milliseconds(mut work: impl FnMut()) -> f64 {
    let times = (0..15).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e3
    });
    times.fold(f64::INFINITY, f64::min)
}

/// The largest error, as a part of the largest value.
fn error(y: &[f32], exact: &[f64]) -> f64 {
    let largest = exact.iter().fold(0.0f64, |most, y| most.max(y.abs()));
    y.iter().zip(exact).fold(0.0f64, |most, (y, exact)| most.max((f64::from(*y) - exact).abs())) / largest
}

pub fn run() -> Result<(), Box<dyn Error>> {
    let layer = Layer { height: 16, width: 8, c: 64, k: 64 };
    let (x, w) = (noise(1, layer.pixels() * layer.c), noise(2, layer.k * TAPS * layer.c));
    let exact = layer.definition(&x, &w);

    // The product, on one thread as the steps are.
    let device = Device::cpu();
    let images = Tensor::from_f32(&device, [1, layer.height, layer.width, layer.c], &x)?;
    let filters = Tensor::from_f32(&device, [layer.k, 3, 3, layer.c], &w)?;
    let product = || -> bcreid::Result<Tensor> {
        let mut params = Params::none(&device);
        let mut tape = Tape::no_grad(&mut params)?;
        let (x, w) = (tape.constant(images.clone()), tape.constant(filters.clone()));
        Ok(conv2d(&mut tape, x, w, None, Conv { stride: 1, pad: 1 })?.value)
    };
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let of_product = one_thread.install(|| -> bcreid::Result<f64> {
        let wrong = error(product()?.f32(), &exact);
        assert!(wrong < 1e-5, "the product: an error of {wrong:e}");
        Ok(milliseconds(|| drop(product())))
    })?;

    println!("16 x 8 x 64 -> 64, 3 x 3: each step is right to 1e-5, and its counts are those of its formula");
    println!(
        "step           multiplications    bytes  bytes/mult.  bits of naive       ms  times the product's"
    );
    // The formulas must hold for other sizes too.
    let small = Layer { height: 4, width: 8, c: 16, k: 32 };
    let small_data = (noise(3, small.pixels() * small.c), noise(4, small.k * TAPS * small.c));
    let mut naive = Vec::new();
    for step in STEPS {
        check(&step, &small, &small_data.0, &small_data.1)?;
        let (mut y, Cost { multiplications, bytes }) = check(&step, &layer, &x, &w)?;
        if naive.is_empty() {
            naive.clone_from(&y);
        }
        let same = y == naive;
        let Step(name, _, plain, _) = step;
        // ANCHOR: time
        let time = milliseconds(|| {
            let (x, w) = std::hint::black_box((&x, &w));
            vectorized(
                #[inline(always)]
                || plain(&mut Off, &layer, x, w, &mut y),
            );
            std::hint::black_box(&mut y);
        });
        // ANCHOR_END: time
        let each = bytes as f64 / multiplications as f64;
        let ratio = time / of_product;
        println!("{name:<15}{multiplications:>15}{bytes:>9}{each:>13.2}{same:>15}{time:>9.2}{ratio:>21.1}");
    }
    println!("product{of_product:>69.2}");
    Ok(())
}
