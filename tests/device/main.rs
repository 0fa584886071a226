//! The program on a CUDA device, replaced by the stand-ins of `tools/softcuda`: `libcuda`, `libcudnn` and `libcublas`
//! on the CPU, which run this program's own kernels and check each memory access. The program is the one that a GPU
//! runs, unchanged.
//!
//! A build without nvcc has no kernels and opens no device: these tests then say so and pass. With
//! `BCREID_REQUIRE_KERNELS=1`, as in `.ci/run`, they fail instead.

mod batchnorm;
mod batchnorm_refusals;
mod bits;
mod capture;
mod devices;
mod errors;
mod evaluation;
mod fallbacks;
mod library;
mod methods;
mod planted;
mod runs;
mod statuses;
mod streams;
mod support;
