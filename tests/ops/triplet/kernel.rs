//! The kernels against the definition of the parent, in f64. `pairs_backward`, which turns the weights into a gradient,
//! has its own test.

use super::{OPTIONS, anchors, around, cost};
use crate::gpu::{self, Gpu, Outcome, close};
use crate::metric::{Batch, kernel_cases};
use bcreid::ops::triplet::{Distance, Margin, Mining, Options};
use softcuda::{Arg, Launch, args};

/// The squared distances in two parts, which the kernel has to add, and their sums.
fn parts(batch: &Batch) -> (Vec<f32>, Vec<f32>) {
    let (m, x) = (batch.m(), batch.x64());
    let squared: Vec<f32> =
        (0..m * m).map(|pair| batch.squared_distance(&x, pair / m, pair % m) as f32).collect();
    let quarter: Vec<f32> = squared.iter().map(|v| 0.25 * v).collect();
    let rest: Vec<f32> = squared.iter().map(|v| 0.75 * v).collect();
    let sums = quarter.iter().zip(&rest).map(|(a, b)| a + b).collect();
    ([quarter, rest].concat(), sums)
}

/// The pair weights of the definition: the factor of x_i - x_j in the gradient of the sum over anchors.
fn weights(batch: &Batch, squared: &[f32], options: Options) -> Vec<f64> {
    let (m, labels) = (batch.m(), &batch.labels);
    let mut weights = vec![0.0; m * m];
    for i in 0..m {
        let distance = |j: usize| match options.distance {
            Distance::Euclidean => (f64::from(squared[i * m + j]) + 1e-12).sqrt(),
            Distance::Squared => f64::from(squared[i * m + j]),
        };
        let others = |same: bool| (0..m).filter(move |&j| j != i && (labels[j] == labels[i]) == same);
        // The shares of the images of one kind in the derivative of their distance; its sign is that of far images.
        let shares = |same: bool| -> Option<(f64, Vec<(usize, f64)>)> {
            let sign = if same { 1.0 } else { -1.0 };
            // `rev`, since max_by keeps the last of equals.
            let hardest = others(same).rev().max_by(|&j, &k| {
                (sign * f64::from(squared[i * m + j])).total_cmp(&(sign * f64::from(squared[i * m + k])))
            })?;
            if options.mining == Mining::Hard {
                return Some((distance(hardest), vec![(hardest, 1.0)]));
            }
            let mass = |j: usize| (sign * (distance(j) - distance(hardest))).exp();
            let all: f64 = others(same).map(mass).sum();
            let mean = others(same).map(|j| mass(j) * distance(j)).sum::<f64>() / all;
            let share = |j: usize| (j, mass(j) / all * (1.0 + sign * (distance(j) - mean)));
            Some((mean, others(same).map(share).collect()))
        };
        let (Some((positive, pulls)), Some((negative, pushes))) = (shares(true), shares(false)) else {
            continue;
        };
        let gap = positive - negative;
        let slope = match options.margin {
            Margin::Hard(margin) if gap + f64::from(margin) > 0.0 => 1.0,
            Margin::Hard(_) => 0.0,
            Margin::Soft => 1.0 / (1.0 + (-gap).exp()),
        };
        let pushes = pushes.into_iter().map(|(j, share)| (j, -share));
        for (j, share) in pulls.into_iter().chain(pushes) {
            weights[i * m + j] = match options.distance {
                Distance::Euclidean => slope * share / distance(j),
                Distance::Squared => 2.0 * slope * share,
            };
        }
    }
    weights
}

fn check(gpu: &Gpu, batch: &Batch, options: Options, block: u32) -> Outcome {
    let m = batch.m();
    let (parts, squared) = parts(batch);
    let partial = gpu.upload("partial", &parts)?;
    let labels = gpu.upload("labels", &batch.labels)?;
    let rows = gpu.unwritten::<f32>("rows", 4 * m)?;
    let device_weights = gpu.unwritten::<f32>("weights", m * m)?;
    let (margin, soft) = match options.margin {
        Margin::Hard(margin) => (margin, 0i32),
        Margin::Soft => (0.0, 1),
    };
    let is_squared = i32::from(options.distance == Distance::Squared);
    let warps = Launch::new((m as u32).div_ceil(block / 32), block);
    let launch = |weights: Arg| {
        let arguments = args![&partial, &labels, margin, soft, is_squared, &rows, weights, 2i32, m as i32];
        let kernel = match options.mining {
            Mining::Hard => "triplet_rows",
            Mining::Weighted => "triplet_weighted_rows",
        };
        gpu.launch(kernel, warps, arguments)
    };
    launch(Arg::Pointer(0))?;
    let without = gpu.read(&rows)?;
    launch((&device_weights).into())?;
    if without != gpu.read(&rows)? {
        return Err("the rows depend on the weights".into());
    }
    let [terms, loss, scales] =
        [("terms", 4), ("loss", 1), ("scales", 2)].map(|(name, len)| gpu.unwritten::<f32>(name, len));
    let (terms, loss, scales) = (terms?, loss?, scales?);
    gpu.launch("triplet_terms", Launch::new(1, block), args![&rows, &terms, &loss, &scales, m as i32])?;

    let expected = weights(batch, &squared, options);
    close("weights", &gpu.read(&device_weights)?, &expected, 3e-6, 0.1)?;
    let anchors = anchors(batch, &batch.x64(), options);
    let count = anchors.len() as f64;
    let costs: Vec<f64> = anchors.iter().map(|anchor| cost(anchor, options.margin)).collect();
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / count;
    let want = [
        count,
        mean(costs.iter().map(|&cost| f64::from(cost > 1e-5)).collect()),
        mean(anchors.iter().map(|anchor| anchor.positive).collect()),
        mean(anchors.iter().map(|anchor| anchor.negative).collect()),
    ];
    close("terms", &gpu.read(&terms)?, &want, 3e-6, 1.0)?;
    let (want, scale) = if anchors.is_empty() { (0.0, 0.0) } else { (mean(costs), 1.0 / count) };
    close("loss", &gpu.read(&loss)?, &[want], 3e-6, 1.0)?;
    close("scales", &gpu.read(&scales)?, &[scale; 2], 1e-6, 0.0)
}

/// Batches of less than a warp, of several rounds of a warp, and without anchors.
pub fn every_case(gpu: &Gpu) -> Outcome {
    for (labels, d, block) in kernel_cases() {
        for (spread, options) in [0.8, 0.05, 3.0].into_iter().flat_map(|s| OPTIONS.map(|o| (s, o))) {
            check(gpu, &around(1, &labels, d, spread), options, block)
                .map_err(|e| format!("{} images, spread {spread}, {options:?}: {e}", labels.len()))?;
        }
    }
    Ok(())
}

#[test]
fn f32() {
    gpu::run("triplet", every_case);
}

/// 100 images in the corners of a square: the hardest images are one of many, in one lane and in others.
#[test]
fn ties() {
    let corners: Vec<f32> = (0..200).map(|i| if (i * i / 3) % 2 == 0 { 0.0 } else { 0.5 }).collect();
    let labels: Vec<i32> = (0..100).map(|i| i % 5).collect();
    let batch = Batch::new(&corners, &labels);
    gpu::run("triplet", |gpu| OPTIONS.into_iter().try_for_each(|options| check(gpu, &batch, options, 64)));
}
