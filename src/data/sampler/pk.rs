//! The two orders of `Pk` epochs.
//!
//! By identities, each identity comes once an epoch: an epoch is a permutation of the identities, cut into groups of P,
//! and K images of each are drawn. This is fast-reid's `BalancedIdentitySampler` but for its preference of other
//! cameras. The images of a person with few images are shown more often than those of a person with many.
//!
//! By images, an identity comes as often as it has K images, so that images are shown about equally often: torchreid's
//! `RandomIdentitySampler` and fast-reid's `NaiveIdentitySampler`. The n_c images of identity c are shuffled and cut
//! into g_c = max(1, floor(n_c / K)) groups; what does not fill a group is left out of the epoch, and an identity with
//! fewer than K images repeats some. A batch has groups of P different identities, so that at most
//!
//! B = the largest number with sum_c min(g_c, B) >= P B
//!
//! batches can be made, and an epoch has these. (The samplers named above draw P identities with groups left until
//! there are fewer, so that the length of their epochs is random.) The groups are laid out one identity after the
//! other, in random order, at most B of one, and group number k goes to batch k mod B: neighbours in this order, thus
//! all groups of an identity, go to different batches. What remains behind P B groups is left out; at last the batches
//! are put into a random order.

use crate::tensor::philox::{Philox, RngStream};
use serde::{Deserialize, Serialize};

/// The order of the epochs of P identities with K images each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PkOrder {
    /// Each identity once an epoch.
    #[default]
    Identities,
    /// Each identity as often as it has K images.
    Images,
}

/// The image number whose random numbers order the batches.
const BATCHES: u64 = u32::MAX as u64;

/// Groups of K images of each identity.
pub(super) fn groups(members: &[(u64, Vec<usize>)], k: usize) -> Vec<usize> {
    members.iter().map(|(_, images)| (images.len() / k).max(1)).collect()
}

/// The batches of P groups of different identities that can be made; at least 1 of P or more identities.
pub(super) fn turns(groups: &[usize], p: usize) -> usize {
    let can_be_made = |batches: usize| groups.iter().map(|&g| g.min(batches)).sum::<usize>() >= p * batches;
    // The sum grows by fewer groups from each number to the next, so that the numbers that can be made are the first
    // ones.
    let (mut most, mut too_many) = (1, groups.iter().sum::<usize>() / p + 1);
    while most + 1 < too_many {
        let middle = most.midpoint(too_many);
        if can_be_made(middle) {
            most = middle;
        } else {
            too_many = middle;
        }
    }
    most
}

/// The images of an identity in the order of an epoch.
pub(super) fn images_of((class, images): &(u64, Vec<usize>), seed: u64, epoch: u64) -> Vec<usize> {
    let order = Philox::new(seed, epoch, 1 + class, RngStream::Sampler).permutation(images.len());
    order.iter().map(|&i| images[i as usize]).collect()
}

/// The images of an epoch of `turns` batches, batch after batch.
pub(super) fn by_images(
    members: &[(u64, Vec<usize>)],
    [p, k, turns]: [usize; 3],
    seed: u64,
    epoch: u64,
) -> Vec<u32> {
    let order = Philox::new(seed, epoch, 0, RngStream::Sampler).permutation(members.len());
    let groups = order.iter().flat_map(|&identity| {
        let member = &members[identity as usize];
        let images = images_of(member, seed, epoch);
        let count = (images.len() / k).max(1).min(turns);
        let group = move |g: usize| -> Vec<u32> {
            images.iter().cycle().skip(g * k).take(k).map(|&image| image as u32).collect()
        };
        (0..count).map(group)
    });
    let places = Philox::new(seed, epoch, BATCHES, RngStream::Sampler).permutation(turns);
    let mut shown = vec![0; p * k * turns];
    for (number, group) in groups.take(p * turns).enumerate() {
        let batch = places[number % turns] as usize;
        shown[(batch * p + number / turns) * k..][..k].copy_from_slice(&group);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::super::{Sampler, SamplerKind};
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// The batches of an epoch, and the classes of the images.
    fn epoch(counts: &[usize], p: usize, k: usize, seed: u64) -> (Vec<Vec<usize>>, Vec<i32>) {
        let labels: Vec<i32> =
            counts.iter().enumerate().flat_map(|(c, &n)| std::iter::repeat_n(c as i32, n)).collect();
        let kind = SamplerKind::Pk { identities: p, images: k, order: PkOrder::Images };
        let mut sampler = Sampler::new(kind, &labels, seed).unwrap();
        ((0..sampler.steps_per_epoch()).map(|step| sampler.batch(step)).collect(), labels)
    }

    #[test]
    fn an_identity_comes_as_often_as_it_has_groups_of_images() {
        let counts = [8, 8, 3, 17, 4, 9, 1, 12];
        // Groups of 4: 2, 2, 1, 4, 1, 2, 1, 3 are 16, of 2 identities a batch.
        let (batches, labels) = epoch(&counts, 2, 4, 5);
        assert_eq!(batches.len(), 8);
        let (mut groups, mut shown) = (BTreeMap::new(), BTreeMap::new());
        for batch in &batches {
            let classes: Vec<i32> = batch.chunks(4).map(|group| labels[group[0]]).collect();
            assert!(classes[0] != classes[1]);
            for (group, class) in batch.chunks(4).zip(classes) {
                assert!(group.iter().all(|&image| labels[image] == class));
                let different = group.iter().collect::<BTreeSet<_>>().len();
                assert_eq!(different, counts[class as usize].min(4));
                *groups.entry(class).or_insert(0) += 1;
                group.iter().for_each(|&image| *shown.entry(image).or_insert(0) += 1);
            }
        }
        assert_eq!(groups.values().copied().collect::<Vec<_>>(), [2, 2, 1, 4, 1, 2, 1, 3]);
        // Only identities with fewer images than a group show one twice.
        assert!(shown.iter().all(|(&image, &times)| times == 1 || counts[labels[image] as usize] < 4));
        assert_ne!(epoch(&counts, 2, 4, 6).0, batches);
    }

    /// An identity with most of the images is in every batch, and no more often.
    #[test]
    fn an_epoch_ends_when_there_are_too_few_identities() {
        assert_eq!(turns(&[100, 3, 2, 1], 2), 6);
        assert_eq!(turns(&[1, 1, 1], 2), 1);
        assert_eq!(turns(&[5, 5, 5], 3), 5);
        assert_eq!(turns(&[4, 4, 4, 1], 2), 6);
        let (batches, labels) = epoch(&[400, 12, 8, 4], 2, 4, 1);
        assert_eq!(batches.len(), 6);
        for batch in &batches {
            let classes: BTreeSet<i32> = batch.iter().map(|&image| labels[image]).collect();
            assert!(classes.len() == 2 && classes.contains(&0), "{classes:?}");
        }
    }

    /// The number of batches by the definition, for random groups.
    #[test]
    fn the_number_of_batches_is_the_largest_possible() {
        let stream = Philox::new(1, 0, 0, RngStream::Test);
        for case in 0..200 {
            let n = 2 + stream.below(3 * case, 7) as usize;
            let groups: Vec<usize> =
                (0..n).map(|i| 1 + stream.below(1000 + 8 * case + i as u32, 9) as usize).collect();
            let p = 1 + stream.below(3 * case + 1, n as u32) as usize;
            let enough = |b: &usize| groups.iter().map(|&g| g.min(*b)).sum::<usize>() >= p * b;
            assert_eq!(turns(&groups, p), (1..100).filter(enough).max().unwrap(), "{groups:?}, P {p}");
        }
    }

    /// In the order of identities an image of a person with few images comes more often.
    #[test]
    fn images_come_about_equally_often() {
        let counts = [40, 4, 16, 20, 4, 12, 8, 4];
        let spread = |order: PkOrder| {
            let labels: Vec<i32> =
                counts.iter().enumerate().flat_map(|(c, &n)| std::iter::repeat_n(c as i32, n)).collect();
            let kind = SamplerKind::Pk { identities: 2, images: 4, order };
            let mut sampler = Sampler::new(kind, &labels, 3).unwrap();
            let mut shown = vec![0.0; counts.len()];
            for step in 0..20 * sampler.steps_per_epoch() {
                sampler.batch(step).into_iter().for_each(|image| shown[labels[image] as usize] += 1.0);
            }
            let per_image = shown.iter().zip(counts).map(|(shown, n)| shown / n as f64);
            let (low, high) = per_image.fold((f64::MAX, 0.0_f64), |(low, high), x| (low.min(x), high.max(x)));
            high / low
        };
        assert!(spread(PkOrder::Identities) > 5.0);
        assert!(spread(PkOrder::Images) < 1.2, "{}", spread(PkOrder::Images));
    }
}
