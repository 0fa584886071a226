//! Features whose lengths are large relative to their distances, with a common offset or in distant clusters: the
//! product form of a distance loses all significant digits.

use bcreid::device::Device;
use bcreid::eval::distance::{Block, Distances, Origin};
use bcreid::eval::pairs::Pairs;
use bcreid::eval::ranking::{score_queries, score_queries_in_parts};
use bcreid::eval::{Protocol, Report, Rerank, evaluate};
use bcreid::tensor::philox::{Philox, RngStream};
use bcreid::weights::Features;

const DIM: usize = 128;
const PERSONS: usize = 40;

/// Images of [`PERSONS`] persons, each its person's point of N(0, 0.01^2) with noise of the same size, and `offset` of
/// the image added to all of its values.
fn persons(images: usize, step: u64, offset: impl Fn(usize) -> f32) -> Features {
    let row = |i: usize| {
        let (own, noise) = (
            Philox::new(5, 0, (i % PERSONS) as u64, RngStream::Test),
            Philox::new(5, step, i as u64, RngStream::Test),
        );
        let offset = offset(i);
        (0..DIM as u32).map(move |j| offset + 0.01 * (own.normal(j) + 2.0 * noise.normal(j)))
    };
    let (pids, camids) = (0..images).map(|i| ((i % PERSONS) as i64 + 1, -1)).unzip();
    Features::new((0..images).flat_map(row).collect(), DIM, pids, camids, Vec::new()).unwrap()
}

/// The same features with `offset` taken away again, which is exact.
fn without(features: &Features, offset: f32) -> Features {
    let values = features.features().iter().map(|v| v - offset).collect();
    Features::new(values, DIM, features.pids().to_vec(), features.camids().to_vec(), Vec::new()).unwrap()
}

/// The largest relative error of a distance, beside sums of squared differences in f64.
fn worst(query: &Features, gallery: &Features, device: &Device) -> f64 {
    let distances = Distances::new(query.features(), gallery.features(), DIM, device).unwrap();
    let (mut block, mut worst) = (Block::default(), 0.0f64);
    for index in 0..distances.blocks() {
        distances.compute(index, &mut block).unwrap();
        for (row, person) in block.queries().enumerate() {
            for (image, &squared) in block.row(row).pieces().flatten().enumerate() {
                let pairs = query.row(person).iter().zip(gallery.row(image));
                let exact: f64 = pairs.map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
                worst = worst.max((f64::from(squared) - exact).abs() / exact);
            }
        }
    }
    worst
}

/// Rank-1 and mAP are those of distances in f64, but for an exchange of neighbours that f32 cannot tell apart.
#[track_caller]
fn assert_figures(query: &Features, gallery: &Features) -> Report {
    let ours = evaluate(query, gallery, &Protocol::default(), &Device::cpu()).unwrap();
    let (cmc, market, sum, ..) = crate::reference::plain(query, gallery).unwrap();
    for (what, ours, exact) in
        [("rank-1", ours.rank1, cmc[0]), ("mAP", ours.map_market, market), ("sum", ours.map_sum, sum)]
    {
        assert!((ours - exact).abs() < 1e-4, "{what} is {ours}, in f64 {exact}");
    }
    ours
}

#[test]
fn an_offset_costs_no_digits() {
    let (query, gallery) = (persons(200, 1, |_| 100.0), persons(900, 2, |_| 100.0));
    let error = worst(&query, &gallery, &Device::cpu());
    assert!(error < 1e-5, "distances are off by {error:.1e}");
    let report = assert_figures(&query, &gallery);
    // Digits enough for a task that is neither trivial nor hopeless.
    assert!((0.5..0.95).contains(&report.rank1), "{}", report.rank1);
    assert!(report.notes.iter().any(|n| n.contains("subtracted before distances")), "{:?}", report.notes);
    let plain =
        evaluate(&without(&query, 100.0), &without(&gallery, 100.0), &report.protocol, &Device::cpu());
    let plain = plain.unwrap();
    assert!(!plain.notes.iter().any(|n| n.contains("subtracted before distances")), "{:?}", plain.notes);
    assert_eq!((report.rank1, &report.cmc), (plain.rank1, &plain.cmc));
}

#[test]
fn parts_of_a_gallery_share_the_offset() {
    // The first part alone would have another mean.
    let (query, gallery) =
        (persons(300, 1, |_| 100.0), persons(900, 2, |i| 100.0 + 0.001 * (i / 256) as f32));
    for normalise in [false, true] {
        let protocol = Protocol { normalise, ..Protocol::default() };
        let whole = score_queries(&query, &gallery, &protocol, &Device::cpu()).unwrap();
        let parts = score_queries_in_parts(&query, &gallery, &protocol, &Device::cpu(), 1).unwrap();
        assert_eq!(whole, parts);
    }
}

#[test]
fn rerank_and_pairs_see_through_an_offset() {
    let (query, gallery) = (persons(80, 1, |_| 100.0), persons(400, 2, |_| 100.0));
    let (near_query, near_gallery) = (without(&query, 100.0), without(&gallery, 100.0));
    let protocol = Protocol { rerank: Some(Rerank::default()), ..Protocol::default() };
    let far = evaluate(&query, &gallery, &protocol, &Device::cpu()).unwrap();
    let near = evaluate(&near_query, &near_gallery, &protocol, &Device::cpu()).unwrap();
    assert_eq!((far.rank1, &far.cmc), (near.rank1, &near.cmc));
    assert!((far.map_market - near.map_market).abs() < 1e-3, "{} {}", far.map_market, near.map_market);

    let protocol = Protocol::default();
    let count = |query, gallery| Pairs::count(query, gallery, &protocol, &Device::cpu()).unwrap();
    let (far, near) = (count(&query, &gallery), count(&near_query, &near_gallery));
    let (far_auc, near_auc) = (far.auc().unwrap(), near.auc().unwrap());
    assert!((far_auc.value - near_auc.value).abs() < 1e-3, "{far_auc:?} {near_auc:?}");
    assert!(far_auc.off_by < 1e-3, "bins too coarse to tell: {far_auc:?}");
}

#[test]
fn clusters_far_apart_keep_their_insides() {
    // Their mean is 0, so that there is no offset to take away.
    let side = |i: usize| if i.is_multiple_of(2) { 100.0 } else { -100.0 };
    let (query, gallery) = (persons(60, 1, side), persons(400, 2, side));
    assert_eq!(Origin::of(gallery.features(), DIM, false).offset(), None);
    let error = worst(&query, &gallery, &Device::cpu());
    assert!(error < 1e-5, "distances are off by {error:.1e}");
    assert_figures(&query, &gallery);
}

/// Features of unit length, some of them nearly or exactly the same: no bit depends on the rule, and near-duplicates
/// are as exact as strangers.
#[test]
fn normalised_features_are_compared_as_they_are() {
    for dim in [DIM, 2048] {
        compared_as_they_are(dim);
    }
}

fn compared_as_they_are(dim: usize) {
    let row = |i: usize| {
        let draws = Philox::new(6, 0, (i / 2) as u64, RngStream::Test);
        let apart = [0.0, 0.0, 1e-4, 1e-3, 1e-2][i % 5];
        (0..dim as u32).map(move |j| draws.uniform(j) + apart * (j % 3) as f32)
    };
    let values = (0..500).flat_map(row).collect();
    let features =
        Features::new(values, dim, vec![1; 500], vec![-1; 500], Vec::new()).unwrap().normalised().unwrap();
    assert_eq!(Origin::of(features.features(), dim, false).offset(), None);
    let distances = Distances::new(features.features(), features.features(), dim, &Device::cpu()).unwrap();
    let (mut block, mut worst) = (Block::default(), 0.0f64);
    for index in 0..distances.blocks() {
        distances.compute(index, &mut block).unwrap();
        for (row, image) in block.queries().enumerate() {
            let own = block.row(row);
            assert_eq!(own.at(image), 0.0);
            for (other, &squared) in own.pieces().flatten().enumerate() {
                let exact =
                    bcreid::eval::distance::squared_distance(features.row(image), features.row(other));
                // Of the un-squared distance, which bins and thresholds are of.
                worst = worst.max((f64::from(squared).sqrt() - exact.sqrt()).abs());
            }
        }
    }
    println!("{dim} values: un-squared distances of unit vectors are off by at most {worst:.1e}");
    assert!(worst < 1e-5, "{worst:.1e}");
}
