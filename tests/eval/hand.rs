//! Small rankings with hand-computed results.

use crate::line;
use bcreid::device::Device;
use bcreid::eval::{Protocol, Report, Unmatched, evaluate, top_k};
use bcreid::weights::Features;

fn run(query: &Features, gallery: &Features) -> Report {
    evaluate(query, gallery, &Protocol::default(), &Device::cpu()).unwrap()
}

/// What `evaluate` says when it cannot.
fn refusal(query: &Features, gallery: &Features) -> String {
    evaluate(query, gallery, &Protocol::default(), &Device::cpu()).unwrap_err().to_string()
}

#[track_caller]
fn assert_near(value: f64, expected: f64) {
    assert!((value - expected).abs() < 1e-12, "{value}, expected {expected}");
}

#[test]
fn four_images() {
    // Ranked: wrong, match, wrong, match. Matches at ranks 2 and 4.
    let report = run(&line(&[0.0], &[7], &[1]), &line(&[4.0, 1.0, 2.0, 3.0], &[7, 8, 7, 9], &[2, 2, 3, 1]));
    assert_eq!(report.cmc, [0.0, 1.0, 1.0, 1.0]);
    assert_eq!((report.rank1, report.rank5, report.rank10, report.rank20), (0.0, 1.0, 1.0, 1.0));
    assert_near(report.map_sum, (1.0 / 2.0 + 2.0 / 4.0) / 2.0);
    assert_near(report.map_market, ((1.0 / 2.0 + 0.0) / 2.0 + (2.0 / 4.0 + 1.0 / 3.0) / 2.0) / 2.0);
    assert_near(report.minp, 2.0 / 4.0);
    assert_eq!((report.queries, report.valid_queries, report.gallery), (1, 1, 4));
}

#[test]
fn a_perfect_ranking_scores_one() {
    let report = run(&line(&[0.0], &[7], &[1]), &line(&[1.0, 2.0, 3.0], &[7, 7, 8], &[2, 3, 2]));
    let all = [report.rank1, report.map_sum, report.map_market, report.minp];
    assert_eq!(all, [1.0; 4]);
}

#[test]
fn the_same_person_under_the_same_camera_and_junk_take_no_rank() {
    // In order: own camera (dropped), junk (dropped), another person under the own camera (stays), match.
    let gallery = line(&[0.0, 0.5, 1.0, 2.0], &[7, -1, 8, 7], &[1, 1, 1, 2]);
    let report = run(&line(&[0.0], &[7], &[1]), &gallery);
    assert_eq!(report.cmc, [0.0, 1.0, 1.0, 1.0]);
    assert_near(report.map_sum, 1.0 / 2.0);
    assert_near(report.map_market, 1.0 / 4.0);
}

#[test]
fn distractors_are_wrong_answers() {
    let report = run(&line(&[0.0], &[7], &[1]), &line(&[1.0, 2.0, 3.0], &[0, 0, 7], &[1, 2, 2]));
    assert_near(report.map_sum, 1.0 / 3.0);
    assert!(report.notes.iter().any(|n| n.contains("2 distractors (pid 0) kept")), "{report:?}");
}

#[test]
fn ties_keep_the_order_of_the_gallery() {
    let query = line(&[0.0], &[7], &[1]);
    assert_eq!(run(&query, &line(&[1.0, 1.0], &[7, 8], &[2, 2])).rank1, 1.0);
    assert_eq!(run(&query, &line(&[1.0, 1.0], &[8, 7], &[2, 2])).rank1, 0.0);
    // The same on the other side of the query: only distances count.
    assert_eq!(run(&query, &line(&[-1.0, 1.0], &[8, 7], &[2, 2])).rank1, 0.0);
}

#[test]
fn without_cameras_nothing_is_dropped_for_its_camera() {
    let known = line(&[1.0, 2.0, 3.0], &[7, 8, 7], &[1, 2, 2]);
    let unknown = line(&[1.0, 2.0, 3.0], &[7, 8, 7], &[-1, -1, -1]);
    let query = |camid| line(&[0.0], &[7], &[camid]);
    assert_near(run(&query(1), &known).map_sum, 1.0 / 2.0);
    for (query, gallery, which) in
        [(query(-1), &unknown, "unknown,"), (query(-1), &known, "query"), (query(1), &unknown, "gallery")]
    {
        let report = run(&query, gallery);
        assert_near(report.map_sum, (1.0 + 2.0 / 3.0) / 2.0);
        assert!(
            report.notes.iter().any(|n| n.contains("Cameras: unknown") && n.contains(which)),
            "{report:?}"
        );
    }
}

#[test]
fn a_query_without_a_match_is_left_out_or_a_miss() {
    let query = line(&[0.0, 0.0, 0.0], &[7, 99, -1], &[1, 1, 1]);
    let gallery = line(&[1.0, 2.0], &[7, 8], &[2, 2]);
    let report = run(&query, &gallery);
    assert_eq!((report.queries, report.valid_queries, report.averaged_queries), (3, 1, 1));
    assert_eq!((report.rank1, report.map_market, report.map_sum), (1.0, 1.0, 1.0));
    assert!(report.notes.iter().any(|n| n.contains("without a match in the gallery: 1; they were left out")));
    assert!(report.notes.iter().any(|n| n.contains("Junk queries (pid -1): 1")));
    let missed = Protocol { unmatched: Unmatched::Missed, ..Protocol::default() };
    let report = evaluate(&query, &gallery, &missed, &Device::cpu()).unwrap();
    assert_eq!((report.queries, report.valid_queries, report.averaged_queries), (3, 1, 2));
    assert_eq!((report.rank1, report.map_market, report.map_sum, report.minp), (0.5, 0.5, 0.5, 0.5));
    assert_eq!(report.cmc, [0.5, 0.5]);
}

#[test]
fn no_match_at_all_is_an_error_with_the_reason() {
    let query = line(&[0.0, 0.0], &[7, 8], &[1, 1]);
    let same_camera = refusal(&query, &line(&[1.0, 2.0], &[7, 8], &[1, 1]));
    assert!(same_camera.contains("2 of 2") && same_camera.contains("ignore the cameras"), "{same_camera}");
    let strangers = refusal(&query, &line(&[1.0], &[9], &[2]));
    assert!(strangers.contains("7 in the query") && strangers.contains("9 in the gallery"), "{strangers}");
    assert!(refusal(&line(&[0.0], &[-1], &[1]), &line(&[1.0], &[9], &[2])).contains("every query is junk"));
    assert!(refusal(&query, &line(&[1.0], &[-1], &[2])).contains("every gallery image is junk"));
    let wide = Features::new(vec![1.0; 3], 3, vec![7], vec![2], Vec::new()).unwrap();
    assert!(refusal(&query, &wide).contains("some features have 1 value and others 3"));
}

#[test]
fn normalising_compares_directions() {
    let of = |values: &[f32], pids: &[i64], camid: i64| {
        Features::new(values.to_vec(), 2, pids.to_vec(), vec![camid; pids.len()], Vec::new()).unwrap()
    };
    let query = of(&[1.0, 0.0], &[7], 1);
    let gallery = of(&[9.0, 0.0, 1.0, 1.0], &[7, 8], 2);
    let report = run(&query, &gallery);
    assert_eq!(report.rank1, 0.0);
    assert!(report.distance.contains("lengths from 1.000 to 9.000"), "{}", report.distance);
    let normalise = Protocol { normalise: true, ..Protocol::default() };
    assert_eq!(evaluate(&query, &gallery, &normalise, &Device::cpu()).unwrap().rank1, 1.0);
    assert!(
        run(&query.normalised().unwrap(), &gallery.normalised().unwrap()).distance.contains("unit length")
    );
}

#[test]
fn json_holds_every_figure_and_reads_back() {
    let report = run(&line(&[0.0], &[7], &[1]), &line(&[4.0, 1.0, 2.0], &[7, 8, 7], &[2, 2, 3]));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    report.write_json(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for key in ["rank1", "rank5", "rank10", "rank20", "map_market", "map_sum", "minp"] {
        assert!((0.0..=1.0).contains(&json[key].as_f64().unwrap()), "{key}");
    }
    assert_eq!(json["cmc"].as_array().unwrap().len(), 3);
    assert_eq!((json["queries"].as_u64(), json["valid_queries"].as_u64()), (Some(1), Some(1)));
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}

#[test]
fn looking_up_finds_the_nearest() {
    let values = vec![3.0, 4.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0];
    let paths = ["a", "b", "c", "d"].map(String::from).to_vec();
    let gallery = Features::new(values, 2, vec![7, -1, 0, 9], vec![1, 1, 2, 2], paths).unwrap();
    let row = |values: Vec<f32>| {
        let (dim, n) = (values.len() / 2, 2);
        Features::new(values, dim, vec![-1; n], vec![-1; n], Vec::new()).unwrap()
    };
    let query = row(vec![0.0, 0.0, 3.0, 4.0]);
    let both = top_k(&query, &gallery, 3).unwrap();
    assert_eq!((both.len(), both[1].len(), both[1][0].index, both[1][0].distance), (2, 3, 0, 0.0));
    let hits = &both[0];
    let found: Vec<_> = hits.iter().map(|h| (h.rank, h.index, h.distance, h.pid, h.camid)).collect();
    assert_eq!(found, [(1, 1, 0.0, -1, 1), (2, 2, 1.0, 0, 2), (3, 3, 1.0, 9, 2)]);
    assert_eq!(hits[0].path.as_deref(), Some("b"));
    let all = &top_k(&query, &gallery, 99).unwrap()[0];
    assert_eq!((all.len(), all[3].distance), (4, 5.0));
    assert!(top_k(&query, &gallery, 0).unwrap()[0].is_empty());
    assert!(top_k(&row(vec![0.0; 2]), &gallery, 1).unwrap_err().to_string().contains("have 1 value and"));
}

/// A gallery of several parts, so that what each thread found must be put together.
#[test]
fn looking_up_agrees_with_sorting() {
    let places: Vec<f32> = (0..1000).map(|i| (i * 7919 % 613) as f32).collect();
    let gallery = line(&places, &[5; 1000], &[1; 1000]);
    let query = line(&[200.0, 0.0], &[1, 2], &[1, 1]);
    let found = top_k(&query, &gallery, 37).unwrap();
    for (hits, at) in found.iter().zip(query.features()) {
        let mut order: Vec<usize> = (0..places.len()).collect();
        order.sort_by(|&a, &b| (places[a] - at).abs().total_cmp(&(places[b] - at).abs()));
        assert_eq!(hits.iter().map(|hit| hit.index).collect::<Vec<_>>(), order[..37]);
    }
}
