//! The kernels against the definition of the parent, in f64.

use super::{Table, batch};
use crate::gpu::{self, Gpu, Outcome, close};
use softcuda::{Launch, args};

const DY: f32 = -1.75;

fn check(gpu: &Gpu, table: &Table, m: usize, size: f32, block: u32) -> Outcome {
    let (batch, count) = (batch(table, m, size), table.sizes.len());
    let classes = table.values.len() / count;
    let logits = gpu.upload("logits", &batch.x)?;
    let labels = gpu.upload("labels", &batch.labels)?;
    let (values, starts) = (gpu.upload("values", &table.values)?, gpu.upload("starts", &table.starts())?);
    let losses = gpu.unwritten::<f32>("losses", m * count)?;
    let partition = gpu.unwritten::<f32>("partition", 2 * m * count)?;
    let loss = gpu.unwritten::<f32>("loss", 1)?;
    let warps = Launch::new((32 * m * count).div_ceil(block as usize) as u32, block);
    let [rows, parts, of] = [m as i32, count as i32, classes as i32];
    let arguments = args![&logits, &labels, &values, &starts, &losses, &partition, rows, parts, of];
    gpu.launch("attributes_forward_f32", warps, arguments)?;
    gpu.launch("attributes_mean", Launch::new(1, block), args![&losses, &loss, rows * parts])?;

    let (want, gradient) = table.definition(&batch.x64(), &batch.labels);
    close("losses", &gpu.read(&losses)?, &want, 2e-6, 1.0)?;
    let mean = want.iter().sum::<f64>() / want.len() as f64;
    close("loss", &gpu.read(&loss)?, &[mean], 2e-6, 1.0)?;

    let gradient: Vec<f64> = gradient.iter().map(|v| f64::from(DY) * v).collect();
    let share = f64::from(DY.abs()) / (m * count) as f64;
    let dy = gpu.upload("dy", &[DY])?;
    let dlogits = gpu.unwritten::<f32>("dlogits", batch.x.len())?;
    let inputs = args![&logits, &labels, &values, &starts, &partition, &dy, &dlogits, rows, parts, of];
    gpu.launch("attributes_backward_f32", warps, inputs)?;
    let apart = gpu.read(&dlogits)?;
    let inputs = args![&logits, &labels, &values, &starts, &partition, &dy, &logits, rows, parts, of];
    gpu.launch("attributes_backward_f32", warps, inputs)?;
    if gpu.read(&logits)? != apart {
        return Err("dlogits in place of the logits differ".into());
    }
    close("dlogits", &apart, &gradient, 3e-6, share)
}

/// Attributes of fewer values than a warp has lanes, of as many, and of more; blocks of one warp and of several.
pub fn every_case(gpu: &Gpu) -> Outcome {
    for (sizes, m, block) in [
        (&[1][..], 1, 32),
        (&[2, 5], 3, 64),
        (&[2; 27], 16, 256),
        (&[32, 1, 33], 7, 96),
        (&[100, 3], 20, 1024),
    ] {
        // Flat, ordinary, peaked.
        for size in [0.0, 3.0, 30.0] {
            check(gpu, &Table::of(sizes, 9), m, size, block)?;
        }
    }
    Ok(())
}

#[test]
fn f32() {
    gpu::run("attributes", every_case);
}
