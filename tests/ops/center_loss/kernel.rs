//! The kernels against the definition of the parent, in f64.

use super::definition;
use crate::gpu::{self, Gpu, Outcome, close, equal};
use crate::gradient_check::noise;
use softcuda::{Launch, args};

const DY: f32 = -1.75;

fn check(gpu: &Gpu, labels: &[i32], classes: usize, d: usize, block: u32) -> Outcome {
    let m = labels.len();
    let (x, centers) = (noise(1, m * d), noise(2, classes * d));
    let wide: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
    let (x_there, labels_there) = (gpu.upload("x", &x)?, gpu.upload("labels", labels)?);
    let (centers_there, dy) = (gpu.upload("centers", &centers)?, gpu.upload("dy", &[DY])?);
    let distances = gpu.unwritten::<f32>("distances", m)?;
    let loss = gpu.unwritten::<f32>("loss", 1)?;
    let sizes = [d as i32, classes as i32];
    let arguments = args![&x_there, &labels_there, &centers_there, &distances, sizes[0], sizes[1]];
    gpu.launch("center_loss_forward_f32", Launch::new(m as u32, block), arguments)?;
    gpu.launch("center_loss_mean", Launch::new(1, block), args![&distances, &loss, m as i32])?;
    let of_image = |i: usize| definition(&wide[i * d..][..d], &labels[i..=i], &centers, d);
    close("distances", &gpu.read(&distances)?, &(0..m).map(of_image).collect::<Vec<_>>(), 1e-6, 1.0)?;
    close("loss", &gpu.read(&loss)?, &[definition(&wide, labels, &centers, d)], 1e-6, 1.0)?;

    // Several slices of a wide row, each with several rounds.
    let slices = (d as u32).div_ceil(block).min(3);
    let launch = Launch::new((m as u32, slices), block);
    let dx = gpu.unwritten::<f32>("dx", m * d)?;
    let backward = |accumulate: i32| {
        let inputs = args![&x_there, &labels_there, &centers_there, &dy, &dx, accumulate, sizes[0], sizes[1]];
        gpu.launch("center_loss_backward_f32", launch, inputs)
    };
    backward(0)?;
    let scale = 2.0 * f64::from(DY) / m as f64;
    let gradient = |at: usize| {
        let center = f64::from(centers[labels[at / d] as usize * d + at % d]);
        scale * (wide[at] - center)
    };
    let written = gpu.read(&dx)?;
    close("dx", &written, &(0..m * d).map(gradient).collect::<Vec<_>>(), 1e-6, scale.abs())?;
    backward(1)?;
    let doubled: Vec<f32> = written.iter().map(|v| 2.0 * v).collect();
    equal("dx added to itself", &gpu.read(&dx)?, &doubled)
}

/// Rows of whole packs and of others, of one slice and of several.
pub fn every_case(gpu: &Gpu) -> Outcome {
    for (m, classes, d, block) in [
        (1, 1, 1, 32),
        (5, 3, 3, 64),
        (16, 751, 13, 96),
        (16, 7, 2048, 128),
        (7, 4, 4095, 256),
        (9, 4, 4096, 1024),
        (70, 5, 66, 32),
        (1024, 300, 4, 32),
    ] {
        let labels: Vec<i32> = (0..m).map(|i| (i * 7919 % classes) as i32).collect();
        check(gpu, &labels, classes, d, block)?;
    }
    Ok(())
}

#[test]
fn f32() {
    gpu::run("center_loss", every_case);
}

#[test]
fn a_label_that_is_no_class_gives_nan() {
    gpu::run("center_loss", |gpu| {
        for d in [3, 4] {
            let (x, labels) = (gpu.upload("x", &noise(1, 3 * d))?, gpu.upload("labels", &[2, 1, -1])?);
            let (centers, dy) = (gpu.upload("centers", &noise(2, 2 * d))?, gpu.upload("dy", &[DY])?);
            let distances = gpu.unwritten::<f32>("distances", 3)?;
            let arguments = args![&x, &labels, &centers, &distances, d as i32, 2i32];
            gpu.launch("center_loss_forward_f32", Launch::new(3, 32), arguments)?;
            let dx = gpu.unwritten::<f32>("dx", 3 * d)?;
            let arguments = args![&x, &labels, &centers, &dy, &dx, 0i32, d as i32, 2i32];
            gpu.launch("center_loss_backward_f32", Launch::new(3, 32), arguments)?;
            let (distances, dx) = (gpu.read(&distances)?, gpu.read(&dx)?);
            let nan = |values: &[f32]| values.iter().all(|v| v.is_nan());
            if !(nan(&distances[..1]) && distances[1].is_finite() && nan(&distances[2..])) {
                return Err(format!("distances {distances:?}").into());
            }
            if !(nan(&dx[..d]) && dx[d..2 * d].iter().all(|v| v.is_finite()) && nan(&dx[2 * d..])) {
                return Err(format!("dx {dx:?}").into());
            }
        }
        Ok(())
    });
}
