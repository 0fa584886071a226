// Expect: FIRST_STEP: `layer1.0.conv1.weight` is missing
//! Only bn3 reads what conv1, bn1, conv2, bn2 and conv3 of a block compute, and multiplies it by gamma = 0. So the
//! gradient that goes back into the block is 0. bn3 itself has one: dgamma = sum dy x^, dbeta = sum dy. The projection
//! is on the other path. After the first step gamma is no longer 0.

/// The names of the parameters whose gradient is 0 in the first step, if gamma of bn3 is 0 in both blocks.
pub const FIRST_STEP: &[&str] = &["layer1.0.conv3.weight", "layer1.1.conv3.weight"];

/// The names of those whose gradient is 0 in the second step, after a step of SGD. `&[]` is an empty list.
pub const SECOND_STEP: &[&str] = &[];
