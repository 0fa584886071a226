//! Activation maps of a list: a query and its nearest images, see [`crate::eval::activation`].

use super::heat;
use crate::Result;
use crate::data::decode::Rgb;
use crate::eval::activation::FeatureMap;
use crate::eval::extract::Extractor;
use std::collections::HashMap;
use std::path::PathBuf;

/// The maps of an image in this order, with their explanations.
pub const MAPS: [(&str, &str); 2] = [
    ("activation", "the sum of the squared channels of the last feature map"),
    (
        "similarity",
        "what brings the image near the query (Grad-CAM of the squared distance); for the query, near the first image",
    ),
];

/// The maps [`MAPS`] of a list of images over their pictures. `images[0]` is the query's, and `query` its feature. An
/// absent image has no maps.
///
/// # Errors
/// An image that cannot be read; an error of the device; a network with features of another length.
pub(super) fn of_list(
    extractor: &mut Extractor,
    query: &[f32],
    images: &[Option<(PathBuf, Rgb)>],
) -> Result<Vec<Vec<Rgb>>> {
    let present: Vec<&(PathBuf, Rgb)> = images.iter().flatten().collect();
    if present.is_empty() {
        return Ok(vec![Vec::new(); images.len()]);
    }
    let mut found: HashMap<usize, FeatureMap> =
        extractor.feature_maps(present.iter().map(|(file, _)| file.clone()).collect())?.into_iter().collect();
    let mut index = 0..;
    let maps: Vec<_> =
        images.iter().map(|image| image.as_ref().and_then(|_| found.remove(&index.next()?))).collect();
    // Without a first image the query is compared with itself: an empty map.
    let first: Option<Vec<f32>> =
        maps.get(1).and_then(Option::as_ref).map(|map| map.feature().iter().map(|v| *v as f32).collect());
    let mut all = Vec::with_capacity(images.len());
    for (row, (image, map)) in images.iter().zip(&maps).enumerate() {
        let (Some((_, picture)), Some(map)) = (image, map) else {
            all.push(Vec::new());
            continue;
        };
        let other = first.as_deref().filter(|_| row == 0).unwrap_or(query);
        all.push(vec![heat::over(picture, &map.strength()), heat::over(picture, &map.similarity(other)?)]);
    }
    Ok(all)
}
