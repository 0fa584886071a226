/// The bits of the bf16 number nearest to x; at a tie, of the even one. Integer operations only.
pub fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    if bits & 0x7fff_ffff > 0x7f80_0000 {
        // NaN, with a bit of the mantissa that stays: the upper half alone may be that of infinity.
        return (bits >> 16) as u16 | 0x40;
    }
    // Half of a unit of the upper half, less 1 where the upper half is even: a tie goes up from odd ones only. A carry
    // out of the mantissa raises the exponent, which is the next number too, up to infinity.
    let is_odd = (bits >> 16) & 1;
    ((bits + 0x7fff + is_odd) >> 16) as u16
}
