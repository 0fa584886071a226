//! Sequential random draws from the counter-based generator.
//!
//! Every person, walk and picture has its own stream, so that the draws of one do not depend on the order of drawing
//! or on the threads.

use crate::tensor::philox::{Philox, RngStream, unit};

/// The owner of a stream; each kind numbers its members from 0.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub enum DrawOwner {
    /// An identity; the index is the pid.
    Person = 0,
    /// An identity's walk past a camera.
    Walk = 1,
    /// A picture; the index is the task's number in the plan.
    Picture = 2,
    /// The plan of the whole set.
    Plan = 3,
    /// The sensor noise of a picture.
    Noise = 4,
}

/// A random stream, read from its beginning.
pub struct Draws {
    stream: Philox,
    next: u32,
}

impl Draws {
    /// The stream of one member of a kind.
    pub fn new(seed: u64, owner: DrawOwner, index: usize) -> Self {
        Draws { stream: Philox::new(seed, owner as u64, index as u64, RngStream::Synth), next: 0 }
    }

    fn word(&mut self) -> u32 {
        self.next += 1;
        self.stream.word(self.next - 1)
    }

    /// A uniform number between `low` and `high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * unit(self.word())
    }

    /// A uniform number within `spread` of `centre`.
    pub fn about(&mut self, centre: f32, spread: f32) -> f32 {
        self.between(centre - spread, centre + spread)
    }

    /// True with the given probability.
    pub fn chance(&mut self, probability: f32) -> bool {
        unit(self.word()) < probability
    }

    /// A uniform index of 0..n; `n` is at least 1.
    pub fn below(&mut self, n: usize) -> usize {
        ((u64::from(self.word()) * n as u64) >> 32) as usize
    }

    /// One of the items, with equal probabilities.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// One of the items, with probabilities in proportion to the weights.
    pub fn weighted<T: Copy>(&mut self, items: &[(T, usize)]) -> T {
        let mut left = self.below(items.iter().map(|(_, weight)| weight).sum());
        for &(item, weight) in items {
            if left < weight {
                return item;
            }
            left -= weight;
        }
        unreachable!("a draw stays below the sum of the weights")
    }
}
