// Expect: the meter counts 6225920 bytes
// (The tiles of the chapter. For a number of pixels that is no multiple of 4, the step goes past the end.)
pub use crate::microkernel::run;
