//! The embedded kernels, and the build script's parsing of architecture lists and compiler reports.
//!
//! A build without nvcc has no kernels to check: these tests then say so and pass. With `BCREID_REQUIRE_KERNELS=1`, as
//! in `.ci/run`, they fail instead.

mod embedded;
mod script;
mod shown;
#[path = "../../src/device/cuda/signature.rs"]
mod signature;
mod signatures;

/// As in `build.rs`, whose modules some of these tests include.
type Result<T, E = String> = std::result::Result<T, E>;
