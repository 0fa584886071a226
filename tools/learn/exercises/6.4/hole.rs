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
    todo!("one layer for {}", layers.len())
}

/// The border of a layer from points (u, v) of the plane to the scores of two classes: numbers [p, q, r] for which
/// p u + q v + r is above 0 where the score of class 1 is higher, and below 0 where that of class 0 is.
pub fn border(layer: &Layer) -> [f64; 3] {
    todo!("a line from {} weights", layer.weights.len())
}
