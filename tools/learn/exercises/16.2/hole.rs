/// The largest u > 0 for which w - u, rounded to bf16, is still w. The weight w is a normal number of bf16.
pub fn largest_lost(w: f32) -> f32 {
    todo!("a formula of {w}")
}
