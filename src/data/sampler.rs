//! Samplers: the images of each training step, a pure function of (seed, step), so that a resumed run needs only the
//! step's number.
//!
//! - `Random`: every batch is drawn anew from all images, none twice in one batch ("the randomly selected
//!   images in current batch", algorithm 1 of the paper).
//! - `Epochs`: an epoch is a permutation of the training set, cut into batches; the remainder that does not fill a
//!   batch is left out of that epoch.
//! - `Pk`: P identities with K images each, the usual batches of pair and triplet losses (Hermans et al., "In Defense
//!   of the Triplet Loss", 2017). An epoch is ordered by identities or by images ([`PkOrder`], `pk`). Of an identity
//!   with fewer than K images, every image occurs before any of them occurs again (common implementations draw with
//!   replacement, which repeats some images and omits others).
//! - `Pairs`: images and their partners, a share of which shows the same identity (`pairs`).
//!
//! Step s of `Random` draws from Philox(seed, s, 0, [`RngStream::Sampler`]); epoch e of the others from
//! Philox(seed, e, i, same stream): i = 0 orders the epoch, i = 1 + c picks the images of class c (`Pk`), i = 1 + k the
//! partner of image k (`Pairs`), and i = 2^32 - 1 orders the batches of a `Pk` epoch by images.
//!
//! Book: [chapter 17](../../../../../docs/book/src/17-data.md).

mod pairs;
mod pk;
mod shares;

pub use pk::PkOrder;

use crate::console::counted;
use crate::ops::unlabelled::UNLABELLED;
use crate::tensor::philox::{Philox, RngStream};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The kind of a sampler, with the size of its batches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SamplerKind {
    /// Random images, drawn anew for every batch, as in the paper.
    Random {
        /// Images in a batch.
        batch: usize,
    },
    /// Shuffled epochs: every image once before any image again.
    Epochs {
        /// Images in a batch.
        batch: usize,
    },
    /// Random identities with the same number of images each.
    Pk {
        /// P: identities in a batch.
        identities: usize,
        /// K: images of an identity.
        images: usize,
        /// The order of an epoch.
        order: PkOrder,
    },
    /// Images and their partners: image i and image n + i of a batch of 2 n are a pair.
    Pairs {
        /// n: pairs of a batch.
        pairs: usize,
        /// Share of pairs of one identity in the first epoch.
        positive: f32,
        /// Factor of this share from an epoch to the next.
        decay: f32,
        /// The smallest share.
        least: f32,
    },
}

impl SamplerKind {
    /// Images in a batch.
    pub fn batch(&self) -> usize {
        match *self {
            SamplerKind::Random { batch } | SamplerKind::Epochs { batch } => batch,
            SamplerKind::Pk { identities, images, .. } => identities.saturating_mul(images),
            SamplerKind::Pairs { pairs, .. } => pairs.saturating_mul(2),
        }
    }
}

/// A sampler of the batches of a training set.
#[derive(Clone, Debug)]
pub struct Sampler {
    kind: SamplerKind,
    seed: u64,
    /// Class and images of every identity with images, by class.
    members: Vec<(u64, Vec<usize>)>,
    /// Images without an identity.
    unlabelled: usize,
    images: usize,
    /// The newest epoch and its order.
    memo: Option<(u64, Vec<u32>)>,
    /// Steps of an epoch.
    turns: u64,
}

impl Sampler {
    /// A sampler of images whose classes are `labels`.
    ///
    /// # Errors
    /// A batch without images or larger than the training set; more identities in a `Pk` batch than in the training
    /// set, or fewer than two; more pairs than images.
    pub fn new(kind: SamplerKind, labels: &[i32], seed: u64) -> Result<Self> {
        let mut members: std::collections::BTreeMap<i32, Vec<usize>> = Default::default();
        for (image, &label) in labels.iter().enumerate().filter(|(_, label)| **label != UNLABELLED) {
            members.entry(label).or_default().push(image);
        }
        let unlabelled = labels.iter().filter(|label| **label == UNLABELLED).count();
        let refuse = |what: String| Err(Error::Config(what));
        match kind {
            SamplerKind::Pk { .. } | SamplerKind::Pairs { .. } if unlabelled > 0 => {
                return refuse(
                    "images without identities (data.unlabelled) need data.sampler=random or epochs: pk and pairs \
                     choose images by their identities"
                        .into(),
                );
            }
            SamplerKind::Random { batch: 0 } | SamplerKind::Epochs { batch: 0 } => {
                return refuse("solver.batch is 0; set at least 1".into());
            }
            SamplerKind::Random { batch } | SamplerKind::Epochs { batch } if batch > labels.len() => {
                let n = labels.len();
                return refuse(format!(
                    "solver.batch is {batch}, but the training set holds only {}; set at most {n}",
                    counted(n, "image")
                ));
            }
            SamplerKind::Random { .. } | SamplerKind::Epochs { .. } => {}
            SamplerKind::Pk { images: 0, .. } => {
                return refuse("data.pk_images is 0; set at least 1".into());
            }
            SamplerKind::Pk { images, .. } if images > 4096 => {
                return refuse(format!("data.pk_images is {images}; set at most 4096"));
            }
            SamplerKind::Pk { identities: identities @ (0 | 1), images, .. } => {
                return refuse(format!(
                    "solver.batch {} with data.sampler=pk and data.pk_images {images} gives batches of fewer than 2 \
                     identities, which have no negative pairs; set solver.batch to at least {}",
                    identities * images,
                    2 * images
                ));
            }
            SamplerKind::Pk { identities, images, .. } if identities > members.len() => {
                let n = members.len();
                return refuse(format!(
                    "data.sampler=pk with data.pk_images {images} makes batches of {identities} identities of \
                     solver.batch {}, but the training set has only {n}; set solver.batch to at most {}, raise \
                     data.pk_images, or set data.sampler=random",
                    kind.batch(),
                    images.saturating_mul(n)
                ));
            }
            SamplerKind::Pk { .. } => {}
            SamplerKind::Pairs { pairs, positive, decay, least } => {
                pairs::check(pairs, [positive, decay, least], labels.len(), members.len())?;
            }
        }
        let members: Vec<(u64, Vec<usize>)> =
            members.into_iter().map(|(label, images)| (label as u64, images)).collect();
        let turns = (match kind {
            SamplerKind::Random { batch } | SamplerKind::Epochs { batch } => labels.len() / batch,
            SamplerKind::Pk { identities, order: PkOrder::Identities, .. } => members.len() / identities,
            SamplerKind::Pk { identities, images, order: PkOrder::Images } => {
                pk::turns(&pk::groups(&members, images), identities)
            }
            SamplerKind::Pairs { pairs, .. } => labels.len() / pairs,
        }) as u64;
        Ok(Sampler { kind, seed, members, unlabelled, images: labels.len(), memo: None, turns })
    }

    /// Steps of an epoch; with `Random`, the number of whole batches in the training set.
    pub fn steps_per_epoch(&self) -> u64 {
        self.turns
    }

    /// Images in a batch.
    pub fn batch_size(&self) -> usize {
        self.kind.batch()
    }

    /// The indices of a step's images, in the order of the batch. (`&mut` because the epoch's order is cached.)
    pub fn batch(&mut self, step: u64) -> Vec<usize> {
        let epoch = step / self.turns;
        let turn = (step % self.turns) as usize;
        let of_turn = |order: &[u32], m: usize| -> Vec<usize> {
            order[turn * m..][..m].iter().map(|&image| image as usize).collect()
        };
        match self.kind {
            // ANCHOR: random
            SamplerKind::Random { batch } => {
                let draw = Philox::new(self.seed, step, 0, RngStream::Sampler);
                draw.distinct(batch, self.images).into_iter().map(|image| image as usize).collect()
            }
            // ANCHOR_END: random
            SamplerKind::Epochs { batch } => {
                let images = self.images;
                of_turn(self.order(epoch, |first, _| first.permutation(images)), batch)
            }
            SamplerKind::Pk { identities, images, order: PkOrder::Identities } => {
                let n = self.members.len();
                let chosen = of_turn(self.order(epoch, |first, _| first.permutation(n)), identities);
                chosen.into_iter().flat_map(|i| self.pick(epoch, i, images)).collect()
            }
            SamplerKind::Pk { identities, images, order: PkOrder::Images } => {
                let turns = self.turns as usize;
                let order = self.order(epoch, |_, sampler| {
                    pk::by_images(&sampler.members, [identities, images, turns], sampler.seed, epoch)
                });
                of_turn(order, identities * images)
            }
            SamplerKind::Pairs { pairs, positive, decay, least } => {
                let share = pairs::share(positive, decay, least, epoch);
                let order = self.order(epoch, |_, sampler| {
                    pairs::order(&sampler.members, pairs, share, sampler.seed, epoch)
                });
                of_turn(order, 2 * pairs)
            }
        }
    }

    // ANCHOR: order
    /// The order of an epoch; `make` computes it from the numbers that order the epoch.
    fn order(&mut self, epoch: u64, make: impl FnOnce(Philox, &Self) -> Vec<u32>) -> &[u32] {
        if self.memo.as_ref().is_none_or(|(remembered, _)| *remembered != epoch) {
            let first = Philox::new(self.seed, epoch, 0, RngStream::Sampler);
            self.memo = Some((epoch, make(first, self)));
        }
        &self.memo.as_ref().expect("filled above").1
    }
    // ANCHOR_END: order

    /// `k` images of one identity: a permutation of all its images, repeated until there are `k`.
    fn pick(&self, epoch: u64, identity: usize, k: usize) -> Vec<usize> {
        let order = pk::images_of(&self.members[identity], self.seed, epoch);
        order.iter().copied().cycle().take(k).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn pk(identities: usize, images: usize) -> SamplerKind {
        SamplerKind::Pk { identities, images, order: PkOrder::Identities }
    }

    #[test]
    fn an_epoch_shows_no_image_twice_and_the_next_one_another_order() {
        let labels = vec![0; 103];
        let mut sampler = Sampler::new(SamplerKind::Epochs { batch: 10 }, &labels, 5).unwrap();
        assert_eq!(sampler.steps_per_epoch(), 10);
        let epochs: Vec<Vec<usize>> =
            (0..3).map(|e| (10 * e..10 * e + 10).flat_map(|s| sampler.batch(s)).collect()).collect();
        for epoch in &epochs {
            assert_eq!(epoch.iter().collect::<BTreeSet<_>>().len(), 100);
        }
        assert_ne!(epochs[0], epochs[1]);
        let left_out = |epoch: &Vec<usize>| (0..103).filter(|i| !epoch.contains(i)).collect::<Vec<_>>();
        assert_ne!(left_out(&epochs[0]), left_out(&epochs[1]));
    }

    #[test]
    fn a_random_batch_holds_no_image_twice_and_is_drawn_without_epochs() {
        let labels = vec![0; 40];
        let mut sampler = Sampler::new(SamplerKind::Random { batch: 10 }, &labels, 5).unwrap();
        let mut shown = [0; 40];
        for step in 0..400 {
            let batch = sampler.batch(step);
            assert_eq!(batch.iter().collect::<BTreeSet<_>>().len(), 10);
            batch.into_iter().for_each(|image| shown[image] += 1);
        }
        // Epochs would show each exactly 100 times; drawn anew, the deviation is sqrt(400 / 4 * 3 / 4) = 9.
        assert!(shown.iter().all(|count| (60..140).contains(count)), "{shown:?}");
        assert!(shown.iter().any(|&count| count != 100), "{shown:?}");
    }

    #[test]
    fn a_batch_depends_on_seed_and_step_alone() {
        let labels: Vec<i32> = (0..60).map(|i| i % 7).collect();
        for kind in [
            SamplerKind::Random { batch: 9 },
            SamplerKind::Epochs { batch: 9 },
            SamplerKind::Pk { identities: 3, images: 4, order: PkOrder::Identities },
            SamplerKind::Pk { identities: 3, images: 4, order: PkOrder::Images },
            SamplerKind::Pairs { pairs: 5, positive: 0.5, decay: 0.9, least: 0.2 },
        ] {
            let mut walked = Sampler::new(kind, &labels, 1).unwrap();
            let batches: Vec<Vec<usize>> = (0..40).map(|s| walked.batch(s)).collect();
            for step in [39, 0, 17, 6, 7] {
                assert_eq!(Sampler::new(kind, &labels, 1).unwrap().batch(step), batches[step as usize]);
            }
            assert_ne!(Sampler::new(kind, &labels, 2).unwrap().batch(0), batches[0]);
        }
    }

    #[test]
    fn pk_takes_k_images_of_each_of_p_identities() {
        // Class c has c + 1 images, and class 3 none.
        let labels: Vec<i32> =
            [0, 1, 2, 4, 5, 6].iter().flat_map(|&c| std::iter::repeat_n(c, c as usize + 1)).collect();
        let mut sampler = Sampler::new(pk(2, 4), &labels, 3).unwrap();
        assert_eq!(sampler.steps_per_epoch(), 3);
        let mut shown = BTreeSet::new();
        for step in 0..3 {
            let batch = sampler.batch(step);
            assert_eq!(batch.len(), 8);
            for of_one in batch.chunks(4) {
                let class = labels[of_one[0]];
                assert!(of_one.iter().all(|&i| labels[i] == class));
                assert!(shown.insert(class), "identity {class} twice in an epoch");
                let different = of_one.iter().collect::<BTreeSet<_>>().len();
                assert_eq!(different, 4.min(class as usize + 1));
            }
        }
        assert_eq!(shown.len(), 6);
    }

    #[test]
    fn the_share_of_batches_without_pairs() {
        let share = |batch: usize, labels: &[i32]| {
            Sampler::new(SamplerKind::Random { batch }, labels, 0).unwrap().share_without_pairs()
        };
        // Of the six pairs of images of the classes 0, 0, 1, 2 one shows one identity.
        assert!((share(2, &[0, 0, 1, 2]) - 5.0 / 6.0).abs() < 1e-12);
        assert!((share(3, &[0, 0, 1, 2]) - 0.5).abs() < 1e-12);
        assert_eq!(share(4, &[0, 0, 1, 2]), 0.0);
        assert!((share(3, &[0, 1, 2, 3]) - 1.0).abs() < 1e-9);
        // Market-1501: 751 identities with about 17 images each.
        let market: Vec<i32> = (0..12_936).map(|i| i % 751).collect();
        let expected = share(16, &market);
        let mut sampler = Sampler::new(SamplerKind::Random { batch: 16 }, &market, 1).unwrap();
        let is_without = |step: u64| {
            let classes: BTreeSet<i32> = sampler.batch(step).into_iter().map(|image| market[image]).collect();
            classes.len() == 16
        };
        let drawn = (0..4000).map(is_without).filter(|without| *without).count() as f64 / 4000.0;
        assert!((drawn - expected).abs() < 0.03 && expected > 0.8, "{drawn}, expected {expected}");
        assert!(share(1024, &market) < 1e-100);
    }

    #[test]
    fn the_share_of_pairs_of_one_identity() {
        let labels = [0, 0, 0, 1, 1, 2, 3, 3];
        // Of 28 pairs of images three show identity 0, one 1 and one 3.
        let epochs = SamplerKind::Epochs { batch: 4 };
        let mut sampler = Sampler::new(epochs, &labels, 1).unwrap();
        assert!((sampler.share_of_equal_pairs() - 5.0 / 28.0).abs() < 1e-12);
        let batches: Vec<Vec<usize>> = (0..4000).map(|step| sampler.batch(step)).collect();
        let pairs = batches.iter().flat_map(|b| [(b[0], b[2]), (b[1], b[3])]);
        let equal = pairs.filter(|&(a, b)| labels[a] == labels[b]).count() as f64 / 8000.0;
        assert!((equal - 5.0 / 28.0).abs() < 0.02, "{equal}");
        // No half holds a person of the other half.
        for (identities, images) in [(2, 2), (3, 2), (2, 3), (4, 1), (3, 4)] {
            let mut sampler =
                Sampler::new(SamplerKind::Pk { identities, images, order: PkOrder::Identities }, &labels, 1)
                    .unwrap();
            assert_eq!(sampler.share_of_equal_pairs(), 0.0);
            let batch = sampler.batch(0);
            let half = batch.len() / 2;
            assert!((0..half).all(|i| labels[batch[i]] != labels[batch[i + half]]));
        }
    }

    #[test]
    fn impossible_batches_are_refused() {
        let labels = [0, 0, 0, 1, 1, 2];
        for (kind, words) in [
            (SamplerKind::Random { batch: 0 }, ["solver.batch is 0", "at least 1"]),
            (SamplerKind::Random { batch: 7 }, ["solver.batch is 7", "only 6 images; set at most 6"]),
            (pk(4, 2), ["solver.batch 8", "only 3; set solver.batch to at most 6"]),
            (pk(1, 2), ["fewer than 2", "solver.batch to at least 4"]),
            (pk(2, 0), ["data.pk_images is 0", "at least 1"]),
            (pk(2, 5000), ["data.pk_images is 5000", "at most 4096"]),
        ] {
            let error = Sampler::new(kind, &labels, 0).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{kind:?}: {error}");
        }
        Sampler::new(SamplerKind::Random { batch: 6 }, &labels, 0).unwrap();
        for kind in [pk(2, 1), SamplerKind::Pairs { pairs: 1, positive: 0.5, decay: 1.0, least: 0.2 }] {
            let error = Sampler::new(kind, &[0, 0, 1, 1, -1], 0).unwrap_err().to_string();
            assert!(error.contains("data.unlabelled") && error.contains("random or epochs"), "{error}");
        }
    }

    /// Images without an identity are drawn as the others, and are no partners.
    #[test]
    fn images_without_an_identity_enter_batches() {
        let labels = [0, -1, 0, 1, -1, 2];
        let mut sampler = Sampler::new(SamplerKind::Epochs { batch: 3 }, &labels, 1).unwrap();
        let mut epoch: Vec<usize> = (0..2).flat_map(|step| sampler.batch(step)).collect();
        epoch.sort_unstable();
        assert_eq!(epoch, [0, 1, 2, 3, 4, 5]);
        // One of the fifteen pairs of images shows one identity.
        let pairs = Sampler::new(SamplerKind::Random { batch: 2 }, &labels, 1).unwrap();
        assert!((pairs.share_without_pairs() - 14.0 / 15.0).abs() < 1e-12);
    }
}
