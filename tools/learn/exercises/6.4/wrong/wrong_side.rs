// Expect: is above 0 on the side of class 0
/// A linear layer, y = x W^T + b.
#[derive(Clone, Debug)]
pub struct Layer {
    /// W [outputs, inputs], by rows.
    pub weights: Vec<f64>,
    /// b [outputs].
    pub bias: Vec<f64>,
}

/// The layer that computes the same as one or more layers, of which the first one gets x.
pub fn collapse(layers: &[Layer]) -> Layer {
    let [first, rest @ ..] = layers else { panic!("one layer or more") };
    rest.iter().fold(first.clone(), |before, after| {
        let (outputs, middle) = (after.bias.len(), before.bias.len());
        let inputs = before.weights.len() / middle;
        let dot = |i: usize, column: &dyn Fn(usize) -> f64| -> f64 {
            (0..middle).map(|j| after.weights[i * middle + j] * column(j)).sum()
        };
        // W = W2 W1, b = W2 b1 + b2.
        let weight = |at: usize| dot(at / inputs, &|j| before.weights[j * inputs + at % inputs]);
        let bias = |i: usize| dot(i, &|j| before.bias[j]) + after.bias[i];
        Layer { weights: (0..outputs * inputs).map(weight).collect(), bias: (0..outputs).map(bias).collect() }
    })
}

/// The border of a layer from points (u, v) of the plane to the scores of two classes: numbers [p, q, r] for which
/// p u + q v + r is above 0 where the score of class 1 is higher, and below 0 where that of class 0 is.
pub fn border(layer: &Layer) -> [f64; 3] {
    let (w, b) = (&layer.weights, &layer.bias);
    [w[0] - w[2], w[1] - w[3], b[0] - b[1]]
}
