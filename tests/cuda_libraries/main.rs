//! Loading and calls of the CUDA libraries, on the stand-ins of `tools/softcuda`.

mod convolution;
mod offers;
mod probe;
mod product;
mod standin;
