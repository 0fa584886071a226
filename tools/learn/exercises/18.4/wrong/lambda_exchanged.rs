// Expect: lambda is the share of d
//! Re-ranking with full matrices. Images 0 to queries - 1 are the queries, the others the gallery.

/// Which share of R(q, k1/2) must be in R(p, k1), so that it is added to R(p, k1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TwoThirds {
    /// More than two thirds, as in the published programs.
    Greater,
    /// Two thirds or more, as in the paper.
    GreaterOrEqual,
}

/// Settings of re-ranking.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Neighbours of an image, without itself. k1 / 2 is rounded to the even number if it is a half.
    pub k1: usize,
    /// Images whose weights are averaged: the image itself and its k2 - 1 nearest.
    pub k2: usize,
    pub lambda: f64,
    pub rule: TwoThirds,
}

/// The final distances of each query (a row) to the gallery. `squared` has the squared distances of all images to all
/// images, of which no two of a row are equal. In the weights and in the final distance, d is the squared distance
/// divided by the largest one of its row.
pub fn rerank(squared: &[Vec<f64>], queries: usize, settings: Settings) -> Vec<Vec<f64>> {
    let n = squared.len();
    let d: Vec<Vec<f64>> = squared
        .iter()
        .map(|row| {
            let largest = row.iter().copied().fold(0.0, f64::max);
            row.iter().map(|d| d / largest).collect()
        })
        .collect();
    let order: Vec<Vec<usize>> = d
        .iter()
        .map(|row| {
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by(|&a, &b| row[a].total_cmp(&row[b]));
            order
        })
        .collect();
    // The weights of all images: a row for each.
    let weights: Vec<Vec<f64>> = (0..n)
        .map(|p| {
            let mut row = vec![0.0; n];
            for j in expanded(&order, p, settings) {
                row[j] = (-d[p][j]).exp();
            }
            let sum: f64 = row.iter().sum();
            row.iter().map(|weight| weight / sum).collect()
        })
        .collect();
    let averaged: Vec<Vec<f64>> = order
        .iter()
        .map(|order| {
            let nearest = &order[..settings.k2];
            (0..n)
                .map(|j| nearest.iter().map(|&i| weights[i][j]).sum::<f64>() / nearest.len() as f64)
                .collect()
        })
        .collect();
    let last = |p: usize, g: usize| {
        let overlap: f64 = averaged[p].iter().zip(&averaged[g]).map(|(a, b)| a.min(*b)).sum();
        settings.lambda * (1.0 - overlap / (2.0 - overlap)) + (1.0 - settings.lambda) * d[p][g]
    };
    (0..queries).map(|p| (queries..n).map(|g| last(p, g)).collect()).collect()
}

/// R(p, k).
fn reciprocal(order: &[Vec<usize>], p: usize, k: usize) -> Vec<usize> {
    // An image is its own nearest one, so the lists have one more.
    let nearest = |p: usize| &order[p][..k + 1];
    nearest(p).iter().copied().filter(|&q| nearest(q).contains(&p)).collect()
}

/// R(p, k1) with the neighbours of its members.
fn expanded(order: &[Vec<usize>], p: usize, settings: Settings) -> Vec<usize> {
    let half = (settings.k1 as f64 / 2.0).round_ties_even() as usize;
    let own = reciprocal(order, p, settings.k1);
    let mut all = own.clone();
    for &q in &own {
        let theirs = reciprocal(order, q, half);
        let common = theirs.iter().filter(|j| own.contains(j)).count();
        let is_enough = match settings.rule {
            TwoThirds::Greater => 3 * common > 2 * theirs.len(),
            TwoThirds::GreaterOrEqual => 3 * common >= 2 * theirs.len(),
        };
        if is_enough {
            all.extend(theirs);
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}
