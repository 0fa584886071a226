//! The micro-kernel of matrix products: the innermost loop of every convolution on the CPU.
//!
//! C (R x 16 P) = start + A (R x depth) B (depth x 16 P). Vector registers hold C while A and B stream through. B is
//! packed in panels of sixteen columns, side by side for each step of the depth. A is *not* packed: each of its R rows
//! is a list of slices, so that the rows can be the pixels under the taps of a filter without a copy (the indirect
//! convolution of Dukhan, "The Indirect Convolution Algorithm", 2019).
//!
//! The tile is the machine's ([`tiled`]): with AVX2 6 rows by one panel, twelve registers of eight lanes (a step: two
//! loads, six broadcasts, twelve fused multiply-adds); with AVX-512 8 rows by two panels, sixteen registers of sixteen
//! lanes (two loads, eight broadcasts, sixteen fused multiply-adds). Each element of C is one chain of fused
//! multiply-adds in the order of the depth, so both give the same bits. Other machines run plain loops, by the second
//! tile.
//!
//! Book: [chapter 7](../../../../../../docs/book/src/07-convolution.md).

use super::isa::{Isa, isa};

/// The columns of a panel.
pub const COLS: usize = 16;

/// The R rows of A for one K segment of the depth.
pub type Rows<'a, const R: usize> = [&'a [f32]; R];

/// The initial value of the register tile, to which the product is added.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a, const P: usize> {
    /// Zeros.
    Zero,
    /// The same values in each row, sixteen for each panel: a bias.
    Row(&'a [[f32; COLS]; P]),
    /// The current content of C.
    Add,
}

/// The factor A: for each K segment of the depth, elements `first + step * (0..count)` of each of the R slices.
#[derive(Clone, Copy, Debug)]
pub struct Depth<'a, const R: usize> {
    /// The rows, one entry per K segment.
    pub k_segments: &'a [Rows<'a, R>],
    /// The index of the first element in each slice.
    pub first: usize,
    /// The number of elements of each slice.
    pub count: usize,
    /// The distance between these elements, in elements.
    pub step: usize,
}

/// Calls a function that is generic over the rows and panels of a register tile, with those of the machine.
macro_rules! tiled {
    ($($function:ident).+ ($($argument:expr),* $(,)?)) => {
        match $crate::device::cpu::isa::isa() {
            $crate::device::cpu::isa::Isa::Avx2 => $($function).+::<6, 1>($($argument),*),
            _ => $($function).+::<8, 2>($($argument),*),
        }
    };
}
pub(crate) use tiled;

/// Computes one tile of C: element j of panel p of row i is at `rows[i] + p * panel + j`. Each slice of `b` is a panel:
/// sixteen columns for each step of the depth.
///
/// Arguments are passed by reference. A copy would load two words at once that were just stored one by one; the processor
/// cannot forward such stores, and waits until they and all stores of the tile before have reached the cache.
///
/// # Panics
/// If a slice is too short.
#[inline]
pub fn microkernel<const R: usize, const P: usize>(
    a: &Depth<'_, R>,
    b: &[&[f32]; P],
    start: Start<'_, P>,
    c: &mut [f32],
    rows: &[usize; R],
    panel: usize,
) {
    let Depth { first, count, step, .. } = *a;
    // A product of depth 0 reads no K segment: `first` need not be the index of an element then.
    let k_segments = if count == 0 { &[] } else { a.k_segments };
    let last = count.saturating_sub(1).checked_mul(step).and_then(|last| last.checked_add(first));
    let reaches = |row: &&[f32]| last.is_some_and(|last| last < row.len());
    assert!(k_segments.iter().flatten().all(reaches), "a row of A is too short");
    let needed = k_segments.len().checked_mul(count).and_then(|steps| steps.checked_mul(COLS));
    assert!(needed.is_some_and(|needed| b.iter().all(|b| needed <= b.len())), "B is too short");
    let across = P.saturating_sub(1).checked_mul(panel).and_then(|across| across.checked_add(COLS));
    let highest = across.and_then(|across| c.len().checked_sub(across));
    assert!(
        highest.is_some_and(|highest| rows.iter().all(|&row| row <= highest)),
        "a row of C reaches past its buffer"
    );
    #[cfg(target_arch = "x86_64")]
    match isa() {
        // SAFETY: `isa` returns what the machine has, and the assertions above are the functions' other requirements.
        Isa::Avx512 => return unsafe { avx512(k_segments, a, b, start, c, rows, panel) },
        Isa::Avx2 => return unsafe { avx2(k_segments, a, b, start, c, rows, panel) },
        Isa::Portable => {}
    }
    portable(k_segments, a, b, start, c, rows, panel);
}

/// The micro-kernel in plain loops.
fn portable<const R: usize, const P: usize>(
    k_segments: &[Rows<'_, R>],
    a: &Depth<'_, R>,
    b: &[&[f32]; P],
    start: Start<'_, P>,
    c: &mut [f32],
    rows: &[usize; R],
    panel: usize,
) {
    for (p, b) in b.iter().enumerate() {
        let at = rows.map(|row| row + p * panel);
        let mut sums = [[0.0f32; COLS]; R];
        for (sums, at) in sums.iter_mut().zip(at) {
            match start {
                Start::Zero => {}
                Start::Row(rows) => *sums = rows[p],
                Start::Add => sums.copy_from_slice(&c[at..at + COLS]),
            }
        }
        let mut b = b.chunks_exact(COLS);
        for rows in k_segments {
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
}

/// The micro-kernel for AVX2 and FMA, one panel at a time.
///
/// # Safety
/// The machine must have AVX2 and FMA. If there are K segments, the count of `a` must be at least 1 and each slice must
/// hold element `first + (count - 1) * step`; each of `b` must hold sixteen elements for each step of each K segment,
/// and `c` sixteen for each panel of each row. No sum or product in these conditions may exceed a `usize`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const R: usize, const P: usize>(
    k_segments: &[Rows<'_, R>],
    a: &Depth<'_, R>,
    b: &[&[f32]; P],
    start: Start<'_, P>,
    c: &mut [f32],
    rows: &[usize; R],
    panel: usize,
) {
    use std::arch::x86_64::*;
    let (first, count, step, c) = (a.first, a.count, a.step, c.as_mut_ptr());
    // SAFETY: the caller guarantees the machine and the lengths. Rows of A are read at `first + i * step` for
    // i below `count`; `b` advances by sixteen for each step, at most to the end of its slice; rows of C are read and
    // written sixteen elements from their places on. Loads and stores are unaligned.
    unsafe {
        for p in 0..P {
            let mut sums = [[_mm256_setzero_ps(); 2]; R];
            match start {
                Start::Zero => {}
                Start::Row(rows) => {
                    let row = rows[p].as_ptr();
                    sums = [[_mm256_loadu_ps(row), _mm256_loadu_ps(row.add(8))]; R];
                }
                Start::Add => {
                    for i in 0..R {
                        let c = c.add(rows[i] + p * panel);
                        sums[i] = [_mm256_loadu_ps(c), _mm256_loadu_ps(c.add(8))];
                    }
                }
            }
            let mut b = b[p].as_ptr();
            // ANCHOR: loop
            for rows in k_segments {
                let rows = rows.map(|row| row.as_ptr().add(first));
                let mut at = 0;
                for _ in 0..count {
                    let (b0, b1) = (_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8)));
                    for i in 0..R {
                        let x = _mm256_broadcast_ss(&*rows[i].add(at));
                        sums[i][0] = _mm256_fmadd_ps(x, b0, sums[i][0]);
                        sums[i][1] = _mm256_fmadd_ps(x, b1, sums[i][1]);
                    }
                    at += step;
                    b = b.add(COLS);
                }
            }
            // ANCHOR_END: loop
            for i in 0..R {
                let c = c.add(rows[i] + p * panel);
                _mm256_storeu_ps(c, sums[i][0]);
                _mm256_storeu_ps(c.add(8), sums[i][1]);
            }
        }
    }
}

/// The micro-kernel for AVX-512.
///
/// # Safety
/// The machine must have AVX-512F; the other requirements are those of [`avx2`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512<const R: usize, const P: usize>(
    k_segments: &[Rows<'_, R>],
    a: &Depth<'_, R>,
    b: &[&[f32]; P],
    start: Start<'_, P>,
    c: &mut [f32],
    rows: &[usize; R],
    panel: usize,
) {
    use std::arch::x86_64::*;
    let (first, count, step, c) = (a.first, a.count, a.step, c.as_mut_ptr());
    // SAFETY: as in `avx2`; an offset of all panels is at most the length of the shortest one.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); P]; R];
        for (sums, row) in sums.iter_mut().zip(rows) {
            for (p, sum) in sums.iter_mut().enumerate() {
                *sum = match start {
                    Start::Zero => _mm512_setzero_ps(),
                    Start::Row(rows) => _mm512_loadu_ps(rows[p].as_ptr()),
                    Start::Add => _mm512_loadu_ps(c.add(row + p * panel)),
                };
            }
        }
        let mut offset = 0;
        for rows in k_segments {
            let rows = rows.map(|row| row.as_ptr().add(first));
            let mut at = 0;
            for _ in 0..count {
                let mut columns = [_mm512_setzero_ps(); P];
                for (columns, b) in columns.iter_mut().zip(b) {
                    *columns = _mm512_loadu_ps(b.as_ptr().add(offset));
                }
                for i in 0..R {
                    let x = _mm512_set1_ps(*rows[i].add(at));
                    for p in 0..P {
                        sums[i][p] = _mm512_fmadd_ps(x, columns[p], sums[i][p]);
                    }
                }
                at += step;
                offset += COLS;
            }
        }
        for (sums, row) in sums.iter().zip(rows) {
            for (p, sum) in sums.iter().enumerate() {
                _mm512_storeu_ps(c.add(row + p * panel), *sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    const R: usize = 6;

    /// Lengths whose sums or products exceed a `usize` must not look short enough.
    #[test]
    fn lengths_that_wrap_are_refused() {
        let (data, b) = ([1.0; 64], [1.0; 64]);
        let rows = [[&data[..]; R]; 4];
        let good = Depth { k_segments: &rows[..1], first: 0, count: 4, step: 1 };
        let runs = |a: Depth<'_, R>, row: usize, panel: usize| {
            let mut c = [0.0; 48];
            let run = || microkernel(&a, &[&b, &b], Start::Zero, &mut c, &[row; R], panel);
            catch_unwind(AssertUnwindSafe(run)).is_ok()
        };
        assert!(runs(good, 0, 16) && runs(good, 16, 16) && runs(good, 0, 32) && runs(good, 32, 0));
        assert!(!runs(good, 17, 16) && !runs(good, usize::MAX - 8, 16));
        assert!(!runs(good, 1, 32) && !runs(good, 0, usize::MAX - 8) && !runs(good, usize::MAX - 31, 32));
        assert!(!runs(Depth { first: 61, ..good }, 0, 16));
        assert!(!runs(Depth { first: usize::MAX, ..good }, 0, 16));
        assert!(!runs(Depth { step: usize::MAX / 3 + 1, ..good }, 0, 16));
        assert!(!runs(Depth { k_segments: &rows, count: usize::MAX / 64 + 1, step: 0, ..good }, 0, 16));
        let mut c = [0.0; 48];
        let short = || microkernel(&good, &[&b, &b[1..]], Start::Zero, &mut c, &[0; R], 16);
        assert!(catch_unwind(AssertUnwindSafe(short)).is_err());
    }

    /// A product of depth 0 is the start alone, wherever its first element would lie.
    #[test]
    fn an_empty_depth_leaves_the_start() {
        let rows = [[&[][..]; R]];
        let a = Depth { k_segments: &rows, first: usize::MAX, count: 0, step: 1 };
        let mut c = [3.0; COLS];
        microkernel(&a, &[&[]], Start::Add, &mut c, &[0; R], 0);
        assert_eq!(c, [3.0; COLS]);
        microkernel(&a, &[&[]], Start::Row(&[[2.0; COLS]]), &mut c, &[0; R], 0);
        assert_eq!(c, [2.0; COLS]);
    }

    /// The kernel of one instruction set.
    fn run<const R: usize, const P: usize>(
        isa: Isa,
        a: &Depth<'_, R>,
        b: &[&[f32]; P],
        start: Start<'_, P>,
        c: &mut [f32],
        rows: &[usize; R],
        panel: usize,
    ) {
        let k_segments = a.k_segments;
        match isa {
            Isa::Portable => portable(k_segments, a, b, start, c, rows, panel),
            // SAFETY: the caller has looked for the instruction set; `check` gives slices that are long enough.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { avx2(k_segments, a, b, start, c, rows, panel) },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { avx512(k_segments, a, b, start, c, rows, panel) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => unreachable!("no such instruction set here"),
        }
    }

    /// A kernel against sums in f64, on every start, with strided rows, and panels that lie apart. Returns the bits.
    fn check<const R: usize, const P: usize>(isa: Isa) -> Vec<u32> {
        const APART: usize = 200;
        let value = |i: usize| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0;
        let data: Vec<f32> = (0..31 * R + 200).map(value).collect();
        let b: Vec<f32> = (0..P * 2 * 9 * COLS).map(|i| value(i + 5)).collect();
        let b: [&[f32]; P] = std::array::from_fn(|p| &b[p * 2 * 9 * COLS..][..2 * 9 * COLS]);
        let old: Vec<f32> = (0..P * APART).map(|i| value(i + 7)).collect();
        let bias: [[f32; COLS]; P] =
            std::array::from_fn(|p| std::array::from_fn(|i| value(i + 3 + COLS * p)));
        let k_segments: [Rows<'_, R>; 2] =
            std::array::from_fn(|s| std::array::from_fn(|i| &data[31 * i + 60 * s..]));
        let a = Depth { k_segments: &k_segments, first: 2, count: 9, step: 3 };
        let rows = std::array::from_fn(|i| 20 * i);
        let mut bits = Vec::new();
        for start in [Start::Zero, Start::Row(&bias), Start::Add] {
            let mut c = old.clone();
            run(isa, &a, &b, start, &mut c, &rows, APART);
            for (at, &got) in c.iter().enumerate() {
                let (p, i, j) = (at / APART, at % APART / 20, at % APART % 20);
                if i >= R || j >= COLS {
                    assert_eq!(got, old[at], "an element outside of the tile");
                    continue;
                }
                let mut sum = match start {
                    Start::Zero => 0.0,
                    Start::Row(bias) => f64::from(bias[p][j]),
                    Start::Add => f64::from(old[at]),
                };
                for (s, rows) in k_segments.iter().enumerate() {
                    for k in 0..9 {
                        sum += f64::from(rows[i][2 + 3 * k]) * f64::from(b[p][(s * 9 + k) * COLS + j]);
                    }
                }
                assert!((f64::from(got) - sum).abs() < 1e-5, "{isa:?}, {R} x {P}: {got}, expected {sum}");
            }
            bits.extend(c.iter().map(|c| c.to_bits()));
        }
        bits
    }

    /// Each kernel of the machine, with each tile; those with fused multiply-adds give the same bits.
    #[test]
    fn all_kernels_multiply() {
        let isas: Vec<Isa> = Isa::ALL.into_iter().filter(|isa| isa.is_here()).collect();
        println!("instruction sets of this machine: {isas:?}");
        let tiles = [check::<6, 1>, check::<8, 1>, check::<8, 2>];
        for tile in tiles {
            let bits: Vec<Vec<u32>> = isas.iter().map(|&isa| tile(isa)).collect();
            assert!(bits.iter().skip(1).all(|other| *other == bits[1]));
        }
    }
}
