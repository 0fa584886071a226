/// The gradient of x [m, c] of a chain of layers, from dy [m, c], the gradient of the last h. The first h is x. A layer
/// with the matrix W [c, c] computes h' = relu(h W^T), or h' = h + relu(h W^T) with a shortcut. All matrices lie in
/// memory by rows.
pub fn gradient(x: &[f64], weights: &[Vec<f64>], dy: &[f64], c: usize, has_shortcut: bool) -> Vec<f64> {
    // Forwards: the sums z = h W^T of each layer are saved, because relu'(z) is needed on the way back.
    let (mut h, mut sums) = (x.to_vec(), Vec::new());
    for w in weights {
        let of_row = |h: &[f64], j: usize| h.iter().zip(&w[j * c..]).map(|(h, w)| h * w).sum::<f64>();
        let z: Vec<f64> = h.chunks(c).flat_map(|h| (0..c).map(move |j| of_row(h, j))).collect();
        let y = z.iter().map(|z| z.max(0.0));
        h = if has_shortcut { h.iter().zip(y).map(|(h, y)| h + y).collect() } else { y.collect() };
        sums.push(z);
    }
    // Backwards.
    let mut dh = dy.to_vec();
    for (w, z) in weights.iter().zip(&sums).rev() {
        let dz: Vec<f64> = dh.iter().zip(z).map(|(dh, z)| if *z > 0.0 { *dh } else { 0.0 }).collect();
        let mut before = if has_shortcut { dh.clone() } else { vec![0.0; dh.len()] };
        for (before, dz) in before.chunks_mut(c).zip(dz.chunks(c)) {
            for (dz, w) in dz.iter().zip(w.chunks(c)) {
                before.iter_mut().zip(w).for_each(|(before, w)| *before += dz * w);
            }
        }
        dh = before;
    }
    dh
}
