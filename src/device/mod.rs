//! Where tensors live. The CPU is the embedded default: nothing to install, on any machine.
//!
//! A [`Device`] hands out buffers and knows their home; the arithmetic of an operation is in the
//! operation's own file, one `mod` a device. A further device is a further variant here and a further
//! `mod` there.

pub mod cpu;
pub mod cuda;

use crate::{Error, Result};
use std::sync::Arc;

/// A handle to the machine a tensor lives on; cloning it is cheap.
#[derive(Clone, Debug)]
pub enum Device {
    /// Host memory and the threads of the rayon pool.
    Cpu(Arc<cpu::CpuDevice>),
}

impl Device {
    /// A CPU device with a buffer pool of its own.
    pub fn cpu() -> Self {
        Device::Cpu(Arc::new(cpu::CpuDevice::default()))
    }

    /// The device a person asked for (`auto`, `cpu`, `cuda`, `cuda:N`), and one line that says which it is
    /// and why.
    ///
    /// # Errors
    /// `cuda` is never replaced silently: while this version has no CUDA device, asking for it is an error.
    pub fn choose(wish: &str) -> Result<(Self, String)> {
        let threads = rayon::current_num_threads();
        match wish {
            "cpu" => Ok((Device::cpu(), format!("device: cpu, {threads} threads"))),
            "auto" => Ok((
                Device::cpu(),
                format!("device: cpu, {threads} threads (this version of bcreid has no CUDA device yet)"),
            )),
            cuda if cuda == "cuda"
                || cuda.strip_prefix("cuda:").is_some_and(|n| n.parse::<usize>().is_ok()) =>
            {
                Err(Error::Device(format!(
                    "--device {cuda}: this version of bcreid has no CUDA device yet; use --device cpu"
                )))
            }
            other => Err(Error::Device(format!(
                "--device {other}: unknown device; choose auto, cpu, cuda or cuda:N"
            ))),
        }
    }
}
