//! Re-ranking at the size of Market-1501: 3,368 queries, 15,913 gallery images, 2,048 values each.
//!
//! `cargo bench --bench rerank [-- QUERIES GALLERY DIM ROUNDS]` prints the time of each phase and the process's
//! peak of resident memory, features included. With `--save DIR` it writes the features for
//! `benches/rerank_numpy.py`, to be timed on the same numbers.
//!
//! Images are drawn around persons in a space of few dimensions and mapped to features by a random layer with ReLU. So
//! persons overlap, and images have reciprocal neighbours of their own person and of others; independent random
//! features would have none.

use bcreid::device::Device;
use bcreid::eval::distance::Block;
use bcreid::eval::rerank::{Neighbours, Rerank, Reranked};
use bcreid::tensor::philox::{Philox, RngStream};
use bcreid::weights::Features;
use rayon::prelude::*;
use std::path::Path;
use std::time::Instant;

/// Identities of Market-1501's test part.
const IDENTITIES: usize = 750;
/// Distractors: gallery images of persons without a query, 2,798 of 15,913.
const DISTRACTORS: f64 = 0.1758;
/// Dimensions of the space in which persons differ.
const LATENT: usize = 24;
/// Spread of a person's images, relative to the spread of persons.
const SPREAD: f32 = 0.6;

fn images(rows: usize, dim: usize, step: u64, distractors: usize) -> Features {
    let person = |i: usize| if i < distractors { IDENTITIES + i } else { i % IDENTITIES };
    let normals = |step: u64, index: usize, count: usize| -> Vec<f32> {
        let draws = Philox::new(1, step, index as u64, RngStream::Test);
        (0..count).map(|j| draws.normal(j as u32)).collect()
    };
    let layer: Vec<Vec<f32>> = (0..dim).map(|j| normals(0, j, LATENT)).collect();
    let mut values = vec![0.0; rows * dim];
    values.par_chunks_mut(dim).enumerate().for_each(|(i, row)| {
        let (mut place, own) = (normals(1, person(i), LATENT), normals(step, i, LATENT));
        place.iter_mut().zip(own).for_each(|(place, own)| *place += SPREAD * own);
        for (value, weights) in row.iter_mut().zip(&layer) {
            *value = place.iter().zip(weights).map(|(a, b)| a * b).sum::<f32>().max(0.0);
        }
    });
    let pids = (0..rows).map(|i| if i < distractors { 0 } else { 1 + person(i) as i64 }).collect();
    Features::new(values, dim, pids, vec![-1; rows], Vec::new())
        .and_then(Features::normalised)
        .expect("consistent")
}

/// Peak resident memory of the process in MB, if the system reports it.
fn peak() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? * 1024.0 / 1e6)
}

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let save = arguments.iter().position(|a| a == "--save").map(|at| {
        arguments.remove(at);
        arguments.remove(at)
    });
    let number =
        |at: usize, default: usize| arguments.get(at).map_or(default, |a| a.parse().expect("a number"));
    let (queries, gallery, dim, rounds) = (number(0, 3368), number(1, 15_913), number(2, 2048), number(3, 3));
    let query = images(queries, dim, 2, 0);
    let gallery = images(gallery, dim, 3, (gallery as f64 * DISTRACTORS) as usize);
    if let Some(folder) = save {
        query.write(&Path::new(&folder).join("query.safetensors")).expect("written");
        gallery.write(&Path::new(&folder).join("gallery.safetensors")).expect("written");
    }
    println!("{queries} x {} x {dim}, {} threads", gallery.len(), rayon::current_num_threads());
    println!("peak before: {:.0} MB", peak().unwrap_or(f64::NAN));
    let (query, gallery) = (query.features(), gallery.features());
    let (settings, device) = (Rerank::default(), Device::cpu());
    for _ in 0..rounds {
        let start = Instant::now();
        let neighbours =
            Neighbours::find(query, gallery, dim, settings.neighbours(), &device).expect("found");
        let found = start.elapsed().as_secs_f64();
        let reranked = Reranked::from_neighbours(query, gallery, dim, &settings, &neighbours, &device)
            .expect("the CPU has memory");
        let encoded = start.elapsed().as_secs_f64();
        let (mut block, mut sum) = (Block::default(), 0.0);
        for index in 0..reranked.blocks() {
            reranked.compute(index, &mut block).expect("computed");
            sum += block.row(0).pieces().flatten().map(|&d| f64::from(d)).sum::<f64>();
        }
        let whole = start.elapsed().as_secs_f64();
        println!(
            "neighbours {found:.2} s, weights {:.2} s, final distances {:.2} s, whole {whole:.2} s, peak {:.0} MB \
             (sum {sum:.3})",
            encoded - found,
            whole - encoded,
            peak().unwrap_or(f64::NAN),
        );
    }
}
