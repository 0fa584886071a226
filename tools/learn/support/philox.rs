//! Philox of chapter 17, with notes of what is asked: the grader reads them. Your answer uses it.

use std::cell::{Cell, RefCell};

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static MOST: Cell<u64> = const { Cell::new(u64::MAX) };
    static WORDS: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// Philox 4x32-10: four random words of a counter and a key.
pub fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    CALLS.set(CALLS.get() + 1);
    assert!(
        CALLS.get() <= MOST.get(),
        "philox4x32 is called more than {} times: the network has far more bits than n needs, or a loop does not end",
        MOST.get()
    );
    for _ in 0..10 {
        let p0 = 0xD251_1F53 * u64::from(counter[0]);
        let p1 = 0xCD9E_8D57 * u64::from(counter[2]);
        counter = [
            (p1 >> 32) as u32 ^ counter[1] ^ key[0],
            p1 as u32,
            (p0 >> 32) as u32 ^ counter[3] ^ key[1],
            p0 as u32,
        ];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

/// The random words of the image at place `slot` of the batch of `step`.
pub struct Draws {
    pub seed: u64,
    pub step: u32,
    pub slot: u32,
}

impl Draws {
    /// Word `index`.
    pub fn word(&self, index: u32) -> u32 {
        WORDS.with_borrow_mut(|words| words.push(index));
        let key = [self.seed as u32, (self.seed >> 32) as u32];
        // 3 is the purpose: augmentation.
        philox4x32([index / 4, self.slot, self.step, 3], key)[index as usize % 4]
    }

    /// A whole number in 0..n, from word `index`.
    pub fn below(&self, index: u32, n: u32) -> u32 {
        ((u64::from(self.word(index)) * u64::from(n)) >> 32) as u32
    }
}

/// For the grader: what `f` returns, and how often it called `philox4x32`, which panics after `most` calls.
pub fn calls<T>(most: u64, f: impl FnOnce() -> T) -> (T, u64) {
    CALLS.set(0);
    MOST.set(most);
    let result = f();
    MOST.set(u64::MAX);
    (result, CALLS.get())
}

/// For the grader: what `f` returns, and the numbers of the words that it asked for, in order.
pub fn words<T>(f: impl FnOnce() -> T) -> (T, Vec<u32>) {
    WORDS.take();
    let result = f();
    (result, WORDS.take())
}
