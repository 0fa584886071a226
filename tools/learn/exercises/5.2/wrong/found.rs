// Expect: the product's checker finds your error
pub fn value(x: f64) -> f64 {
    x * x
}

pub fn derivative(x: f64) -> f64 {
    x
}
