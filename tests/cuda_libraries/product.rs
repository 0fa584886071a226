//! Matrix products against sums in f64.

use crate::standin::{Gpu, assert_close, numbers, with_stand_ins};
use bcreid::device::cuda::cublas::{Cublas, Operand, WORKSPACE_BYTES};
use bcreid::device::cuda::libraries::probe;

fn open(gpu: &Gpu) -> Cublas {
    let library = probe().cublas.as_ref().unwrap();
    let workspace = gpu.memory(WORKSPACE_BYTES);
    // SAFETY: stream and workspace live as long as the process.
    unsafe { Cublas::open(library, gpu.stream(), workspace, WORKSPACE_BYTES) }.unwrap()
}

/// `[rows, columns]`, as it lies when it is the transpose that is wanted.
fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..rows * columns).map(|i| values[i % rows * columns + i / rows]).collect()
}

#[test]
fn products_agree_with_f64() {
    with_stand_ins("product::products_agree_with_f64", || {
        let gpu = Gpu::open();
        let cublas = open(&gpu);
        for (m, n, k) in [(1, 1, 1), (5, 3, 7), (16, 33, 20), (2, 1, 9)] {
            let (a, b, before) = (numbers(1, m * k), numbers(2, k * n), numbers(3, m * n));
            for (left, right, beta, tf32) in [
                (false, false, 0.0, false),
                (true, false, 1.0, false),
                (false, true, 0.5, true),
                (true, true, 0.0, true),
            ] {
                let lay = |values: &[f32], rows, columns, transposed| Operand {
                    address: gpu.upload(&if transposed {
                        transpose(values, rows, columns)
                    } else {
                        values.to_vec()
                    }),
                    transposed,
                };
                let (x, y) = (lay(&a, m, k, left), lay(&b, k, n, right));
                // With beta 0 the old values must not be read: NaN would show.
                let old: Vec<f32> = if beta == 0.0 { vec![f32::NAN; m * n] } else { before.clone() };
                let c = gpu.upload(&old);
                // SAFETY: the arrays have these sizes and are never freed.
                unsafe { cublas.gemm(m, n, k, x, y, c, beta, tf32) }.unwrap();
                let element = |i: usize| {
                    let (row, column) = (i / n, i % n);
                    let product = |l: usize| f64::from(a[row * k + l]) * f64::from(b[l * n + column]);
                    let kept = if beta == 0.0 { 0.0 } else { f64::from(beta) * f64::from(before[i]) };
                    (0..k).map(product).sum::<f64>() + kept
                };
                let expected: Vec<f64> = (0..m * n).map(element).collect();
                let what = format!("[{m}, {k}] x [{k}, {n}], transposed {left} {right}, beta {beta}");
                // With TF32 both factors have 10 bits of mantissa; a chip may cut the rest off.
                let tolerance = if tf32 { 2e-3 } else { 1e-6 };
                assert_close(&gpu.read::<f32>(c, m * n), &expected, tolerance, &what);
            }
        }
    });
}

#[test]
fn sizes_beyond_31_bits_are_refused() {
    with_stand_ins("product::sizes_beyond_31_bits_are_refused", || {
        let gpu = Gpu::open();
        let nothing = Operand { address: 0, transposed: false };
        let cublas = open(&gpu);
        // SAFETY: refused before anything is read.
        let error = unsafe { cublas.gemm(1 << 31, 2, 3, nothing, nothing, 0, 0.0, false) }.unwrap_err();
        assert!(error.to_string().contains("[2147483648, 3] and [3, 2]"), "{error}");
        // SAFETY: there is nothing to compute.
        unsafe { cublas.gemm(0, 2, 3, nothing, nothing, 0, 0.0, false) }.unwrap();
    });
}
