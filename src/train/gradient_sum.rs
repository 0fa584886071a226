//! The sum of the gradients over the ranks.
//!
//! Gradients of many parameters are packed into buckets, so that a network of 160 parameters needs a few large messages
//! and not 160 small ones. The order of the parameters, and so the place of each sum, is the same on all ranks.
//!
//! Book: [chapter 20](../../../../../docs/book/src/20-many-ranks.md).

use crate::Result;
use crate::autograd::Params;
use crate::element::{Real, bf16};
use crate::ranks::Group;
use crate::tensor::Tensor;
use std::ops::Range;

/// Bytes of a bucket: the default of PyTorch's DistributedDataParallel.
const BUCKET: usize = 25 << 20;
/// The name of this work in errors.
const WHAT: &str = "the sum of the gradients";

/// Replaces the gradient of each parameter that is updated by its sum over the ranks. Gradients of one type have sums in
/// f32, rounded once.
///
/// # Errors
/// A rank that fails; too little memory for a bucket.
pub(super) fn sum(params: &mut Params, group: &Group) -> Result<()> {
    if group.ranks() == 1 {
        return Ok(());
    }
    sum_of::<f32>(params, group)?;
    sum_of::<bf16>(params, group)
}

/// The sums of the gradients of one type.
fn sum_of<E: Real>(params: &mut Params, group: &Group) -> Result<()> {
    let is_of_type = |i: &usize| {
        let param = &params.params()[*i];
        param.is_updated() && param.grad.dtype() == E::DTYPE
    };
    let chosen: Vec<usize> = (0..params.params().len()).filter(is_of_type).collect();
    let sizes = chosen.iter().map(|&i| params.params()[i].grad.shape().len());
    let room = (BUCKET / size_of::<E>()).min(sizes.sum());
    if room == 0 {
        return Ok(());
    }
    let device = params.device().clone();
    let mut bucket = Tensor::empty(&device, [room], E::DTYPE)?;
    let mut scratch = Tensor::empty(&device, [group.sum_scratch(room)], E::DTYPE)?;
    let (mut pieces, mut filled) = (Vec::new(), 0);
    for (number, &i) in chosen.iter().enumerate() {
        let (size, mut at) = (params.params()[i].grad.shape().len(), 0);
        while at < size {
            let count = (size - at).min(room - filled);
            let from = &params.params()[i].grad.reals::<E>()[at..at + count];
            bucket.reals_mut::<E>()[filled..filled + count].copy_from_slice(from);
            pieces.push(Piece { param: i, elements: at..at + count });
            (at, filled) = (at + count, filled + count);
            if filled == room || (number + 1 == chosen.len() && at == size) {
                let values = &mut bucket.reals_mut::<E>()[..filled];
                group.sum(WHAT, values, scratch.reals_mut())?;
                unpack(params, &pieces, values);
                pieces.clear();
                filled = 0;
            }
        }
    }
    Ok(())
}

/// A part of a parameter's gradient in a bucket.
struct Piece {
    param: usize,
    elements: Range<usize>,
}

/// Copies the sums of a bucket back to the gradients.
fn unpack<E: Real>(params: &mut Params, pieces: &[Piece], mut sums: &[E]) {
    for Piece { param, elements } in pieces {
        let (own, rest) = sums.split_at(elements.len());
        params.params_mut()[*param].grad.reals_mut::<E>()[elements.clone()].copy_from_slice(own);
        sums = rest;
    }
}
