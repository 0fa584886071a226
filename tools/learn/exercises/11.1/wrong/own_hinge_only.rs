// Expect: the derivative lacks the images whose hardest negative
/// Two gradients of L_b + L_c by the features x of a batch: the paper's (8), and the derivative. labels[i] is the
/// person of image i, and centers[y] the center of person y. The hinge compares squared distances with tau; of several
/// nearest negatives it takes the first. At a distance of exactly tau it has no gradient.
pub fn gradients(x: &[Vec<f64>], labels: &[usize], centers: &[Vec<f64>], tau: f64) -> [Vec<Vec<f64>>; 2] {
    let m = x.len();
    let difference = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<f64>>();
    let distance = |i: usize, j: usize| difference(&x[i], &x[j]).iter().map(|d| d * d).sum::<f64>();
    // The hardest negative of each image, if its hinge is active. min_by takes the first of equal ones.
    let hardest: Vec<Option<usize>> = (0..m)
        .map(|i| {
            let negatives = (0..m).filter(|j| labels[*j] != labels[i]);
            let nearest = negatives.min_by(|a, b| distance(i, *a).total_cmp(&distance(i, *b)));
            nearest.filter(|h| distance(i, *h) < tau)
        })
        .collect();
    [1.0, 2.0].map(|sides| {
        let of_image = |i: usize| {
            let mut dx = difference(&x[i], &centers[labels[i]]);
            let mut add = |factor: f64, j: usize| {
                dx.iter_mut().zip(difference(&x[i], &x[j])).for_each(|(dx, d)| *dx += factor * d);
            };
            (0..m).filter(|j| labels[*j] == labels[i]).for_each(|j| add(sides, j));
            hardest[i].into_iter().for_each(|h| add(-1.0, h));
            if false {
                (0..m).filter(|j| hardest[*j] == Some(i)).for_each(|j| add(-1.0, j));
            }
            dx
        };
        (0..m).map(of_image).collect()
    })
}
