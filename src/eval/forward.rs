//! Features of a list of images by a network.

use crate::Result;
use crate::autograd::{Params, Tape, Var};
use crate::data::{ImageStream, Images, StreamOptions};
use crate::error::Error;
use crate::model::Model;
use crate::model::folded::FoldedResNet;
use crate::ops::add::add;
use crate::ops::batchnorm::Statistics;
use crate::ops::l2_normalize::l2_normalize;
use crate::tensor::{Download, Tensor};

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
