//! Distances of pairs compared with plain loops over all pairs.

use crate::support::{cpu, features};
use bcreid::eval::Protocol;
use bcreid::eval::pairs::{BINS, Pairs};
use bcreid::weights::Features;

/// Every pair that counts: its distance, and whether it is of one identity.
fn all_pairs(query: &Features, gallery: &Features) -> Vec<(f64, bool)> {
    let mut pairs = Vec::new();
    let cameras = query.has_cameras() && gallery.has_cameras();
    for q in (0..query.len()).filter(|&q| query.pids()[q] != -1) {
        for g in (0..gallery.len()).filter(|&g| gallery.pids()[g] != -1) {
            let same = query.pids()[q] == gallery.pids()[g];
            if same && cameras && query.camids()[q] == gallery.camids()[g] {
                continue;
            }
            let squared: f64 = query
                .row(q)
                .iter()
                .zip(gallery.row(g))
                .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
                .sum();
            pairs.push((squared.sqrt(), same));
        }
    }
    pairs
}

/// More queries than a block holds, so that the last block overlaps the one before; junk on both sides.
fn people() -> (Features, Features) {
    let query: Vec<i64> = (0..300).map(|i| if i % 50 == 7 { -1 } else { 1 + i % 40 }).collect();
    let gallery: Vec<i64> =
        (0..500).map(|i| [-1, 0][i as usize % 2 * usize::from(i % 5 == 0)].max(i % 45 - 1)).collect();
    (features(&query, 3, 0.2, Vec::new()), features(&gallery, 4, 0.2, Vec::new()))
}

#[test]
fn counts_are_those_of_a_plain_loop() {
    let (query, gallery) = people();
    let pairs = Pairs::count(&query, &gallery, &Protocol::default(), &cpu()).unwrap();
    let all = all_pairs(&query, &gallery);
    let count = |same: bool, below: f64| all.iter().filter(|p| p.1 == same && p.0 < below).count() as f64;
    assert_eq!(pairs.same_pairs() as f64, count(true, f64::MAX));
    assert_eq!(pairs.different_pairs() as f64, count(false, f64::MAX));
    assert!(pairs.same_pairs() > 1000);
    assert!((pairs.bin_width() - 2.0 / BINS as f64).abs() < 1e-6);
    let curve = pairs.roc().unwrap();
    assert_eq!(curve.len(), BINS + 1);
    for point in curve.iter().step_by(37) {
        // Distances are rounded to f32 in a product, so that a pair may lie on the other side of an edge.
        for (share, same, n) in
            [(point.tar, true, pairs.same_pairs() as f64), (point.far, false, pairs.different_pairs() as f64)]
        {
            let (low, high) = (count(same, point.threshold - 2e-6), count(same, point.threshold + 2e-6));
            let own = (share * n).round();
            assert!(low <= own && own <= high, "{}: {low} <= {own} <= {high}", point.threshold);
        }
    }
}

#[test]
fn area_and_equal_error_rate_within_their_bounds() {
    let (query, gallery) = people();
    let pairs = Pairs::count(&query, &gallery, &Protocol::default(), &cpu()).unwrap();
    let mut all = all_pairs(&query, &gallery);
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (same, different) = (pairs.same_pairs() as f64, pairs.different_pairs() as f64);
    let (mut nearer, mut area, mut accepted, mut eer) = (0.0, 0.0, 0.0, None);
    for (_, is_same) in &all {
        if *is_same {
            nearer += 1.0;
        } else {
            area += nearer / (same * different);
            accepted += 1.0;
        }
        if accepted / different >= 1.0 - nearer / same {
            eer.get_or_insert(accepted / different);
        }
    }
    let own = pairs.auc().unwrap();
    assert!((own.value - area).abs() <= own.off_by + 1e-6 && own.off_by < 1e-3, "{own:?} and {area}");
    assert!(area > 0.7 && area < 1.0, "{area}");
    let (own, exact) = (pairs.eer().unwrap(), eer.unwrap());
    let one = 1.0 / same.min(different);
    assert!(own.bounds.0 - one <= exact && exact <= own.bounds.1 + one, "{own:?} and {exact}");
    assert!(own.bounds.0 <= own.rate + 1e-12 && own.rate <= own.bounds.1 + 1e-12, "{own:?}");
}

#[test]
fn thresholds_for_a_rate_by_hand() {
    // Ten pairs of two identities from 0.2 on, one a bin; four of one identity.
    let pairs = Pairs::from_counts(
        0.1,
        vec![1, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    );
    let at = |far| pairs.at_far(far).unwrap();
    assert!((at(0.0).threshold - 0.2).abs() < 1e-12 && at(0.0).tar == 0.75);
    assert!((at(0.05).threshold - 0.2).abs() < 1e-12);
    assert!((at(0.2).threshold - 0.4).abs() < 1e-12 && at(0.2).tar == 1.0 && at(0.2).far == 0.2);
    assert!((at(1.0).threshold - 1.2).abs() < 1e-12);
    assert!(pairs.supports(1.0) && !pairs.supports(0.5));
    // Nearer than all ten: 3 of 4 pairs; the fourth shares a bin with the second of ten.
    assert!((pairs.auc().unwrap().value - (0.75 + 0.25 * 8.5 / 10.0)).abs() < 1e-12);
    // Refusals are 1/4 up to 0.3 and fall to 0 at 0.4, false accepts rise from 0.1 to 0.2 there.
    let eer = pairs.eer().unwrap();
    assert!((eer.rate - (0.1 + 0.1 * 0.15 / 0.35)).abs() < 1e-12, "{eer:?}");
    assert_eq!(eer.bounds, (0.1, 0.2));
}

#[test]
fn without_one_kind_of_pairs_nothing_is_claimed() {
    let none = Pairs::from_counts(1.0, vec![0, 0], vec![3, 4]);
    assert!(
        none.roc().is_none() && none.auc().is_none() && none.eer().is_none() && none.at_far(0.1).is_none()
    );
}

#[test]
fn long_features_and_the_protocol() {
    let (query, gallery) = people();
    let long =
        |of: &Features| of.with_values(of.features().iter().map(|v| 30.0 * v).collect(), of.dim()).unwrap();
    let (long_query, long_gallery) = (long(&query), long(&gallery));
    let plain = Pairs::count(&query, &gallery, &Protocol::default(), &cpu()).unwrap();
    let as_they_are = Pairs::count(&long_query, &long_gallery, &Protocol::default(), &cpu()).unwrap();
    assert!((as_they_are.bin_width() / plain.bin_width() - 30.0).abs() < 1e-3);
    let normalise = Protocol { normalise: true, ..Protocol::default() };
    let normalised = Pairs::count(&long_query, &long_gallery, &normalise, &cpu()).unwrap();
    assert!((normalised.auc().unwrap().value - plain.auc().unwrap().value).abs() < 1e-4);
    let narrow = features(&[1, 2], 1, 0.1, Vec::new()).with_values(vec![1.0; 6], 3).unwrap();
    let error = Pairs::count(&query, &narrow, &Protocol::default(), &cpu()).unwrap_err().to_string();
    assert!(error.contains("distances between them are meaningless"), "{error}");
}
