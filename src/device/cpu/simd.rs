//! Vectorised loops: each is compiled for the baseline of the target, for AVX2 with FMA, and for AVX-512.

use super::isa::{Isa, isa};
use crate::element::{GradMode, Real};
use std::ops::{Add, Mul, Sub};

/// The number of values in [`Lanes`].
pub const LANES: usize = 8;

/// Eight f32 values: inside of [`vectorized`] a vector register, where the machine has AVX2. (With AVX-512 there are
/// twice as many of these registers.)
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub struct Lanes([f32; LANES]);

impl Lanes {
    /// Eight zeros.
    pub const ZERO: Lanes = Lanes([0.0; LANES]);

    /// Loads `count` values of `from` from index `at` on and fills the rest with zeros. Pass the constant [`LANES`]
    /// as `count` for whole vectors: the compiler then removes the branch.
    #[inline(always)]
    pub fn load<E: Real>(from: &[E], at: usize, count: usize) -> Self {
        let mut lanes = Self::ZERO;
        if count == LANES {
            let from: &[E; LANES] = from[at..].first_chunk().expect("whole lanes");
            lanes.0.iter_mut().zip(from).for_each(|(lane, value)| *lane = value.widen());
        } else {
            for (lane, value) in lanes.0.iter_mut().zip(&from[at..at + count]) {
                *lane = value.widen();
            }
        }
        lanes
    }

    /// Stores the first `count` values to `to` from index `at` on.
    #[inline(always)]
    pub fn store<E: Real>(self, to: &mut [E], at: usize, count: usize) {
        if count == LANES {
            to[at..at + LANES].copy_from_slice(&self.0.map(E::narrow));
        } else {
            for (to, lane) in to[at..at + count].iter_mut().zip(self.0) {
                *to = E::narrow(lane);
            }
        }
    }

    /// Stores the first `count` values to `to` from index `at` on, or adds them to its elements.
    #[inline(always)]
    pub fn put<E: Real>(self, to: &mut [E], at: usize, count: usize, mode: GradMode) {
        match mode {
            GradMode::Overwrite => self.store(to, at, count),
            GradMode::Accumulate => (Lanes::load(to, at, count) + self).store(to, at, count),
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

/// Rounds each element of `from` to the type of `to`; the lengths are equal.
pub fn convert<F: Real, T: Real>(from: &[F], to: &mut [T]) {
    vectorized(
        #[inline(always)]
        || to.iter_mut().zip(from).for_each(|(to, from)| *to = T::narrow(from.widen())),
    );
}

/// Runs `work`, compiled for the widest instruction set of the machine ([`isa`]). Only inlined code is compiled so: mark
/// the closure and the functions it calls `#[inline(always)]`. Products and sums are rounded one by one in each version,
/// in the order of the source, so all give the same bits.
#[inline(always)]
pub fn vectorized<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn avx2<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
        fn avx512<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        match isa() {
            // SAFETY: `isa` returns what the machine has.
            Isa::Avx512 => return unsafe { avx512(work) },
            Isa::Avx2 => return unsafe { avx2(work) },
            Isa::Portable => {}
        }
    }
    work()
}
