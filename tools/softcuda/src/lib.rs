//! Runs CUDA kernels on the host and checks every access they make.
//!
//! The `.cu` files are compiled unchanged by the system's C++ compiler against the headers in `include/`; every thread
//! of a block becomes a fiber, and the compiler's own instrumentation reports each load and store to the runtime in
//! `runtime/`. A kernel with an error, including an error that shows only sometimes on a GPU, ends with a [`Fault`]
//! that names the kernel, the block, the thread, the location and the source line.
//!
//! In reading order: [`Build`] compiles a library of kernels, [`Library`] opens it, [`Device`] owns memory and
//! launches, [`Fault`] describes errors, a [`Trace`] has what one block did. The README of this crate lists what is detected and what is not.
//!
//! ```no_run
//! use softcuda::{Build, Device, Launch, args};
//!
//! let library = Build::new("target/kernels").file("cuda/softmax.cu").library()?;
//! let device = Device::new(&library)?;
//! let x = device.upload("x", &[1.0f32, 2.0, 3.0])?;
//! let y = device.unwritten::<f32>("y", 3)?;
//! device.launch("softmax", &Launch::new(1, 128).seed(7), args![&x, &y, 3i32])?;
//! let y = y.read()?; // a Fault if the kernel left an element out
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod compile;
mod compiler;
mod device;
mod fault;
mod ffi;
mod library;
mod object;
mod report;
mod standin;
mod trace;

pub use compile::Build;
pub use compiler::BuildError;
pub use device::{Arg, Buffer, Device, Dim3, Element, Launch};
pub use fault::{Fault, FaultKind};
pub use library::Library;
pub use report::Report;
pub use standin::StandIns;
pub use trace::{Access, AccessKind, Array, Event, Trace, Wait, WarpAccess};
