//! The example of `docs/metrics.md`: the evaluation of its first table gives its second table.

use crate::line;
use bcreid::device::Device;
use bcreid::eval::{Protocol, evaluate};

/// The rows of the first table whose header starts with `header`, cell by cell.
fn table(page: &str, header: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| {
        let inner = line.trim().trim_matches('|');
        inner.split('|').map(|cell| cell.trim().to_string()).collect::<Vec<String>>()
    };
    let lines = page.lines().skip_while(|line| !line.starts_with(&format!("| {header} |")));
    lines.skip(2).take_while(|line| line.starts_with('|')).map(cells).collect()
}

#[test]
fn the_page_counts_right() {
    let page = include_str!("../../docs/metrics.md");
    let images = table(page, "image");
    let column = |at: usize| images.iter().map(move |row| row[at].as_str());
    let numbers = |at: usize| column(at).map(|cell| cell.parse().unwrap()).collect::<Vec<i64>>();
    let distances: Vec<f32> = column(3).map(|cell| cell.parse().unwrap()).collect();
    let (query, gallery) = (line(&[0.0], &[7], &[1]), line(&distances, &numbers(1), &numbers(2)));
    let report = evaluate(&query, &gallery, &Protocol::default(), &Device::cpu()).unwrap();

    let figures = table(page, "figure");
    let stated = |name: &str| -> Vec<f64> {
        let row = figures.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("no row {name}"));
        row[1].split(',').map(|value| value.trim().parse().unwrap()).collect()
    };
    let near = |name: &str, ours: &[f64]| {
        let stated = stated(name);
        assert_eq!(stated.len(), ours.len(), "{name}");
        assert!(
            stated.iter().zip(ours).all(|(a, b)| (a - b).abs() < 1e-6),
            "{name}: {stated:?} and {ours:?}"
        );
    };
    near("rank-1", &[report.rank1]);
    near("rank-5", &[report.rank5]);
    near("CMC", &report.cmc);
    near("mAP", &[report.map_market]);
    near("mAP (sum)", &[report.map_sum]);
    near("mINP", &[report.minp]);
    assert_eq!((images.len(), figures.len()), (4, 6));
}
