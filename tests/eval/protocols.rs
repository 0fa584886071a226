//! Protocol options: multi-query, distractors, unknown cameras.

use crate::line;
use bcreid::device::Device;
use bcreid::eval::distance::Block;
use bcreid::eval::multi_query::{Pool, pool};
use bcreid::eval::rerank::Reranked;
use bcreid::eval::{Protocol, Report, Rerank, Table, evaluate};
use bcreid::tensor::philox::{Philox, RngStream};
use bcreid::weights::{Features, Origin};

fn run(query: &Features, gallery: &Features, protocol: &Protocol) -> Report {
    evaluate(query, gallery, protocol, &Device::cpu()).unwrap()
}

/// Unit vectors at these angles, in degrees.
fn circle(angles: &[f32], pids: &[i64], camids: &[i64]) -> Features {
    let values = angles.iter().flat_map(|a| [a.to_radians().cos(), a.to_radians().sin()]).collect();
    Features::new(values, 2, pids.to_vec(), camids.to_vec(), Vec::new()).unwrap()
}

#[test]
fn the_boxes_of_a_query_ask_together() {
    let query = circle(&[10.0, 80.0], &[7, 8], &[1, 2]);
    // Of the boxes, two are of the first query's person and camera; another camera and another person do not count.
    let boxes = circle(&[30.0, 50.0, 90.0, 0.0], &[7, 7, 7, 9], &[1, 1, 2, 1]);
    let mean = pool(&query, &boxes, Pool::Mean).unwrap();
    let expected = circle(&[40.0, 80.0], &[7, 8], &[1, 2]);
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(near(mean.features(), expected.features()), "{:?}", mean.features());
    let max = pool(&query, &boxes, Pool::Max).unwrap();
    let (x, y) = (30f32.to_radians().cos(), 50f32.to_radians().sin());
    let length = x.hypot(y);
    assert!(near(max.row(0), &[x / length, y / length]), "{:?}", max.row(0));
    let said = mean.origin().pooled.clone().unwrap();
    assert!(said.contains("mean") && said.contains("4 boxes") && said.contains("1 of 2 queries"), "{said}");
    // At 40 degrees the match at 45 is the nearest, at 10 it is not.
    let gallery = circle(&[45.0, 12.0, 80.0], &[7, 9, 8], &[3, 3, 3]);
    assert_eq!(run(&query, &gallery, &Protocol::default()).rank1, 0.5);
    let report = run(&mean, &gallery, &Protocol::default());
    assert_eq!(report.rank1, 1.0);
    assert!(report.query.starts_with("multi-query, mean of all boxes"), "{}", report.query);

    let refusal =
        |query: &Features, boxes: &Features| pool(query, boxes, Pool::Mean).unwrap_err().to_string();
    assert!(refusal(&query, &circle(&[0.0], &[7], &[2])).contains("no box shows"));
    assert!(refusal(&query, &circle(&[0.0], &[7], &[-1])).contains("cameras are unknown"));
    assert!(refusal(&query, &line(&[0.0], &[7], &[1])).contains("have 2 values and others 1"));
}

/// The ranks of an evaluation are those of the re-ranked distances, and not those of the plain ones.
#[test]
fn a_reranked_evaluation_ranks_by_reranked_distances() {
    let draws = Philox::new(3, 0, 0, RngStream::Test);
    let around = |i: usize| (i % 5) as f32 * 25.0 + 40.0 * draws.uniform(i as u32);
    let of = |rows: std::ops::Range<usize>, camid: i64| {
        let angles: Vec<f32> = rows.clone().map(around).collect();
        let pids: Vec<i64> = rows.map(|i| 1 + (i % 5) as i64).collect();
        circle(&angles, &pids, &vec![camid; pids.len()])
    };
    let (query, gallery) = (of(0..10, 1), of(10..60, 2));
    let settings = Rerank { k1: 8, k2: 3, lambda: 0.3 };
    let reranked = Reranked::new(query.features(), gallery.features(), 2, &settings, &Device::cpu()).unwrap();
    let (mut block, mut sum) = (Block::default(), 0.0);
    for index in 0..reranked.blocks() {
        reranked.compute(index, &mut block).unwrap();
        for person in block.new_queries() {
            let row: Vec<f32> =
                block.row(person - block.queries().start).pieces().flatten().copied().collect();
            let mut order: Vec<usize> = (0..gallery.len()).collect();
            order.sort_by(|&a, &b| row[a].total_cmp(&row[b]));
            let matches = order.iter().map(|&i| gallery.pids()[i] == query.pids()[person]);
            let ranks: Vec<usize> = matches.zip(1..).filter_map(|(is, rank)| is.then_some(rank)).collect();
            let precisions = ranks.iter().zip(1..).map(|(&rank, found)| f64::from(found) / rank as f64);
            sum += precisions.sum::<f64>() / ranks.len() as f64;
        }
    }
    let plain = run(&query, &gallery, &Protocol::default());
    let report = run(&query, &gallery, &Protocol { rerank: Some(settings), ..Protocol::default() });
    assert!((report.map_sum - sum / 10.0).abs() < 1e-12, "{} {}", report.map_sum, sum / 10.0);
    assert!((report.map_sum - plain.map_sum).abs() > 1e-3, "{} {}", report.map_sum, plain.map_sum);
    assert!(report.distance.contains("k1 8, k2 3, lambda 0.3"), "{}", report.distance);
}

#[test]
fn cameras_can_be_ignored() {
    // The nearest image is of the query's person under the query's own camera.
    let (query, gallery) = (line(&[0.0], &[7], &[1]), line(&[1.0, 2.0, 3.0], &[7, 8, 7], &[1, 1, 2]));
    assert_eq!(run(&query, &gallery, &Protocol::default()).rank1, 0.0);
    let ignoring = Protocol { ignore_cameras: true, ..Protocol::default() };
    let report = run(&query, &gallery, &ignoring);
    assert_eq!(report.rank1, 1.0);
    assert!(report.notes.iter().any(|note| note.contains("Cameras: ignored")), "{:?}", report.notes);
}

/// Distractors need no camera, are negatives for everybody, and are dropped for nobody's camera.
#[test]
fn distractors_join_the_gallery() {
    let (query, gallery) = (line(&[0.0], &[7], &[1]), line(&[2.0, 3.0], &[7, 8], &[2, 1]));
    let distractors = line(&[1.0, 9.0], &[0, 0], &[-1, -1]);
    let all = Features::concat(&[gallery.clone(), distractors]).unwrap();
    assert_eq!(all.camids(), [2, 1, -1, -1]);
    assert_eq!(run(&query, &gallery, &Protocol::default()).cmc, [1.0, 1.0]);
    let report = run(&query, &all, &Protocol::default());
    assert_eq!(report.cmc, [0.0, 1.0, 1.0, 1.0]);
    assert!(
        report.notes.iter().any(|note| note.contains("2 distractors (pid 0) kept")),
        "{:?}",
        report.notes
    );
    let no_camera = line(&[1.0], &[9], &[-1]);
    let refusal = Features::concat(&[gallery, no_camera]).unwrap_err().to_string();
    assert!(refusal.contains("the camids of 1 of 3 images of persons are unknown"), "{refusal}");
}

#[test]
fn features_of_two_networks_are_not_compared() {
    let of = |network: &str, mirrored| {
        let origin = Origin { network: Some(network.into()), mirrored: Some(mirrored), ..Origin::default() };
        line(&[1.0], &[7], &[1]).with_origin(origin)
    };
    let (query, gallery) = (of("aaaa", false), line(&[1.0], &[7], &[2]));
    // What is not known is taken on trust.
    run(&query, &gallery, &Protocol::default());
    let refusal = |gallery: &Features| {
        evaluate(&query, gallery, &Protocol::default(), &Device::cpu()).unwrap_err().to_string()
    };
    let own = gallery.clone().with_origin(query.origin().clone());
    assert!(run(&query, &own, &Protocol::default()).feature.contains("mirror image's is not added"));
    assert!(
        refusal(&gallery.clone().with_origin(of("bbbb", false).origin().clone())).contains("aaaa and bbbb")
    );
    assert!(refusal(&gallery.clone().with_origin(of("aaaa", true).origin().clone())).contains("mirrored"));
    // Nor those of two layers, also where the networks are unknown.
    let layer = |layer: &str| Origin { layer: Some(layer.into()), ..Origin::default() };
    let query = query.with_origin(layer("neck"));
    let refusal = |gallery: Features| {
        evaluate(&query, &gallery, &Protocol::default(), &Device::cpu()).unwrap_err().to_string()
    };
    let other = gallery.clone().with_origin(layer("pool5"));
    assert!(refusal(other).contains("two layers (neck and pool5)"));
    run(&query, &gallery, &Protocol::default());
    let own = run(&query, &gallery.with_origin(layer("neck")), &Protocol::default());
    assert!(own.feature.contains("the neck's output; whether the mirror image's"), "{}", own.feature);
}

/// The origin travels with the file.
#[test]
fn a_feature_file_knows_its_network() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.safetensors");
    let [network, pooled, layer] = ["abc", "mean", "neck"].map(|text| Some(text.to_string()));
    let origin = Origin { network, mirrored: Some(true), pooled, layer };
    line(&[1.0], &[7], &[1]).with_origin(origin.clone()).write(&path).unwrap();
    assert_eq!(*Features::read(&path).unwrap().origin(), origin);
}

#[test]
fn a_table_says_once_what_holds_for_all() {
    let (query, gallery) = (line(&[0.0], &[7], &[1]), line(&[2.0, 1.0], &[7, 8], &[2, 1]));
    let plain = run(&query, &gallery, &Protocol::default());
    let ignoring = run(&query, &gallery, &Protocol { ignore_cameras: true, ..Protocol::default() });
    let text = Table(&[("one".into(), plain), ("two".into(), ignoring)]).to_string();
    for what in ["AP: mAP is the trapezoid", "Gallery: no junk", "Queries without a match in the gallery: 0"]
    {
        assert_eq!(text.matches(what).count(), 1, "{what}\n{text}");
    }
    for what in ["Query: single query.", "Feature: 1 values", "Distance: Euclidean"] {
        assert_eq!(text.matches(what).count(), 1, "{what}\n{text}");
    }
    assert!(
        text.contains("one: Cameras: a query's person") && text.contains("two: Cameras: ignored"),
        "{text}"
    );
}
