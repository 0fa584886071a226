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
use crate::ranks::{Group, Share};
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
    /// without unreadable images that are left out; those are returned with their errors. The ranks of the device's group
    /// share the work: rank r of N computes batches r, r + N, .., and each rank gets all of them.
    ///
    /// # Errors
    /// An image that cannot be read, by name, unless such images are left out; an error of `take`, which ends the pass; a
    /// rank that fails.
    pub fn for_each_batch(
        &mut self,
        images: Images,
        options: StreamOptions,
        mut take: impl FnMut(&[usize], &[f32]) -> Result<()>,
    ) -> Result<Vec<(usize, Error)>> {
        let group = self.params.device().group();
        let Share { rank, ranks } = group.share();
        if ranks == 1 {
            return self.for_each_own_batch(images, options, take);
        }
        let (batch, dim, rounds) =
            (options.batch, self.model.features(), images.len().div_ceil(options.batch * ranks));
        let own: Vec<usize> = (0..images.len()).filter(|image| image / batch % ranks == rank).collect();
        let sizes = format!("{} images, {batch} a batch, {dim} values", images.len());
        group.require_equal(
            "the number of images",
            &sizes,
            "give each host the same data set and the same arguments",
        )?;
        let mut exchange = Exchange::new(group.clone(), batch, dim);
        let mut next = 0;
        let skipped = self.for_each_own_batch(images.part(&own), options, |images, features| {
            // A batch without a readable image is left out.
            for _ in next..images[0] / batch {
                exchange.round(&[], &[], &mut take)?;
            }
            next = images[0] / batch + 1;
            let images: Vec<usize> = images.iter().map(|&image| own[image]).collect();
            exchange.round(&images, features, &mut take)
        })?;
        // A rank that has no batch in the last round takes part with none.
        (next..rounds).try_for_each(|_| exchange.round(&[], &[], &mut take))?;
        let skipped = skipped.into_iter().map(|(image, error)| (own[image], error));
        exchange.skipped(skipped.collect())
    }

    /// As [`Frozen::for_each_batch`], by this rank alone.
    fn for_each_own_batch(
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

/// The exchange of features between ranks, one batch of each in a round.
struct Exchange {
    group: Group,
    /// The number of images of this rank's batch, and their numbers; of all ranks in turn.
    images: Vec<u64>,
    of_all: Vec<u64>,
    /// Features `[batch, D]`, of all ranks in turn.
    features: Vec<f32>,
    features_of_all: Vec<f32>,
    dim: usize,
}

impl Exchange {
    fn new(group: Group, batch: usize, dim: usize) -> Self {
        let ranks = group.ranks();
        Exchange {
            group,
            images: vec![0; 1 + batch],
            of_all: vec![0; ranks * (1 + batch)],
            features: vec![0.0; batch * dim],
            features_of_all: vec![0.0; ranks * batch * dim],
            dim,
        }
    }

    /// Passes the batches of all ranks to `take`, in rank order.
    fn round(
        &mut self,
        images: &[usize],
        features: &[f32],
        take: &mut impl FnMut(&[usize], &[f32]) -> Result<()>,
    ) -> Result<()> {
        self.images[0] = images.len() as u64;
        self.images[1..].iter_mut().zip(images).for_each(|(to, &image)| *to = image as u64);
        self.features[..features.len()].copy_from_slice(features);
        self.group.gather("the images of an extraction", &self.images, &mut self.of_all)?;
        self.group.gather("the features of an extraction", &self.features, &mut self.features_of_all)?;
        let of_ranks = self.of_all.chunks_exact(self.images.len());
        for (images, rows) in of_ranks.zip(self.features_of_all.chunks_exact(self.features.len())) {
            let count = images[0] as usize;
            let images: Vec<usize> = images[1..=count].iter().map(|&image| image as usize).collect();
            if count > 0 {
                take(&images, &rows[..count * self.dim])?;
            }
        }
        Ok(())
    }

    /// The images that were left out by all ranks, in their order. Of those of other ranks the error is its line.
    fn skipped(&self, own: Vec<(usize, Error)>) -> Result<Vec<(usize, Error)>> {
        let lines: Vec<(usize, String)> = own.iter().map(|(image, error)| (*image, error.line())).collect();
        // Numbers and texts always have a JSON form.
        let text = serde_json::to_string(&lines).unwrap_or_default();
        let mut all = Vec::new();
        for text in self.group.gather_texts("the images that are left out", &text)? {
            let lines: Vec<(usize, String)> = serde_json::from_str(&text)
                .map_err(|e| Error::Run(format!("the images that another rank left out: {e}")))?;
            all.extend(lines.into_iter().map(|(image, line)| (image, Error::Data(line))));
        }
        all.sort_by_key(|(image, _)| *image);
        Ok(all)
    }
}
