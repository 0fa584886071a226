/// Rank-1 (0 or 1), average precision by trapezoids, as a finite sum, and INP of one query; `None` without a match. The
/// query and the images of the gallery are given as person and camera, all cameras are known.
pub fn evaluate(distances: &[f32], query: (i64, i64), gallery: &[(i64, i64)]) -> Option<[f64; 4]> {
    todo!(
        "the ranks of the matches of {query:?} among {} images at {} distances",
        gallery.len(),
        distances.len()
    )
}
