//! Batch normalisation on the CPU.
//!
//! Book: [chapter 8](../../../../../../docs/book/src/08-normalise.md).

use super::moments::{COMBINE, Moments, moments, sum_chunk_rows};
use super::{BETA, Dx, EPS, Forward, GAMMA, Gradients};
use crate::Result;
use crate::autograd::{Sinks, Tape};
use crate::device::Device;
use crate::device::cpu::simd::vectorized;
use crate::device::cpu::{Addends, lanes, sum_rows};
use crate::element::{DType, Real, with_real};
use crate::ranks::Group;
use crate::tensor::Tensor;
use rayon::prelude::*;

/// Elements of a task: 64 KiB.
const CHUNK: usize = 16 * 1024;

/// The forward pass ([`Forward::run`]).
pub fn forward(
    pass: &Forward<'_>,
    tape: &mut Tape<'_>,
    y: &mut Tensor,
    x: Option<&Tensor>,
) -> Result<Tensor> {
    let affine = affine(tape, x.unwrap_or(y), pass)?;
    with_real!(y, E => normalise::<E>(y, x, &affine, pass.residual, pass.relu));
    Ok(affine)
}

/// Computes the coefficients of the normalisation ([`Affine`]): with `momentum` from the statistics of `x`, which also
/// update the running statistics, otherwise from the running statistics.
fn affine(tape: &mut Tape<'_>, x: &Tensor, pass: &Forward<'_>) -> Result<Tensor> {
    let bn = pass.bn;
    let moments = match pass.momentum {
        Some(momentum) => {
            let (device, c) = (tape.device(), x.shape().last());
            let moments = with_real!(x, E => moments::<E>(&device, x.reals(), c));
            let moments = moments.of_all(pass.group)?;
            moments.move_mean(tape.buffer_mut(bn.mean).f32_mut(), momentum);
            moments.move_var(tape.buffer_mut(bn.var).f32_mut(), momentum);
            moments
        }
        None => Moments::running(tape.buffer(bn.mean).f32(), tape.buffer(bn.var).f32()),
    };
    let mut affine = Tensor::empty(&tape.device(), [Affine::ROWS, x.shape().last()], DType::F32)?;
    Affine::fill(affine.f32_mut(), &moments, bn.gamma.value.f32(), bn.beta.value.f32());
    Ok(affine)
}

/// The backward pass ([`Gradients`]); the gradients of gamma and beta go to `sinks`.
pub fn backward(pass: &mut Gradients, sinks: &mut Sinks<'_>) -> Result<()> {
    with_real!(pass.dy, E => backward_of::<E>(pass, sinks))
}

fn backward_of<E: Real>(pass: &mut Gradients, sinks: &mut Sinks<'_>) -> Result<()> {
    let Gradients { dy, x, y, affine, batch, group, .. } = pass;
    let affine = affine.f32();
    let mut correction = None;
    if let Some(x) = &*x {
        let rows = dy.shape().len() / dy.shape().last();
        let mask = Mask::<E>::of(pass.mask, y.as_ref());
        let sums = sums(sinks.device(), dy.reals_mut(), x.reals(), affine, mask, pass.mask_dy);
        sinks.add(GAMMA, |to, mode| {
            mode.store(to.f32_mut(), sums.iter().map(|s| s.dgamma as f32));
            Ok(())
        })?;
        sinks.add(BETA, |to, mode| {
            mode.store(to.f32_mut(), sums.iter().map(|s| s.dbeta as f32));
            Ok(())
        })?;
        if *batch {
            let sums = of_all(sums, group)?;
            correction = Some(correct(sinks.device(), affine, &sums, group.ranks() * rows)?);
        }
    } else if let (true, Some(y)) = (pass.mask_dy, &*y) {
        mask_in_place::<E>(dy.reals_mut(), y.reals());
    }

    let mask = if pass.mask_dy { super::Mask::Off } else { pass.mask };
    match (&mut pass.dx, &correction) {
        (Dx::None, _) => {}
        (Dx::OverX, correction) => {
            let x = x.as_mut().expect("dx overwrites a saved x");
            let correction = correction.as_ref().expect("x is overwritten with batch statistics only");
            batch_dx::<E>(x.reals_mut(), None, dy.reals(), affine, correction.f32(), mask);
        }
        (Dx::OverDy, _) => frozen_dx::<E>(dy.reals_mut(), None, affine, Mask::of(mask, y.as_ref())),
        (Dx::Own(dx), Some(correction)) => {
            let x = x.as_ref().expect("batch statistics need x");
            batch_dx::<E>(dx.reals_mut(), Some(x.reals()), dy.reals(), affine, correction.f32(), mask);
        }
        (Dx::Own(dx), None) => {
            frozen_dx::<E>(dx.reals_mut(), Some(dy.reals()), affine, Mask::of(mask, y.as_ref()));
        }
    }
    Ok(())
}

/// The coefficients of the normalisation: y = (x - mean) scale + shift, `[5, C]`.
///
/// `low` is the rounding error of the f32 `mean`; `shift` includes its correction, so that a mean far larger than the
/// deviation loses no accuracy.
#[derive(Clone, Copy)]
pub struct Affine<'a> {
    mean: &'a [f32],
    low: &'a [f32],
    inv_std: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
}

impl<'a> Affine<'a> {
    pub const ROWS: usize = 5;

    pub fn fill(table: &mut [f32], moments: &Moments, gamma: &[f32], beta: &[f32]) {
        let c = gamma.len();
        for (i, [mean, var]) in moments.mean_var.iter().enumerate() {
            let inv_std = 1.0 / (var + f64::from(EPS)).sqrt();
            let scale = f64::from(gamma[i]) * inv_std;
            let low = mean - f64::from(*mean as f32);
            let column = [*mean, low, inv_std, scale, f64::from(beta[i]) - low * scale];
            column.iter().enumerate().for_each(|(row, &value)| table[row * c + i] = value as f32);
        }
    }

    fn of(table: &'a [f32]) -> Self {
        let c = table.len() / Self::ROWS;
        let row = |i: usize| &table[i * c..(i + 1) * c];
        Affine { mean: row(0), low: row(1), inv_std: row(2), scale: row(3), shift: row(4) }
    }
}

/// The mask of the ReLU's gradient, with the elements of the saved output.
#[derive(Clone, Copy)]
enum Mask<'a, E> {
    Off,
    Output(&'a [E]),
    Recomputed,
}

impl<'a, E: Real> Mask<'a, E> {
    fn of(mask: super::Mask, y: Option<&'a Tensor>) -> Self {
        match (mask, y) {
            (super::Mask::Off, _) => Mask::Off,
            (super::Mask::Recomputed, _) => Mask::Recomputed,
            (super::Mask::Output, y) => Mask::Output(y.expect("an output was saved for its mask").reals()),
        }
    }
}

/// max(v, 0), and NaN where v is NaN.
#[inline(always)]
fn rectified(v: f32) -> f32 {
    if v < 0.0 { 0.0 } else { v }
}

/// dy where `y` is positive or NaN, else 0; `y` may be the value before or after the ReLU. There is no branch, since
/// random signs would mispredict half of the time.
#[inline(always)]
fn pass(dy: f32, y: f32) -> f32 {
    f32::from_bits(dy.to_bits() & !u32::from(y <= 0.0).wrapping_neg())
}

/// Calls `f` with every row of `out` and the row's first index; rows are copied from `from` before, if it is given.
#[inline(always)]
fn for_rows<E: Real>(out: &mut [E], from: Option<&[E]>, c: usize, f: impl Fn(usize, &mut [E]) + Sync) {
    let chunk = (CHUNK / c).max(1) * c;
    out.par_chunks_mut(chunk).enumerate().for_each(|(i, rows)| {
        vectorized(
            #[inline(always)]
            || {
                for (row, out) in rows.chunks_exact_mut(c).enumerate() {
                    let at = i * chunk + row * c;
                    if let Some(from) = from {
                        out.copy_from_slice(&from[at..at + c]);
                    }
                    f(at, out);
                }
            },
        );
    });
}

// ANCHOR: normalise
/// Computes y from x in one pass; without `x`, `y` contains x and is overwritten.
fn normalise<E: Real>(
    y: &mut Tensor,
    x: Option<&Tensor>,
    affine: &Tensor,
    residual: Option<&Tensor>,
    relu: bool,
) {
    #[inline(always)]
    fn row<E: Real, R: Real>(y: &mut [E], k: &Affine<'_>, residual: &[R], finish: impl Fn(f32, f32) -> f32) {
        let channels = k.mean.iter().zip(k.scale).zip(k.shift);
        for ((y, r), ((mean, scale), shift)) in y.iter_mut().zip(residual).zip(channels) {
            *y = E::narrow(finish((y.widen() - mean) * scale + shift, r.widen()));
        }
    }
    let k = Affine::of(affine.f32());
    let c = k.mean.len();
    let (y, x, residual) = (y.reals_mut::<E>(), x.map(Tensor::reals), residual.map(Tensor::reals::<E>));
    match (residual, relu) {
        // Without a residual, `k.mean` stands in for the unused argument: it is in the first-level cache anyway.
        (None, false) => for_rows(y, x, c, |_, y| row(y, &k, k.mean, |v, _| v)),
        (None, true) => for_rows(y, x, c, |_, y| row(y, &k, k.mean, |v, _| rectified(v))),
        (Some(r), false) => for_rows(y, x, c, |at, y| row(y, &k, &r[at..at + c], |v, r| v + r)),
        (Some(r), true) => for_rows(y, x, c, |at, y| row(y, &k, &r[at..at + c], |v, r| rectified(v + r))),
    }
}
// ANCHOR_END: normalise

/// The gradients of gamma and beta of one channel.
#[derive(Clone, Copy, Default)]
struct ChannelSums {
    dbeta: f64,
    dgamma: f64,
}

/// The addends of dbeta and dgamma: the masked gradient g and g (x - mean).
struct MaskedGradient<'a, E> {
    dy: &'a mut [E],
    x: &'a [E],
    affine: Affine<'a>,
    mask: Mask<'a, E>,
    mask_dy: bool,
}

impl<E: Real> Addends<2> for MaskedGradient<'_, E> {
    #[inline(always)]
    fn get<const L: usize>(&mut self, at: usize, c: usize) -> [[f32; L]; 2] {
        let (x, mean) = (lanes::<L, E>(self.x, at), lanes::<L, f32>(self.affine.mean, c));
        let distance: [f32; L] = std::array::from_fn(|l| x[l] - mean[l]);
        let dy = lanes::<L, E>(self.dy, at);
        let g: [f32; L] = match self.mask {
            Mask::Off => dy,
            Mask::Output(y) => {
                let y = lanes::<L, E>(y, at);
                std::array::from_fn(|l| pass(dy[l], y[l]))
            }
            Mask::Recomputed => {
                let [scale, shift] =
                    [self.affine.scale, self.affine.shift].map(|row| lanes::<L, f32>(row, c));
                std::array::from_fn(|l| pass(dy[l], distance[l] * scale[l] + shift[l]))
            }
        };
        if self.mask_dy {
            // A masked bf16 is 0 or the number itself: nothing is rounded.
            self.dy[at..at + L].copy_from_slice(&g.map(E::narrow));
        }
        [g, std::array::from_fn(|l| g[l] * distance[l])]
    }
}

/// Computes dbeta and dgamma of every channel. With `mask_dy`, also masks dy in place.
fn sums<E: Real>(
    device: &Device,
    dy: &mut [E],
    x: &[E],
    affine: &[f32],
    mask: Mask<'_, E>,
    mask_dy: bool,
) -> Vec<ChannelSums> {
    let affine = Affine::of(affine);
    let c = affine.mean.len();
    let step = sum_chunk_rows(c) * c;
    let mut sums = Tensor::scratch(device, [dy.len().div_ceil(step), 2, c]);
    let chunks = sums.f32_mut().par_chunks_mut(2 * c).zip(dy.par_chunks_mut(step)).enumerate();
    chunks.for_each(|(chunk, (sums, dy))| {
        let range = chunk * step..chunk * step + dy.len();
        let mask = match mask {
            Mask::Output(y) => Mask::Output(&y[range.clone()]),
            other => other,
        };
        let rows = dy.len() / c;
        sum_rows(&mut MaskedGradient { dy, x: &x[range], affine, mask, mask_dy }, rows, sums);
    });
    let sums = sums.f32();
    let mut channels = vec![ChannelSums::default(); c];
    channels.par_chunks_mut(COMBINE).enumerate().for_each(|(block, channels)| {
        let at = block * COMBINE;
        let width = channels.len();
        for sums in sums.chunks_exact(2 * c) {
            let pairs = sums[at..][..width].iter().zip(&sums[c + at..][..width]);
            for (channel, (&g, &g_distance)) in channels.iter_mut().zip(pairs) {
                channel.dbeta += f64::from(g);
                channel.dgamma += f64::from(g_distance);
            }
        }
        // Up to here dgamma is the sum of g (x - mean) with the rounded mean.
        for (i, channel) in channels.iter_mut().enumerate() {
            let (low, inv_std) = (f64::from(affine.low[at + i]), f64::from(affine.inv_std[at + i]));
            channel.dgamma = (channel.dgamma - low * channel.dbeta) * inv_std;
        }
    });
    channels
}

/// The sums over the ranks of `group`, added in rank order.
fn of_all(own: Vec<ChannelSums>, group: &Group) -> Result<Vec<ChannelSums>> {
    if group.ranks() == 1 {
        return Ok(own);
    }
    let own: Vec<[f64; 2]> = own.iter().map(|sums| [sums.dbeta, sums.dgamma]).collect();
    let mut all = vec![[0.0; 2]; group.ranks() * own.len()];
    group.gather("the gradients of a batch normalisation", &own, &mut all)?;
    let mut total = vec![ChannelSums::default(); own.len()];
    for rank in all.chunks_exact(own.len()) {
        for (total, [dbeta, dgamma]) in total.iter_mut().zip(rank) {
            total.dbeta += dbeta;
            total.dgamma += dgamma;
        }
    }
    Ok(total)
}

/// Computes the correction of dx by batch statistics, (x - mean) slope + offset: slope and offset are the rows of the
/// result, f32 `[2, C]`.
fn correct(device: &Device, affine: &[f32], sums: &[ChannelSums], rows: usize) -> Result<Tensor> {
    let k = Affine::of(affine);
    let mut correction = Tensor::empty(device, [2, sums.len()], DType::F32)?;
    let (slopes, offsets) = correction.f32_mut().split_at_mut(sums.len());
    for (i, (to_slope, to_offset)) in slopes.iter_mut().zip(offsets).enumerate() {
        let by = -f64::from(k.scale[i]) / rows as f64;
        let slope = by * sums[i].dgamma * f64::from(k.inv_std[i]);
        *to_slope = slope as f32;
        *to_offset = (by * sums[i].dbeta - slope * f64::from(k.low[i])) as f32;
    }
    Ok(correction)
}

// ANCHOR: batch_dx
/// Computes dx with batch statistics; without `x`, `dx` contains x and is overwritten. The mask is off or recomputed.
fn batch_dx<E: Real>(
    dx: &mut [E],
    x: Option<&[E]>,
    dy: &[E],
    affine: &[f32],
    correction: &[f32],
    mask: super::Mask,
) {
    let k = Affine::of(affine);
    let c = k.mean.len();
    let (slope, offset) = correction.split_at(c);
    let recomputed = mask == super::Mask::Recomputed;
    for_rows(dx, x, c, |at, row| {
        let (row, dy) = (&mut row[..c], &dy[at..at + c]);
        let (mean, scale, shift) = (&k.mean[..c], &k.scale[..c], &k.shift[..c]);
        let linear = |i: usize, x: f32, g: f32| scale[i] * g + ((x - mean[i]) * slope[i] + offset[i]);
        if recomputed {
            for i in 0..c {
                let x = row[i].widen();
                let y = (x - mean[i]) * scale[i] + shift[i];
                row[i] = E::narrow(linear(i, x, pass(dy[i].widen(), y)));
            }
        } else {
            for i in 0..c {
                row[i] = E::narrow(linear(i, row[i].widen(), dy[i].widen()));
            }
        }
    });
}
// ANCHOR_END: batch_dx

/// Computes dx = scale g; without `dy`, `dx` contains dy and is overwritten. The mask is off or the output's.
fn frozen_dx<E: Real>(dx: &mut [E], dy: Option<&[E]>, affine: &[f32], mask: Mask<'_, E>) {
    let scale = Affine::of(affine).scale;
    let c = scale.len();
    match mask {
        Mask::Output(y) => for_rows(dx, dy, c, |at, row| {
            let pairs = y[at..at + c].iter().zip(scale);
            let values = row.iter_mut().zip(pairs);
            values.for_each(|(g, (y, k))| *g = E::narrow(pass(g.widen() * k, y.widen())));
        }),
        _ => for_rows(dx, dy, c, |_, row| {
            row.iter_mut().zip(scale).for_each(|(g, k)| *g = E::narrow(g.widen() * k));
        }),
    }
}

/// Masks dy by the saved output, in place.
fn mask_in_place<E: Real>(dy: &mut [E], y: &[E]) {
    dy.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK)).for_each(|(dy, y)| {
        dy.iter_mut().zip(y).for_each(|(dy, y)| *dy = E::narrow(pass(dy.widen(), y.widen())));
    });
}
