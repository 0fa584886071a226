//! The statistics of batch normalisation: means and variances of channels, and the update of the running statistics.
//!
//! Book: [chapter 8](../../../../../../docs/book/src/08-normalise.md), and
//! [chapter 20](../../../../../../docs/book/src/20-many-ranks.md) for several ranks.

use crate::Result;
use crate::device::Device;
use crate::device::cpu::{Addends, lanes, sum_rows};
use crate::element::Real;
use crate::ranks::Group;
use crate::tensor::Tensor;
use rayon::prelude::*;

/// Elements of a chunk of rows with its own partial sums: 128 KiB, which fit in a small L2 cache. Smaller chunks would
/// make more partial sums to combine.
const SUM_CHUNK: usize = 32 * 1024;
/// Channels whose partial sums one task combines.
pub const COMBINE: usize = 64;

/// The statistics of each channel.
pub struct Moments {
    /// The mean and the biased variance of each channel.
    pub mean_var: Vec<[f64; 2]>,
    /// The number of values per channel.
    rows: usize,
}

impl Moments {
    /// The running statistics, as moments.
    pub fn running(mean: &[f32], var: &[f32]) -> Self {
        let mean_var = mean.iter().zip(var).map(|(&m, &v)| [f64::from(m), f64::from(v)]).collect();
        Moments { mean_var, rows: 0 }
    }

    /// The moments of the values of all ranks of `group`, each of which has as many: those of the ranks, merged in rank
    /// order.
    ///
    /// # Errors
    /// A rank that fails.
    pub fn of_all(self, group: &Group) -> Result<Self> {
        if group.ranks() == 1 {
            return Ok(self);
        }
        let (c, rows) = (self.mean_var.len(), self.rows);
        let mut all = vec![[0.0; 2]; group.ranks() * c];
        group.gather("the moments of a batch normalisation", &self.mean_var, &mut all)?;
        // ANCHOR: ranks
        let mut merged = vec![[0.0; 2]; c];
        for (rank, own) in all.chunks_exact(c).enumerate() {
            let share = 1.0 / (rank as f64 + 1.0);
            for ([mean, var], [own_mean, own_var]) in merged.iter_mut().zip(own) {
                // Both are of whole ranks, so that counts are in units of `rows`, and the variance is that of the ranks up
                // to here (Chan, Golub, LeVeque).
                let delta = own_mean - *mean;
                *var += (own_var - *var) * share + delta * delta * rank as f64 * share * share;
                *mean += delta * share;
            }
        }
        // ANCHOR_END: ranks
        Ok(Moments { mean_var: merged, rows: group.ranks() * rows })
    }

    /// Updates the running mean.
    pub fn move_mean(&self, running: &mut [f32], momentum: f32) {
        self.mean_var.iter().zip(running).for_each(|([mean, _], r)| blend(r, *mean, momentum));
    }

    // ANCHOR: running
    /// Updates the running variance, with the unbiased variance of the batch.
    pub fn move_var(&self, running: &mut [f32], momentum: f32) {
        let unbiased = self.rows as f64 / (self.rows as f64 - 1.0);
        self.mean_var.iter().zip(running).for_each(|([_, var], r)| blend(r, var * unbiased, momentum));
    }
    // ANCHOR_END: running
}

fn blend(running: &mut f32, batch: f64, momentum: f32) {
    let momentum = f64::from(momentum);
    *running = ((1.0 - momentum) * f64::from(*running) + momentum * batch) as f32;
}

/// The rows of a chunk with its own partial sums.
pub fn sum_chunk_rows(c: usize) -> usize {
    (SUM_CHUNK / c).max(1)
}

/// The addends of channel sums: the elements themselves.
struct Values<'a, E>(&'a [E]);

impl<E: Real> Addends<1> for Values<'_, E> {
    #[inline(always)]
    fn get<const L: usize>(&mut self, at: usize, _: usize) -> [[f32; L]; 1] {
        [lanes(self.0, at)]
    }
}

/// The addends of moments about a centre: an element's distance to its channel's centre, and the square of the
/// distance.
struct Distances<'a, E> {
    x: &'a [E],
    centre: &'a [f32],
}

impl<E: Real> Addends<2> for Distances<'_, E> {
    #[inline(always)]
    fn get<const L: usize>(&mut self, at: usize, c: usize) -> [[f32; L]; 2] {
        let (x, centre) = (lanes::<L, E>(self.x, at), lanes::<L, f32>(self.centre, c));
        let distance: [f32; L] = std::array::from_fn(|l| x[l] - centre[l]);
        [distance, distance.map(|d| d * d)]
    }
}

/// Computes the mean and biased variance of every channel in one read of x from memory.
///
/// Each chunk of rows is summed twice, the second time from cache: first for its centre, which is the f32 mean with
/// rounding errors, then for the sums s and q of the distances to the centre and of their squares. The mean of the
/// chunk is centre + s / n, its squared deviation q - s^2 / n, where s is close to 0. The chunks are merged in order,
/// in f64 (Chan, Golub, LeVeque: "Algorithms for computing the sample variance", 1983).
pub fn moments<E: Real>(device: &Device, x: &[E], c: usize) -> Moments {
    let rows = x.len() / c;
    let step = sum_chunk_rows(c);
    let mut sums = Tensor::scratch(device, [rows.div_ceil(step), 3, c]);
    sums.f32_mut().par_chunks_mut(3 * c).zip(x.par_chunks(step * c)).for_each(|(sums, x)| {
        let rows = x.len() / c;
        let (centre, sums) = sums.split_at_mut(c);
        sum_rows(&mut Values(x), rows, centre);
        centre.iter_mut().for_each(|sum| *sum /= rows as f32);
        sum_rows(&mut Distances { x, centre }, rows, sums);
    });
    let sums = sums.f32();
    let mut mean_var = vec![[0.0; 2]; c];
    mean_var.par_chunks_mut(COMBINE).enumerate().for_each(|(block, mean_var)| {
        let at = block * COMBINE;
        let width = mean_var.len();
        for (chunk, sums) in sums.chunks_exact(3 * c).enumerate() {
            let before = (chunk * step) as f64;
            let n = step.min(rows - chunk * step) as f64;
            let share = n / (before + n);
            let [centre, s, q] = [0, c, 2 * c].map(|row| &sums[row + at..][..width]);
            for ((merged, &centre), (&s, &q)) in mean_var.iter_mut().zip(centre).zip(s.iter().zip(q)) {
                let [mean, square] = merged;
                let (s, q) = (f64::from(s), f64::from(q));
                let delta = f64::from(centre) + s / n - *mean;
                // Rounding may make the deviation negative; NaN must stay NaN.
                let own = q - s * s / n;
                let own = if own < 0.0 { 0.0 } else { own };
                *square += own + delta * delta * before * share;
                *mean += delta * share;
            }
        }
        mean_var.iter_mut().for_each(|[_, square]| *square /= rows as f64);
    });
    Moments { mean_var, rows }
}
