//! Held-out identities: a query and a gallery taken from the training images, for evaluation during training.

use super::Sample;
use crate::tensor::philox::{Philox, RngStream};
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};

/// The first word of the counter of these draws; a sweep draws its own identities with 0.
const DRAW: u64 = 1;

/// The training images without the held-out identities, and the images of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldOut {
    /// Images that stay in the training set, in their order.
    pub train: Vec<Sample>,
    /// One image of each held-out identity and camera with several, or of each identity without cameras.
    pub query: Vec<Sample>,
    /// The other images of the held-out identities.
    pub gallery: Vec<Sample>,
    /// The number of held-out identities.
    pub identities: usize,
    /// Whether the images were chosen by camera, so that each query has a match under another camera.
    pub by_camera: bool,
}

/// Holds out `identities` of the training images: a share below 1, or a number. The choice is a function of `seed`.
///
/// Identities with images under two cameras are drawn. One image of each of their cameras becomes a query, as in
/// Market-1501, unless it is the camera's only image; of an identity with one image per camera one image is the query.
/// If the cameras are unknown, or too few identities have two, identities with two images are drawn, and one image of
/// each is the query.
///
/// # Errors
/// [`Error::Data`] if fewer than two or more than half of the identities are asked for, or if too few have two images.
pub fn hold_out(train: &[Sample], identities: f32, seed: u64) -> Result<HeldOut> {
    let mut images_of: BTreeMap<i64, Vec<&Sample>> = BTreeMap::new();
    train.iter().for_each(|sample| images_of.entry(sample.pid).or_default().push(sample));
    let all = images_of.len();
    let wanted = match identities < 1.0 {
        true => ((all as f64 * f64::from(identities)).round() as usize).max(2),
        false => identities as usize,
    };
    if wanted < 2 || 2 * wanted > all {
        return Err(Error::Data(format!(
            "evaluation during training: {wanted} of {all} training identities are to be held out, and at least 2 and at \
             most half can be; set run.eval_identities, or run.eval_on = \"test\""
        )));
    }
    let persons: Vec<Person<'_>> = images_of.into_values().enumerate().map(Person::of).collect();
    let two_images = |person: &&Person| person.images.len() > 1;
    let two_cameras = |person: &&Person| two_images(person) && person.by_camera.len() > 1;
    let is_known = train.iter().all(|sample| sample.camid.is_some());
    let by_camera = is_known && persons.iter().filter(two_cameras).count() >= wanted;
    let mut eligible: Vec<&Person> = match by_camera {
        true => persons.iter().filter(two_cameras).collect(),
        false => persons.iter().filter(two_images).collect(),
    };
    if eligible.len() < wanted {
        return Err(Error::Data(format!(
            "evaluation during training: {wanted} identities are to be held out, and only {} of {all} have two images, \
             a query and its match; set a smaller run.eval_identities, or run.eval_on = \"test\"",
            eligible.len()
        )));
    }
    let order = Philox::new(seed, DRAW, 0, RngStream::Validation);
    eligible.sort_by_cached_key(|person| (order.word(person.number as u32), person.number));
    eligible.truncate(wanted);

    let (mut query, mut gallery) = (BTreeSet::new(), BTreeSet::new());
    for person in &eligible {
        let queries = person.queries(seed, by_camera);
        person.images.iter().for_each(|sample| {
            let part = if queries.contains(&sample.path) { &mut query } else { &mut gallery };
            part.insert(&sample.path);
        });
    }
    // In the order of the training images, whatever the order of the draw.
    let of =
        |part: &BTreeSet<_>| train.iter().filter(|sample| part.contains(&sample.path)).cloned().collect();
    let rest = |sample: &&Sample| !query.contains(&sample.path) && !gallery.contains(&sample.path);
    Ok(HeldOut {
        train: train.iter().filter(rest).cloned().collect(),
        query: of(&query),
        gallery: of(&gallery),
        identities: wanted,
        by_camera,
    })
}

/// The training images of an identity.
struct Person<'a> {
    /// The rank among all identities.
    number: usize,
    images: Vec<&'a Sample>,
    by_camera: BTreeMap<Option<i64>, Vec<&'a Sample>>,
}

impl<'a> Person<'a> {
    fn of((number, images): (usize, Vec<&'a Sample>)) -> Self {
        let mut by_camera: BTreeMap<Option<i64>, Vec<&Sample>> = BTreeMap::new();
        images.iter().for_each(|&sample| by_camera.entry(sample.camid).or_default().push(sample));
        Person { number, images, by_camera }
    }

    /// The images that become queries. The gallery keeps a match of each under another camera, or if cameras do not
    /// count any match.
    fn queries(&self, seed: u64, by_camera: bool) -> BTreeSet<&'a std::path::PathBuf> {
        let draws = Philox::new(seed, DRAW, 1 + self.number as u64, RngStream::Validation);
        let one_of = |which: usize, images: &[&'a Sample]| {
            &images[draws.below(which as u32, images.len() as u32) as usize].path
        };
        if !by_camera {
            return BTreeSet::from([one_of(0, &self.images)]);
        }
        let several = self.by_camera.values().enumerate().filter(|(_, images)| images.len() > 1);
        let queries: BTreeSet<_> = several.map(|(camera, images)| one_of(1 + camera, images)).collect();
        if queries.is_empty() { BTreeSet::from([one_of(0, &self.images)]) } else { queries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `images` of each identity under each camera.
    fn samples(identities: i64, cameras: &[Option<i64>], images: usize) -> Vec<Sample> {
        let sample = |pid: i64, camid: Option<i64>, i: usize| Sample {
            path: format!("{pid}_{}_{i}.jpg", camid.unwrap_or(0)).into(),
            pid,
            camid,
        };
        let of = |pid| cameras.iter().flat_map(move |&camid| (0..images).map(move |i| sample(pid, camid, i)));
        (1..=identities).flat_map(of).collect()
    }

    fn pids(samples: &[Sample]) -> BTreeSet<i64> {
        samples.iter().map(|sample| sample.pid).collect()
    }

    /// Whether each query has a gallery image of its identity, under another camera with `by_camera`.
    fn all_matched(held: &HeldOut) -> bool {
        let is_match = |q: &Sample, g: &Sample| g.pid == q.pid && (!held.by_camera || g.camid != q.camid);
        held.query.iter().all(|q| held.gallery.iter().any(|g| is_match(q, g)))
    }

    #[test]
    fn identities_leave_the_training_set_whole_and_every_image_is_somewhere() {
        let train = samples(20, &[Some(1), Some(2), Some(3)], 2);
        let held = hold_out(&train, 0.25, 7).unwrap();
        assert_eq!((held.identities, held.by_camera), (5, true));
        assert_eq!((held.query.len(), held.gallery.len(), held.train.len()), (15, 15, 90));
        assert_eq!(pids(&held.query), pids(&held.gallery));
        assert!(pids(&held.train).is_disjoint(&pids(&held.query)) && all_matched(&held));
        // One query of each identity and camera.
        let of: BTreeSet<_> = held.query.iter().map(|sample| (sample.pid, sample.camid)).collect();
        assert_eq!(of.len(), 15);
        assert_eq!(hold_out(&train, 5.0, 7).unwrap(), held, "a share and its number are one choice");
        assert_ne!(pids(&hold_out(&train, 5.0, 8).unwrap().query), pids(&held.query), "another seed");
        let mut turned = train.clone();
        turned.reverse();
        let turned = hold_out(&turned, 5.0, 7).unwrap();
        assert_eq!(pids(&turned.query), pids(&held.query), "the order of the files does not matter");
    }

    #[test]
    fn a_query_keeps_a_match_under_another_camera() {
        // One image under each of two cameras; then one camera has more.
        let mut train = samples(8, &[Some(1), Some(2)], 1);
        let held = hold_out(&train, 3.0, 1).unwrap();
        assert!(held.by_camera && held.query.len() == 3 && held.gallery.len() == 3 && all_matched(&held));
        train.extend((1..=8).map(|pid| Sample { path: format!("{pid}_x").into(), pid, camid: Some(1) }));
        let held = hold_out(&train, 4.0, 1).unwrap();
        assert!(held.query.iter().all(|query| query.camid == Some(1)), "camera 2 has one image each");
        assert!(held.by_camera && held.query.len() == 4 && all_matched(&held));
    }

    #[test]
    fn without_two_cameras_each_identity_has_one_query() {
        for cameras in [&[None][..], &[Some(4)]] {
            let held = hold_out(&samples(6, cameras, 3), 3.0, 0).unwrap();
            assert!(!held.by_camera && held.query.len() == 3 && held.gallery.len() == 6);
            assert!(all_matched(&held));
        }
    }

    #[test]
    fn too_few_identities_are_refused_and_single_images_stay() {
        let train = samples(9, &[Some(1), Some(2)], 2);
        for identities in [5.0, 1.0, 0.9] {
            let error = hold_out(&train, identities, 0).unwrap_err().to_string();
            assert!(error.contains("of 9 training identities") && error.contains("run.eval_on"), "{error}");
        }
        let single = samples(9, &[Some(1)], 1);
        let error = hold_out(&single, 2.0, 0).unwrap_err().to_string();
        assert!(error.contains("only 0 of 9 have two images"), "{error}");
        let mut mixed = single.clone();
        mixed.extend(samples(3, &[Some(2)], 1));
        let held = hold_out(&mixed, 2.0, 0).unwrap();
        assert!(held.by_camera && pids(&held.query).iter().all(|pid| *pid <= 3));
    }
}
