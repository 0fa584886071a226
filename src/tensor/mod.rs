//! Dense arrays on a device: [`Tensor`] (shape, element type, buffer), transfers between host and device, and
//! counter-based random numbers ([`philox`]).
//!
//! Book: [chapter 2](../../../../docs/book/src/02-memory.md).

mod argument;
mod convert;
pub mod philox;
mod store;
mod transfer;

pub use transfer::Download;

use crate::Result;
use crate::device::Device;
use crate::device::cpu::CpuBuffer;
use crate::device::cuda::{self, CudaBuffer, CudaDevice, In};
use crate::element::{DType, Real, Shape};
use bytemuck::Pod;
use std::sync::Arc;

/// A dense array on a device: shape, element type and a shared buffer.
///
/// A clone shares the buffer. Writing requires the only handle to the buffer: an operation that holds the last handle
/// to its input may work in place ([`Tensor::is_unique`]).
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
// ANCHOR: tensor
#[derive(Clone, Debug)]
pub struct Tensor {
    shape: Shape,
    dtype: DType,
    storage: Storage,
}
// ANCHOR_END: tensor

#[derive(Clone, Debug)]
// ANCHOR: storage
enum Storage {
    Cpu(Arc<CpuBuffer>),
    Cuda(Arc<CudaBuffer>),
}
// ANCHOR_END: storage

impl Tensor {
    /// Allocates an uninitialised tensor: its elements have unspecified values.
    ///
    /// # Errors
    /// If the device is out of memory; the message names the tensor by the file that allocates it.
    #[track_caller]
    pub fn empty(device: &Device, shape: impl Into<Shape>, dtype: DType) -> Result<Self> {
        let shape = shape.into();
        Self::labelled(device, shape, dtype, &cuda::Label::of_caller(shape, dtype))
    }

    /// As [`Tensor::empty`], for a gradient of an operation, which the message names.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub(crate) fn empty_gradient(
        device: &Device,
        shape: Shape,
        dtype: DType,
        op: &'static str,
    ) -> Result<Self> {
        Self::labelled(device, shape, dtype, &cuda::Label::Gradient(op, shape, dtype))
    }

    fn labelled(device: &Device, shape: Shape, dtype: DType, label: &cuda::Label) -> Result<Self> {
        let bytes = shape.len().saturating_mul(dtype.bytes());
        let storage = match device {
            Device::Cpu(cpu) => Storage::Cpu(Arc::new(cpu.allocate(bytes))),
            Device::Cuda(gpu) => Storage::Cuda(Arc::new(gpu.allocate(bytes, label)?)),
        };
        Ok(Tensor { shape, dtype, storage })
    }

    /// Allocates uninitialised f32 scratch memory (CPU only).
    ///
    /// # Panics
    /// If `device` is not the CPU.
    pub(crate) fn scratch(device: &Device, shape: impl Into<Shape>) -> Self {
        let Device::Cpu(cpu) = device else { panic!("scratch memory exists on the CPU only") };
        let (shape, dtype) = (shape.into(), DType::F32);
        let storage = Storage::Cpu(Arc::new(cpu.allocate(shape.len().saturating_mul(dtype.bytes()))));
        Tensor { shape, dtype, storage }
    }

    /// Allocates a tensor of any type whose bytes are all 0.
    ///
    /// # Errors
    /// As [`Tensor::empty`].
    #[track_caller]
    pub fn cleared(device: &Device, shape: impl Into<Shape>, dtype: DType) -> Result<Self> {
        let mut t = Self::empty(device, shape, dtype)?;
        t.clear()?;
        Ok(t)
    }

    /// Allocates a tensor of f32 zeros.
    ///
    /// # Errors
    /// As [`Tensor::empty`].
    #[track_caller]
    pub fn zeros(device: &Device, shape: impl Into<Shape>) -> Result<Self> {
        Self::cleared(device, shape, DType::F32)
    }

    /// Allocates an f32 tensor with every element `value`.
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

    /// Allocates an f32 tensor and copies `values` to it from host memory.
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

    /// Allocates an i32 tensor (labels, indices) and copies `values` to it from host memory.
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

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Changes the shape to another one with the same number of elements; the buffer stays.
    ///
    /// # Panics
    /// If the number of elements differs.
    pub fn reshape(mut self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.len(), self.shape.len(), "reshape {} to {shape}", self.shape);
        self.shape = shape;
        self
    }

    /// True if this is the only handle to the buffer, so that the buffer may be written.
    pub fn is_unique(&mut self) -> bool {
        match &mut self.storage {
            Storage::Cpu(buffer) => Arc::get_mut(buffer).is_some(),
            Storage::Cuda(buffer) => Arc::get_mut(buffer).is_some(),
        }
    }

    /// The f32 elements of a CPU tensor.
    ///
    /// # Panics
    /// If the tensor has another element type or is not on the CPU.
    pub fn f32(&self) -> &[f32] {
        self.elements(DType::F32)
    }

    /// The f32 elements of a CPU tensor, mutable.
    ///
    /// # Panics
    /// If the tensor has another element type, is not on the CPU, or shares its buffer.
    pub fn f32_mut(&mut self) -> &mut [f32] {
        self.elements_mut(DType::F32)
    }

    /// The elements of a CPU tensor, f32 or bf16.
    ///
    /// # Panics
    /// As [`Tensor::f32`].
    pub fn reals<E: Real>(&self) -> &[E] {
        self.elements(E::DTYPE)
    }

    /// The elements of a CPU tensor, f32 or bf16, mutable.
    ///
    /// # Panics
    /// As [`Tensor::f32_mut`].
    pub fn reals_mut<E: Real>(&mut self) -> &mut [E] {
        self.elements_mut(E::DTYPE)
    }

    /// The i32 elements of a CPU tensor.
    ///
    /// # Panics
    /// As [`Tensor::f32`].
    pub fn i32(&self) -> &[i32] {
        self.elements(DType::I32)
    }

    /// The i32 elements of a CPU tensor, mutable.
    ///
    /// # Panics
    /// As [`Tensor::f32_mut`].
    pub fn i32_mut(&mut self) -> &mut [i32] {
        self.elements_mut(DType::I32)
    }

    /// The bytes of a CPU tensor of type u8.
    ///
    /// # Panics
    /// As [`Tensor::f32`].
    pub fn u8(&self) -> &[u8] {
        self.elements(DType::U8)
    }

    /// The bytes of a CPU tensor of type u8, mutable.
    ///
    /// # Panics
    /// As [`Tensor::f32_mut`].
    pub fn u8_mut(&mut self) -> &mut [u8] {
        self.elements_mut(DType::U8)
    }

    /// Sets every byte to 0.
    ///
    /// # Errors
    /// A device error.
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

    /// Allocates an independent copy on the same device.
    ///
    /// # Errors
    /// As [`Tensor::empty`].
    #[track_caller]
    pub fn duplicate(&self, device: &Device) -> Result<Self> {
        let mut copy = Self::empty(device, self.shape, self.dtype)?;
        copy.copy_from(self)?;
        Ok(copy)
    }

    /// Copies the elements of `from`, a tensor of the same type and number of elements on the same device.
    ///
    /// # Errors
    /// A device error.
    ///
    /// # Panics
    /// If type, size or device differ, or this buffer is shared.
    pub fn copy_from(&mut self, from: &Tensor) -> Result<()> {
        assert_eq!(
            (self.dtype, self.shape.len()),
            (from.dtype, from.shape.len()),
            "a copy of another type or size"
        );
        let bytes = self.bytes();
        match (&mut self.storage, &from.storage) {
            (Storage::Cuda(to), Storage::Cuda(from)) => unique(to).copy_from(from, bytes)?,
            _ => self.cpu_bytes_mut().copy_from_slice(from.cpu_bytes()),
        }
        Ok(())
    }

    /// A view of the part from byte `begin` on, as a separate tensor. The view shares the memory but not the handle, so
    /// [`Tensor::is_unique`] does not see the sharing: the creator of parts must order their writes.
    ///
    /// # Panics
    /// If the part reaches past the end, `begin` is no multiple of 16, or the tensor is on the CPU.
    pub(crate) fn part(&self, begin: usize, shape: impl Into<Shape>, dtype: DType) -> Self {
        let shape = shape.into();
        let bytes = shape.len().saturating_mul(dtype.bytes());
        assert!(
            begin.saturating_add(bytes) <= self.bytes(),
            "a part past the end of a tensor {}",
            self.shape
        );
        let storage = Storage::Cuda(Arc::new(CudaBuffer::part(self.cuda(), begin, bytes)));
        Tensor { shape, dtype, storage }
    }

    /// The GPU of the tensor; none for a CPU tensor.
    pub fn gpu(&self) -> Option<&Arc<CudaDevice>> {
        match &self.storage {
            Storage::Cpu(_) => None,
            Storage::Cuda(buffer) => Some(buffer.device()),
        }
    }

    /// The device buffer, for kernels that read it.
    ///
    /// # Panics
    /// If the tensor is on the CPU.
    pub(crate) fn cuda(&self) -> &Arc<CudaBuffer> {
        match &self.storage {
            Storage::Cuda(buffer) => buffer,
            Storage::Cpu(_) => panic!("a CPU tensor is passed to a GPU kernel"),
        }
    }

    /// The kernel argument of the elements from index `at` on.
    ///
    /// # Panics
    /// If there is no element `at`, or the tensor is on the CPU.
    pub(crate) fn elements_from(&self, at: usize) -> In {
        assert!(at < self.shape.len(), "element {at} of a tensor {}", self.shape);
        let buffer = self.cuda();
        let before = at * self.dtype.bytes();
        let (address, bytes) = (buffer.address() + before as u64, buffer.bytes() - before);
        In::new(address, bytes, buffer.device().id(), self.dtype)
    }

    /// The device buffer, for kernels that write it.
    ///
    /// # Panics
    /// If the buffer is shared, or the tensor is on the CPU.
    pub(crate) fn cuda_mut(&mut self) -> &CudaBuffer {
        match &mut self.storage {
            Storage::Cuda(buffer) => unique(buffer),
            Storage::Cpu(_) => panic!("a CPU tensor is passed to a GPU kernel"),
        }
    }

    fn bytes(&self) -> usize {
        self.shape.len().saturating_mul(self.dtype.bytes())
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
            Storage::Cuda(_) => panic!("a GPU tensor is passed to a CPU loop"),
        }
    }

    fn cpu_bytes_mut(&mut self) -> &mut [u8] {
        let bytes = self.bytes();
        match &mut self.storage {
            Storage::Cpu(buffer) => &mut unique(buffer).bytes_mut()[..bytes],
            Storage::Cuda(_) => panic!("a GPU tensor is passed to a CPU loop"),
        }
    }
}

// ANCHOR: unique
/// Mutable access to a buffer that has one handle.
#[track_caller]
fn unique<B>(buffer: &mut Arc<B>) -> &mut B {
    Arc::get_mut(buffer).expect("a tensor that is written has the only handle to its buffer")
}
// ANCHOR_END: unique
