//! A range of the channels of an activation, and two activations with their channels side by side.
//!
//! [`take`]: y[.., k] = x[.., first + k]; dx is dy in these channels and 0 in the others. [`join`]: the channels of a,
//! then those of b; da and db are the two ranges of dy. Nothing is saved.
//!
//! Book: [chapter 14](../../../../../docs/book/src/14-launches.md) shows how an operation is added; no chapter explains
//! this one.

use crate::autograd::{Backward, Sinks, Tape, Var};
use crate::element::{DType, GradMode, Shape};
use crate::tensor::Tensor;
use crate::{Error, Result};
use std::ops::Range;

/// Takes the channels `range` of `x` `[.., C]`: `[.., range.len()]`.
///
/// # Errors
/// If the range is empty or reaches past C.
pub fn take(tape: &mut Tape<'_>, x: Var, range: Range<usize>) -> Result<Var> {
    let c = x.shape().last();
    if range.is_empty() || range.end > c {
        return Err(Error::shape(
            "channels",
            format!("the channels {range:?} of x {}: they must be one or more of its {c}", x.shape()),
        ));
    }
    let mut y = Tensor::empty(&tape.device(), with_channels(x.shape(), range.len()), x.value.dtype())?;
    copy(&x.value, range.start, &mut y, 0, range.len(), GradMode::Overwrite)?;
    Ok(tape.record(y, &[x.handle()], |_| TakeBackward { first: range.start }))
}

/// Joins `a` `[.., C]` and `b` `[.., D]`: `[.., C + D]`.
///
/// # Errors
/// If the other dimensions or the types differ.
pub fn join(tape: &mut Tape<'_>, a: Var, b: Var) -> Result<Var> {
    let (first, second) = (a.shape().last(), b.shape().last());
    let fits =
        with_channels(b.shape(), first).dims() == a.shape().dims() && a.value.dtype() == b.value.dtype();
    if !fits || first == 0 || second == 0 {
        return Err(Error::shape(
            "channels",
            format!(
                "{} {} and {} {} cannot lie side by side; all dimensions but the last, and the types, must agree",
                a.value.dtype(),
                a.shape(),
                b.value.dtype(),
                b.shape()
            ),
        ));
    }
    let mut y = Tensor::empty(&tape.device(), with_channels(a.shape(), first + second), a.value.dtype())?;
    copy(&a.value, 0, &mut y, 0, first, GradMode::Overwrite)?;
    copy(&b.value, 0, &mut y, first, second, GradMode::Overwrite)?;
    Ok(tape.record(y, &[a.handle(), b.handle()], |_| JoinBackward { first, second }))
}

/// The shape with another number of channels.
fn with_channels(shape: Shape, channels: usize) -> Shape {
    let mut dims = shape.dims().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = channels;
    }
    Shape::try_from(dims.as_slice()).expect("as many dimensions as before")
}

struct TakeBackward {
    first: usize,
}

impl Backward for TakeBackward {
    fn op(&self) -> &'static str {
        "channels_take"
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        let width = dy.shape().last();
        sinks.add(0, |dx, mode| match mode {
            GradMode::Overwrite => spread(&dy, dx, self.first),
            GradMode::Accumulate => copy(&dy, 0, dx, self.first, width, mode),
        })
    }
}

struct JoinBackward {
    first: usize,
    second: usize,
}

impl Backward for JoinBackward {
    fn op(&self) -> &'static str {
        "channels_join"
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        let JoinBackward { first, second } = *self;
        sinks.add(0, |da, mode| copy(&dy, 0, da, 0, first, mode))?;
        sinks.add(1, |db, mode| copy(&dy, first, db, 0, second, mode))
    }
}

/// Writes or adds `width` channels of each row, from channel `from_first` on to channel `to_first` on.
fn copy(
    from: &Tensor,
    from_first: usize,
    to: &mut Tensor,
    to_first: usize,
    width: usize,
    mode: GradMode,
) -> Result<()> {
    match from.gpu() {
        None => {
            cpu::copy(from, from_first, to, to_first, width, mode);
            Ok(())
        }
        Some(gpu) => cuda::copy(gpu, from, from_first, to, to_first, width, mode),
    }
}

/// Writes each row of `from` to the channels of `to` from `first` on, and 0 to its other channels.
fn spread(from: &Tensor, to: &mut Tensor, first: usize) -> Result<()> {
    match from.gpu() {
        None => {
            cpu::spread(from, to, first);
            Ok(())
        }
        Some(gpu) => cuda::spread(gpu, from, to, first),
    }
}

/// Number of rows of an activation.
fn rows(t: &Tensor) -> usize {
    t.shape().len() / t.shape().last()
}

/// Elements of a pack of 16 bytes.
fn pack(dtype: DType) -> usize {
    16 / dtype.bytes()
}

mod cpu {
    use crate::element::{GradMode, Real, with_real};
    use crate::tensor::Tensor;
    use rayon::prelude::*;

    /// Rows of a task.
    const ROWS: usize = 256;

    /// The rows of two tensors, side by side.
    fn rows<'a, E: Real>(
        from: &'a Tensor,
        to: &'a mut Tensor,
    ) -> impl IndexedParallelIterator<Item = (&'a mut [E], &'a [E])> {
        let (from_c, to_c) = (from.shape().last(), to.shape().last());
        let to = to.reals_mut::<E>().par_chunks_exact_mut(to_c);
        to.zip(from.reals::<E>().par_chunks_exact(from_c)).with_min_len(ROWS)
    }

    pub fn copy(
        from: &Tensor,
        from_first: usize,
        to: &mut Tensor,
        to_first: usize,
        width: usize,
        mode: GradMode,
    ) {
        with_real!(from, E => rows::<E>(from, to).for_each(|(to, from)| {
            let values = from[from_first..][..width].iter().map(|value| value.widen());
            mode.store(&mut to[to_first..][..width], values);
        }));
    }

    pub fn spread(from: &Tensor, to: &mut Tensor, first: usize) {
        let width = from.shape().last();
        with_real!(from, E => rows::<E>(from, to).for_each(|(to, from)| {
            to.fill(E::narrow(0.0));
            to[first..][..width].copy_from_slice(from);
        }));
    }
}

mod cuda {
    use super::{pack, rows};
    use crate::Result;
    use crate::device::cuda::{CudaDevice, kernels};
    use crate::element::GradMode;
    use crate::tensor::Tensor;

    pub fn copy(
        gpu: &CudaDevice,
        from: &Tensor,
        from_first: usize,
        to: &mut Tensor,
        to_first: usize,
        width: usize,
        mode: GradMode,
    ) -> Result<()> {
        let (n, dtype) = (rows(from), from.dtype());
        let (from_c, to_c) = (from.shape().last(), to.shape().last());
        let kernel = kernels::ChannelsCopy {
            from: from.into(),
            to: to.into(),
            accumulate: usize::from(mode == GradMode::Accumulate),
            rows: n,
            width,
            from_c,
            from_first,
            to_c,
            to_first,
        };
        gpu.launch(gpu.flat(n * width, pack(dtype)), kernel)
    }

    pub fn spread(gpu: &CudaDevice, from: &Tensor, to: &mut Tensor, first: usize) -> Result<()> {
        let (n, width, c, dtype) = (rows(from), from.shape().last(), to.shape().last(), from.dtype());
        let kernel = kernels::ChannelsSpread { from: from.into(), to: to.into(), rows: n, width, c, first };
        gpu.launch(gpu.flat(n * c, pack(dtype)), kernel)
    }
}
