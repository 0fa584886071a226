//! Philox 4x32-10, a counter-based random generator (Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers:
//! As Easy as 1, 2, 3", SC 2011).
//!
//! A draw is a pure function of (seed, step, image, stream, index). There is no state to save, every thread and device
//! gets the same numbers, and a resumed run draws the same numbers as an uninterrupted one.
//!
//! Book: [chapter 16](../../../../../docs/book/src/16-bits.md).
//! Book: [chapter 17](../../../../../docs/book/src/17-data.md).

/// A stream of random numbers: one for each purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum RngStream {
    /// Initial weights; the "image" is the parameter's number.
    Init = 1,
    /// The order of images in an epoch; the "step" is the epoch.
    Sampler = 2,
    /// Augmentation: flip, pad and crop.
    Augment = 3,
    /// The dropout mask in front of the classifier.
    Dropout = 4,
    /// The synthetic data set.
    Synth = 5,
    /// Tests.
    Test = 6,
    /// Reports: the choice of queries, the start of principal components.
    Report = 7,
    /// The identities and images that a sweep holds out for validation.
    Validation = 8,
    /// The dropout mask of the verification loss; the "image" is the pair's number.
    Verification = 9,
}

const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

// ANCHOR: philox
/// The Philox 4x32-10 function: ten rounds that map a counter and a key to four random words.
pub fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let p0 = u64::from(MULTIPLIER[0]) * u64::from(counter[0]);
        let p1 = u64::from(MULTIPLIER[1]) * u64::from(counter[2]);
        counter = [
            (p1 >> 32) as u32 ^ counter[1] ^ key[0],
            p1 as u32,
            (p0 >> 32) as u32 ^ counter[3] ^ key[1],
            p0 as u32,
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}
// ANCHOR_END: philox

// ANCHOR: state
/// The random numbers of one (seed, step, image, stream).
#[derive(Clone, Copy, Debug)]
pub struct Philox {
    key: [u32; 2],
    step: u32,
    image: u32,
    stream: RngStream,
}
// ANCHOR_END: state

impl Philox {
    // ANCHOR: draw
    /// The random numbers of `stream` for one image of one step. Steps and images count from 0 and stay below 2^32.
    pub fn new(seed: u64, step: u64, image: u64, stream: RngStream) -> Self {
        Philox { key: [seed as u32, (seed >> 32) as u32], step: step as u32, image: image as u32, stream }
    }

    /// The words `4 * block` to `4 * block + 3` of the sequence.
    pub fn block(&self, block: u32) -> [u32; 4] {
        philox4x32([block, self.image, self.step, self.stream as u32], self.key)
    }

    /// The word `index` of the sequence.
    pub fn word(&self, index: u32) -> u32 {
        self.block(index / 4)[index as usize % 4]
    }
    // ANCHOR_END: draw

    /// A uniform number in [0, 1), a multiple of 2^-24.
    pub fn uniform(&self, index: u32) -> f32 {
        unit(self.word(index))
    }

    /// A uniform integer in 0..n, by the high half of a product (a bias below n / 2^32); 0 when `n` is 0.
    pub fn below(&self, index: u32, n: u32) -> u32 {
        ((u64::from(self.word(index)) * u64::from(n)) >> 32) as u32
    }

    /// A standard normal number (Box and Muller's transform of words `2 * index` and `2 * index + 1`, in f64).
    pub fn normal(&self, index: u32) -> f32 {
        let words = self.block(index / 2);
        let pair = (index as usize % 2) * 2;
        // In (0, 1], so that the logarithm is finite.
        let u = (f64::from(words[pair]) + 1.0) / 4_294_967_296.0;
        let v = f64::from(words[pair + 1]) / 4_294_967_296.0;
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
    }

    /// A random sample of `k` distinct numbers of 0..n; every set is equally likely (Floyd's algorithm: Bentley and
    /// Floyd, "A sample of brilliance", 1987). The order is not shuffled.
    ///
    /// # Panics
    /// If `k` is more than `n`.
    pub fn distinct(&self, k: usize, n: usize) -> Vec<u32> {
        assert!(k <= n, "{k} different numbers of {n}");
        let mut chosen = Vec::with_capacity(k);
        let mut seen = std::collections::HashSet::with_capacity(k);
        for (index, last) in ((n - k) as u32..n as u32).enumerate() {
            let drawn = self.below(index as u32, last + 1);
            let number = if seen.insert(drawn) { drawn } else { last };
            seen.insert(number);
            chosen.push(number);
        }
        chosen
    }

    /// A random permutation of 0..n (Fisher and Yates, from the last element down).
    pub fn permutation(&self, n: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n as u32).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i as u32, i as u32 + 1) as usize);
        }
        order
    }
}

/// Converts the top 24 bits of a word to a number in [0, 1).
pub fn unit(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers published with the Random123 library (`kat_vectors`).
    #[test]
    fn known_answers() {
        assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox4x32([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox4x32([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn a_permutation_holds_each_index_once() {
        let mut order = Philox::new(7, 3, 0, RngStream::Sampler).permutation(1001);
        assert_ne!(order, (0..1001).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..1001).collect::<Vec<_>>());
    }

    #[test]
    fn distinct_numbers_are_distinct_and_each_as_likely_as_the_others() {
        let mut counts = [0u32; 10];
        for step in 0..3000 {
            let mut drawn = Philox::new(9, step, 0, RngStream::Sampler).distinct(4, 10);
            drawn.iter().for_each(|&number| counts[number as usize] += 1);
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len(), 4);
        }
        // 3000 * 4 / 10, with a deviation of sqrt(3000 * 0.4 * 0.6) = 27.
        assert!(counts.iter().all(|count| (1090..1310).contains(count)), "{counts:?}");
        let mut all = Philox::new(9, 0, 0, RngStream::Sampler).distinct(5, 5);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn normal_has_mean_zero_and_variance_one() {
        let stream = Philox::new(1, 0, 0, RngStream::Test);
        let n = 100_000;
        let draws: Vec<f64> = (0..n).map(|i| f64::from(stream.normal(i))).collect();
        let mean = draws.iter().sum::<f64>() / f64::from(n);
        let variance = draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "mean {mean}, variance {variance}");
    }
}
