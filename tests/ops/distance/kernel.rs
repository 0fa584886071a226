//! The kernels of `cuda/distance.cu`: tiles inside of longer rows, other blocks, orders of threads.

use super::{CLOSE, features};
use crate::gpu::{self, Gpu, Outcome, close};
use crate::gradient_check::noise;
use bcreid::eval::distance::cuda::{STRIP, TILE};
use softcuda::{Arg, Launch, args};

/// The values between and behind the rows of a tile, which the kernel must not write.
const UNTOUCHED: f32 = -7.0;

struct Case {
    q: Vec<f32>,
    g: Vec<f32>,
    d: usize,
    /// Distances in front of a row of the tile, and behind.
    around: [usize; 2],
    /// Threads of a block of `distance_squared_lengths`.
    block: u32,
    /// What is subtracted from every row.
    offset: Option<Vec<f32>>,
}

impl Case {
    fn new(q: Vec<f32>, g: Vec<f32>, d: usize) -> Self {
        Case { q, g, d, around: [0, 0], block: 64, offset: None }
    }

    fn sizes(&self) -> (usize, usize) {
        (self.q.len() / self.d, self.g.len() / self.d)
    }

    /// Squared lengths of the gallery's rows, and all distances, row by row.
    fn run(&self, gpu: &Gpu) -> Outcome<(Vec<f32>, Vec<f32>)> {
        let ((queries, galleries), d) = (self.sizes(), self.d as i32);
        let [before, behind] = self.around;
        let stride = before + galleries + behind;
        let (q, g) = (gpu.upload("q", &self.q)?, gpu.upload("g", &self.g)?);
        let q_squared = gpu.unwritten::<f32>("q_squared", queries)?;
        let g_squared = gpu.unwritten::<f32>("g_squared", galleries)?;
        let offset = self.offset.as_ref().map(|row| gpu.upload("offset", row)).transpose()?;
        for (x, squared, rows) in [(&q, &q_squared, queries), (&g, &g_squared, galleries)] {
            let launch = Launch::new(rows.div_ceil(self.block as usize / 32) as u32, self.block);
            let offset = offset.as_ref().map_or(Arg::Pointer(0), Arg::from);
            gpu.launch("distance_squared_lengths", launch, args![x, offset, squared, rows as i32, d])?;
        }
        let tile = gpu.upload("distances", &vec![UNTOUCHED; queries * stride])?;
        let launch = Launch::new((galleries.div_ceil(TILE) as u32, queries.div_ceil(TILE) as u32), 256);
        let arguments = args![
            &q,
            &g,
            &q_squared,
            &g_squared,
            tile.at(before),
            queries as i32,
            galleries as i32,
            d,
            stride as u64
        ];
        gpu.launch("distance_tile", launch, arguments)?;
        let launch = Launch::new((galleries.div_ceil(STRIP) as u32, queries as u32), 256);
        let arguments =
            args![&q, &g, &q_squared, &g_squared, tile.at(before), galleries as i32, d, stride as u64];
        gpu.launch("distance_close", launch, arguments)?;
        let mut distances = Vec::new();
        for row in gpu.read(&tile)?.chunks(stride) {
            if row[..before].iter().chain(&row[before + galleries..]).any(|&v| v != UNTOUCHED) {
                return Err("something is written beside the tile".into());
            }
            distances.extend(&row[before..before + galleries]);
        }
        Ok((gpu.read(&g_squared)?, distances))
    }

    fn check(&self, gpu: &Gpu) -> Outcome {
        let (lengths, distances) = self.run(gpu)?;
        let f64s = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let shifted = |values: &[f32]| {
            let offset = self.offset.iter().flatten().cycle();
            let offset = offset.map(|&v| f64::from(v)).chain(std::iter::repeat(0.0));
            f64s(values).into_iter().zip(offset).map(|(v, offset)| v - offset).collect::<Vec<_>>()
        };
        let (q, g) = (shifted(&self.q), shifted(&self.g));
        let squared = |row: &[f64]| row.iter().map(|v| v * v).sum::<f64>();
        let want_lengths: Vec<f64> = g.chunks(self.d).map(squared).collect();
        let longest = q.chunks(self.d).chain(g.chunks(self.d)).map(squared).fold(f64::MIN_POSITIVE, f64::max);
        let mut want = Vec::new();
        for q in q.chunks(self.d) {
            want.extend(g.chunks(self.d).map(|g| q.iter().zip(g).map(|(q, g)| (q - g).powi(2)).sum::<f64>()));
        }
        // A product adds d terms one after another, each time rounding by half a unit of the sum so far at most, and
        // errors of either sign add up like their root. What is lost is relative to the squared lengths, not to the
        // distance: that is the price of the product form where q and g nearly agree.
        let tolerance = 6e-8 * (4.0 + 2.0 * (self.d as f64).sqrt());
        close("squared lengths", &lengths, &want_lengths, tolerance, f64::MIN_POSITIVE)?;
        close("distances", &distances, &want, tolerance, 2.0 * longest)?;
        if let Some(negative) = distances.iter().find(|&&squared| squared < 0.0) {
            return Err(format!("a squared distance of {negative}").into());
        }
        // Close pairs are sums of differences, whose error is relative to the distance.
        let q_lengths = q.chunks(self.d).map(squared);
        let both = q_lengths.flat_map(|q2| want_lengths.iter().map(move |g2| q2 + g2));
        for ((&squared, &want), lengths) in distances.iter().zip(&want).zip(both) {
            if want < 0.9 * CLOSE * lengths && (f64::from(squared) - want).abs() > tolerance * want {
                return Err(format!("a close pair at {squared:e} instead of {want:e}").into());
            }
        }
        Ok(())
    }
}

fn every_case(gpu: &Gpu) -> Outcome {
    for (queries, galleries, d, around, block) in [
        // One of everything; whole tiles and pieces; one more and one less; rows that packs do not fit.
        (1, 1, 1, [0, 0], 32),
        (64, 64, 32, [0, 0], 64),
        (63, 65, 15, [0, 0], 96),
        (65, 129, 17, [1, 2], 128),
        (3, 70, 18, [2, 0], 32),
        (66, 7, 100, [4, 5], 256),
        // A tile inside of longer rows, which packs fit and do not fit.
        (5, 68, 20, [4, 8], 64),
        (5, 68, 20, [3, 1], 64),
        // Many features, many rows.
        (3, 61, 4095, [0, 0], 1024),
        (2, 64, 4096, [0, 1], 32),
        (1024, 3, 2, [0, 0], 64),
        (2, 1024, 5, [0, 0], 512),
    ] {
        let case = Case::new(features(1, queries, d), features(2, galleries, d), d);
        Case { around, block, ..case }.check(gpu)?;
    }
    Ok(())
}

#[test]
fn distances() {
    gpu::run("distance", every_case);
}

/// Rows that share an offset a thousand times as long as what tells them apart, or lie in two clusters.
fn offset_rows(gpu: &Gpu) -> Outcome {
    for d in [3, 20, 131] {
        let around = |seed, rows: usize, at: f32| -> Vec<f32> {
            noise(seed, rows * d).iter().map(|v| at + 1e-3 * v).collect()
        };
        let near = Case::new(around(8, 5, 1.0), around(9, 70, 1.0), d);
        Case { offset: Some(vec![1.0; d]), around: [1, 2], ..near }.check(gpu)?;
        let both = |seed, rows| [around(seed, rows, 1.0), around(seed + 1, rows, -1.0)].concat();
        Case::new(both(10, 3), both(12, 150), d).check(gpu)?;
    }
    Ok(())
}

#[test]
fn rows_that_are_long_beside_their_distances() {
    gpu::run("distance", offset_rows);
}

/// Zero vectors are as far from each other as they are, NaN shows wherever its row takes part, and lengths of very
/// different size keep their own digits.
fn extremes(gpu: &Gpu) -> Outcome {
    let d = 18;
    let row = noise(7, d);
    let zero = vec![0.0; d];
    let huge: Vec<f32> = row.iter().map(|v| v * 1e8).collect();
    let mut nan = row.clone();
    nan[17] = f32::NAN;
    let q = [zero.clone(), nan.clone(), row.clone()].concat();
    let (lengths, distances) = Case::new(q, [zero, row.clone(), nan, huge.clone()].concat(), d).run(gpu)?;
    let squared = |row: &[f32]| row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
    let (n, one, other) = (f64::NAN, squared(&row), squared(&huge));
    let between = row.iter().zip(&huge).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>();
    close("squared lengths", &lengths, &[0.0, one, n, other], 1e-6, 0.0)?;
    close("from zero", &distances[..4], &[0.0, one, n, other], 1e-6, 0.0)?;
    close("from NaN", &distances[4..8], &[n; 4], 0.0, 0.0)?;
    close("from a row", &distances[8..], &[one, 0.0, n, between], 1e-6, one)
}

#[test]
fn zero_nan_and_huge_rows() {
    gpu::run("distance", extremes);
}
