//! What outlives a step: parameters (learned by gradient) and buffers (learned otherwise or constant).

use super::{FlatParams, Init, Param, ParamSpec};
use crate::Result;
use crate::device::Device;
use crate::element::Shape;
use crate::tensor::Tensor;

/// A named tensor without gradient: running statistics, class centers.
#[derive(Debug)]
pub struct Buffer {
    /// Its name, the key in weight files: `bn1.running_mean`.
    pub name: String,
    /// Its content.
    pub value: Tensor,
}

/// Which parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamId(pub(super) usize);

/// Which buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferId(usize);

/// A buffer to be made.
#[derive(Clone, Debug)]
struct BufferSpec {
    name: String,
    shape: Shape,
    /// What every element starts at.
    value: f32,
}

/// What a network announces its parameters and buffers to: names and shapes, without memory for any of them.
#[derive(Clone, Debug, Default)]
pub struct ParamSpecs {
    params: Vec<ParamSpec>,
    buffers: Vec<BufferSpec>,
}

impl ParamSpecs {
    /// A parameter with both multipliers 1, whose initial values are 0.
    pub fn add(&mut self, name: impl Into<String>, shape: impl Into<Shape>) -> ParamId {
        self.add_with(name, shape, Init::Constant(0.0), 1.0)
    }

    /// A parameter with these initial values, whose learning rate is multiplied by `lr_mult`.
    pub fn add_with(
        &mut self,
        name: impl Into<String>,
        shape: impl Into<Shape>,
        init: Init,
        lr_mult: f32,
    ) -> ParamId {
        self.params.push(ParamSpec { name: name.into(), shape: shape.into(), init, lr_mult });
        ParamId(self.params.len() - 1)
    }

    /// A buffer, every element `value`.
    pub fn add_buffer(&mut self, name: impl Into<String>, shape: impl Into<Shape>, value: f32) -> BufferId {
        self.buffers.push(BufferSpec { name: name.into(), shape: shape.into(), value });
        BufferId(self.buffers.len() - 1)
    }

    /// Names and shapes: the parameters, then the buffers, in the order they were added.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, Shape)> {
        let params = self.params.iter().map(|p| (p.name.as_str(), p.shape));
        params.chain(self.buffers.iter().map(|b| (b.name.as_str(), b.shape)))
    }
}

/// All parameters and buffers of a model, in the order they were added.
#[derive(Debug)]
pub struct Params {
    device: Device,
    params: Vec<Param>,
    buffers: Vec<Buffer>,
    flat: Option<FlatParams>,
}

impl Params {
    /// Parameters of zeros, and buffers of their values.
    ///
    /// # Errors
    /// If the device lacks the memory.
    pub fn new(device: &Device, specs: &ParamSpecs) -> Result<Self> {
        let (params, flat) = match device {
            Device::Cpu(_) => {
                let separate = |spec: &ParamSpec| {
                    Ok(Param {
                        name: spec.name.clone(),
                        value: Tensor::zeros(device, spec.shape)?,
                        copy: None,
                        grad: Tensor::zeros(device, spec.shape)?,
                        init: spec.init,
                        lr_mult: spec.lr_mult,
                        decay_mult: 1.0,
                    })
                };
                (specs.params.iter().map(separate).collect::<Result<_>>()?, None)
            }
            Device::Cuda(gpu) => {
                let (params, flat) = FlatParams::new(gpu, &specs.params)?;
                (params, Some(flat))
            }
        };
        let buffer = |spec: &BufferSpec| {
            let value =
                Tensor::full(device, spec.shape, spec.value).map_err(|e| e.about_tensor(&spec.name))?;
            Ok(Buffer { name: spec.name.clone(), value })
        };
        let buffers = specs.buffers.iter().map(buffer).collect::<Result<_>>()?;
        Ok(Params { device: device.clone(), params, buffers, flat })
    }

    /// No parameters and no buffers, for operations without any.
    pub fn none(device: &Device) -> Self {
        Params { device: device.clone(), params: Vec::new(), buffers: Vec::new(), flat: None }
    }

    /// Gives every parameter its initial value; parameter number p draws from Philox(seed, 0, p, Init).
    ///
    /// # Errors
    /// Errors of the device.
    pub fn initialise(&mut self, seed: u64) -> Result<()> {
        for (number, param) in self.params.iter_mut().enumerate() {
            let values = param.init.values(seed, number as u64, param.value.shape().len());
            param.load(&values)?;
        }
        Ok(())
    }

    /// Where they live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// One parameter.
    pub fn get(&self, id: ParamId) -> &Param {
        &self.params[id.0]
    }

    /// One parameter, to be changed.
    pub fn get_mut(&mut self, id: ParamId) -> &mut Param {
        &mut self.params[id.0]
    }

    /// One buffer's content.
    pub fn buffer(&self, id: BufferId) -> &Tensor {
        &self.buffers[id.0].value
    }

    /// One buffer's content, to be changed.
    pub fn buffer_mut(&mut self, id: BufferId) -> &mut Tensor {
        &mut self.buffers[id.0].value
    }

    /// All parameters.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// All parameters, to be changed.
    pub fn params_mut(&mut self) -> &mut [Param] {
        &mut self.params
    }

    /// All buffers.
    pub fn buffers(&self) -> &[Buffer] {
        &self.buffers
    }

    /// All buffers, to be changed.
    pub fn buffers_mut(&mut self) -> &mut [Buffer] {
        &mut self.buffers
    }

    /// The arrays that the parameters are parts of; none where each parameter has its own memory, on the CPU.
    pub(crate) fn flat(&self) -> Option<&FlatParams> {
        self.flat.as_ref()
    }
}
