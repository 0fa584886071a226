//! Features of a list of images by a network.

use crate::Result;
use crate::autograd::{Params, Tape};
use crate::data::{ImageStream, Images, StreamOptions};
use crate::error::Error;
use crate::model::Model;
use crate::ops::add::add;
use crate::ops::l2_normalize::l2_normalize;
use crate::tensor::{Download, Tensor};

/// Passes the indices and the normalised features of `images` to `take` in their order, a batch `[m, D]` at a time,
/// without unreadable images that are left out; those are returned with their errors. The parameters are not changed.
///
/// # Errors
/// An image that cannot be read, by name, unless such images are left out; an error of `take`, which ends the pass.
pub(super) fn for_each_batch(
    model: &Model,
    params: &mut Params,
    images: Images,
    options: StreamOptions,
    mut take: impl FnMut(&[usize], &[f32]) -> Result<()>,
) -> Result<Vec<(usize, Error)>> {
    // A GPU computes one batch while the next is uploaded.
    let mut pending: Option<(Vec<usize>, Download)> = None;
    let mut finish = |pending: Option<(Vec<usize>, Download)>| {
        pending.map_or(Ok(()), |(images, pending)| take(&images, &pending.wait()?))
    };
    let mut stream = ImageStream::of(images, options, &params.device().clone())?;
    for batch in stream.by_ref() {
        let batch = batch?;
        let features = normalised(model, params, batch.pixels, batch.mirrored)?.download_async()?;
        finish(pending.replace((batch.images, features)))?;
    }
    finish(pending)?;
    Ok(stream.take_skipped())
}

/// Computes normalised features `[m, D]` from pixels `[m, H, W, 3]` and optional mirrored pixels of that shape.
fn normalised(
    model: &Model,
    params: &mut Params,
    pixels: Tensor,
    mirrored: Option<Tensor>,
) -> Result<Tensor> {
    let mut tape = Tape::no_grad(params)?;
    let pixels = tape.constant(pixels);
    let mut features = model.embed(&mut tape, pixels)?;
    if let Some(mirrored) = mirrored {
        let mirrored = tape.constant(mirrored);
        let other = model.embed(&mut tape, mirrored)?;
        features = add(&mut tape, features, other)?;
    }
    Ok(l2_normalize(&mut tape, features)?.value)
}
