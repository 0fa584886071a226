//! Features of a list of images by a network.

use crate::Result;
use crate::autograd::{Params, Tape, Var};
use crate::data::{ImageCache, ImageStream, Images, StreamOptions};
use crate::error::Error;
use crate::model::Model;
use crate::model::folded::FoldedResNet;
use crate::ops::add::add;
use crate::ops::batchnorm::Statistics;
use crate::ops::l2_normalize::l2_normalize;
use crate::ranks::Share;
use crate::tensor::{Download, Tensor};
use std::ops::Range;
use std::sync::Arc;

/// A network with running statistics.
pub(super) struct Frozen<'n> {
    pub model: &'n Model,
    /// The backbone for the CPU, if it can be folded.
    pub folded: Option<&'n FoldedResNet>,
    /// The parameters, which are not changed.
    pub params: &'n mut Params,
}

impl Frozen<'_> {
    /// Passes the indices and the normalised features of `images` to `take` in their order, a batch `[m, D]` at a time,
    /// without unreadable images that are left out; those are returned with their errors.
    ///
    /// # Errors
    /// An image that cannot be read, by name, unless such images are left out; an error of `take`, which ends the pass.
    pub fn for_each_batch(
        &mut self,
        images: Images,
        options: StreamOptions,
        mut take: impl FnMut(&[usize], &[f32]) -> Result<()>,
    ) -> Result<Vec<(usize, Error)>> {
        // A GPU computes one batch while the next is uploaded.
        let mut pending: Option<(Vec<usize>, Download)> = None;
        let mut finish = |pending: Option<(Vec<usize>, Download)>| {
            pending.map_or(Ok(()), |(images, pending)| take(&images, &pending.wait()?))
        };
        let mut stream = ImageStream::of(images, options, &self.params.device().clone())?;
        for batch in stream.by_ref() {
            let batch = batch?;
            let features = self.normalised(batch.pixels, batch.mirrored)?.download_async()?;
            finish(pending.replace((batch.images, features)))?;
        }
        finish(pending)?;
        Ok(stream.take_skipped())
    }

    /// As [`Frozen::for_each_batch`], for the images `in_cache` of a cache, which the ranks of the device's group share:
    /// rank r computes batches r, r + N, .. of N ranks, and `take` gets all batches in their order on each rank.
    ///
    /// # Errors
    /// As [`Frozen::for_each_batch`]; a rank that fails.
    pub fn for_each_batch_of_all(
        &mut self,
        cache: &Arc<ImageCache>,
        in_cache: &[usize],
        options: StreamOptions,
        mut take: impl FnMut(Range<usize>, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let group = self.params.device().group();
        let Share { rank, ranks } = group.share();
        let (batch, dim) = (options.batch, self.model.features());
        let own = in_cache.chunks(batch).skip(rank).step_by(ranks).flatten().copied().collect();
        let mut padded = vec![0.0; batch * dim];
        let mut all = vec![0.0; ranks * batch * dim];
        let mut next = 0;
        // One batch of each rank.
        let mut exchange = |features: &[f32]| {
            padded[..features.len()].copy_from_slice(features);
            group.gather("the features of an evaluation", &padded, &mut all)?;
            for rows in all.chunks_exact(batch * dim) {
                let images = next..in_cache.len().min(next + batch);
                take(images.clone(), &rows[..images.len() * dim])?;
                next = images.end;
            }
            Ok(())
        };
        let mut done = 0;
        self.for_each_batch(Images::Cached(cache.clone(), own), options, |_, features| {
            done += 1;
            exchange(features)
        })?;
        // A rank that has no batch in the last round takes part with none.
        let rounds = in_cache.len().div_ceil(batch).div_ceil(ranks);
        (done..rounds).try_for_each(|_| exchange(&[]))
    }

    /// Computes the last feature map of pixels `[m, H, W, 3]`.
    pub fn feature_map(&mut self, pixels: Tensor) -> Result<Tensor> {
        let mut tape = Tape::no_grad(self.params)?;
        Ok(feature_map(self.model, self.folded, &mut tape, pixels)?.value)
    }

    /// Computes normalised features `[m, D]` from pixels `[m, H, W, 3]` and optional mirrored pixels of that shape.
    fn normalised(&mut self, pixels: Tensor, mirrored: Option<Tensor>) -> Result<Tensor> {
        let mut tape = Tape::no_grad(self.params)?;
        let embed = |tape: &mut Tape<'_>, pixels| {
            let map = feature_map(self.model, self.folded, tape, pixels)?;
            self.model.embed_map(tape, map)
        };
        let mut features = embed(&mut tape, pixels)?;
        if let Some(mirrored) = mirrored {
            let other = embed(&mut tape, mirrored)?;
            features = add(&mut tape, features, other)?;
        }
        Ok(l2_normalize(&mut tape, features)?.value)
    }
}

fn feature_map(
    model: &Model,
    folded: Option<&FoldedResNet>,
    tape: &mut Tape<'_>,
    pixels: Tensor,
) -> Result<Var> {
    let pixels = tape.constant(pixels);
    match folded {
        Some(folded) => folded.feature_map(tape, pixels),
        None => model.backbone.feature_map(tape, pixels, Statistics::Frozen),
    }
}
