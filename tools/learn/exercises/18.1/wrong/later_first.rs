// Expect: of two images at the same distance the later comes first
/// Rank-1 (0 or 1), average precision by trapezoids, as a finite sum, and INP of one query; `None` without a match. The
/// query and the images of the gallery are given as person and camera, all cameras are known.
pub fn evaluate(distances: &[f32], query: (i64, i64), gallery: &[(i64, i64)]) -> Option<[f64; 4]> {
    let counts = |&image: &usize| gallery[image].0 != -1 && gallery[image] != query;
    let mut order: Vec<usize> = (0..gallery.len()).filter(counts).collect();
    // Stable: images at the same distance stay in the order of the gallery.
    order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]).then(b.cmp(&a)));
    let ranks: Vec<usize> =
        (1..).zip(&order).filter(|(_, image)| gallery[**image].0 == query.0).map(|(rank, _)| rank).collect();
    let (&first, &last) = (ranks.first()?, ranks.last()?);
    let n = ranks.len() as f64;
    let (mut trapezoid, mut sum) = (0.0, 0.0);
    for (found, &rank) in ranks.iter().enumerate() {
        let here = (found + 1) as f64 / rank as f64;
        let before = if rank == 1 { 1.0 } else { found as f64 / (rank - 1) as f64 };
        trapezoid += (here + before) / 2.0;
        sum += here;
    }
    Some([f64::from(first == 1), trapezoid / n, sum / n, n / last as f64])
}
