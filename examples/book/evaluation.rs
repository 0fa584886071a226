//! Chapter 18: CMC and both average precisions by their definitions beside the product's, and re-ranking.

use bcreid::device::Device;
use bcreid::eval::distance::{Block, Distances};
use bcreid::eval::rerank::{Neighbours, Rerank, Reranked};
use bcreid::eval::{Protocol, evaluate};
use bcreid::weights::Features;
use std::error::Error;

/// A gallery image: distance to the query, person, camera. The query is person 7 under camera 1.
type Image = (f32, i64, i64);

/// Ranks of the matches of a query, from 1 upwards, by sorting.
// ANCHOR: by_hand
fn ranks(gallery: &[Image]) -> Vec<usize> {
    let is_dropped = |&(_, pid, camid): &Image| pid == -1 || (pid == 7 && camid == 1);
    let mut kept: Vec<Image> = gallery.iter().filter(|image| !is_dropped(image)).copied().collect();
    // The sort is stable: images at the same distance stay in the order of the gallery.
    kept.sort_by(|a, b| a.0.total_cmp(&b.0));
    (1..).zip(kept).filter(|(_, (_, pid, _))| *pid == 7).map(|(rank, _)| rank).collect()
}

/// Average precision by trapezoids and as a finite sum, and the inverse negative penalty.
fn scores(ranks: &[usize]) -> [f64; 3] {
    let n = ranks.len() as f64;
    let at = |i: usize| (i + 1) as f64 / ranks[i] as f64;
    let before = |i: usize| if ranks[i] == 1 { 1.0 } else { i as f64 / (ranks[i] - 1) as f64 };
    let trapezoid: f64 = (0..ranks.len()).map(|i| (at(i) + before(i)) / 2.0).sum();
    let sum: f64 = (0..ranks.len()).map(at).sum();
    [trapezoid / n, sum / n, n / ranks[ranks.len() - 1] as f64]
}
// ANCHOR_END: by_hand

/// Features of one number: the distance to a query at 0 is that number.
fn line(images: &[Image]) -> Result<Features, Box<dyn Error>> {
    let places = images.iter().map(|image| image.0).collect();
    let (pids, camids) = images.iter().map(|image| (image.1, image.2)).unzip();
    Ok(Features::new(places, 1, pids, camids, Vec::new())?)
}

pub fn metrics() -> Result<(), Box<dyn Error>> {
    let page: [Image; 4] = [(0.9, 7, 2), (0.3, 8, 1), (0.5, 7, 3), (0.7, 9, 2)];
    let with = |more: &[Image]| [&page[..], more].concat();
    let galleries = [
        ("the gallery of metrics.md", page.to_vec()),
        ("a junk image at 0.1", with(&[(0.1, -1, 4)])),
        ("person 7, camera 1 at 0.1", with(&[(0.1, 7, 1)])),
        ("a distractor at 0.1", with(&[(0.1, 0, 4)])),
        ("person 8 at 0.5, behind c", with(&[(0.5, 8, 2)])),
        ("person 8 at 0.5, before c", [&[(0.5, 8, 2)], &page[..]].concat()),
        ("a match at 0.1", with(&[(0.1, 7, 2)])),
    ];
    println!("{:<28}{:<12}rank-1  mAP     mAP (sum)  mINP", "gallery", "ranks");
    let mut largest = 0.0f64;
    for (name, gallery) in galleries {
        let ranks = ranks(&gallery);
        let [trapezoid, sum, inp] = scores(&ranks);
        let rank1 = f64::from(u8::from(ranks[0] == 1));
        println!("{name:<28}{:<12}{rank1:<8}{trapezoid:<8.4}{sum:<11.4}{inp:.4}", format!("{ranks:?}"));
        // ANCHOR: product
        let query = line(&[(0.0, 7, 1)])?;
        let report = evaluate(&query, &line(&gallery)?, &Protocol::default(), &Device::cpu())?;
        let own = [report.rank1, report.map_market, report.map_sum, report.minp];
        // ANCHOR_END: product
        for (own, by_hand) in own.into_iter().zip([rank1, trapezoid, sum, inp]) {
            largest = largest.max((own - by_hand).abs());
        }
    }
    println!("largest difference to the product: {largest:.1e}\n");

    println!("{:<20}mAP     mAP (sum)  difference", "ranks of matches");
    for ranks in [vec![1], vec![2], vec![5], vec![1, 2, 3], vec![2, 3, 4], vec![1, 10], vec![10, 11]] {
        let [trapezoid, sum, _] = scores(&ranks);
        println!("{:<20}{trapezoid:<8.4}{sum:<11.4}{:.4}", format!("{ranks:?}"), sum - trapezoid);
    }
    Ok(())
}

// ANCHOR: points
/// Images as points of a plane: the query, three matches (m), and four images of another person (x).
const POINTS: [(&str, [f32; 2]); 8] = [
    ("query", [0.0, 0.0]),
    ("x1", [-0.8, 0.0]),
    ("m1", [1.0, 0.2]),
    ("m2", [1.0, -0.2]),
    ("m3", [1.2, 0.0]),
    ("x2", [-1.1, 0.1]),
    ("x3", [-1.1, -0.1]),
    ("x4", [-1.2, 0.0]),
];
// ANCHOR_END: points

/// The gallery in the order of its distances, with the distances.
fn order(distances: &[f32]) -> String {
    let mut order: Vec<usize> = (0..distances.len()).collect();
    order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]));
    let named = order.iter().map(|&image| format!("{} {:.3}", POINTS[image + 1].0, distances[image]));
    named.collect::<Vec<_>>().join("  ")
}

pub fn rerank() -> Result<(), Box<dyn Error>> {
    let device = Device::cpu();
    let flat: Vec<f32> = POINTS.iter().flat_map(|(_, place)| *place).collect();
    let (query, gallery) = flat.split_at(2);
    let images = POINTS.len() - 1;

    let neighbours = Neighbours::find(query, gallery, 2, 4, &device)?;
    println!("each image, and its three nearest others");
    for (image, (name, _)) in POINTS.iter().enumerate() {
        let others = neighbours.nearest(image, 4).iter().filter(|&&other| other as usize != image);
        let names: Vec<&str> = others.map(|&other| POINTS[other as usize].0).collect();
        println!("{name:<8}{}", names.join(" "));
    }

    let mut block = Block::default();
    Distances::new(query, gallery, 2, &device)?.compute(0, &mut block)?;
    let squared: Vec<f32> = (0..images).map(|image| block.row(0).at(image)).collect();
    println!("\nsquared distance  {}", order(&squared));
    for lambda in [0.0, 0.3] {
        // ANCHOR: rerank
        let settings = Rerank { k1: 3, k2: 1, lambda };
        let reranked = Reranked::new(query, gallery, 2, &settings, &device)?;
        reranked.compute(0, &mut block)?;
        let distances: Vec<f32> = (0..images).map(|image| block.row(0).at(image)).collect();
        // ANCHOR_END: rerank
        println!("{:<18}{}", format!("lambda {lambda}"), order(&distances));
    }
    Ok(())
}
