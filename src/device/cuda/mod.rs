//! The CUDA device. So far its kernels only: what runs them is not written yet.

pub mod cublas;
pub mod cudnn;
pub mod fatbin;
pub mod libraries;
