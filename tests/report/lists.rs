//! Ranked lists compared with a plain sort.

use crate::support::{cpu, features};
use bcreid::eval::Protocol;
use bcreid::eval::lists::{Verdict, ranked_lists};
use bcreid::weights::Features;

/// A place on a line is its feature.
fn line(places: &[f32], pids: &[i64], camids: &[i64]) -> Features {
    Features::new(places.to_vec(), 1, pids.to_vec(), camids.to_vec(), Vec::new()).unwrap()
}

#[test]
fn verdicts_and_ranks_by_hand() {
    let query = line(&[0.0, 10.0], &[1, 0], &[1, 2]);
    let gallery = line(&[3.0, 1.0, 2.0, 1.0, 5.0, 9.0], &[1, 1, -1, 2, 1, 0], &[2, 1, 2, 1, 3, -1]);
    let lists = ranked_lists(&query, &gallery, &[1, 0], 5, &Protocol::default(), &cpu()).unwrap();
    assert_eq!(lists.iter().map(|l| l.query).collect::<Vec<_>>(), [1, 0]);
    let shown: Vec<_> = lists[1].entries.iter().map(|e| (e.index, e.distance, e.verdict, e.rank)).collect();
    assert_eq!(
        shown,
        [
            (1, 1.0, Verdict::OwnCamera, None),
            (3, 1.0, Verdict::Wrong, Some(1)),
            (2, 2.0, Verdict::Junk, None),
            (0, 3.0, Verdict::Correct, Some(2)),
            (4, 5.0, Verdict::Correct, Some(3)),
        ]
    );
    // A query of pid 0 is a person.
    assert_eq!((lists[0].entries[0].index, lists[0].entries[0].verdict), (5, Verdict::Correct));
    let unknown = line(&[0.0], &[1], &[-1]);
    let lists = ranked_lists(&unknown, &gallery, &[0], 99, &Protocol::default(), &cpu()).unwrap();
    assert_eq!(lists[0].entries.len(), 6);
    assert_eq!(lists[0].entries[0].verdict, Verdict::Correct);
}

#[test]
fn equal_distances_stay_in_the_order_of_the_gallery() {
    let query = line(&[0.0], &[1], &[1]);
    let places: Vec<f32> = (0..500).map(|i| if i % 2 == 0 { 1.0 } else { 2.0 }).collect();
    let gallery = line(&places, &[2; 500], &[2; 500]);
    let lists = ranked_lists(&query, &gallery, &[0], 300, &Protocol::default(), &cpu()).unwrap();
    let shown: Vec<usize> = lists[0].entries.iter().map(|e| e.index).collect();
    let expected: Vec<usize> = (0..500).step_by(2).chain((1..100).step_by(2)).collect();
    assert_eq!(shown, expected);
}

#[test]
fn many_queries_at_once_are_as_one_alone() {
    let pids: Vec<i64> = (0..300).map(|i| 1 + i % 30).collect();
    let query = features(&pids, 1, 0.5, Vec::new());
    let gallery = features(&pids, 2, 0.5, Vec::new());
    let all: Vec<usize> = (0..300).collect();
    let lists = ranked_lists(&query, &gallery, &all, 10, &Protocol::default(), &cpu()).unwrap();
    assert_eq!(lists.len(), 300);
    for list in &lists {
        let distance = |g: usize| -> f64 {
            let squares =
                query.row(list.query).iter().zip(gallery.row(g)).map(|(a, b)| f64::from(a - b).powi(2));
            squares.sum::<f64>().sqrt()
        };
        let mut order: Vec<usize> = (0..300).collect();
        order.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)));
        for (entry, expected) in list.entries.iter().zip(order) {
            assert!((entry.distance - distance(expected)).abs() < 1e-4, "query {}", list.query);
        }
    }
}

#[test]
fn no_queries_and_other_networks() {
    let query = line(&[0.0], &[1], &[1]);
    assert!(ranked_lists(&query, &query, &[], 3, &Protocol::default(), &cpu()).unwrap().is_empty());
    let wide = features(&[1], 1, 0.1, Vec::new());
    let error = ranked_lists(&query, &wide, &[0], 3, &Protocol::default(), &cpu()).unwrap_err().to_string();
    assert!(error.contains("distances between them are meaningless"), "{error}");
}
