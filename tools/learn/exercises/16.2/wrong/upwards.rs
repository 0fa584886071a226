// Expect: w = 1: w - 0.999 u is rounded to 0.99609375
pub fn largest_lost(w: f32) -> f32 {
    let power = f32::from_bits(w.to_bits() & 0x7f80_0000);
    power / 256.0
}
