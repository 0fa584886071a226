// Expect: n = 1000: 999.0 calls of Philox for one element
use crate::philox::philox4x32;

/// The image at `place` of the order of `epoch`: an element of a permutation of 0 to n - 1, for a place below n.
pub fn image(seed: u64, epoch: u32, n: u32, place: u32) -> u32 {
    // Fisher and Yates need the whole order for one element of it.
    let mut order: Vec<u32> = (0..n).collect();
    for i in (1..n).rev() {
        let word = philox4x32([i, 0, epoch, 0], [seed as u32, (seed >> 32) as u32])[0];
        order.swap(i as usize, ((u64::from(word) * u64::from(i + 1)) >> 32) as usize);
    }
    order[place as usize]
}
