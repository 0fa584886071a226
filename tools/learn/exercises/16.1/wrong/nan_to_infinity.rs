// Expect: is NaN and becomes inf
pub fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    if bits & 0x7fff_ffff >= 0x7f80_0000 {
        // The payload of a NaN may be in the lower half only.
        return (bits >> 16) as u16;
    }
    let is_odd = (bits >> 16) & 1;
    ((bits + 0x7fff + is_odd) >> 16) as u16
}
