//! What outlives a step: parameters (learned by gradient) and buffers (learned otherwise or constant).

use super::{Shape, Tensor};
use crate::device::Device;

/// A learned tensor with its gradient and momentum.
#[derive(Debug)]
pub struct Param {
    /// Its name, the key in weight files: `layer1.0.conv1.weight`.
    pub name: String,
    /// The weights.
    pub value: Tensor,
    /// The gradient of the last backward pass.
    pub grad: Tensor,
    /// The solver's velocity.
    pub momentum: Tensor,
    /// Multiplies the learning rate; 0 keeps the parameter as it is.
    pub lr_mult: f32,
    /// Multiplies the weight decay.
    pub decay_mult: f32,
}

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

/// What a network announces its parameters and buffers to: [`Params`], which makes them, or an
/// [`Inventory`], which only writes them down.
pub trait Register {
    /// A parameter of zeros with both multipliers 1.
    fn add(&mut self, name: impl Into<String>, shape: impl Into<Shape>) -> ParamId;

    /// A buffer, every element `value`.
    fn add_buffer(&mut self, name: impl Into<String>, shape: impl Into<Shape>, value: f32) -> BufferId;
}

/// Names and shapes of a model's parameters and buffers, without memory for any of them.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// The parameters, in the order they were added.
    pub params: Vec<(String, Shape)>,
    /// The buffers, likewise.
    pub buffers: Vec<(String, Shape)>,
}

impl Register for Inventory {
    fn add(&mut self, name: impl Into<String>, shape: impl Into<Shape>) -> ParamId {
        self.params.push((name.into(), shape.into()));
        ParamId(self.params.len() - 1)
    }

    fn add_buffer(&mut self, name: impl Into<String>, shape: impl Into<Shape>, _: f32) -> BufferId {
        self.buffers.push((name.into(), shape.into()));
        BufferId(self.buffers.len() - 1)
    }
}

/// All parameters and buffers of a model, in the order they were added.
#[derive(Debug)]
pub struct Params {
    device: Device,
    params: Vec<Param>,
    buffers: Vec<Buffer>,
}

impl Register for Params {
    fn add(&mut self, name: impl Into<String>, shape: impl Into<Shape>) -> ParamId {
        let shape = shape.into();
        self.params.push(Param {
            name: name.into(),
            value: Tensor::zeros(&self.device, shape),
            grad: Tensor::zeros(&self.device, shape),
            momentum: Tensor::zeros(&self.device, shape),
            lr_mult: 1.0,
            decay_mult: 1.0,
        });
        ParamId(self.params.len() - 1)
    }

    fn add_buffer(&mut self, name: impl Into<String>, shape: impl Into<Shape>, value: f32) -> BufferId {
        self.buffers.push(Buffer { name: name.into(), value: Tensor::full(&self.device, shape, value) });
        BufferId(self.buffers.len() - 1)
    }
}

impl Params {
    /// None yet.
    pub fn new(device: &Device) -> Self {
        Params { device: device.clone(), params: Vec::new(), buffers: Vec::new() }
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
}
