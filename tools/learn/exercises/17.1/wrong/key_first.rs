// Expect: the first round uses k + W
/// M0 and M1.
pub const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// W0 and W1.
pub const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// High and low half of a product.
fn product(a: u32, b: u32) -> (u32, u32) {
    let p = u64::from(a) * u64::from(b);
    ((p >> 32) as u32, p as u32)
}

/// The four random words of a counter and a key: ten rounds.
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let (mut c, mut k) = (counter, key);
    for _ in 0..10 {
        k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
        let (h0, l0) = product(MULTIPLIER[0], c[0]);
        let (h1, l1) = product(MULTIPLIER[1], c[2]);
        c = [h1 ^ c[1] ^ k[0], l1, h0 ^ c[3] ^ k[1], l0];
    }
    c
}

/// The counter whose words under `key` are `words`.
pub fn inverse(words: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let undo = MULTIPLIER.map(reciprocal);
    let mut w = words;
    for round in (0..10u32).rev() {
        let k = [0, 1].map(|i| key[i].wrapping_add(round.wrapping_mul(WEYL[i])));
        // The low halves are stored as they are, and give back c0 and c2; these give the high halves.
        let (c0, c2) = (w[3].wrapping_mul(undo[0]), w[1].wrapping_mul(undo[1]));
        let (h0, h1) = (product(MULTIPLIER[0], c0).0, product(MULTIPLIER[1], c2).0);
        w = [c0, w[0] ^ h1 ^ k[0], c2, w[2] ^ h0 ^ k[1]];
    }
    w
}

/// The x with m x = 1 modulo 2^32, of an odd m. m m = 1 modulo 8, so m itself is right in three bits, and each step of
/// Newton's method doubles their number.
fn reciprocal(m: u32) -> u32 {
    (0..4).fold(m, |x, _| x.wrapping_mul(2u32.wrapping_sub(m.wrapping_mul(x))))
}
