//! Matrix products of f32.
//!
//! A task multiplies a chunk of rows of A by as many panels of B as a register tile has. It packs the panels, sixteen
//! columns side by side, and reads A in place. Each element of C is one chain of multiply-adds in the order of the
//! depth: it depends neither on the other rows and columns nor on the number of threads.

use super::microkernel::{COLS, Depth, Start, microkernel, tiled};
use crate::element::GradMode;
use rayon::prelude::*;

/// The rows of a task where threads share a product: packing a panel costs little beside as many products.
const ROWS_TOGETHER: usize = 240;

/// A strided view of an input matrix: element (r, c) is `data[r * row_stride + c * col_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

/// A mutable view of a row-major output matrix, whose rows begin `row_stride` elements apart.
#[derive(Debug)]
pub struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
}

/// The threads of a matrix product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// All threads of the rayon pool.
    Threads,
    /// The calling thread alone: the caller is itself one of many parallel tasks.
    Alone,
}

/// Asserts that every element of a strided matrix lies inside of `len` elements, and that both strides fit in an
/// `isize`, as pointer offsets must.
#[track_caller]
fn assert_inside(len: usize, rows: usize, cols: usize, row_stride: usize, col_stride: usize) {
    assert!(row_stride.max(col_stride) <= isize::MAX as usize, "a stride is too large for an offset");
    if rows > 0 && cols > 0 {
        let (down, across) = ((rows - 1).checked_mul(row_stride), (cols - 1).checked_mul(col_stride));
        let last = down.zip(across).and_then(|(down, across)| down.checked_add(across));
        assert!(last.is_some_and(|last| last < len), "a matrix reaches past its buffer");
    }
}

impl<'a> MatRef<'a> {
    /// A dense row-major `[rows, cols]` matrix.
    ///
    /// # Panics
    /// If `data` is shorter than that.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols, 1)
    }

    /// A matrix with any strides, in elements.
    ///
    /// # Panics
    /// If the last element would lie behind the end of `data`, or a stride exceeds an `isize`.
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> Self {
        assert_inside(data.len(), rows, cols, row_stride, col_stride);
        MatRef { data, rows, cols, row_stride, col_stride }
    }

    /// The transposed matrix: the same elements with rows and columns swapped.
    pub fn t(self) -> Self {
        MatRef {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

impl<'a> MatMut<'a> {
    /// A dense row-major `[rows, cols]` matrix.
    ///
    /// # Panics
    /// If `data` is shorter than that.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// A row-major matrix whose rows lie `row_stride` elements apart.
    ///
    /// # Panics
    /// If rows overlap, the last element would lie behind the end of `data`, or the stride exceeds an `isize`.
    pub fn strided(data: &'a mut [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(row_stride >= cols || rows <= 1, "rows of a written matrix overlap");
        assert_inside(data.len(), rows, cols, row_stride, 1);
        MatMut { data, rows, cols, row_stride }
    }
}

/// `c = a b`, or `c += a b`, with `a` [m, k], `b` [k, n] and `c` [m, n].
///
/// # Panics
/// If the sizes do not fit together.
pub fn gemm(c: MatMut<'_>, mode: GradMode, a: MatRef<'_>, b: MatRef<'_>, split: Split) {
    assert!(a.cols == b.rows && c.rows == a.rows && c.cols == b.cols, "matrix sizes do not fit together");
    tiled!(multiply(c, mode, a, b, split));
}

/// A part of C: some rows, and the columns of one register tile.
struct Task<'a> {
    first_row: usize,
    first_column: usize,
    c: Vec<&'a mut [f32]>,
}

fn multiply<const R: usize, const P: usize>(
    c: MatMut<'_>,
    mode: GradMode,
    a: MatRef<'_>,
    b: MatRef<'_>,
    split: Split,
) {
    let width = P * COLS;
    let (rows, cols) = (c.rows, c.cols);
    let groups = cols.div_ceil(width);
    // A thread alone needs no tasks to share, so it packs each panel once for all rows.
    let together = match split {
        Split::Threads => ROWS_TOGETHER,
        Split::Alone => rows.max(1),
    };
    let mut tasks: Vec<Task<'_>> = Vec::with_capacity(rows.div_ceil(together) * groups);
    for (row, c) in c.data.chunks_mut(c.row_stride.max(1)).take(rows).enumerate() {
        if row % together == 0 {
            let task = |group| Task {
                first_row: row,
                first_column: group * width,
                c: Vec::with_capacity(together.min(rows - row)),
            };
            tasks.extend((0..groups).map(task));
        }
        let of_rows = tasks.len() - groups;
        tasks[of_rows..].iter_mut().zip(c[..cols].chunks_mut(width)).for_each(|(task, c)| task.c.push(c));
    }
    let panels = || vec![0.0; P * a.cols * COLS];
    match split {
        Split::Threads => {
            tasks.into_par_iter().for_each_init(panels, |panels, task| task.run::<R, P>(mode, a, b, panels))
        }
        Split::Alone => {
            let mut panels = panels();
            tasks.into_iter().for_each(|task| task.run::<R, P>(mode, a, b, &mut panels));
        }
    }
}

impl Task<'_> {
    fn run<const R: usize, const P: usize>(
        mut self,
        mode: GradMode,
        a: MatRef<'_>,
        b: MatRef<'_>,
        panels: &mut [f32],
    ) {
        let depth = a.cols;
        for (p, panel) in panels.chunks_exact_mut((depth * COLS).max(1)).enumerate() {
            let first = self.first_column + p * COLS;
            b.pack(first..(first + COLS).min(b.cols).max(first), panel);
        }
        let b = std::array::from_fn(|p| &panels[p * depth * COLS..][..depth * COLS]);
        let mut tile = [[[0.0; COLS]; P]; R];
        let rows = std::array::from_fn(|i| i * P * COLS);
        for (i, c) in self.c.chunks_mut(R).enumerate() {
            // Rows behind the last one are the last one: their products are not used.
            let row = |j: usize| a.row(self.first_row + i * R + j.min(c.len() - 1));
            let k_segment = std::array::from_fn(row);
            let k_segments = std::slice::from_ref(&k_segment);
            let a = Depth { k_segments, first: 0, count: depth, step: a.col_stride };
            microkernel::<R, P>(&a, &b, Start::Zero, tile.as_flattened_mut().as_flattened_mut(), &rows, COLS);
            for (c, tile) in c.iter_mut().zip(&tile) {
                mode.store(c, tile.as_flattened()[..c.len()].iter().copied());
            }
        }
    }
}

impl<'a> MatRef<'a> {
    /// The elements from the first one of a row on.
    fn row(&self, row: usize) -> &'a [f32] {
        if self.cols == 0 { &[] } else { &self.data[row * self.row_stride..] }
    }

    /// Packs at most sixteen columns: `[row, 16]`, with zeros for missing columns.
    fn pack(&self, columns: std::ops::Range<usize>, to: &mut [f32]) {
        let count = columns.len();
        if count < COLS {
            to.fill(0.0);
        }
        if count == 0 {
            return;
        }
        let from = |row: usize| &self.data[row * self.row_stride + columns.start * self.col_stride..];
        if self.col_stride == 1 {
            for (row, to) in to.chunks_exact_mut(COLS).enumerate() {
                to[..count].copy_from_slice(&from(row)[..count]);
            }
        } else {
            // Sixteen rows at a time, a whole cache line of each column: columns that lie a power of two apart would
            // evict each other's lines.
            for (block, to) in to.chunks_mut(COLS * COLS).enumerate() {
                let rows = to.len() / COLS;
                let from = from(block * COLS);
                for j in 0..count {
                    let from = from[j * self.col_stride..].iter().step_by(self.row_stride.max(1)).take(rows);
                    to[j..].iter_mut().step_by(COLS).zip(from).for_each(|(to, from)| *to = *from);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    /// Spans that exceed a `usize` must not look short enough.
    #[test]
    fn sizes_and_strides_that_wrap_are_refused() {
        const HALF: usize = usize::MAX / 2 + 1;
        let reads = |rows, cols, row_stride, col_stride| {
            catch_unwind(|| MatRef::strided(&[1.0; 6], rows, cols, row_stride, col_stride).rows).is_ok()
        };
        assert!(reads(2, 3, 3, 1) && reads(3, 2, 1, 3) && reads(0, 9, 9, 1));
        assert!(!reads(2, 3, 4, 1) && !reads(HALF + 1, 1, 2, 1) && !reads(2, 2, HALF - 1, HALF - 1));
        assert!(!reads(2, 3, HALF, 1) && !reads(1, 1, HALF, 1) && !reads(1, 1, 1, HALF));
        let writes = |rows, cols, row_stride| {
            catch_unwind(|| MatMut::strided(&mut [1.0; 6], rows, cols, row_stride).rows).is_ok()
        };
        assert!(writes(2, 3, 3) && writes(2, 2, 4));
        assert!(!writes(2, 3, 2) && !writes(2, 3, 4) && !writes(HALF + 1, 1, 2) && !writes(1, 1, HALF));
    }

    /// Products against sums in f64: sizes around tiles and chunks of rows, transposed factors, rows that lie apart, both
    /// modes, and the same bits for each split and for a part of the rows.
    #[test]
    fn products_are_sums() {
        let value = |i: usize| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0;
        let sizes = if cfg!(miri) { &[[1, 1, 1], [9, 33, 3]][..] } else { &SIZES[..] };
        for &[m, n, k] in sizes {
            let a: Vec<f32> = (0..m * k).map(value).collect();
            let b: Vec<f32> = (0..k * n).map(|i| value(i + 5)).collect();
            let old: Vec<f32> = (0..m * (n + 3)).map(|i| value(i + 9)).collect();
            for (a_turned, b_turned) in [(false, false), (false, true), (true, false), (true, true)] {
                let of = |data, rows, cols, turned| match turned {
                    false => MatRef::new(data, rows, cols),
                    true => MatRef::new(data, cols, rows).t(),
                };
                let (a, b) = (of(&a, m, k, a_turned), of(&b, k, n, b_turned));
                for mode in [GradMode::Overwrite, GradMode::Accumulate] {
                    let run = |rows: usize, split| {
                        let mut c = old[..rows * (n + 3)].to_vec();
                        gemm(MatMut::strided(&mut c, rows, n, n + 3), mode, MatRef { rows, ..a }, b, split);
                        c
                    };
                    let c = run(m, Split::Threads);
                    assert!(c == run(m, Split::Alone) && run(1, Split::Alone)[..] == c[..n + 3]);
                    let element =
                        |x: MatRef<'_>, r, c| f64::from(x.data[r * x.row_stride + c * x.col_stride]);
                    for (at, &got) in c.iter().enumerate() {
                        let (i, j, before) = (at / (n + 3), at % (n + 3), f64::from(old[at]));
                        let sum: f64 = (0..k).map(|l| element(a, i, l) * element(b, l, j.min(n - 1))).sum();
                        let want = match mode {
                            _ if j >= n => before,
                            GradMode::Overwrite => sum,
                            GradMode::Accumulate => before + sum,
                        };
                        assert!((f64::from(got) - want).abs() < 1e-4, "{m} x {n} x {k}: {got}, not {want}");
                    }
                }
            }
        }
    }

    /// [m, n, k].
    const SIZES: [[usize; 3]; 6] =
        [[1, 1, 1], [9, 33, 3], [6, 16, 40], [8, 32, 17], [241, 31, 5], [500, 70, 2]];

    /// A factor without depth gives zeros; a product without rows or columns nothing.
    #[test]
    fn empty_products() {
        let mut c = [3.0; 6];
        let of = |c: &mut [f32], mode| {
            gemm(MatMut::new(c, 2, 3), mode, MatRef::new(&[], 2, 0), MatRef::new(&[], 0, 3), Split::Alone);
        };
        of(&mut c, GradMode::Accumulate);
        assert_eq!(c, [3.0; 6]);
        of(&mut c, GradMode::Overwrite);
        assert_eq!(c, [0.0; 6]);
        let none = MatMut::new(&mut c, 0, 3);
        gemm(none, GradMode::Overwrite, MatRef::new(&[], 0, 2), MatRef::new(&[1.0; 6], 2, 3), Split::Threads);
    }
}
