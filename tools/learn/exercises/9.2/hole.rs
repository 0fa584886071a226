//! The parameters of a network with two bottleneck blocks:
//!
//!     conv1.weight  bn1.weight  bn1.bias
//!     layer1.0.conv1.weight         layer1.0.bn1.weight           layer1.0.bn1.bias
//!     layer1.0.conv2.weight         layer1.0.bn2.weight           layer1.0.bn2.bias
//!     layer1.0.conv3.weight         layer1.0.bn3.weight           layer1.0.bn3.bias
//!     layer1.0.downsample.0.weight  layer1.0.downsample.1.weight  layer1.0.downsample.1.bias
//!     layer1.1.conv1.weight         layer1.1.bn1.weight           layer1.1.bn1.bias
//!     layer1.1.conv2.weight         layer1.1.bn2.weight           layer1.1.bn2.bias
//!     layer1.1.conv3.weight         layer1.1.bn3.weight           layer1.1.bn3.bias
//!     fc.weight  fc.bias
//!
//! bn1.weight is gamma of bn1, and bn1.bias is its beta.

/// The names of the parameters whose gradient is 0 in the first step, if gamma of bn3 is 0 in both blocks.
pub const FIRST_STEP: &[&str] = &["?"];

/// The names of those whose gradient is 0 in the second step, after a step of SGD. `&[]` is an empty list.
pub const SECOND_STEP: &[&str] = &["?"];
