//! Common code of the tests: libraries of test kernels, and made-up numbers.
#![allow(dead_code, unused_imports, unused_macros)] // each test program uses its part

pub mod numbers;
pub mod stand_ins;

use softcuda::{Build, Device};

pub fn device(file: &str) -> Device {
    let kernels = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernels/");
    let library = Build::new(env!("CARGO_TARGET_TMPDIR")).file(format!("{kernels}{file}")).library();
    Device::new(&library.unwrap_or_else(|error| panic!("{error}"))).unwrap()
}

/// Numbers between -`size` and `size`, the same each time.
pub fn noise(count: usize, size: f32) -> Vec<f32> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * size
        })
        .collect()
}
