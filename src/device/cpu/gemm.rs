//! Matrix products of f32: a safe, bounds-checked wrapper of the `gemm` crate.

use gemm::Parallelism;

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

/// `c = beta * c + a b`, with `a` [m, k], `b` [k, n] and `c` [m, n]. With `beta` 0 the old content of `c` is
/// not read.
///
/// # Panics
/// If the sizes do not fit together.
pub fn gemm(c: MatMut<'_>, beta: f32, a: MatRef<'_>, b: MatRef<'_>, split: Split) {
    assert!(a.cols == b.rows && c.rows == a.rows && c.cols == b.cols, "matrix sizes do not fit together");
    let parallelism = match split {
        Split::Threads => Parallelism::Rayon(0),
        Split::Alone => Parallelism::None,
    };
    // SAFETY: the constructors have checked, without wrapping, that every element these sizes and strides reach
    // lies inside its slice, and that the strides fit in an isize; `c` is borrowed mutably, so it overlaps
    // neither `a` nor `b`, and its rows do not overlap.
    unsafe {
        gemm::gemm(
            c.rows,
            c.cols,
            a.cols,
            c.data.as_mut_ptr(),
            1,
            c.row_stride as isize,
            beta != 0.0,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            beta,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
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
}
