//! The squared distances that rank a gallery: `eval::distance` on both devices.

mod kernel;

use crate::gradient_check::noise;
use crate::on;
use bcreid::device::Device;
use bcreid::eval::distance::{self, Block, Distances, Origin};

/// The share of the squared lengths below which a distance is summed from differences.
const CLOSE: f64 = distance::CLOSE as f64;

/// All distances, block by block of `rows` queries, row by row.
fn all(device: &Device, q: &[f32], g: &[f32], d: usize, rows: usize) -> Vec<f32> {
    let distances = Distances::new(q, g, d, device).unwrap().with_rows(rows);
    let (mut block, mut found) = (Block::default(), Vec::new());
    for index in 0..distances.blocks() {
        distances.compute(index, &mut block).unwrap();
        let (queries, new) = (block.queries(), block.new_queries());
        for query in new {
            found.extend(block.row(query - queries.start).pieces().flatten());
        }
    }
    found
}

/// Features of length 1, none negative.
fn features(seed: u64, rows: usize, d: usize) -> Vec<f32> {
    let of_length_one = |row: &[f32]| {
        let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        row.iter().map(|v| v.abs() / length).collect::<Vec<_>>()
    };
    noise(seed, rows * d).chunks(d).flat_map(of_length_one).collect()
}

/// Against sums of squared differences in f64. The error of a product is relative to the squared lengths of the rows
/// from where they are measured, `size`; pairs that are close beside that are exact to the last digits.
#[track_caller]
fn assert_distances(what: &str, ours: &[f32], q: &[f32], g: &[f32], d: usize, size: f64) {
    let squared = |q: &[f32], g: &[f32]| {
        q.iter().zip(g).map(|(&q, &g)| (f64::from(q) - f64::from(g)).powi(2)).sum::<f64>()
    };
    let exact = q.chunks(d).flat_map(|q| g.chunks(d).map(move |g| squared(q, g)));
    let tolerance = 6e-8 * (4.0 + 2.0 * (d as f64).sqrt());
    assert_eq!(ours.len(), q.len() / d * (g.len() / d), "{what}");
    for (i, (&ours, exact)) in ours.iter().zip(exact).enumerate() {
        let scale = if exact < 0.9 * CLOSE * 2.0 * size { exact } else { 2.0 * size.max(exact) };
        let error = (f64::from(ours) - exact).abs();
        assert!(
            ours >= 0.0 && error <= tolerance * scale,
            "{what}, distance {i}: {ours:e}, in f64 {exact:e}"
        );
    }
}

/// Whole tiles and pieces of them, rows that packs do not fit, more than one strip of a gallery, and blocks that leave
/// a rest, which then begins inside of the block before.
#[test]
fn every_distance_of_every_block() {
    on::each(|device| {
        for (queries, galleries, d, rows) in [
            (1, 1, 1, 1),
            (64, 64, 32, 64),
            (63, 65, 15, 16),
            (65, 129, 17, 65),
            (7, 70, 18, 3),
            (66, 7, 100, 64),
            (5, 68, 20, 2),
            (3, 61, 2050, 3),
            (9, 2100, 6, 4),
        ] {
            let (q, g) = (features(1, queries, d), features(2, galleries, d));
            let what = format!("{queries} x {galleries} of {d}");
            assert_distances(&what, &all(device, &q, &g, d, rows), &q, &g, d, 1.0);
        }
    });
}

/// Queries that are in the gallery, or nearly; rows that share an offset a thousand times as long as what tells them
/// apart.
#[test]
fn close_pairs_and_offset_rows_keep_their_digits() {
    on::each(|device| {
        for d in [5, 64, 203] {
            let q = features(3, 9, d);
            let near: Vec<f32> = q.iter().zip(noise(4, 9 * d)).map(|(q, v)| q + 1e-4 * v).collect();
            let g = [q.clone(), near].concat();
            let what = format!("nearly equal rows of {d}");
            assert_distances(&what, &all(device, &q, &g, d, 4), &q, &g, d, 1.0);

            // Pairs that are close beside their lengths, and so summed from differences, and pairs that are not.
            for spread in [1e-3, 0.08] {
                let around = |seed, rows: usize| -> Vec<f32> {
                    noise(seed, rows * d).iter().map(|v| 1.0 + spread * v).collect()
                };
                let (q, g) = (around(5, 7), around(6, 70));
                assert!(Origin::of(&g, d, false).offset().is_some(), "an origin of its own is what is meant");
                // From the gallery's own origin the rows are about as long as their distances: a third of the spread's
                // square for each feature, and some more in the longest row.
                let size = f64::from(spread).powi(2) * d as f64;
                let what = format!("rows of {d} around 1, spread {spread}");
                assert_distances(&what, &all(device, &q, &g, d, 4), &q, &g, d, size);
            }
        }
    });
}

/// Five rows again and again: bit for bit as far wherever they stand.
#[test]
fn equal_gallery_rows_are_equally_far_from_a_query() {
    on::each(|device| {
        for d in [48, 53, 203] {
            let rows = features(5, 5, d);
            let g: Vec<f32> = rows.iter().copied().cycle().take(150 * d).collect();
            for row in all(device, &features(6, 3, d), &g, d, 3).chunks(150) {
                let twin = (0..150).find(|&i| row[i].to_bits() != row[i % 5].to_bits());
                assert_eq!(twin, None, "rows of {d}");
            }
        }
    });
}
