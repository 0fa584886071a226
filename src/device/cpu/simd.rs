//! Loops compiled twice: for any machine of the target, and for one with AVX2 and FMA.

/// Runs `work`, compiled for AVX2 and FMA when the machine has them. What `work` calls takes part only where it is
/// inlined: mark helpers `#[inline(always)]`.
#[inline(always)]
pub fn vectorized<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn wide<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the machine has what the function is compiled for.
            return unsafe { wide(work) };
        }
    }
    work()
}
