/// A step of SGD with momentum, in PyTorch's convention or in Caffe's: changes the weight w and its velocity v.
pub fn sgd(w: &mut f64, v: &mut f64, g: f64, rate: f64, mu: f64, caffe: bool) {
    let _ = (w, v, g, rate, mu);
    todo!("the velocity, then the weight; Caffe's convention: {caffe}")
}

/// The learning rate drops to 0, and the gradient stays what it is. How far does the weight still move, in all later
/// steps together? v is Caffe's velocity after the last step before the drop; the result is what is subtracted from w.
pub fn rest(v: f64, mu: f64) -> f64 {
    todo!("the sum of all later steps, from the velocity {v} with the momentum {mu}")
}
