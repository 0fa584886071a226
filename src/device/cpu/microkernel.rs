//! The micro-kernel of matrix products: the innermost loop of every convolution on the CPU.
//!
//! C (6 x 16) = start + A (6 x depth) B (depth x 16). Twelve vector registers of eight lanes hold C while A and
//! B stream through: two loads, six broadcasts and twelve fused multiply-adds per step of the depth. B is packed,
//! sixteen columns side by side. A is *not* packed: each of its six rows is a list of slices, so that the rows can
//! be the pixels under the taps of a filter without a copy (the indirect convolution of Dukhan, "The Indirect
//! Convolution Algorithm", 2019).
//!
//! A machine with AVX2 and FMA runs a vectorised version, any other machine plain loops.

/// The rows of a register tile.
pub const ROWS: usize = 6;
/// The columns of a register tile.
pub const COLS: usize = 16;

/// The six rows of A for one K segment of the depth.
pub type Rows<'a> = [&'a [f32]; ROWS];

/// The initial value of the register tile, to which the product is added.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// Zeros.
    Zero,
    /// The same sixteen values in each row: a bias.
    Row(&'a [f32; COLS]),
    /// The current content of C.
    Add,
}

/// The factor A: for each K segment of the depth, elements `first + step * (0..count)` of each of the six slices.
#[derive(Clone, Copy, Debug)]
pub struct Depth<'a> {
    /// The rows, one entry per K segment.
    pub k_segments: &'a [Rows<'a>],
    /// The index of the first element in each slice.
    pub first: usize,
    /// The number of elements of each slice.
    pub count: usize,
    /// The distance between these elements, in elements.
    pub step: usize,
}

/// Computes one tile of C, whose row i is the sixteen elements of `c` from `at[i]` on. `b` holds sixteen columns for
/// each step of the depth.
///
/// # Panics
/// If a slice is too short.
pub fn microkernel(a: Depth<'_>, b: &[f32], start: Start<'_>, c: &mut [f32], at: [usize; ROWS]) {
    // A product of depth 0 reads no K segment: `first` need not be the index of an element then.
    let a = if a.count == 0 { Depth { k_segments: &[], ..a } } else { a };
    let Depth { k_segments, first, count, step } = a;
    let last = count.saturating_sub(1).checked_mul(step).and_then(|last| last.checked_add(first));
    let reaches = |row: &&[f32]| last.is_some_and(|last| last < row.len());
    assert!(k_segments.iter().flatten().all(reaches), "a row of A is too short");
    let needed = k_segments.len().checked_mul(count).and_then(|steps| steps.checked_mul(COLS));
    assert!(needed.is_some_and(|needed| needed <= b.len()), "B is too short");
    let highest = c.len().checked_sub(COLS);
    assert!(
        highest.is_some_and(|highest| at.iter().all(|&at| at <= highest)),
        "a row of C reaches past its buffer"
    );
    #[cfg(target_arch = "x86_64")]
    if super::simd::is_wide() {
        // SAFETY: the machine has AVX2 and FMA, and the assertions above are the function's other requirements.
        unsafe { avx2(a, b, start, c, at) };
        return;
    }
    portable(a, b, start, c, at);
}

/// The micro-kernel in plain loops.
fn portable(a: Depth<'_>, b: &[f32], start: Start<'_>, c: &mut [f32], at: [usize; ROWS]) {
    let mut sums = [[0.0f32; COLS]; ROWS];
    for (sums, at) in sums.iter_mut().zip(at) {
        match start {
            Start::Zero => {}
            Start::Row(row) => *sums = *row,
            Start::Add => sums.copy_from_slice(&c[at..at + COLS]),
        }
    }
    let mut b = b.chunks_exact(COLS);
    for rows in a.k_segments {
        for i in 0..a.count {
            let b = b.next().expect("B has sixteen columns for each step");
            for (sums, row) in sums.iter_mut().zip(rows) {
                let x = row[a.first + i * a.step];
                sums.iter_mut().zip(b).for_each(|(sum, b)| *sum += x * b);
            }
        }
    }
    for (sums, at) in sums.iter().zip(at) {
        c[at..at + COLS].copy_from_slice(sums);
    }
}

/// The micro-kernel for AVX2 and FMA.
///
/// # Safety
/// The machine must have AVX2 and FMA. If `a` has K segments, its count must be at least 1 and each slice must hold
/// element `first + (count - 1) * step`; `b` must hold sixteen elements for each step of each K segment, and `c`
/// sixteen from each of `at` on. No sum or product in these conditions may exceed a `usize`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(a: Depth<'_>, b: &[f32], start: Start<'_>, c: &mut [f32], at: [usize; ROWS]) {
    use std::arch::x86_64::*;
    // SAFETY: the caller guarantees the machine and the lengths. Rows of A are read at `first + i * step` for
    // i below `count`; `b` advances by sixteen for each step, at most to the end of its slice; rows of C are read and
    // written sixteen elements from `at` on. Loads and stores are unaligned.
    unsafe {
        let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
        match start {
            Start::Zero => {}
            Start::Row(row) => {
                let row = [_mm256_loadu_ps(row.as_ptr()), _mm256_loadu_ps(row.as_ptr().add(8))];
                sums = [row; ROWS];
            }
            Start::Add => {
                for i in 0..ROWS {
                    let c = c.as_ptr().add(at[i]);
                    sums[i] = [_mm256_loadu_ps(c), _mm256_loadu_ps(c.add(8))];
                }
            }
        }
        let mut b = b.as_ptr();
        // ANCHOR: loop
        for rows in a.k_segments {
            let rows = rows.map(|row| row.as_ptr().add(a.first));
            let mut at = 0;
            for _ in 0..a.count {
                let (b0, b1) = (_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8)));
                for i in 0..ROWS {
                    let x = _mm256_broadcast_ss(&*rows[i].add(at));
                    sums[i][0] = _mm256_fmadd_ps(x, b0, sums[i][0]);
                    sums[i][1] = _mm256_fmadd_ps(x, b1, sums[i][1]);
                }
                at += a.step;
                b = b.add(COLS);
            }
        }
        // ANCHOR_END: loop
        for i in 0..ROWS {
            let c = c.as_mut_ptr().add(at[i]);
            _mm256_storeu_ps(c, sums[i][0]);
            _mm256_storeu_ps(c.add(8), sums[i][1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// Lengths whose sums or products exceed a `usize` must not look short enough.
    #[test]
    fn lengths_that_wrap_are_refused() {
        let (data, b) = ([1.0; 64], [1.0; 64]);
        let rows = [[&data[..]; ROWS]; 4];
        let good = Depth { k_segments: &rows[..1], first: 0, count: 4, step: 1 };
        let runs = |a: Depth<'_>, at: usize| {
            let mut c = [0.0; 32];
            catch_unwind(AssertUnwindSafe(|| microkernel(a, &b, Start::Zero, &mut c, [at; ROWS]))).is_ok()
        };
        assert!(runs(good, 0) && runs(good, 16));
        assert!(!runs(good, 17) && !runs(good, usize::MAX - 8));
        assert!(!runs(Depth { first: 61, ..good }, 0));
        assert!(!runs(Depth { first: usize::MAX, ..good }, 0));
        assert!(!runs(Depth { step: usize::MAX / 3 + 1, ..good }, 0));
        assert!(!runs(Depth { k_segments: &rows, count: usize::MAX / 64 + 1, step: 0, ..good }, 0));
    }

    /// A product of depth 0 is the start alone, wherever its first element would lie.
    #[test]
    fn an_empty_depth_leaves_the_start() {
        let rows = [[&[][..]; ROWS]];
        let a = Depth { k_segments: &rows, first: usize::MAX, count: 0, step: 1 };
        let mut c = [3.0; COLS];
        microkernel(a, &[], Start::Add, &mut c, [0; ROWS]);
        assert_eq!(c, [3.0; COLS]);
        microkernel(a, &[], Start::Row(&[2.0; COLS]), &mut c, [0; ROWS]);
        assert_eq!(c, [2.0; COLS]);
    }

    /// Both kernels against sums in f64, on every start and with strided rows.
    #[test]
    fn both_kernels_multiply() {
        let value = |i: usize| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0;
        let data: Vec<f32> = (0..400).map(value).collect();
        let b: Vec<f32> = (0..2 * 9 * COLS).map(|i| value(i + 5)).collect();
        let old: Vec<f32> = (0..ROWS * 20).map(|i| value(i + 7)).collect();
        let bias: [f32; COLS] = std::array::from_fn(|i| value(i + 3));
        let k_segments: [Rows<'_>; 2] =
            std::array::from_fn(|s| std::array::from_fn(|i| &data[31 * i + 60 * s..]));
        let a = Depth { k_segments: &k_segments, first: 2, count: 9, step: 3 };
        let at = std::array::from_fn(|i| 20 * i);
        for start in [Start::Zero, Start::Row(&bias), Start::Add] {
            for kernel in [microkernel, portable] {
                let mut c = old.clone();
                kernel(a, &b, start, &mut c, at);
                for i in 0..ROWS {
                    for j in 0..COLS {
                        let mut sum = match start {
                            Start::Zero => 0.0,
                            Start::Row(bias) => f64::from(bias[j]),
                            Start::Add => f64::from(old[20 * i + j]),
                        };
                        for (s, rows) in k_segments.iter().enumerate() {
                            for k in 0..9 {
                                sum += f64::from(rows[i][2 + 3 * k]) * f64::from(b[(s * 9 + k) * COLS + j]);
                            }
                        }
                        assert!((f64::from(c[20 * i + j]) - sum).abs() < 1e-5);
                    }
                    assert_eq!(c[20 * i + COLS..20 * i + 20], old[20 * i + COLS..20 * i + 20]);
                }
            }
        }
    }
}
