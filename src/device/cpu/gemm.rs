//! The matrix product: a safe, bounds-checked face of the `gemm` crate.

use gemm::Parallelism;

/// A matrix to read: element (r, c) is `data[r * row_stride + c * col_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

/// A row-major matrix to write; its rows may lie `row_stride` apart.
#[derive(Debug)]
pub struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
}

/// Whether a product may use all threads, or stays on the one that asked (because the caller is already
/// one of many).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// All threads of the rayon pool.
    Threads,
    /// The calling thread alone.
    Alone,
}

/// How many elements from the first to the last of a strided matrix, ends included.
fn span(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> usize {
    if rows == 0 || cols == 0 { 0 } else { (rows - 1) * row_stride + (cols - 1) * col_stride + 1 }
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
    /// If the last element would lie behind the end of `data`.
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> Self {
        assert!(span(rows, cols, row_stride, col_stride) <= data.len(), "a matrix reaches past its buffer");
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
    /// If rows overlap or the last element would lie behind the end of `data`.
    pub fn strided(data: &'a mut [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(row_stride >= cols || rows <= 1, "rows of a written matrix overlap");
        assert!(span(rows, cols, row_stride, 1) <= data.len(), "a matrix reaches past its buffer");
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
    // SAFETY: the constructors have checked that every element these sizes and strides reach lies inside
    // its slice; `c` is borrowed mutably, so it overlaps neither `a` nor `b`, and its rows do not overlap.
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
