//! Loading and calls of the CUDA libraries, on the stand-ins of `tools/softcuda`.

mod batchnorm;
mod batchnorm_modes;
mod convolution;
mod offers;
mod probe;
mod product;
mod standin;
