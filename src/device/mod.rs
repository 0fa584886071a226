//! Devices: allocators of tensor memory, kernel launches and libraries. The CPU device is always available.
//!
//! The arithmetic of an operation is in the operation's own file, in one `mod` for each device.
//!
//! Book: [chapter 2](../../../../docs/book/src/02-memory.md), and
//! [chapter 14](../../../../docs/book/src/14-launches.md) for the CUDA device.

pub mod cpu;
pub mod cuda;
mod numerics;

pub use numerics::{BatchNormBackend, Numerics};

use crate::console::counted;
use crate::element::DType;
use crate::error::Remedy;
use crate::ranks::Group;
use crate::{Error, Result};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A shared handle to a compute device; a clone refers to the same device.
///
/// A tensor is allocated on a device, and an operation runs on the device of its inputs:
///
/// ```
/// use bcreid::device::{Device, Precision};
/// use bcreid::tensor::Tensor;
///
/// # fn main() -> bcreid::Result<()> {
/// let (device, which) = Device::choose("cpu", Precision::F32)?;
/// assert!(which.starts_with("device: cpu"));
/// let x = Tensor::full(&device, [2, 3], 0.5)?;
/// assert!(x.gpu().is_none());
///
/// // A device that is absent is an error; no other device takes its place.
/// assert!(Device::choose("tpu", Precision::F32).is_err());
/// assert!(Device::choose("cpu", Precision::Tf32).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub enum Device {
    /// Host memory and the threads of the rayon pool.
    Cpu(Arc<cpu::CpuDevice>),
    /// A CUDA GPU.
    Cuda(Arc<cuda::CudaDevice>),
}

/// The number format of activations in memory, and on CUDA of the factors of convolutions and matrix products. The CPU's
/// products have f32 factors. Statistics, losses and the weights that the solver updates are f32 in every precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// f32 in memory and in products.
    #[default]
    F32,
    /// CUDA only: f32 in memory; the factors of products are rounded to 10 bits of mantissa by tensor cores.
    Tf32,
    /// Activations, their gradients and a copy of the filters in bfloat16; sums of products in f32.
    Bf16,
}

impl Precision {
    /// The element type of activations in memory.
    pub fn activations(self) -> DType {
        match self {
            Precision::F32 | Precision::Tf32 => DType::F32,
            Precision::Bf16 => DType::BF16,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::F32 => "f32",
            Precision::Tf32 => "tf32",
            Precision::Bf16 => "bf16",
        })
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        [Precision::F32, Precision::Tf32, Precision::Bf16]
            .into_iter()
            .find(|precision| precision.to_string() == text)
            .ok_or_else(|| "choose f32, tf32 or bf16".into())
    }
}

impl Device {
    /// A CPU device in f32, with a buffer pool of its own.
    pub fn cpu() -> Self {
        Device::cpu_in(Precision::F32)
    }

    /// A CPU device with a buffer pool of its own, whose activations are as `precision` says. The CPU's products have f32
    /// factors in each precision, so TF32 is f32 here.
    pub fn cpu_in(precision: Precision) -> Self {
        Device::Cpu(Arc::new(cpu::CpuDevice::new(precision)))
    }

    /// Opens the device that `wish` names (`auto`, `cpu`, `cuda`, `cuda:N`); also returns one line that says which
    /// device that is. [`Device::without_cuda`] says why `auto` takes the CPU.
    ///
    /// # Errors
    /// `wish` names no device; `cuda` is requested and something is missing (the message says what, and how to get
    /// it: `cuda` is never replaced silently); the CPU is chosen, and `numerics`, such as a [`Precision`], is TF32 or has
    /// the batch normalisation of cuDNN.
    pub fn choose(wish: &str, numerics: impl Into<Numerics>) -> Result<(Self, String)> {
        let numerics = numerics.into();
        let ordinal = match wish {
            "auto" => 0,
            "cpu" => return Device::choose_cpu(numerics, "asked for"),
            "cuda" => 0,
            other => {
                let number = other.strip_prefix("cuda:").and_then(|n| n.parse().ok());
                number.ok_or_else(|| {
                    Error::Device(format!("device {other}: unknown; choose auto, cpu, cuda or cuda:N"))
                })?
            }
        };
        match cuda::CudaDevice::open(ordinal, numerics) {
            Ok(gpu) => {
                let which = format!("device: cuda:{ordinal}, {}, {numerics}", gpu.name());
                Ok((Device::Cuda(gpu), which))
            }
            Err(why) if wish == "auto" => Device::choose_cpu(numerics, &format!("no CUDA: {}", brief(&why))),
            Err(why) => {
                let what = format!("device {wish}: {why}; bcreid doctor lists all requirements");
                Err(Error::Device(what).with_remedies([Remedy::CpuDevice]))
            }
        }
    }

    fn choose_cpu(Numerics { precision, batchnorm }: Numerics, why: &str) -> Result<(Self, String)> {
        if batchnorm != BatchNormBackend::Own {
            return Err(Error::Device(format!(
                "batch norm by {batchnorm} needs a CUDA device, and this is the CPU ({why}); bcreid doctor lists the \
                 requirements of a CUDA device"
            ))
            .with_remedies([Remedy::BatchNorm("own".into())]));
        }
        if precision == Precision::Tf32 {
            return Err(Error::Device(format!(
                "precision {precision} needs a CUDA device, and this is the CPU ({why}); bcreid doctor lists the \
                 requirements of a CUDA device"
            ))
            .with_remedies([Remedy::Precision("f32".into())]));
        }
        let threads = counted(rayon::current_num_threads(), "thread");
        let numbers = match precision {
            Precision::Bf16 => ", activations in bf16, products in f32",
            _ => "",
        };
        Ok((Device::cpu_in(precision), format!("device: cpu, {threads}{numbers}")))
    }

    /// The reason why `auto` does not take the first CUDA device; `None` if it takes that device.
    pub fn without_cuda() -> Option<String> {
        cuda::CudaDevice::open(0, Precision::F32).err().map(|why| brief(&why))
    }

    /// The device in words, for example `cpu: x86_64, AVX2 and FMA loops` or `cuda: NVIDIA H200, f32`: what the bits of
    /// a run depend on. The number of threads is not part of it.
    pub fn describe(&self) -> String {
        match self {
            Device::Cpu(cpu) => match cpu.precision() {
                Precision::F32 => format!("cpu: {}", cpu::describe()),
                other => format!("cpu: {}, {other}", cpu::describe()),
            },
            Device::Cuda(gpu) => format!("cuda: {}, {}", gpu.name(), gpu.numerics()),
        }
    }

    /// On CUDA, computes the gradients of filters and updates the weights in the stream of all other work if `is_one`,
    /// for comparison, and otherwise in a second one beside it. The results have the same bits.
    pub fn use_one_stream(&self, is_one: bool) {
        if let Device::Cuda(gpu) = self {
            gpu.use_one_stream(is_one);
        }
    }

    /// Makes all later work wait for that of a CUDA device's second stream, without a wait of the host.
    pub(crate) fn join_streams(&self) -> Result<()> {
        match self {
            Device::Cpu(_) => Ok(()),
            Device::Cuda(gpu) => gpu.join_streams(),
        }
    }

    /// A device of the same kind and precision as a rank of `group`.
    ///
    /// # Errors
    /// A CUDA device in a group of several ranks: not supported yet.
    pub fn in_group(self, group: Group) -> Result<Self> {
        match self {
            Device::Cpu(cpu) => {
                Ok(Device::Cpu(Arc::new(cpu::CpuDevice::new(cpu.precision()).in_group(group))))
            }
            Device::Cuda(_) if group.ranks() > 1 => Err(Error::Device(
                "several ranks compute on CPUs only so far: this version does not train on several GPUs"
                    .into(),
            )
            .with_remedies([Remedy::CpuDevice])),
            Device::Cuda(_) => Ok(self),
        }
    }

    /// The group of ranks that this device computes in.
    pub fn group(&self) -> Group {
        match self {
            Device::Cpu(cpu) => cpu.group().clone(),
            Device::Cuda(_) => Group::Alone,
        }
    }

    /// The precision of this device.
    pub fn precision(&self) -> Precision {
        match self {
            Device::Cpu(cpu) => cpu.precision(),
            Device::Cuda(gpu) => gpu.precision(),
        }
    }

    /// The backend of batch normalisation on this device.
    pub fn batchnorm(&self) -> BatchNormBackend {
        match self {
            Device::Cpu(_) => BatchNormBackend::Own,
            Device::Cuda(gpu) => gpu.numerics().batchnorm,
        }
    }

    /// The element type of activations in this device's memory.
    pub fn activations(&self) -> DType {
        self.precision().activations()
    }
}

/// The first clause of an error message, for users who did not ask for CUDA by name.
fn brief(why: &Error) -> String {
    let text = why.to_string();
    text.split([';', '\n']).next().unwrap_or_default().to_string()
}
