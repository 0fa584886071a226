//! The CUDA libraries as this program opens and calls them, on the stand-ins of `tools/softcuda`.

mod convolution;
mod probe;
mod product;
mod standin;
