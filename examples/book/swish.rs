//! Chapter 14: the kernels of tests/foreign_op on the simulated GPU, right and wrong arguments, and a matrix product of a
//! column-major library.

use softcuda::{Arg, Build, Device, Launch, args};
use std::error::Error;
use std::path::Path;

pub fn run() -> Result<(), Box<dyn Error>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign_op/cuda/swish.cu");
    let gpu = Device::new(&Build::new("kernels").file(&source).library()?)?;
    let (beta, n) = (1.5f32, 1000usize);
    let host: Vec<f32> = (0..n).map(|i| (i as f32 - 500.0) / 100.0).collect();
    // ANCHOR: blocks
    for blocks in [1, 3, 8] {
        let (x, dy) = (gpu.upload("x", &host)?, gpu.upload("dy", &vec![1.0f32; n])?);
        let (y, dx) = (gpu.unwritten::<f32>("y", n)?, gpu.unwritten::<f32>("dx", n)?);
        let grid = Launch::new(blocks, 64);
        gpu.launch("swish_forward_f32", &grid, args![&x, &y, beta, n as u64])?;
        gpu.launch("swish_backward_f32", &grid, args![&x, &dy, &dx, beta, n as u64])?;
        let (y, dx) = (y.read()?, dx.read()?);
        println!("{blocks} blocks: y = {:.6}, dx = {:.6} at x = {}", y[700], dx[700], host[700]);
    }
    // ANCHOR_END: blocks
    let (x, beta) = (f64::from(host[700]), f64::from(beta));
    let s = 1.0 / (1.0 + (-beta * x).exp());
    println!("in f64:   y = {:.6}, dx = {:.6}", x * s, s + beta * x * s * (1.0 - s));

    // ANCHOR: wrong
    let (x, y, beta) = (gpu.upload("x", &host)?, gpu.unwritten::<f32>("y", n)?, 1.5f32);
    let grid = Launch::new(3, 64).keep_order();
    let wrong: [(&str, &[Arg]); 4] = [
        ("beta is missing", args![&x, &y, n as u64]),
        ("beta is an int", args![&x, &y, 1i32, n as u64]),
        ("x and y are exchanged", args![&y, &x, beta, n as u64]),
        ("n is too large", args![&x, &y, beta, 2 * n as u64]),
    ];
    for (what, arguments) in wrong {
        let fault = gpu.launch("swish_forward_f32", &grid, arguments).expect_err("it is wrong");
        println!("{what}: {fault}");
    }
    // ANCHOR_END: wrong
    Ok(())
}

// ANCHOR: column_major
/// C = A B for column-major matrices, as BLAS computes it: A is m x k, B is k x n, element (i, j) of C is `c[i + j m]`.
fn column_major(m: usize, n: usize, k: usize, a: &[f32], b: &[f32], c: &mut [f32]) {
    for j in 0..n {
        for i in 0..m {
            c[i + j * m] = (0..k).map(|l| a[i + l * m] * b[l + j * k]).sum();
        }
    }
}
// ANCHOR_END: column_major

pub fn row_major() -> Result<(), Box<dyn Error>> {
    // ANCHOR: row_major
    // Row-major: A is 2 x 3, B is 3 x 4, and C = A B is 2 x 4.
    let (m, n, k) = (2, 4, 3);
    let a: Vec<f32> = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let b: Vec<f32> = (1..=12).map(|x| x as f32).collect();
    let mut c = vec![0.0; m * n];
    column_major(m, n, k, &a, &b, &mut c);
    println!("A, B in this order: {c:?}");
    column_major(n, m, k, &b, &a, &mut c);
    println!("B, A and n, m:      {c:?}");
    // ANCHOR_END: row_major
    let product = |i: usize, j: usize| (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum::<f32>();
    let expected: Vec<f32> =
        (0..m).flat_map(|i| (0..n).map(move |j| (i, j))).map(|(i, j)| product(i, j)).collect();
    println!("row by row:         {expected:?}");
    Ok(())
}
