//! What operations work on: [`Tensor`] (shape, dtype, buffer), the [`Tape`] that remembers a step, the
//! [`Params`] that outlive it, and counter-based random numbers ([`philox`]).

mod params;
pub mod philox;
mod shape;
mod sink;
mod step_values;
mod tape;

pub use params::{Buffer, BufferId, Inventory, Param, ParamId, Params, Register};
pub use shape::{DType, Shape};
pub use sink::{Sinks, Write};
pub use step_values::StepValues;
pub use tape::{Backward, Gradients, Handle, Tape, Var};

use crate::device::Device;
use crate::device::cpu::CpuBuffer;
use std::sync::Arc;

/// A dense array on a device: shape, element type and a shared buffer.
///
/// Cloning shares the buffer. Writing needs the only handle to it: an operation that finds itself the last
/// owner of its input may work in place ([`Tensor::is_unique`]).
#[derive(Clone, Debug)]
pub struct Tensor {
    shape: Shape,
    dtype: DType,
    storage: Storage,
}

#[derive(Clone, Debug)]
enum Storage {
    Cpu(Arc<CpuBuffer>),
}

impl Tensor {
    /// A tensor whose elements hold anything (what the buffer's last owner left).
    pub fn empty(device: &Device, shape: impl Into<Shape>, dtype: DType) -> Self {
        let shape = shape.into();
        let storage = match device {
            Device::Cpu(cpu) => Storage::Cpu(Arc::new(cpu.allocate(shape.len() * dtype.bytes()))),
        };
        Tensor { shape, dtype, storage }
    }

    /// A tensor of f32 zeros.
    pub fn zeros(device: &Device, shape: impl Into<Shape>) -> Self {
        Self::full(device, shape, 0.0)
    }

    /// A tensor of f32, every element `value`.
    pub fn full(device: &Device, shape: impl Into<Shape>, value: f32) -> Self {
        let mut t = Self::empty(device, shape, DType::F32);
        t.f32_mut().fill(value);
        t
    }

    /// A tensor of f32 copied from host memory.
    ///
    /// # Panics
    /// If `values` does not have as many elements as `shape`.
    pub fn from_f32(device: &Device, shape: impl Into<Shape>, values: &[f32]) -> Self {
        let mut t = Self::empty(device, shape, DType::F32);
        t.f32_mut().copy_from_slice(values);
        t
    }

    /// A tensor of i32 copied from host memory (labels, indices).
    ///
    /// # Panics
    /// If `values` does not have as many elements as `shape`.
    pub fn from_i32(device: &Device, shape: impl Into<Shape>, values: &[i32]) -> Self {
        let mut t = Self::empty(device, shape, DType::I32);
        t.i32_mut().copy_from_slice(values);
        t
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
        }
    }

    /// The elements, for the CPU's loops.
    ///
    /// # Panics
    /// If the tensor holds another dtype.
    pub fn f32(&self) -> &[f32] {
        assert_eq!(self.dtype, DType::F32);
        bytemuck::cast_slice(self.cpu_bytes())
    }

    /// The elements, for the CPU's loops to write.
    ///
    /// # Panics
    /// If the tensor holds another dtype, or somebody else holds its buffer too.
    pub fn f32_mut(&mut self) -> &mut [f32] {
        assert_eq!(self.dtype, DType::F32);
        bytemuck::cast_slice_mut(self.cpu_bytes_mut())
    }

    /// The elements, for the CPU's loops.
    ///
    /// # Panics
    /// If the tensor holds another dtype.
    pub fn i32(&self) -> &[i32] {
        assert_eq!(self.dtype, DType::I32);
        bytemuck::cast_slice(self.cpu_bytes())
    }

    /// The elements, for the CPU's loops to write.
    ///
    /// # Panics
    /// If the tensor holds another dtype, or somebody else holds its buffer too.
    pub fn i32_mut(&mut self) -> &mut [i32] {
        assert_eq!(self.dtype, DType::I32);
        bytemuck::cast_slice_mut(self.cpu_bytes_mut())
    }

    /// Waits for the device and copies the elements to the host.
    pub fn to_host_f32(&self) -> Vec<f32> {
        self.f32().to_vec()
    }

    /// Overwrites the elements from host memory.
    ///
    /// # Panics
    /// If `values` has another length, or the buffer is shared.
    pub fn copy_from_host_f32(&mut self, values: &[f32]) {
        self.f32_mut().copy_from_slice(values);
    }

    /// An independent copy on the same device.
    pub fn duplicate(&self, device: &Device) -> Self {
        let mut copy = Self::empty(device, self.shape, self.dtype);
        copy.cpu_bytes_mut().copy_from_slice(self.cpu_bytes());
        copy
    }

    fn cpu_bytes(&self) -> &[u8] {
        match &self.storage {
            Storage::Cpu(buffer) => &buffer.bytes()[..self.shape.len() * self.dtype.bytes()],
        }
    }

    fn cpu_bytes_mut(&mut self) -> &mut [u8] {
        let bytes = self.shape.len() * self.dtype.bytes();
        match &mut self.storage {
            Storage::Cpu(buffer) => &mut Arc::get_mut(buffer)
                .expect("a tensor that others read is not written")
                .bytes_mut()[..bytes],
        }
    }
}
