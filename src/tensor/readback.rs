//! Values on their way to the host, so that a step never waits for them.

use super::{DType, Tensor};
use crate::Result;
use crate::device::cuda::Incoming;

/// The elements of a tensor as they were when they were asked for.
pub enum Readback {
    /// On the CPU they are there.
    Here(Vec<f32>),
    /// A GPU copies them when its work so far is done.
    Coming(Incoming),
}

impl Tensor {
    /// Asks for the elements, f32, without waiting. What is written to the tensor later does not change them.
    ///
    /// # Errors
    /// What the device reports.
    ///
    /// # Panics
    /// If the tensor holds another dtype.
    pub fn read_back(&self) -> Result<Readback> {
        assert_eq!(self.dtype, DType::F32);
        match self.gpu() {
            None => Ok(Readback::Here(self.f32().to_vec())),
            Some(_) => Ok(Readback::Coming(self.cuda().receive(self.bytes())?)),
        }
    }
}

impl Readback {
    /// Waits for the elements.
    ///
    /// # Errors
    /// What the device reports, of the copy or of the work before it.
    pub fn wait(self) -> Result<Vec<f32>> {
        match self {
            Readback::Here(values) => Ok(values),
            Readback::Coming(incoming) => incoming.wait(),
        }
    }
}
