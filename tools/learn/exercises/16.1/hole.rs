/// The bits of the bf16 number nearest to x; at a tie, of the even one. Integer operations only.
pub fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    todo!("the upper half of {bits:08x}, or the number above it")
}
