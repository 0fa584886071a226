//! Each step runs, but none can be captured. Change that.

use crate::capture::{Address, Device, keeps};

/// A run that moves weights [c] to the mean of batches [rows, c], with dropout and momentum.
pub struct Run {
    pub weights: Address,
    velocity: Address,
    batch: Address,
    step: f32,
    rate: f32,
    c: usize,
    seed: f32,
    momentum: f32,
}

impl Run {
    /// Allocates what the steps need.
    pub fn new(
        device: &mut Device,
        [_rows, c]: [usize; 2],
        seed: f32,
        momentum: f32,
    ) -> Result<Self, String> {
        Ok(Run {
            weights: device.alloc(c)?,
            velocity: device.alloc(c)?,
            batch: 0,
            step: 0.0,
            rate: 0.0,
            c,
            seed,
            momentum,
        })
    }

    /// The host's part of a step, which is never captured.
    pub fn prepare(
        &mut self,
        device: &mut Device,
        step: f32,
        rate: f32,
        batch: &[f32],
    ) -> Result<(), String> {
        (self.step, self.rate) = (step, rate);
        self.batch = device.alloc(batch.len())?;
        device.upload(self.batch, batch)
    }

    /// Enqueues the work of a step. It is called for the first steps and for the capture; later steps replay that.
    pub fn enqueue(&mut self, device: &mut Device) -> Result<(), String> {
        let dw = device.alloc(self.c)?;
        device.launch(gradient, &[self.batch, self.weights, dw], &[self.seed, self.step]);
        device.launch(update, &[dw, self.velocity, self.weights], &[self.momentum, self.rate]);
        Ok(())
    }
}

/// gradient [c] = the mean of w - x over the rows, of the elements that dropout keeps.
fn gradient(arrays: &mut [Vec<f32>], addresses: &[Address], numbers: &[f32]) {
    let (&[batch, weights, gradient], &[seed, step]) = (addresses, numbers) else { unreachable!() };
    let c = arrays[weights].len();
    for j in 0..c {
        let kept = (j..arrays[batch].len()).step_by(c).filter(|i| keeps(seed, step, *i));
        let sum: f32 = kept.map(|i| arrays[weights][j] - arrays[batch][i]).sum();
        arrays[gradient][j] = sum / (arrays[batch].len() / c) as f32;
    }
}

/// v = momentum v + gradient, w = w - rate v.
fn update(arrays: &mut [Vec<f32>], addresses: &[Address], numbers: &[f32]) {
    let (&[gradient, velocity, weights], &[momentum, rate]) = (addresses, numbers) else { unreachable!() };
    for j in 0..arrays[weights].len() {
        arrays[velocity][j] = momentum * arrays[velocity][j] + arrays[gradient][j];
        arrays[weights][j] -= rate * arrays[velocity][j];
    }
}
