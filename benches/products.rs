//! The rate of the processor's products: fused multiply-adds of f32 (`vfmadd231ps`) beside pairs of bf16 (`vdpbf16ps`),
//! both on registers of 512 bits: `cargo bench --bench products`.
//!
//! Products in bf16 pay off where the second rate is well above the first; this engine's products have f32 factors in
//! every precision.

#[cfg(target_arch = "x86_64")]
mod rates {
    use std::arch::x86_64::*;
    use std::hint::black_box;
    use std::time::Instant;

    const STEPS: usize = 100_000;
    /// Independent sums, which hide the latency.
    const SUMS: usize = 16;

    #[target_feature(enable = "avx512f")]
    fn f32_products() -> f32 {
        let (a, b) = (_mm512_set1_ps(black_box(1.0)), _mm512_set1_ps(black_box(1.0)));
        let mut sums = [_mm512_setzero_ps(); SUMS];
        for _ in 0..STEPS {
            sums.iter_mut().for_each(|sum| *sum = _mm512_fmadd_ps(a, b, *sum));
        }
        sums.into_iter().map(|sum| _mm512_reduce_add_ps(sum)).sum()
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    fn bf16_products() -> f32 {
        let one = || _mm512_cvtne2ps_pbh(_mm512_set1_ps(black_box(1.0)), _mm512_set1_ps(black_box(1.0)));
        let (a, b) = (one(), one());
        let mut sums = [_mm512_setzero_ps(); SUMS];
        for _ in 0..STEPS {
            sums.iter_mut().for_each(|sum| *sum = _mm512_dpbf16_ps(*sum, a, b));
        }
        sums.into_iter().map(|sum| _mm512_reduce_add_ps(sum)).sum()
    }

    /// Products a second of one core, the best of a few.
    fn rate(products: usize, run: impl Fn() -> f32) -> f64 {
        let seconds = |_| {
            let start = Instant::now();
            black_box(run());
            start.elapsed().as_secs_f64()
        };
        (STEPS * SUMS * products) as f64 / (0..50).map(seconds).fold(f64::INFINITY, f64::min)
    }

    pub fn report() {
        if !is_x86_feature_detected!("avx512f") || !is_x86_feature_detected!("avx512bf16") {
            println!("this processor lacks AVX-512 or its extension BF16");
            return;
        }
        // SAFETY: the processor has both extensions.
        let [exact, narrow] = unsafe { [rate(16, || f32_products()), rate(32, || bf16_products())] };
        println!("products of bf16 pairs a second over those of f32: {:.2}", narrow / exact);
    }
}

fn main() {
    #[cfg(target_arch = "x86_64")]
    rates::report();
    #[cfg(not(target_arch = "x86_64"))]
    println!("for x86-64 alone");
}
