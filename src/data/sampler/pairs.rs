//! Batches of pairs for a verification loss (Zheng, Zheng, Yang, "A Discriminatively Learned CNN Embedding for Person
//! Re-identification", 2016).
//!
//! An epoch is a permutation of the training set, cut into n images for each batch, and each of these images gets a
//! partner: image i and image n + i of a batch of 2 n are a pair. The first round(s n) pairs of a batch show the same
//! identity, the others two different ones; the partner is uniform among the other images of the identity, or among all
//! images of other identities. An identity with one image is its own partner, in another random view.
//!
//! The share of pairs of one identity in epoch e is s = max(least, positive decay^e), and `positive` if that is below
//! `least`. The authors' code takes 1 / min(5, 2
//! x 1.01^e): positive 0.5, decay 1 / 1.01, least 0.2.

use crate::console::counted;
use crate::tensor::philox::{Philox, RngStream};
use crate::{Error, Result};

/// Checks the settings for a training set.
///
/// # Errors
/// No pair or more pairs than images; fewer than two identities; a share or a factor that is not 0 to 1.
pub(super) fn check(
    pairs: usize,
    [positive, decay, least]: [f32; 3],
    images: usize,
    identities: usize,
) -> Result<()> {
    let fault = if pairs == 0 {
        "data.sampler=pairs needs solver.batch of at least 2".into()
    } else if pairs > images {
        format!(
            "data.sampler=pairs makes {pairs} pairs of solver.batch {}, but the training set holds only {}; set \
             solver.batch to at most {}",
            pairs.saturating_mul(2),
            counted(images, "image"),
            2 * images
        )
    } else if identities < 2 {
        "data.sampler=pairs needs images of two identities".into()
    } else if ![positive, decay, least].iter().all(|value| (0.0..=1.0).contains(value)) {
        format!(
            "data.pairs_positive {positive}, data.pairs_decay {decay}, data.pairs_least {least}: choose 0 to 1 for each"
        )
    } else {
        return Ok(());
    };
    Err(Error::Config(fault))
}

/// The share of pairs of one identity in an epoch.
pub(super) fn share(positive: f32, decay: f32, least: f32, epoch: u64) -> f64 {
    let (mut share, decay, least) = (f64::from(positive), f64::from(decay), f64::from(least.min(positive)));
    if decay < 1.0 {
        // One product after the other, whose bits are those of every machine; `powi` does not promise that.
        for _ in 0..epoch {
            if share <= least {
                break;
            }
            share *= decay;
        }
    }
    share.max(least)
}

/// Pairs of one identity among `pairs`.
fn positives(pairs: usize, share: f64) -> usize {
    ((share * pairs as f64).round() as usize).min(pairs)
}

/// The images of an epoch, batch after batch: n images, and their partners.
pub(super) fn order(
    members: &[(u64, Vec<usize>)],
    pairs: usize,
    share: f64,
    seed: u64,
    epoch: u64,
) -> Vec<u32> {
    let by_class: Vec<usize> = members.iter().flat_map(|(_, images)| images.iter().copied()).collect();
    let n = by_class.len();
    // Where the images of each image's class begin in `by_class`, their number, and the place of the image among them.
    let mut place_of = vec![(0, 0, 0); n];
    let mut begin = 0;
    for (_, images) in members {
        for (place, &image) in images.iter().enumerate() {
            place_of[image] = (begin, images.len(), place);
        }
        begin += images.len();
    }
    let partner = |image: usize, same: bool| {
        let draw = Philox::new(seed, epoch, 1 + image as u64, RngStream::Sampler);
        let (begin, count, place) = place_of[image];
        if same && count == 1 {
            return image;
        }
        let among = if same { count - 1 } else { n - count };
        let drawn = draw.below(0, among as u32) as usize;
        match same {
            true => by_class[begin + drawn + usize::from(drawn >= place)],
            false => by_class[if drawn < begin { drawn } else { drawn + count }],
        }
    };
    let first = Philox::new(seed, epoch, 0, RngStream::Sampler).permutation(n);
    let positive = positives(pairs, share);
    let batches = first.chunks_exact(pairs).flat_map(|images| {
        let partners =
            images.iter().enumerate().map(|(i, &image)| partner(image as usize, i < positive) as u32);
        images.iter().copied().chain(partners.collect::<Vec<u32>>())
    });
    batches.collect()
}

/// Expected share of batches without two images of one identity in a pair, at the first epoch's share of positive
/// pairs: all their images would be the only ones of their identities.
pub(super) fn share_without_positive(members: &[(u64, Vec<usize>)], pairs: usize, positive: f32) -> f64 {
    let images: usize = members.iter().map(|(_, images)| images.len()).sum();
    let single = members.iter().filter(|(_, images)| images.len() == 1).count();
    (single as f64 / images as f64).powf(positives(pairs, f64::from(positive)) as f64)
}

#[cfg(test)]
mod tests {
    use super::super::{Sampler, SamplerKind};
    use super::*;
    use std::collections::BTreeSet;

    /// Identities 0 to 4 with 6, 1, 3, 5, 4 images, mixed.
    const LABELS: [i32; 19] = [0, 3, 2, 0, 1, 4, 0, 3, 3, 2, 4, 0, 0, 3, 4, 2, 0, 4, 3];

    fn sampler(pairs: usize, positive: f32, decay: f32, least: f32) -> Sampler {
        Sampler::new(SamplerKind::Pairs { pairs, positive, decay, least }, &LABELS, 7).unwrap()
    }

    #[test]
    fn the_first_pairs_of_a_batch_show_one_identity_and_the_others_two() {
        let mut sampler = sampler(4, 0.5, 1.0, 0.2);
        assert_eq!((sampler.steps_per_epoch(), sampler.batch_size()), (4, 8));
        let mut partners = [BTreeSet::new(), BTreeSet::new()];
        for epoch in 0..100 {
            let mut first = BTreeSet::new();
            for turn in 0..4 {
                let batch = sampler.batch(4 * epoch + turn);
                assert_eq!(batch.len(), 8);
                for i in 0..4 {
                    let (image, partner) = (batch[i], batch[4 + i]);
                    assert!(first.insert(image), "image {image} twice in an epoch");
                    assert_eq!(LABELS[image] == LABELS[partner], i < 2);
                    assert!(
                        image != partner || image == 4,
                        "only the one image of identity 1 is its own partner"
                    );
                    if image == 0 {
                        partners[usize::from(i < 2)].insert(partner);
                    }
                }
            }
        }
        let others: BTreeSet<usize> = (0..19).filter(|&i| LABELS[i] != 0).collect();
        assert_eq!(partners[1], BTreeSet::from([3, 6, 11, 12, 16]));
        assert!(partners[0].is_subset(&others) && partners[0].len() > 9, "{partners:?}");
    }

    #[test]
    fn the_share_of_positive_pairs_falls_as_the_authors_does() {
        for epoch in [0, 1, 10, 50, 92, 93, 1000] {
            let theirs = 1.0 / (2.0 * 1.01_f64.powi(epoch)).min(5.0);
            let ours = share(0.5, 1.0 / 1.01, 0.2, epoch as u64);
            assert!((ours - theirs).abs() < 1e-6, "epoch {epoch}: {ours}, {theirs}");
        }
        assert_eq!(share(0.5, 1.0, 0.2, u64::MAX), 0.5);
        assert_eq!(share(0.0, 0.9, 0.0, u64::MAX), 0.0);
        let count = |sampler: &mut Sampler, step: u64| {
            let batch = sampler.batch(step);
            (0..9).filter(|&i| LABELS[batch[i]] == LABELS[batch[9 + i]]).count()
        };
        let mut falling = sampler(9, 1.0, 0.5, 0.1);
        let counts: Vec<usize> = (0..5).map(|epoch| count(&mut falling, 2 * epoch)).collect();
        assert_eq!(counts, [9, 5, 2, 1, 1]);
    }

    #[test]
    fn batches_without_positive_pairs() {
        assert_eq!(sampler(4, 0.0, 1.0, 0.0).share_without_pairs(), 1.0);
        assert!((sampler(4, 0.5, 1.0, 0.0).share_without_pairs() - (1.0_f64 / 19.0).powi(2)).abs() < 1e-12);
        let single = SamplerKind::Pairs { pairs: 2, positive: 1.0, decay: 1.0, least: 0.0 };
        assert_eq!(Sampler::new(single, &[0, 1, 2], 0).unwrap().share_without_pairs(), 1.0);
    }

    #[test]
    fn impossible_pairs_are_refused() {
        let refused = |pairs, positive, labels: &[i32]| {
            let kind = SamplerKind::Pairs { pairs, positive, decay: 1.0, least: 0.0 };
            Sampler::new(kind, labels, 0).unwrap_err().to_string()
        };
        assert!(refused(0, 0.5, &LABELS).contains("at least 2"));
        assert!(refused(20, 0.5, &LABELS).contains("only 19 images; set solver.batch to at most 38"));
        assert!(refused(1, 0.5, &[3, 3]).contains("two identities"));
        assert!(refused(1, 1.5, &LABELS).contains("data.pairs_positive 1.5"));
        assert!(refused(1, f32::NAN, &LABELS).contains("0 to 1"));
    }
}
