/// The largest u > 0 for which w - u, rounded to bf16, is still w. The weight w is a normal number of bf16.
pub fn largest_lost(w: f32) -> f32 {
    // 2^e <= |w| < 2^(e + 1): the numbers of bf16 there are 2^(e - 7) apart, and w stays within half of that.
    let power = f32::from_bits(w.to_bits() & 0x7f80_0000);
    let half = power / 256.0;
    // Below a power of two they are twice as dense. A negative weight moves away from 0, where they are not.
    if w == power { half / 2.0 } else { half }
}
