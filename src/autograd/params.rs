//! Parameters (updated by gradients) and buffers (state without a gradient) of a model.

use super::{FlatParams, Init, Param, ParamSpec, compute_copy};
use crate::Result;
use crate::device::Device;
use crate::element::{DType, Shape};
use crate::tensor::Tensor;

/// A named tensor without gradient: running statistics, class centers.
#[derive(Debug)]
pub struct Buffer {
    /// The name, which is the key in weight files: `bn1.running_mean`.
    pub name: String,
    /// The content.
    pub value: Tensor,
}

/// The index of a parameter in [`Params`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParamId(pub(super) usize);

/// The index of a buffer in [`Params`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferId(usize);

/// The declaration of a buffer.
#[derive(Clone, Debug)]
struct BufferSpec {
    name: String,
    shape: Shape,
    /// The initial value of every element.
    value: f32,
}

/// The declarations of a network's parameters and buffers: names and shapes, without memory.
///
/// ```
/// use bcreid::autograd::{Init, ParamSpecs, Params};
/// use bcreid::device::Device;
///
/// # fn main() -> bcreid::Result<()> {
/// let mut specs = ParamSpecs::default();
/// // Eight filters of 3 x 3 pixels and one channel, `[K, R, S, C]`, and a bias that learns twice as fast.
/// let filters = specs.add_with("conv.weight", [8, 3, 3, 1], Init::he_fan_out([8, 3, 3, 1]), 1.0);
/// let bias = specs.add_with("conv.bias", [8], Init::Constant(0.1), 2.0);
/// let mean = specs.add_buffer("conv.running_mean", [8], 0.0);
/// let names: Vec<&str> = specs.shapes().map(|(name, _)| name).collect();
/// assert_eq!(names, ["conv.weight", "conv.bias", "conv.running_mean"]);
///
/// let mut params = Params::new(&Device::cpu(), &specs)?;
/// params.initialise(7)?; // the seed
/// assert_eq!(params.get(filters).value.shape().len(), 72);
/// assert_eq!(params.get(bias).value.f32(), [0.1; 8]);
/// assert_eq!(params.buffer(mean).f32(), [0.0; 8]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct ParamSpecs {
    params: Vec<ParamSpec>,
    buffers: Vec<BufferSpec>,
}

impl ParamSpecs {
    /// Declares a parameter with both multipliers 1 and initial values 0.
    pub fn add(&mut self, name: impl Into<String>, shape: impl Into<Shape>) -> ParamId {
        self.add_with(name, shape, Init::Constant(0.0), 1.0)
    }

    /// Declares a parameter with these initial values and `lr_mult` as factor on the learning rate.
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

    /// Declares a buffer with every element `value`.
    pub fn add_buffer(&mut self, name: impl Into<String>, shape: impl Into<Shape>, value: f32) -> BufferId {
        self.buffers.push(BufferSpec { name: name.into(), shape: shape.into(), value });
        BufferId(self.buffers.len() - 1)
    }

    /// The names and shapes of the parameters, then of the buffers, in the order of their declaration.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, Shape)> {
        let params = self.params.iter().map(|p| (p.name.as_str(), p.shape));
        params.chain(self.buffers.iter().map(|b| (b.name.as_str(), b.shape)))
    }
}

/// All parameters and buffers of a model, in the order of their declaration.
#[derive(Debug)]
pub struct Params {
    device: Device,
    params: Vec<Param>,
    buffers: Vec<Buffer>,
    flat: Option<FlatParams>,
}

impl Params {
    /// Allocates the declared parameters, filled with zeros, and buffers, filled with their initial values.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub fn new(device: &Device, specs: &ParamSpecs) -> Result<Self> {
        let (params, flat) = match device {
            Device::Cpu(_) => {
                let separate = |spec: &ParamSpec| {
                    let zeros = |dtype| Tensor::cleared(device, spec.shape, dtype);
                    let has_copy = compute_copy::shape(spec.shape, device).is_some();
                    let weight = if has_copy { device.activations() } else { DType::F32 };
                    Ok(Param {
                        name: spec.name.clone(),
                        value: zeros(DType::F32)?,
                        compute_copy: has_copy.then(|| zeros(weight)).transpose()?,
                        grad: zeros(weight)?,
                        init: spec.init,
                        lr_mult: spec.lr_mult,
                        decay_mult: 1.0,
                        frozen: false,
                        first_step: 0,
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

    /// A copy on the same device: equal values and buffers, in memory of its own.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub fn duplicate(&self) -> Result<Self> {
        let params = self.params.iter().map(|param| ParamSpec {
            name: param.name.clone(),
            shape: param.value.shape(),
            init: param.init,
            lr_mult: param.lr_mult,
        });
        let buffers = self.buffers.iter().map(|buffer| BufferSpec {
            name: buffer.name.clone(),
            shape: buffer.value.shape(),
            value: 0.0,
        });
        let specs = ParamSpecs { params: params.collect(), buffers: buffers.collect() };
        let mut copy = Params::new(&self.device, &specs)?;
        for (to, from) in copy.params.iter_mut().zip(&self.params) {
            to.value.copy_from(&from.value)?;
            if let (Some(to), Some(from)) = (&mut to.compute_copy, &from.compute_copy) {
                to.copy_from(from)?;
            }
            to.decay_mult = from.decay_mult;
        }
        for (to, from) in copy.buffers.iter_mut().zip(&self.buffers) {
            to.value.copy_from(&from.value)?;
        }
        Ok(copy)
    }

    /// An empty set, for tapes whose operations have no parameters.
    pub fn none(device: &Device) -> Self {
        Params { device: device.clone(), params: Vec::new(), buffers: Vec::new(), flat: None }
    }

    /// Sets every parameter to its initial values; parameter number p draws from Philox(seed, 0, p, Init).
    ///
    /// # Errors
    /// A device error.
    pub fn initialise(&mut self, seed: u64) -> Result<()> {
        for (number, param) in self.params.iter_mut().enumerate() {
            let values = param.init.values(seed, number as u64, param.value.shape().len());
            param.load(&values)?;
        }
        Ok(())
    }

    /// The device of the parameters.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A parameter.
    pub fn get(&self, id: ParamId) -> &Param {
        &self.params[id.0]
    }

    /// A parameter, mutable.
    pub fn get_mut(&mut self, id: ParamId) -> &mut Param {
        &mut self.params[id.0]
    }

    /// The content of a buffer.
    pub fn buffer(&self, id: BufferId) -> &Tensor {
        &self.buffers[id.0].value
    }

    /// The content of a buffer, mutable.
    pub fn buffer_mut(&mut self, id: BufferId) -> &mut Tensor {
        &mut self.buffers[id.0].value
    }

    /// All parameters.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// All parameters, mutable.
    pub fn params_mut(&mut self) -> &mut [Param] {
        &mut self.params
    }

    /// All buffers.
    pub fn buffers(&self) -> &[Buffer] {
        &self.buffers
    }

    /// All buffers, mutable.
    pub fn buffers_mut(&mut self) -> &mut [Buffer] {
        &mut self.buffers
    }

    /// The number of sections: runs of parameters that an optimiser updates at once
    /// ([`crate::optim::Optimizer::step_section`]). 1 on the CPU.
    pub fn sections(&self) -> usize {
        self.flat.as_ref().map_or(1, |flat| flat.sections.len())
    }

    /// The section of each parameter, in their order.
    pub(super) fn section_of_each(&self) -> Vec<usize> {
        let mut section_of = vec![0; self.params.len()];
        for (number, section) in self.flat.iter().flat_map(|flat| flat.sections.iter().enumerate()) {
            section.places.iter().for_each(|place| section_of[place.param] = number);
        }
        section_of
    }

    /// The flat arrays of the parameters; none on the CPU, where each parameter has its own memory.
    pub(crate) fn flat(&self) -> Option<&FlatParams> {
        self.flat.as_ref()
    }
}
