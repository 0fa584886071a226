//! The product of an indirect convolution: rows that are lists of slices, by packed filters, in register tiles.
//!
//! Book: [chapter 7](../../../../../../docs/book/src/07-convolution.md).

use crate::device::cpu::microkernel::{COLS, Depth, Rows, Start, microkernel};
use std::ops::Range;

/// A part of the depth: whole K segments of some taps, or a part of one tap's K segment.
#[derive(Clone, Debug)]
pub struct Pass {
    /// The taps.
    pub taps: Range<usize>,
    /// The elements of each K segment.
    pub elements: Range<usize>,
}

/// The factors of one pass over a class of pixels.
pub struct Product<'a, const R: usize> {
    /// The channels of the result.
    pub columns: usize,
    /// The packed filters.
    pub packed: &'a [f32],
    /// The elements of a panel of filters.
    pub panel: usize,
    /// The first element of the pass in a panel.
    pub first: usize,
    /// The part of the depth.
    pub pass: Pass,
    /// The pixels of the class: index in the result, image, and place in the source.
    pub pixels: &'a [Pixel],
    /// For each R pixels the rows under each tap of the class.
    pub rows: &'a [Rows<'a, R>],
    /// The number of taps of the class.
    pub taps: usize,
    /// The bias, in the first pass.
    pub bias: Option<&'a [f32]>,
    /// Whether the pass adds to the result.
    pub adds: bool,
}

/// A pixel of a result: its index in the task, its image, and the place in the source under tap (0, 0).
pub type Pixel = (usize, usize, [isize; 2]);

impl<const R: usize> Product<'_, R> {
    /// Computes the pass for all pixels and panels, P panels at a time: writes to `y`, or adds.
    pub fn run<const P: usize>(&self, y: &mut [f32]) {
        let panels = self.columns.div_ceil(COLS);
        let whole = panels - panels % P;
        (0..whole).step_by(P).for_each(|panel| self.multiply::<P>(panel, y));
        (whole..panels).for_each(|panel| self.multiply::<1>(panel, y));
    }

    /// Multiplies all pixels by P panels of filters.
    fn multiply<const P: usize>(&self, panel: usize, y: &mut [f32]) {
        let Product { packed, pass, pixels, rows, taps, .. } = self;
        let steps = pass.taps.len() * pass.elements.len() * COLS;
        let b = std::array::from_fn(|p| &packed[(panel + p) * self.panel + self.first..][..steps]);
        let column = panel * COLS;
        let columns = (P * COLS).min(self.columns - column);
        let mut row = [[0.0; COLS]; P];
        let start = match self.bias {
            _ if self.adds => Start::Add,
            Some(bias) => {
                row.as_flattened_mut()[..columns].copy_from_slice(&bias[column..column + columns]);
                Start::Row(&row)
            }
            None => Start::Zero,
        };
        for (pixels, rows) in pixels.chunks(R).zip(rows.chunks_exact(*taps)) {
            let a = Depth {
                k_segments: &rows[pass.taps.clone()],
                first: pass.elements.start,
                count: pass.elements.len(),
                step: 1,
            };
            let at = |i: usize| pixels[i].0 * self.columns + column;
            if pixels.len() == R && columns == P * COLS {
                microkernel(&a, &b, start, y, &std::array::from_fn(at), COLS);
            } else {
                edge(&a, &b, start, y, (0..pixels.len()).map(at), columns);
            }
        }
    }
}

/// Computes a tile at the border of the result, with fewer rows or columns than a whole one.
fn edge<const R: usize, const P: usize>(
    a: &Depth<'_, R>,
    b: &[&[f32]; P],
    start: Start<'_, P>,
    y: &mut [f32],
    at: impl Iterator<Item = usize> + Clone,
    columns: usize,
) {
    let mut whole = [[[0.0; COLS]; P]; R];
    for (whole, at) in whole.iter_mut().zip(at.clone()) {
        whole.as_flattened_mut()[..columns].copy_from_slice(&y[at..at + columns]);
    }
    let rows = std::array::from_fn(|i| i * P * COLS);
    microkernel(a, b, start, whole.as_flattened_mut().as_flattened_mut(), &rows, COLS);
    for (whole, at) in whole.iter().zip(at) {
        y[at..at + columns].copy_from_slice(&whole.as_flattened()[..columns]);
    }
}
