//! Transfers between the host and a tensor's device, synchronous and asynchronous.

use super::{Storage, Tensor, unique};
use crate::Result;
use crate::device::cuda::PendingDownload;
use crate::element::{DType, Real, with_real};
use bytemuck::Pod;

impl Tensor {
    /// Waits for the device and copies the elements to the host as f32; bf16 is widened.
    ///
    /// # Errors
    /// A device error of this or of earlier work.
    ///
    /// # Panics
    /// If the elements are integers.
    pub fn to_host_f32(&self) -> Result<Vec<f32>> {
        match (&self.storage, self.dtype) {
            (Storage::Cpu(_), _) => {
                with_real!(self, E => Ok(self.reals::<E>().iter().map(|value| value.widen()).collect()))
            }
            (Storage::Cuda(buffer), DType::BF16) => {
                let bits: Vec<u16> = buffer.download(self.shape.len())?;
                Ok(bits.into_iter().map(|bits| f32::from_bits(u32::from(bits) << 16)).collect())
            }
            (Storage::Cuda(buffer), dtype) => {
                assert_eq!(dtype, DType::F32);
                buffer.download(self.shape.len())
            }
        }
    }

    /// Waits for the device and copies the i32 elements to the host.
    ///
    /// # Errors
    /// A device error of this or of earlier work.
    ///
    /// # Panics
    /// If the tensor has another element type.
    pub fn to_host_i32(&self) -> Result<Vec<i32>> {
        assert_eq!(self.dtype, DType::I32);
        match &self.storage {
            Storage::Cpu(_) => Ok(self.i32().to_vec()),
            Storage::Cuda(buffer) => buffer.download(self.shape.len()),
        }
    }

    /// Copies `values` from host memory to the tensor; waits for the device.
    ///
    /// # Errors
    /// A device error.
    ///
    /// # Panics
    /// If `values` has another length, the tensor has another element type, or the buffer is shared.
    pub fn copy_from_host_f32(&mut self, values: &[f32]) -> Result<()> {
        assert_eq!(self.dtype, DType::F32);
        self.copy_from_host(values)
    }

    pub(super) fn copy_from_host<T: Pod>(&mut self, values: &[T]) -> Result<()> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        assert_eq!(bytes.len(), self.bytes(), "elements for a tensor {}", self.shape);
        match &mut self.storage {
            Storage::Cpu(_) => self.cpu_bytes_mut().copy_from_slice(bytes),
            Storage::Cuda(buffer) => unique(buffer).upload(bytes)?,
        }
        Ok(())
    }

    /// Copies `bytes` to the tensor without waiting for the device: the bytes are staged in pinned memory, and the copy
    /// is enqueued.
    ///
    /// # Errors
    /// A device error.
    ///
    /// # Panics
    /// If `bytes` has another length, or the buffer is shared and the device is the CPU. (On a GPU the copy comes after
    /// all enqueued work, so a shared buffer is allowed.)
    pub(crate) fn upload_async(&mut self, bytes: &[u8]) -> Result<()> {
        assert_eq!(bytes.len(), self.bytes(), "bytes for a tensor {}", self.shape);
        match &mut self.storage {
            Storage::Cpu(_) => self.cpu_bytes_mut().copy_from_slice(bytes),
            Storage::Cuda(buffer) => buffer.upload_async(0, bytes)?,
        }
        Ok(())
    }

    /// Copies the concatenated bytes of `rows` to the tensor as [`Tensor::upload_async`] does, a large tensor in
    /// several copies.
    ///
    /// # Errors
    /// A device error.
    ///
    /// # Panics
    /// If the rows have more or fewer bytes in total, or the tensor is on the CPU.
    pub(crate) fn upload_rows_async<'a>(&mut self, rows: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        /// The size from which on collected rows are copied, in bytes.
        const CHUNK: usize = 4 << 20;
        let (mut at, mut chunk) = (0, Vec::with_capacity(CHUNK));
        for row in rows {
            chunk.extend_from_slice(row);
            if chunk.len() >= CHUNK {
                self.cuda().upload_async(at, &chunk)?;
                at += chunk.len();
                chunk.clear();
            }
        }
        if !chunk.is_empty() {
            self.cuda().upload_async(at, &chunk)?;
        }
        assert_eq!(at + chunk.len(), self.bytes(), "rows for a tensor {}", self.shape);
        Ok(())
    }

    /// Enqueues a copy of the f32 elements to the host, without waiting. Later writes to the tensor do not change the
    /// copy.
    ///
    /// # Errors
    /// A device error.
    ///
    /// # Panics
    /// If the tensor has another element type.
    pub fn download_async(&self) -> Result<Download> {
        assert_eq!(self.dtype, DType::F32);
        match self.gpu() {
            None => Ok(Download::Ready(self.f32().to_vec())),
            Some(_) => Ok(Download::Pending(self.cuda().download_async(self.bytes())?)),
        }
    }
}

/// A download of a tensor: the elements at the time of [`Tensor::download_async`].
pub enum Download {
    /// The elements of a CPU tensor.
    Ready(Vec<f32>),
    /// A copy that a GPU makes when its earlier work is done.
    Pending(PendingDownload),
}

impl Download {
    /// Waits for the copy and returns the elements.
    ///
    /// # Errors
    /// A device error of the copy or of earlier work.
    pub fn wait(self) -> Result<Vec<f32>> {
        match self {
            Download::Ready(values) => Ok(values),
            Download::Pending(pending) => pending.wait(),
        }
    }
}
