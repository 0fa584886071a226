/// The terms of (3)'s derivative that the paper's (8) lacks, for each image: the part of the positive pairs, and the
/// part of the hinges. The derivative is (8) plus both. labels[i] is the person of image i; the hinge compares squared
/// distances with tau.
pub fn left_out(x: &[Vec<f64>], labels: &[usize], tau: f64) -> [Vec<Vec<f64>>; 2] {
    let _ = (labels, tau);
    todo!("two parts for {} images", x.len())
}

/// Whether a gradient check of (8) against the loss L_b + L_c passes for a batch of four different features. Write
/// `Some(true)` or `Some(false)`:
///
/// 1. one image of each of four persons, all farther from each other than the margin;
/// 2. one image of each of four persons, two of them nearer than the margin;
/// 3. two images of each of two persons, no images of both nearer than the margin;
/// 4. four images of one person.
pub const PASSES: [Option<bool>; 4] = [None, None, None, None];
