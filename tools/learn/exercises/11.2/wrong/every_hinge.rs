// Expect: the part of the hinges: image
/// The terms of (3)'s derivative that the paper's (8) lacks, for each image: the part of the positive pairs, and the
/// part of the hinges. The derivative is (8) plus both. labels[i] is the person of image i; the hinge compares squared
/// distances with tau.
pub fn left_out(x: &[Vec<f64>], labels: &[usize], tau: f64) -> [Vec<Vec<f64>>; 2] {
    let m = x.len();
    let difference = |i: usize, j: usize| x[i].iter().zip(&x[j]).map(|(a, b)| a - b).collect::<Vec<f64>>();
    let distance = |i: usize, j: usize| difference(i, j).iter().map(|d| d * d).sum::<f64>();
    let hardest = |i: usize| {
        let negatives = (0..m).filter(|j| labels[*j] != labels[i]);
        negatives.min_by(|a, b| distance(i, *a).total_cmp(&distance(i, *b)))
    };
    // Half of the loss of image j, differentiated by its partner i. A pair gives x_i - x_j from the side of j too, and
    // an active hinge of j -(x_i - x_j) if i is its hardest negative.
    let from = |i: usize, chosen: &dyn Fn(usize) -> bool, factor: f64| {
        let mut sum = vec![0.0; x[i].len()];
        for j in (0..m).filter(|j| chosen(*j)) {
            sum.iter_mut().zip(difference(i, j)).for_each(|(sum, d)| *sum += factor * d);
        }
        sum
    };
    let positive = (0..m).map(|i| from(i, &|j| labels[j] == labels[i], 1.0)).collect();
    let hinge = (0..m).map(|i| from(i, &|j| hardest(j) == Some(i), -1.0)).collect();
    [positive, hinge]
}

/// Whether a gradient check of (8) against the loss L_b + L_c passes for a batch of four different features. Write
/// `Some(true)` or `Some(false)`:
///
/// 1. one image of each of four persons, all farther from each other than the margin;
/// 2. one image of each of four persons, two of them nearer than the margin;
/// 3. two images of each of two persons, no images of both nearer than the margin;
/// 4. four images of one person.
pub const PASSES: [Option<bool>; 4] = [Some(true), Some(false), Some(false), Some(false)];
