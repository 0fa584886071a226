//! Between the host and a tensor's device: what waits, and what does not.

use super::{Storage, Tensor, unique};
use crate::Result;
use crate::device::cuda::PendingDownload;
use crate::element::DType;
use bytemuck::Pod;

impl Tensor {
    /// Waits for the device and copies the elements to the host; those of bf16 are widened.
    ///
    /// # Errors
    /// What the device reports, of this or of earlier work.
    ///
    /// # Panics
    /// If the tensor holds whole numbers.
    pub fn to_host_f32(&self) -> Result<Vec<f32>> {
        match (&self.storage, self.dtype) {
            (Storage::Cpu(_), _) => Ok(self.f32().to_vec()),
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

    /// Waits for the device and copies the elements to the host.
    ///
    /// # Errors
    /// What the device reports, of this or of earlier work.
    ///
    /// # Panics
    /// If the tensor holds another dtype.
    pub fn to_host_i32(&self) -> Result<Vec<i32>> {
        assert_eq!(self.dtype, DType::I32);
        match &self.storage {
            Storage::Cpu(_) => Ok(self.i32().to_vec()),
            Storage::Cuda(buffer) => buffer.download(self.shape.len()),
        }
    }

    /// Overwrites the elements from host memory; waits for the device.
    ///
    /// # Errors
    /// Errors of the device.
    ///
    /// # Panics
    /// If `values` has another length, the tensor holds another dtype, or the buffer is shared.
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

    /// Overwrites the elements by `bytes` without waiting for the device: they are copied to where the device finds
    /// them when it gets there.
    ///
    /// # Errors
    /// Errors of the device.
    ///
    /// # Panics
    /// If `bytes` has another length, or the buffer is shared and the device is the CPU. (On a GPU the new elements
    /// come after all work so far, whoever holds a handle.)
    pub(crate) fn upload_async(&mut self, bytes: &[u8]) -> Result<()> {
        assert_eq!(bytes.len(), self.bytes(), "bytes for a tensor {}", self.shape);
        match &mut self.storage {
            Storage::Cpu(_) => self.cpu_bytes_mut().copy_from_slice(bytes),
            Storage::Cuda(buffer) => buffer.upload_async(0, bytes)?,
        }
        Ok(())
    }

    /// Overwrites the elements by the bytes of `rows`, one behind the other, as [`Tensor::upload_async`] does: a large tensor goes
    /// in pieces.
    ///
    /// # Errors
    /// Errors of the device.
    ///
    /// # Panics
    /// If the rows have more or fewer bytes in all, or the tensor lives on the CPU.
    pub(crate) fn upload_rows_async<'a>(&mut self, rows: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        /// Bytes of a piece.
        const PIECE: usize = 4 << 20;
        let (mut at, mut piece) = (0, Vec::with_capacity(PIECE));
        for row in rows {
            piece.extend_from_slice(row);
            if piece.len() >= PIECE {
                self.cuda().upload_async(at, &piece)?;
                at += piece.len();
                piece.clear();
            }
        }
        if !piece.is_empty() {
            self.cuda().upload_async(at, &piece)?;
        }
        assert_eq!(at + piece.len(), self.bytes(), "rows for a tensor {}", self.shape);
        Ok(())
    }

    /// Asks for the elements, f32, without waiting. What is written to the tensor later does not change them.
    ///
    /// # Errors
    /// Errors of the device.
    ///
    /// # Panics
    /// If the tensor holds another dtype.
    pub fn download_async(&self) -> Result<Download> {
        assert_eq!(self.dtype, DType::F32);
        match self.gpu() {
            None => Ok(Download::Here(self.f32().to_vec())),
            Some(_) => Ok(Download::Coming(self.cuda().download_async(self.bytes())?)),
        }
    }
}

/// The elements of a tensor as they were when they were asked for.
pub enum Download {
    /// On the CPU they are there.
    Here(Vec<f32>),
    /// A GPU copies them when its work so far is done.
    Coming(PendingDownload),
}

impl Download {
    /// Waits for the elements.
    ///
    /// # Errors
    /// What the device reports, of the copy or of the work before it.
    pub fn wait(self) -> Result<Vec<f32>> {
        match self {
            Download::Here(values) => Ok(values),
            Download::Coming(incoming) => incoming.wait(),
        }
    }
}
