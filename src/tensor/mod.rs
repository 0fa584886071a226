//! Dense arrays on a device: [`Tensor`] (shape, element type, buffer), its transfers, and counter-based random numbers
//! ([`philox`]).

mod argument;
pub mod philox;
mod store;
mod transfer;

pub use transfer::Download;

use crate::Result;
use crate::device::Device;
use crate::device::cpu::CpuBuffer;
use crate::device::cuda::{self, CudaBuffer, CudaDevice, In, kernels};
use crate::element::{DType, Shape};
use bytemuck::Pod;
use std::sync::Arc;

/// A dense array on a device: shape, element type and a shared buffer.
///
/// Cloning shares the buffer. Writing needs the only handle to it: an operation that finds itself the last
/// owner of its input may work in place ([`Tensor::is_unique`]).
///
/// ```
/// use bcreid::device::Device;
/// use bcreid::tensor::Tensor;
///
/// # fn main() -> bcreid::Result<()> {
/// let device = Device::cpu();
/// let mut x = Tensor::from_f32(&device, [2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!((x.shape().dims(), x.shape().len()), (&[2, 3][..], 6));
///
/// // Another shape of the same buffer. While both handles exist, neither may be written.
/// let row = x.clone().reshape([1, 6]);
/// assert!(!x.is_unique());
/// drop(row);
/// x.f32_mut()[0] = -1.0;
///
/// // Works on each device; a GPU is waited for. (`f32` and `f32_mut` are for tensors of the CPU.)
/// assert_eq!(x.to_host_f32()?, [-1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Tensor {
    shape: Shape,
    dtype: DType,
    storage: Storage,
}

#[derive(Clone, Debug)]
enum Storage {
    Cpu(Arc<CpuBuffer>),
    Cuda(Arc<CudaBuffer>),
}

impl Tensor {
    /// A tensor whose elements hold anything (what the buffer's last owner left).
    ///
    /// # Errors
    /// If the device lacks the memory: a message that names the tensor by the file that asked for it.
    #[track_caller]
    pub fn empty(device: &Device, shape: impl Into<Shape>, dtype: DType) -> Result<Self> {
        let shape = shape.into();
        let bytes = shape.len() * dtype.bytes();
        let storage = match device {
            Device::Cpu(cpu) => Storage::Cpu(Arc::new(cpu.allocate(bytes))),
            Device::Cuda(gpu) => {
                let label = cuda::Label::of_caller(shape, dtype);
                Storage::Cuda(Arc::new(gpu.allocate(bytes, &label)?))
            }
        };
        Ok(Tensor { shape, dtype, storage })
    }

    /// f32 that hold anything, for a loop of the CPU to work in.
    ///
    /// # Panics
    /// On another device.
    pub(crate) fn scratch(device: &Device, shape: impl Into<Shape>) -> Self {
        let Device::Cpu(cpu) = device else { panic!("a loop of the CPU runs for another device") };
        let (shape, dtype) = (shape.into(), DType::F32);
        let storage = Storage::Cpu(Arc::new(cpu.allocate(shape.len() * dtype.bytes())));
        Tensor { shape, dtype, storage }
    }

    /// A tensor of any type whose bytes are all 0.
    ///
    /// # Errors
    /// As [`Tensor::empty`].
    #[track_caller]
    pub fn cleared(device: &Device, shape: impl Into<Shape>, dtype: DType) -> Result<Self> {
        let mut t = Self::empty(device, shape, dtype)?;
        t.clear()?;
        Ok(t)
    }

    /// A tensor of f32 zeros.
    ///
    /// # Errors
    /// As [`Tensor::empty`].
    #[track_caller]
    pub fn zeros(device: &Device, shape: impl Into<Shape>) -> Result<Self> {
        Self::cleared(device, shape, DType::F32)
    }

    /// A tensor of f32, every element `value`.
    ///
    /// # Errors
    /// As [`Tensor::empty`].
    #[track_caller]
    pub fn full(device: &Device, shape: impl Into<Shape>, value: f32) -> Result<Self> {
        let mut t = Self::empty(device, shape, DType::F32)?;
        match &mut t.storage {
            Storage::Cpu(_) => t.f32_mut().fill(value),
            Storage::Cuda(buffer) => buffer.fill(value.to_bits())?,
        }
        Ok(t)
    }

    /// A tensor of f32 copied from host memory.
    ///
    /// # Errors
    /// As [`Tensor::empty`].
    ///
    /// # Panics
    /// If `values` does not have as many elements as `shape`.
    #[track_caller]
    pub fn from_f32(device: &Device, shape: impl Into<Shape>, values: &[f32]) -> Result<Self> {
        Self::from_host(device, shape, DType::F32, values)
    }

    /// A tensor of i32 copied from host memory (labels, indices).
    ///
    /// # Errors
    /// As [`Tensor::empty`].
    ///
    /// # Panics
    /// If `values` does not have as many elements as `shape`.
    #[track_caller]
    pub fn from_i32(device: &Device, shape: impl Into<Shape>, values: &[i32]) -> Result<Self> {
        Self::from_host(device, shape, DType::I32, values)
    }

    #[track_caller]
    fn from_host<T: Pod>(
        device: &Device,
        shape: impl Into<Shape>,
        dtype: DType,
        values: &[T],
    ) -> Result<Self> {
        let mut t = Self::empty(device, shape, dtype)?;
        t.copy_from_host(values)?;
        Ok(t)
    }

    /// Its shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Its element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The same buffer under another shape of as many elements.
    ///
    /// # Panics
    /// If the number of elements differs.
    pub fn reshape(mut self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.len(), self.shape.len(), "reshape {} to {shape}", self.shape);
        self.shape = shape;
        self
    }

    /// Whether this is the only handle to its buffer, so that it may be written.
    pub fn is_unique(&mut self) -> bool {
        match &mut self.storage {
            Storage::Cpu(buffer) => Arc::get_mut(buffer).is_some(),
            Storage::Cuda(buffer) => Arc::get_mut(buffer).is_some(),
        }
    }

    /// The elements, for the CPU's loops.
    ///
    /// # Panics
    /// If the tensor holds another dtype, or lives elsewhere.
    pub fn f32(&self) -> &[f32] {
        self.elements(DType::F32)
    }

    /// The elements, for the CPU's loops to write.
    ///
    /// # Panics
    /// If the tensor holds another dtype, lives elsewhere, or somebody else holds its buffer too.
    pub fn f32_mut(&mut self) -> &mut [f32] {
        self.elements_mut(DType::F32)
    }

    /// The elements, for the CPU's loops.
    ///
    /// # Panics
    /// As [`Tensor::f32`].
    pub fn i32(&self) -> &[i32] {
        self.elements(DType::I32)
    }

    /// The elements, for the CPU's loops to write.
    ///
    /// # Panics
    /// As [`Tensor::f32_mut`].
    pub fn i32_mut(&mut self) -> &mut [i32] {
        self.elements_mut(DType::I32)
    }

    /// The elements, for the CPU's loops.
    ///
    /// # Panics
    /// As [`Tensor::f32`].
    pub fn u8(&self) -> &[u8] {
        self.elements(DType::U8)
    }

    /// The elements, for the CPU's loops to write.
    ///
    /// # Panics
    /// As [`Tensor::f32_mut`].
    pub fn u8_mut(&mut self) -> &mut [u8] {
        self.elements_mut(DType::U8)
    }

    /// Sets every byte to 0.
    ///
    /// # Errors
    /// Errors of the device.
    ///
    /// # Panics
    /// If the buffer is shared.
    pub fn clear(&mut self) -> Result<()> {
        let bytes = self.bytes();
        match &mut self.storage {
            Storage::Cpu(_) => self.cpu_bytes_mut().fill(0),
            Storage::Cuda(buffer) => unique(buffer).clear(bytes)?,
        }
        Ok(())
    }

    /// An independent copy on the same device.
    ///
    /// # Errors
    /// As [`Tensor::empty`].
    #[track_caller]
    pub fn duplicate(&self, device: &Device) -> Result<Self> {
        let mut copy = Self::empty(device, self.shape, self.dtype)?;
        copy.copy_from(self)?;
        Ok(copy)
    }

    /// Overwrites the elements by those of a tensor of as many, of one type, on the same device.
    ///
    /// # Errors
    /// Errors of the device.
    ///
    /// # Panics
    /// If type, size or device differ, or this buffer is shared.
    pub fn copy_from(&mut self, from: &Tensor) -> Result<()> {
        assert_eq!((self.dtype, self.shape.len()), (from.dtype, from.shape.len()), "a copy of another kind");
        let bytes = self.bytes();
        match (&mut self.storage, &from.storage) {
            (Storage::Cuda(to), Storage::Cuda(from)) => unique(to).copy_from(from, bytes)?,
            _ => self.cpu_bytes_mut().copy_from_slice(from.cpu_bytes()),
        }
        Ok(())
    }

    /// Overwrites the elements by those of a tensor of as many in another type: f32 to bf16 is rounded to nearest,
    /// bf16 to f32 is exact.
    ///
    /// # Errors
    /// Errors of the device.
    ///
    /// # Panics
    /// On the CPU, which knows one type of numbers only.
    pub fn convert_from(&mut self, from: &Tensor) -> Result<()> {
        assert_eq!(self.shape.len(), from.shape.len(), "a conversion of another size");
        match from.gpu() {
            Some(gpu) => {
                let n = from.shape.len();
                gpu.launch(gpu.flat(n, 8), kernels::Cast { x: from.into(), y: self.into(), n })
            }
            None => panic!("the CPU has one type of numbers only"),
        }
    }

    /// The part that begins at byte `begin`, as a tensor of its own, which shares this one's memory but not its handle:
    /// whoever makes parts says who writes them.
    ///
    /// # Panics
    /// If it reaches past the end, begins at no multiple of 16 bytes, or lives on the CPU.
    pub(crate) fn part(&self, begin: usize, shape: impl Into<Shape>, dtype: DType) -> Self {
        let shape = shape.into();
        let bytes = shape.len() * dtype.bytes();
        assert!(begin + bytes <= self.bytes(), "a part past the end of a tensor {}", self.shape);
        let storage = Storage::Cuda(Arc::new(CudaBuffer::part(self.cuda(), begin, bytes)));
        Tensor { shape, dtype, storage }
    }

    /// The GPU it lives on; none if that is the CPU.
    pub fn gpu(&self) -> Option<&Arc<CudaDevice>> {
        match &self.storage {
            Storage::Cpu(_) => None,
            Storage::Cuda(buffer) => Some(buffer.device()),
        }
    }

    /// The memory, for kernels to read.
    ///
    /// # Panics
    /// If it lives on the CPU.
    pub(crate) fn cuda(&self) -> &Arc<CudaBuffer> {
        match &self.storage {
            Storage::Cuda(buffer) => buffer,
            Storage::Cpu(_) => panic!("a tensor of the CPU is given to a kernel"),
        }
    }

    /// Element `at` and those behind it, for kernels to read.
    ///
    /// # Panics
    /// If there are not that many, or it lives on the CPU.
    pub(crate) fn elements_from(&self, at: usize) -> In {
        assert!(at < self.shape.len(), "element {at} of a tensor {}", self.shape);
        In::new(self.cuda().address() + (at * self.dtype.bytes()) as u64, self.dtype)
    }

    /// Asserts that nobody else holds the memory, for kernels to write it.
    ///
    /// # Panics
    /// If somebody does, or it lives on the CPU.
    pub(crate) fn cuda_mut(&mut self) -> &CudaBuffer {
        match &mut self.storage {
            Storage::Cuda(buffer) => unique(buffer),
            Storage::Cpu(_) => panic!("a tensor of the CPU is given to a kernel"),
        }
    }

    fn bytes(&self) -> usize {
        self.shape.len() * self.dtype.bytes()
    }

    fn elements<T: Pod>(&self, dtype: DType) -> &[T] {
        assert_eq!(self.dtype, dtype);
        bytemuck::cast_slice(self.cpu_bytes())
    }

    fn elements_mut<T: Pod>(&mut self, dtype: DType) -> &mut [T] {
        assert_eq!(self.dtype, dtype);
        bytemuck::cast_slice_mut(self.cpu_bytes_mut())
    }

    fn cpu_bytes(&self) -> &[u8] {
        match &self.storage {
            Storage::Cpu(buffer) => &buffer.bytes()[..self.bytes()],
            Storage::Cuda(_) => panic!("a tensor of the GPU is given to a loop of the CPU"),
        }
    }

    fn cpu_bytes_mut(&mut self) -> &mut [u8] {
        let bytes = self.bytes();
        match &mut self.storage {
            Storage::Cpu(buffer) => &mut unique(buffer).bytes_mut()[..bytes],
            Storage::Cuda(_) => panic!("a tensor of the GPU is given to a loop of the CPU"),
        }
    }
}

/// A buffer that is about to be written.
#[track_caller]
fn unique<B>(buffer: &mut Arc<B>) -> &mut B {
    Arc::get_mut(buffer).expect("a tensor that others read is not written")
}
