// Expect: w = 1.5: u = 0.0029296875 is not the largest
pub fn largest_lost(w: f32) -> f32 {
    // Right at 1 only: the distance of two numbers is the same from one power of two to the next.
    w.abs() / 512.0
}
