//! t-SNE (van der Maaten and Hinton 2008; with a tree, van der Maaten 2014): features in two dimensions, so that near
//! images stay near. Distances between groups and sizes of groups have no meaning.
//!
//! The optimiser is that of the crate `bhtsne`. It sums some values in an order that depends on the threads, and draws
//! its start, so here each map is computed on one thread and starts from the two principal components: the same
//! features give the same bits, without a seed. The neighbours are exact, in all dimensions of the features.

use crate::eval::distance::squared_distance;
use crate::eval::pca;
use crate::{Error, Result};
use bhtsne::{Neighbor, tSNE};
use rayon::prelude::*;

/// Number of steps; the first quarter exaggerates the attraction twelvefold.
pub const STEPS: usize = 1000;
/// Perplexity if none is given, as in scikit-learn.
pub const PERPLEXITY: f64 = 30.0;
/// Accuracy of the sums over the tree, as in scikit-learn.
const THETA: f64 = 0.5;
/// Standard deviation of the start along the first component (Kobak and Berens 2019).
const START: f64 = 1e-4;
/// Least learning rate; otherwise it is the number of images. The crate's own rate leaves maps of 2,000 images
/// unfinished after [`STEPS`] steps: on one set the Kullback-Leibler divergence is 1.41, with this rate 1.00, and 0.97
/// with scikit-learn.
const LEAST_RATE: f64 = 200.0;

/// Checks that a map of `images` images can have this perplexity.
///
/// # Errors
/// [`Error::Data`] for a perplexity that is not a number of at least 1, or of more than a third of the other images.
pub fn check(perplexity: f64, images: usize) -> Result<()> {
    if !(perplexity.is_finite() && perplexity >= 1.0) {
        return Err(Error::Data(format!(
            "a perplexity of {perplexity}: give a number of at least 1, such as 30"
        )));
    }
    let most = images.saturating_sub(1) / 3;
    if perplexity <= most as f64 {
        return Ok(());
    }
    let instead = match most {
        0 => "a map needs at least 4 images".to_string(),
        _ => format!("give at most {most}"),
    };
    Err(Error::Data(format!(
        "a perplexity of {perplexity} needs {} images or more, and here are {images}; {instead}",
        3.0 * perplexity.ceil() + 1.0
    )))
}

/// Maps rows of `dim` values to two dimensions. `advance` is called after each of [`STEPS`] steps. Memory grows with
/// the number of rows times three times the perplexity; time is seconds for 2,000 rows.
///
/// # Errors
/// As [`check`]; no thread for the computation; a map that is not finite.
///
/// # Panics
/// If `dim` is 0 or does not divide the number of values.
pub fn project(
    values: &[f32],
    dim: usize,
    perplexity: f64,
    advance: &(dyn Fn() + Sync),
) -> Result<Vec<[f64; 2]>> {
    assert!(dim > 0 && values.len().is_multiple_of(dim));
    let images = values.len() / dim;
    check(perplexity, images)?;
    if values.chunks_exact(dim).all(|row| row == &values[..dim]) {
        // No two images repel each other, and the crate would divide by 0.
        return Ok(vec![[0.0; 2]; images]);
    }
    let neighbours = neighbours(values, dim, (3.0 * perplexity) as usize);
    let start = start(&pca::project(values, dim).points);
    let fit = || {
        let rows = vec![(); images];
        let mut map: tSNE<'_, f64, (), 2> = tSNE::new(&rows);
        map.perplexity(perplexity)
            .epochs(STEPS)
            .stop_lying_epoch(STEPS / 4)
            .momentum_switch_epoch(STEPS / 4)
            .learning_rate((images as f64).max(LEAST_RATE))
            .initial_embedding(start)
            .epoch_callback(|_, _| advance())
            .barnes_hut_with_neighbors(THETA, &neighbours);
        map.embedding()
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|e| Error::Device(format!("t-SNE: no thread for it: {e}")))?;
    let places = pool.install(fit);
    if places.iter().any(|place| !place.is_finite()) {
        return Err(Error::Data("t-SNE diverged on these features; draw their principal components".into()));
    }
    Ok(places.as_chunks::<2>().0.to_vec())
}

/// The `count` nearest other rows of each row, the earlier of equally near ones first.
fn neighbours(values: &[f32], dim: usize, count: usize) -> Vec<Vec<Neighbor<f64>>> {
    let of_row = |(row, own): (usize, &[f32])| {
        let others = values.chunks_exact(dim).enumerate().filter(|(other, _)| *other != row);
        let mut near: Vec<(f64, usize)> =
            others.map(|(other, values)| (squared_distance(own, values), other)).collect();
        let nearer = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if count < near.len() {
            near.select_nth_unstable_by(count, nearer);
            near.truncate(count);
        }
        near.sort_unstable_by(nearer);
        near.into_iter()
            .map(|(squared, index)| Neighbor { index, distance: squared.sqrt() })
            .collect::<Vec<_>>()
    };
    let mut all: Vec<Vec<Neighbor<f64>>> = values.par_chunks_exact(dim).enumerate().map(of_row).collect();
    // The search for the widths of the kernels starts at 1, whatever the unit of the features.
    let mean =
        all.iter().flatten().map(|near| near.distance).sum::<f64>() / (all.len() * count).max(1) as f64;
    if mean > 0.0 {
        all.iter_mut().flatten().for_each(|near| near.distance /= mean);
    }
    all
}

/// The first positions: the principal components, made small.
fn start(points: &[[f64; 2]]) -> Vec<f64> {
    let variance = points.iter().map(|point| point[0] * point[0]).sum::<f64>() / points.len().max(1) as f64;
    let scale = if variance > 0.0 { START / variance.sqrt() } else { 0.0 };
    points.iter().flatten().map(|place| scale * place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::philox::{Philox, RngStream};
    use std::sync::atomic::{AtomicUsize, Ordering};

    const DIM: usize = 20;

    /// `each` rows around each of three centres.
    fn clusters(each: u32) -> Vec<f32> {
        let draw = Philox::new(9, 0, 0, RngStream::Test);
        let rows = (0..3 * each).flat_map(|row| (0..DIM as u32).map(move |i| (row, i)));
        rows.map(|(row, i)| {
            let centre = if i % 3 == row % 3 { 4.0 } else { 0.0 };
            centre + draw.normal(row * DIM as u32 + i)
        })
        .collect()
    }

    fn map(values: &[f32], threads: usize) -> Vec<[f64; 2]> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| project(values, DIM, 10.0, &|| ())).unwrap()
    }

    #[test]
    fn neighbours_on_the_map_are_of_the_same_cluster() {
        let values = clusters(40);
        let steps = AtomicUsize::new(0);
        let advance = || {
            steps.fetch_add(1, Ordering::Relaxed);
        };
        let points = project(&values, DIM, 10.0, &advance).unwrap();
        assert_eq!(steps.into_inner(), STEPS);
        let squared = |a: usize, b: usize| {
            let (a, b) = (points[a], points[b]);
            (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)
        };
        for row in 0..points.len() {
            let mut others: Vec<usize> = (0..points.len()).filter(|other| *other != row).collect();
            others.sort_by(|a, b| squared(row, *a).total_cmp(&squared(row, *b)));
            assert!(others[..10].iter().all(|other| other % 3 == row % 3), "row {row}: {:?}", &others[..10]);
        }
        // The crate's own learning rate ends far below this.
        let farthest = points.iter().flatten().fold(0.0f64, |far, place| far.max(place.abs()));
        assert!((5.0..200.0).contains(&farthest), "{farthest}");
    }

    #[test]
    fn a_map_has_the_same_bits_on_any_number_of_threads() {
        let values = clusters(40);
        let bits = |points: Vec<[f64; 2]>| points.iter().flatten().map(|v| v.to_bits()).collect::<Vec<_>>();
        let one = bits(map(&values, 1));
        assert_eq!(one, bits(map(&values, 3)));
        assert_eq!(one, bits(map(&values, 1)));
        // A unit of the features does not matter.
        let large: Vec<f32> = values.iter().map(|v| v * 1024.0).collect();
        let (a, b) = (map(&values, 1), map(&large, 1));
        assert!(
            a.iter().flatten().zip(b.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-3 * a.abs().max(1.0))
        );
    }

    #[test]
    fn equal_rows_huge_values_and_few_rows() {
        assert_eq!(map(&vec![0.1; 40 * DIM], 1), [[0.0; 2]; 40]);
        let two: Vec<f32> = (0..80 * DIM).map(|i| if i < 40 * DIM { 0.1 } else { 0.2 }).collect();
        let two = map(&two, 1);
        let apart = ((two[0][0] - two[79][0]).powi(2) + (two[0][1] - two[79][1]).powi(2)).sqrt();
        assert!(apart > 1.0 && two[..40].iter().all(|place| *place == two[0]), "{apart}");
        let mut huge = clusters(20);
        huge[0] = 1e18;
        assert!(map(&huge, 1).iter().flatten().all(|place| place.is_finite()));
        let error = |perplexity: f64, rows: usize| {
            project(&vec![0.5; rows * DIM], DIM, perplexity, &|| ()).unwrap_err().to_string()
        };
        assert!(error(30.0, 90).contains("needs 91 images or more, and here are 90; give at most 29"));
        assert!(
            error(1.0, 3).contains("needs 4 images or more, and here are 3; a map needs at least 4 images")
        );
        assert!(project(&vec![0.5; 4 * DIM], DIM, 1.0, &|| ()).is_ok());
        for perplexity in [0.0, 0.9, -1.0, f64::NAN, f64::INFINITY] {
            assert!(error(perplexity, 90).contains("give a number of at least 1"), "{perplexity}");
        }
    }
}
