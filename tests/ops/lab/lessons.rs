//! The three operations of the lab: inputs and expected outputs of their versions.

use super::super::gpu;
use super::claims::{Size, Version};
use super::slots::Slot;

/// One file of `cuda/lab`.
pub struct Lesson {
    pub stem: &'static str,
    /// What stands behind a name in a kernel's list of arguments.
    slot: fn(&str, &Size) -> Option<Slot>,
    /// The f32 outputs in the order of the arguments, in f64. An output that is k times as long is k parts of the sum.
    pub reference: fn(&Size) -> Vec<Vec<f64>>,
}

pub const LESSONS: [Lesson; 3] = [
    Lesson {
        stem: "lab/softmax_cross_entropy",
        slot: |name, &Size { m, n, .. }| {
            Some(match name {
                "logits" => Slot::noise(m * n),
                "labels" => Slot::labels(m, n),
                "losses" => Slot::Output(m),
                "partition" => Slot::Output(2 * m),
                "m" => Slot::value(m as i32),
                "n" => Slot::value(n as i32),
                _ => return None,
            })
        },
        reference: softmax_cross_entropy,
    },
    Lesson {
        stem: "lab/l2_normalize",
        slot: |name, &Size { m, n, .. }| {
            Some(match name {
                "x" => Slot::noise(m * n),
                "y" => Slot::Output(m * n),
                "norms" => Slot::Output(m),
                "m" => Slot::value(m as i32),
                "n" => Slot::value(n as i32),
                _ => return None,
            })
        },
        reference: l2_normalize,
    },
    Lesson {
        stem: "lab/batch_contrastive",
        slot: |name, &Size { m, n, .. }| {
            let tiles = m.div_ceil(16);
            let parts = n.div_ceil(64).min(1024usize.div_ceil(tiles * (tiles + 1)));
            Some(match name {
                "x" => Slot::noise(m * n),
                "distances" => Slot::Output(m * m),
                "partial" => Slot::Output(parts * m * m),
                "m" => Slot::value(m as i32),
                "n" => Slot::value(n as i32),
                _ => return None,
            })
        },
        reference: pair_distances,
    },
];

impl Lesson {
    /// The versions that the file describes, the one in use last.
    pub fn versions(&self) -> Result<Vec<Version>, String> {
        let path = gpu::source(self.stem);
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Version::all(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The arguments of a version.
    pub fn slots(&self, version: &Version, size: &Size) -> Result<Vec<Slot>, String> {
        let slot = |name: &String| {
            let unknown = || format!("{}: there is no argument called {name}", version.kernel);
            (self.slot)(name, size).ok_or_else(unknown)
        };
        version.arguments.iter().map(slot).collect()
    }
}

/// The rows of `m * n` noise, in f64.
fn rows(&Size { m, n, .. }: &Size) -> Vec<Vec<f64>> {
    let Slot::F32(values) = Slot::noise(m * n) else { unreachable!() };
    values.chunks(n).map(|row| row.iter().map(|&value| f64::from(value)).collect()).collect()
}

fn softmax_cross_entropy(size: &Size) -> Vec<Vec<f64>> {
    let Slot::I32(labels) = Slot::labels(size.m, size.n) else { unreachable!() };
    let (mut losses, mut partition) = (Vec::new(), Vec::new());
    for (row, label) in rows(size).iter().zip(labels) {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = row.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
        losses.push(log_sum - (row[label as usize] - max));
        partition.extend([max, log_sum]);
    }
    vec![losses, partition]
}

fn l2_normalize(size: &Size) -> Vec<Vec<f64>> {
    let rows = rows(size);
    let norms: Vec<f64> = rows.iter().map(|row| row.iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
    let scaled = |(row, norm): (&Vec<f64>, &f64)| row.iter().map(|x| x / norm.max(1e-12)).collect::<Vec<_>>();
    vec![rows.iter().zip(&norms).flat_map(scaled).collect(), norms]
}

fn pair_distances(size: &Size) -> Vec<Vec<f64>> {
    let rows = rows(size);
    let distance = |a: &Vec<f64>, b: &Vec<f64>| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    vec![rows.iter().flat_map(|a| rows.iter().map(|b| distance(a, b)).collect::<Vec<_>>()).collect()]
}
