//! Loops compiled twice: for any machine of the target, and for one with AVX2 and FMA.

use std::ops::{Add, Mul, Sub};

/// How many values [`Lanes`] holds.
pub const LANES: usize = 8;

/// Eight values worked on at once: a vector register where the machine has such, inside of [`vectorized`].
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub struct Lanes([f32; LANES]);

impl Lanes {
    /// Eight zeros.
    pub const ZERO: Lanes = Lanes([0.0; LANES]);

    /// The eight values of `from` from `at` on; zeros behind its end.
    #[inline(always)]
    pub fn load(from: &[f32], at: usize) -> Self {
        let mut lanes = Self::ZERO;
        if at + LANES <= from.len() {
            lanes.0.copy_from_slice(&from[at..at + LANES]);
        } else if at < from.len() {
            let rest = &from[at..];
            for i in 0..rest.len() {
                lanes.0[i] = rest[i];
            }
        }
        lanes
    }

    /// Writes as many of the values as `to` holds.
    #[inline(always)]
    pub fn store(self, to: &mut [f32]) {
        if to.len() >= LANES {
            to[..LANES].copy_from_slice(&self.0);
        } else {
            for i in 0..to.len() {
                to[i] = self.0[i];
            }
        }
    }

    #[inline(always)]
    fn with(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let mut result = Self::ZERO;
        for i in 0..LANES {
            result.0[i] = f(self.0[i], other.0[i]);
        }
        result
    }
}

impl Add for Lanes {
    type Output = Lanes;
    #[inline(always)]
    fn add(self, other: Lanes) -> Lanes {
        self.with(other, |a, b| a + b)
    }
}

impl Sub for Lanes {
    type Output = Lanes;
    #[inline(always)]
    fn sub(self, other: Lanes) -> Lanes {
        self.with(other, |a, b| a - b)
    }
}

impl Mul<f32> for Lanes {
    type Output = Lanes;
    #[inline(always)]
    fn mul(self, factor: f32) -> Lanes {
        self.with(self, |a, _| a * factor)
    }
}

/// Runs `work`, compiled for AVX2 and FMA when the machine has them. What `work` calls takes part only where it is
/// inlined: mark helpers `#[inline(always)]`.
#[inline(always)]
pub fn vectorized<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn wide<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the machine has what the function is compiled for.
            return unsafe { wide(work) };
        }
    }
    work()
}
