//! The counters of the steps: all loads, stores and multiplications of a step go through a [`Meter`].

use super::layer::{Layer, TAPS};

/// The cost of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    pub multiplications: usize,
    /// Bytes between memory (with its caches) and registers, both ways.
    pub bytes: usize,
}

impl Cost {
    pub fn new(multiplications: usize, values_moved: usize) -> Self {
        Cost { multiplications, bytes: 4 * values_moved }
    }
}

// ANCHOR: meter
/// Loads, stores and multiplications.
pub trait Meter {
    /// Counts values that are loaded or stored.
    fn moved(&mut self, values: usize);

    /// Counts multiplications.
    fn multiplied(&mut self, times: usize);

    /// Loads N values.
    #[inline(always)]
    fn load<const N: usize>(&mut self, from: &[f32], at: usize) -> [f32; N] {
        self.moved(N);
        from[at..at + N].try_into().expect("N values")
    }

    /// Stores N values.
    #[inline(always)]
    fn store<const N: usize>(&mut self, to: &mut [f32], at: usize, values: [f32; N]) {
        self.moved(N);
        to[at..at + N].copy_from_slice(&values);
    }

    /// sums += a b, all in registers.
    #[inline(always)]
    fn add_product<const N: usize>(&mut self, sums: &mut [f32; N], a: f32, b: &[f32; N]) {
        self.multiplied(N);
        sums.iter_mut().zip(b).for_each(|(sum, b)| *sum += a * b);
    }

    /// sums += a b, `sums` and `b` in memory: two loads and a store for each product.
    #[inline(always)]
    fn add_product_in_memory(&mut self, sums: &mut [f32], a: f32, b: &[f32]) {
        self.multiplied(sums.len());
        self.moved(3 * sums.len());
        sums.iter_mut().zip(b).for_each(|(sum, b)| *sum += a * b);
    }
    // ANCHOR_END: meter

    /// Copies values: a load and a store each.
    #[inline(always)]
    fn copy(&mut self, from: &[f32], to: &mut [f32]) {
        self.moved(2 * to.len());
        to.copy_from_slice(from);
    }

    /// Stores zeros.
    #[inline(always)]
    fn clear(&mut self, to: &mut [f32]) {
        self.moved(to.len());
        to.fill(0.0);
    }

    /// factor values, all in registers.
    #[inline(always)]
    fn scaled<const N: usize>(&mut self, factor: f32, values: [f32; N]) -> [f32; N] {
        self.multiplied(N);
        values.map(|value| factor * value)
    }
}

/// Counts.
#[derive(Default)]
pub struct Counts(pub Cost);

impl Meter for Counts {
    fn moved(&mut self, values: usize) {
        self.0.bytes += size_of::<f32>() * values;
    }

    fn multiplied(&mut self, times: usize) {
        self.0.multiplications += times;
    }
}

/// Counts nothing, for the timed runs.
pub struct Off;

impl Meter for Off {
    #[inline(always)]
    fn moved(&mut self, _: usize) {}

    #[inline(always)]
    fn multiplied(&mut self, _: usize) {}
}

/// Values that are moved to transpose or pack filters: each is loaded and stored.
pub fn values_of_filters(layer: &Layer) -> usize {
    2 * TAPS * layer.c * layer.k
}
