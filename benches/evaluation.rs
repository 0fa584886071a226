//! Evaluation at the size of Market-1501: 3,368 queries, 15,913 gallery images, 2,048 values each.
//!
//! `cargo bench --bench evaluation [-- QUERIES GALLERY DIM ROUNDS]` prints the time of the distances alone and of the whole
//! evaluation. For the ranking it prints the same of features of eight values, whose products take little time: with the
//! persons of Market-1501, and with 15 persons, who have hundreds of images each. With `--save DIR` it writes the features for `benches/evaluation_torch.py`, to be
//! timed on the same numbers.

use bcreid::device::Device;
use bcreid::eval::distance::{Block, Distances};
use bcreid::eval::ranking::score_queries;
use bcreid::eval::{Protocol, evaluate};
use bcreid::tensor::philox::{Philox, RngStream};
use bcreid::weights::Features;
use rayon::prelude::*;
use std::path::Path;
use std::time::Instant;

/// Identities and cameras of Market-1501's test part.
const IDENTITIES: usize = 750;
/// Identities with hundreds of images each.
const FEW_IDENTITIES: usize = 15;
/// Values of a feature where ranking is timed.
const SHORT: usize = 8;
const CAMERAS: usize = 6;
/// Distractors: gallery images of persons without a query, 2,798 of 15,913.
const DISTRACTORS: f64 = 0.1758;

fn random(rows: usize, dim: usize, step: u64, distractors: usize, identities: usize) -> Features {
    let mut values = vec![0.0; rows * dim];
    values.par_chunks_mut(dim).enumerate().for_each(|(i, row)| {
        let draws = Philox::new(1, step, i as u64, RngStream::Test);
        // Pooled ReLU features are not negative.
        row.iter_mut().enumerate().for_each(|(j, v)| *v = draws.uniform(j as u32));
    });
    let pid = |i: usize| if i < distractors { 0 } else { 1 + (i % identities) as i64 };
    let pids = (0..rows).map(pid).collect();
    let camids = (0..rows).map(|i| (i / identities % CAMERAS) as i64).collect();
    Features::new(values, dim, pids, camids, Vec::new()).and_then(Features::normalised).expect("consistent")
}

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let save = arguments.iter().position(|a| a == "--save").map(|at| {
        arguments.remove(at);
        arguments.remove(at)
    });
    let number =
        |at: usize, default: usize| arguments.get(at).map_or(default, |a| a.parse().expect("a number"));
    let (queries, images, dim, rounds) = (number(0, 3368), number(1, 15_913), number(2, 2048), number(3, 3));
    let sides = |dim, identities| {
        let distractors = (images as f64 * DISTRACTORS) as usize;
        (random(queries, dim, 0, 0, identities), random(images, dim, 1, distractors, identities))
    };
    let (query, gallery) = sides(dim, IDENTITIES);
    let ranked = [IDENTITIES, FEW_IDENTITIES].map(|identities| sides(SHORT, identities));
    if let Some(folder) = save {
        query.write(&Path::new(&folder).join("query.safetensors")).expect("written");
        gallery.write(&Path::new(&folder).join("gallery.safetensors")).expect("written");
    }
    println!("{queries} x {images} x {dim}, {} threads", rayon::current_num_threads());
    let measure = |query: &Features, gallery: &Features| {
        let start = Instant::now();
        let distances = Distances::new(query.features(), gallery.features(), query.dim(), &Device::cpu())
            .expect("the CPU has memory");
        let mut block = Block::default();
        (0..distances.blocks()).for_each(|index| distances.compute(index, &mut block).expect("computed"));
        start.elapsed().as_secs_f64()
    };
    for _ in 0..rounds {
        let distance_time = measure(&query, &gallery);
        let start = Instant::now();
        let report = evaluate(&query, &gallery, &Protocol::default(), &Device::cpu()).expect("evaluated");
        let whole = start.elapsed().as_secs_f64();
        println!(
            "distances alone {distance_time:.2} s, whole evaluation {whole:.2} s (mAP {:.6})",
            report.map_market
        );
        for (identities, (query, gallery)) in [IDENTITIES, FEW_IDENTITIES].iter().zip(&ranked) {
            let distance_time = measure(query, gallery);
            let start = Instant::now();
            score_queries(query, gallery, &Protocol::default(), &Device::cpu()).expect("ranked");
            let whole = start.elapsed().as_secs_f64();
            println!(
                "{SHORT} values, {identities} persons: distances alone {distance_time:.3} s, with ranking {whole:.3} s"
            );
        }
    }
}
