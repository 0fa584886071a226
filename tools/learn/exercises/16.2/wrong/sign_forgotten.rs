// Expect: w = -1: u = 0.001953125 is not the largest
pub fn largest_lost(w: f32) -> f32 {
    let power = f32::from_bits(w.to_bits() & 0x7f80_0000);
    let half = power / 256.0;
    if w.abs() == power { half / 2.0 } else { half }
}
