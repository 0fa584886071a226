/// M0 and M1.
pub const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// W0 and W1.
pub const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// The four random words of a counter and a key: ten rounds. All sums are modulo 2^32 (`wrapping_add`).
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    todo!("ten rounds of {counter:?} with {key:?}")
}

/// The counter whose words under `key` are `words`. A product with an odd number modulo 2^32 is undone by a product
/// with the inverse of that number: find the x with MULTIPLIER[0] x = 1 modulo 2^32.
pub fn inverse(words: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    todo!("the ten rounds of {words:?} backwards, with the last key of {key:?} first")
}
