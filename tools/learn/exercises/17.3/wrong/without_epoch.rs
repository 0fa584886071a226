// Expect: the same order
use crate::philox::philox4x32;

const ROUNDS: u32 = 4;

/// The image at `place` of the order of `epoch`: an element of a permutation of 0 to n - 1, for a place below n.
pub fn image(seed: u64, epoch: u32, n: u32, place: u32) -> u32 {
    // The smallest number of bits of a half, so that two halves have n values or more.
    let bits = (1..16).find(|bits| 1u64 << (2 * bits) >= u64::from(n)).unwrap_or(16);
    let mask = u32::MAX >> (32 - bits);
    let key = [seed as u32, (seed >> 32) as u32];
    let mut value = place;
    // The network permutes 2^(2 bits) numbers. A walk that leaves 0..n goes on until it is back: it follows a cycle of
    // the permutation, and `place` itself is on this cycle.
    loop {
        let (mut left, mut right) = (value >> bits, value & mask);
        for round in 0..ROUNDS {
            let f = philox4x32([right, round, 0, 0], key)[0] & mask;
            (left, right) = (right, left ^ f);
        }
        value = (left << bits) | right;
        if value < n {
            return value;
        }
    }
}
