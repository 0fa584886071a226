//! The teaching versions of `cuda/lab` and the table of kernels that memory limits, as data: `check` runs all of it on
//! the host build (and on a device where there is one), `benches/kernels.rs` times it.

#[cfg(test)]
mod check;
pub mod claims;
pub mod formula;
pub mod lessons;
pub mod measure;
pub mod slots;
pub mod table;
pub mod times;
