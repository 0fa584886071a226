//! The kernels against sums in f64.

use crate::gpu::{self, Gpu, Outcome, close, equal};
use crate::gradient_check::noise;
use bcreid::ops::pairs::cuda::{IMAGES, TILE, splits};
use softcuda::{Launch, Report, args};

const DY: f32 = -2.5;
const SCALES: [f32; 2] = [0.25, 0.75];

fn row(x: &[f32], d: usize, i: usize) -> &[f32] {
    &x[i * d..][..d]
}

/// The inner products of all pairs, from one part of the features and from many.
fn products(gpu: &Gpu, m: usize, d: usize, splits: usize) -> Outcome {
    let x = noise(3, m * d);
    let device_x = gpu.upload("x", &x)?;
    let partial = gpu.unwritten::<f32>("partial", splits * m * m)?;
    let across = m.div_ceil(TILE) as u32;
    let tiles = Launch::new((across / 2 + 1, across, splits as u32), 256);
    gpu.launch("pairs_products", tiles, args![&device_x, &partial, m as i32, d as i32])?;
    let mut ours = vec![0.0; m * m];
    for part in gpu.read(&partial)?.chunks(m * m) {
        ours.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    let product = |pair: usize| {
        let (a, b) = (row(&x, d, pair / m), row(&x, d, pair % m));
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    // The terms nearly cancel; their size is that of d numbers of up to 1.
    close("products", &ours, &(0..m * m).map(product).collect::<Vec<_>>(), 2e-6, (d as f64).sqrt())
}

#[test]
fn inner_products() {
    gpu::run("pairs", |gpu| {
        for (m, d) in [(1, 1), (5, 3), (16, 64), (20, 65), (33, 68), (49, 130), (5, 1027)] {
            products(gpu, m, d, splits(m, d)).map_err(|e| format!("{m} x {d}: {e}"))?;
        }
        [1, 2, 3, 5, 8].into_iter().try_for_each(|splits| products(gpu, 18, 300, splits))
    });
}

/// Weights of which some are 0: those for which `zero` is true, and the diagonal.
fn weights(m: usize, zero: impl Fn(usize, usize) -> bool) -> Vec<f32> {
    let noise = noise(4, m * m);
    let weight = |at: usize| if at / m == at % m || zero(at / m, at % m) { 0.0 } else { noise[at] };
    (0..m * m).map(weight).collect()
}

/// Checks dx, written once, and then added to itself; returns the counts of the first launch.
fn backward(
    gpu: &Gpu,
    x: &[f32],
    weights: &[f32],
    differences: bool,
    [m, d]: [usize; 2],
    block: u32,
) -> Outcome<Option<Report>> {
    let scaled = |i: usize, j: usize| {
        let weight = weights[i * m + j];
        f64::from(weight) * f64::from(SCALES[if weight > 0.0 { 0 } else { 1 }])
    };
    let mut want = vec![0.0; m * d];
    for (i, want) in want.chunks_mut(d).enumerate() {
        for j in 0..m {
            let weight = f64::from(DY) * (scaled(i, j) + scaled(j, i));
            for ((want, &own), &other) in want.iter_mut().zip(row(x, d, i)).zip(row(x, d, j)) {
                let own = f64::from(own);
                let other = f64::from(other);
                *want += weight * if differences { own - other } else { other };
            }
        }
    }
    let weights = gpu.upload("weights", weights)?;
    let scales = gpu.upload("scales", &SCALES)?;
    let (x, dy) = (gpu.upload("x", x)?, gpu.upload("dy", &[DY])?);
    let dx = gpu.unwritten::<f32>("dx", m * d)?;
    let each = if d.is_multiple_of(4) { 4 } else { 1 };
    let slices = d.div_ceil(block as usize * each) as u32;
    let grid = (m.div_ceil(IMAGES) as u32, slices);
    let launch = |accumulate: i32| {
        let arguments =
            args![&weights, &scales, &x, &dy, &dx, i32::from(differences), accumulate, m as i32, d as i32];
        gpu.launch("pairs_backward", Launch::new(grid, block), arguments)
    };
    let report = launch(0)?;
    let written = gpu.read(&dx)?;
    let largest = want.iter().fold(1e-3, |max: f64, v| max.max(v.abs()));
    close("dx", &written, &want, 2e-6, largest)?;
    launch(1)?;
    let doubled: Vec<f32> = written.iter().map(|v| 2.0 * v).collect();
    equal("dx added to itself", &gpu.read(&dx)?, &doubled)?;
    Ok(report)
}

/// Sizes around the 4 images of a block and the 64 partners in shared memory; whole packs of features and other
/// lengths; dense weights, those of a few pairs, and none.
pub fn gradients(gpu: &Gpu) -> Outcome {
    for (m, d, block) in [
        (1, 1, 32),
        (3, 5, 64),
        (4, 64, 32),
        (20, 65, 96),
        (64, 68, 64),
        (67, 33, 32),
        (130, 8, 64),
        (18, 516, 64),
    ] {
        let x = noise(3, m * d);
        for differences in [true, false] {
            for few in [m, 5, 0] {
                let weights = weights(m, |i, j| (i * 7 + j * 3) % m >= few);
                backward(gpu, &x, &weights, differences, [m, d], block).map_err(|e| {
                    format!("{m} x {d}, {few} of {m} weights, differences {differences}: {e}")
                })?;
            }
        }
    }
    Ok(())
}

#[test]
fn weighted_partners() {
    gpu::run("pairs", gradients);
}

#[test]
fn near_duplicates_keep_their_difference() {
    gpu::run("pairs", |gpu| {
        let mut x = noise(3, 2 * 64);
        let (first, second) = x.split_at_mut(64);
        second.copy_from_slice(first);
        second.iter_mut().step_by(2).for_each(|v| *v = f32::from_bits(v.to_bits() + 20));
        backward(gpu, &x, &[0.0, 1e6, 0.0, 0.0], true, [2, 64], 32).map(drop)
    });
}

/// The bytes of the comment in the .cu file; besides, every thread reads dy and both scales.
#[test]
fn bytes_and_barriers() {
    gpu::run("pairs", |gpu| {
        for (m, d, block, few) in [(1, 1, 32, 1), (20, 65, 96, 20), (67, 33, 32, 5), (130, 8, 64, 130)] {
            let (x, weights) = (noise(3, m * d), weights(m, |i, j| (i * 7 + j * 3) % m >= few));
            let Some(report) = backward(gpu, &x, &weights, true, [m, d], block)? else { continue };
            let loaded = |first: usize, j: usize| {
                let mut images = first..m.min(first + IMAGES);
                images.any(|i| weights[i * m + j] != 0.0 || weights[j * m + i] != 0.0)
            };
            let partners: usize =
                (0..m).step_by(IMAGES).map(|first| (0..m).filter(|&j| loaded(first, j)).count()).sum();
            let each = if d.is_multiple_of(4) { 4 } else { 1 };
            let slices = d.div_ceil(block as usize * each);
            let bytes = 8 * m * m * slices + 4 * d * (m + partners) + 12 * report.threads as usize;
            let want = [bytes, 4 * m * d, report.blocks as usize * 2 * m.div_ceil(64)].map(|n| n as u64);
            let counted = [report.global_bytes_read, report.global_bytes_written, report.barriers];
            if counted != want {
                return Err(format!("{m} x {d}: counted {counted:?}, expected {want:?}").into());
            }
        }
        Ok(())
    });
}
