//! The register tile: the innermost loop of every convolution.
//!
//! C (6 x 16) = start + A (6 x depth) B (depth x 16). Twelve vector registers of eight lanes hold C while A and
//! B stream through: two loads, six broadcasts and twelve fused multiply-adds a step of the depth. B is packed,
//! sixteen columns side by side. A is *not*: each of its six rows is a list of slices, so that the rows may
//! be the pixels under the taps of a filter, gathered without copying them (the indirect convolution of
//! Dukhan, "The Indirect Convolution Algorithm", 2019).
//!
//! The machine's AVX2 and FMA units are used when it has them; another machine gets plain loops.

/// Rows of the tile.
pub const ROWS: usize = 6;
/// Columns of the tile.
pub const COLS: usize = 16;

/// The six rows of A for one stretch of the depth.
pub type Rows<'a> = [&'a [f32]; ROWS];

/// What the tile holds before the product is added.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// Zeros.
    Zero,
    /// The same sixteen values in each row: a bias.
    Row(&'a [f32; COLS]),
    /// What is there already.
    Add,
}

/// A: for each stretch of the depth, elements `first + step * (0..count)` of each of the six slices.
#[derive(Clone, Copy, Debug)]
pub struct Depth<'a> {
    /// The rows, one entry a stretch.
    pub stretches: &'a [Rows<'a>],
    /// The first element of each slice to use.
    pub first: usize,
    /// How many elements of each slice.
    pub count: usize,
    /// How far apart they lie.
    pub step: usize,
}

/// Computes one tile of C, whose row i is the sixteen elements of `c` from `at[i]`. `b` holds sixteen columns
/// for each step of the depth.
///
/// # Panics
/// If a slice is too short.
pub fn tile(a: Depth<'_>, b: &[f32], start: Start<'_>, c: &mut [f32], at: [usize; ROWS]) {
    let Depth { stretches, first, count, step } = a;
    let end = if count == 0 { 0 } else { first + (count - 1) * step + 1 };
    assert!(stretches.iter().flatten().all(|row| end <= row.len()), "a row of A is too short");
    assert!(stretches.len() * count * COLS <= b.len(), "B is too short");
    assert!(at.iter().all(|&at| at + COLS <= c.len()), "a row of C reaches past its buffer");
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the machine has AVX2 and FMA, and the assertions above cover every element that is reached.
        unsafe { avx2(a, b, start, c, at) };
        return;
    }
    portable(a, b, start, c, at);
}

/// The same product in plain loops.
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
    for rows in a.stretches {
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

/// # Safety
/// The machine must have AVX2 and FMA, and the slices the lengths that [`tile`] checks.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(a: Depth<'_>, b: &[f32], start: Start<'_>, c: &mut [f32], at: [usize; ROWS]) {
    use std::arch::x86_64::*;
    // SAFETY: `tile` has checked that each row of A reaches `first + (count - 1) * step`, that B has sixteen
    // columns for each step of the depth, and that each row of C has sixteen elements from its `at`.
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
        for rows in a.stretches {
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

    /// Both kernels against sums in f64, on every start and with strided rows.
    #[test]
    fn both_kernels_multiply() {
        let value = |i: usize| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0;
        let data: Vec<f32> = (0..400).map(value).collect();
        let b: Vec<f32> = (0..2 * 9 * COLS).map(|i| value(i + 5)).collect();
        let old: Vec<f32> = (0..ROWS * 20).map(|i| value(i + 7)).collect();
        let bias: [f32; COLS] = std::array::from_fn(|i| value(i + 3));
        let stretches: [Rows<'_>; 2] =
            std::array::from_fn(|s| std::array::from_fn(|i| &data[31 * i + 60 * s..]));
        let a = Depth { stretches: &stretches, first: 2, count: 9, step: 3 };
        let at = std::array::from_fn(|i| 20 * i);
        for start in [Start::Zero, Start::Row(&bias), Start::Add] {
            for kernel in [tile, portable] {
                let mut c = old.clone();
                kernel(a, &b, start, &mut c, at);
                for i in 0..ROWS {
                    for j in 0..COLS {
                        let mut sum = match start {
                            Start::Zero => 0.0,
                            Start::Row(bias) => f64::from(bias[j]),
                            Start::Add => f64::from(old[20 * i + j]),
                        };
                        for (s, rows) in stretches.iter().enumerate() {
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
