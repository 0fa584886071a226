// Expect: the meter counts 2162688 multiplications
pub use crate::winograd::run;
