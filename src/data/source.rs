//! The assembly of training batches: ahead of the step by threads of the host, or inside the step by a GPU.
//!
//! A GPU holds the decoded training set if its memory has room, and a step needs no data from the host. Otherwise
//! threads gather the bytes of each batch during the step before, one copy from pinned memory uploads them between the
//! two steps, and the GPU does the rest. All three ways give the same pixels.
//!
//! Book: [chapter 17](../../../../../docs/book/src/17-data.md).

use super::assemble::{Assembler, DeviceImages, Views};
use super::prefetch::Prefetch;
use super::sampler::{Sampler, SamplerKind};
use super::training_set::{Batch, TrainingSet};
use crate::autograd::StepValues;
use crate::device::Device;
use crate::device::cuda::CudaDevice;
use crate::element::DType;
use crate::tensor::Tensor;
use crate::{Error, Result};
use std::sync::Arc;

/// The source of batches.
#[expect(clippy::large_enum_variant, reason = "there is one of it in a run")]
pub(super) enum Source {
    Host { prefetch: Prefetch<Result<Batch>>, ready: Option<Batch> },
    Gpu(GpuSource),
}

/// The state of assembly on a GPU.
pub(super) struct GpuSource {
    images: DeviceImages,
    /// i32 `[m]`: the indices of the step's images.
    chosen: Tensor,
    choice: Choice,
    assembler: Assembler,
    set: Arc<TrainingSet>,
}

/// The selection of the images of a step.
enum Choice {
    /// The device draws them.
    Random,
    /// The device reads an order that the host uploads before each epoch.
    Turns { sampler: Sampler, order: Tensor, epoch: Option<u64> },
    /// The host uploads the images of each batch.
    Sent(Prefetch<Gathered>),
}

/// The upload of a batch to a GPU that has no room for the training set.
struct Gathered {
    bytes: Vec<u8>,
    labels: Vec<i32>,
}

impl Source {
    /// The source of batches for the device.
    pub fn new(set: &Arc<TrainingSet>, sampler: &Sampler, device: &Device) -> Result<Self> {
        let options = &set.options;
        match device {
            Device::Cpu(_) => {
                // ANCHOR: start
                let prefetch = Prefetch::start(options.threads, options.prefetch, || {
                    let (set, mut sampler, device) = (set.clone(), sampler.clone(), device.clone());
                    move |i| Some(set.batch(&mut sampler, set.options.first_step + i, &device))
                })?;
                // ANCHOR_END: start
                Ok(Source::Host { prefetch, ready: None })
            }
            Device::Cuda(gpu) => Ok(Source::Gpu(GpuSource::new(set, sampler, gpu)?)),
        }
    }

    /// The host's work for the batch of `step`. Call it once before each step, in the order of the steps.
    pub fn prepare(&mut self, step: u64) -> Result<()> {
        match self {
            Source::Host { prefetch, ready } => {
                *ready = Some(taken(prefetch)??);
                Ok(())
            }
            Source::Gpu(source) => source.prepare(step),
        }
    }

    /// The prepared batch.
    pub fn batch(&mut self, step: u64, values: &StepValues) -> Result<Batch> {
        match self {
            Source::Host { ready, .. } => {
                ready.take().ok_or_else(|| Error::Data("a batch was asked for that was not prepared".into()))
            }
            Source::Gpu(source) => source.batch(step, values),
        }
    }
}

fn taken<T: Send + 'static>(prefetch: &mut Prefetch<T>) -> Result<T> {
    prefetch.take()?.ok_or_else(|| Error::Data("the loader has stopped after an error".into()))
}

impl GpuSource {
    fn new(set: &Arc<TrainingSet>, sampler: &Sampler, gpu: &Arc<CudaDevice>) -> Result<Self> {
        let device = Device::Cuda(gpu.clone());
        let options = &set.options;
        let (m, turns) = (sampler.batch_size(), sampler.steps_per_epoch() as usize);
        let input = &options.input;
        let [height, width] = options.augment.image_size(input.height, input.width);
        let shape = |n: usize| [n, height, width, 3];
        let n = set.usable.len();
        // The other half of the memory is for the network.
        let is_resident = n * height * width * 3 <= gpu.free_memory()? / 2;
        let mut chosen = Tensor::cleared(&device, [m], DType::I32)?;
        let (images, choice) = if is_resident {
            let mut bytes = Tensor::empty(&device, shape(n), DType::U8)?;
            set.upload_all(&mut bytes)?;
            let classes = Tensor::from_i32(&device, [n], &set.usable_labels())?;
            let choice = match options.sampler {
                SamplerKind::Random { .. } => Choice::Random,
                SamplerKind::Epochs { .. } | SamplerKind::Pk { .. } | SamplerKind::Pairs { .. } => {
                    let order = Tensor::cleared(&device, [turns, m], DType::I32)?;
                    Choice::Turns { sampler: sampler.clone(), order, epoch: None }
                }
            };
            (DeviceImages { bytes, classes }, choice)
        } else {
            let bytes = Tensor::empty(&device, shape(m), DType::U8)?;
            let classes = Tensor::cleared(&device, [m], DType::I32)?;
            let all: Vec<i32> = (0..m as i32).collect();
            chosen = Tensor::from_i32(&device, [m], &all)?;
            let prefetch = Prefetch::start(options.threads, options.prefetch, || {
                let (set, mut sampler) = (set.clone(), sampler.clone());
                move |i| Some(gather(&set, &mut sampler, set.options.first_step + i))
            })?;
            (DeviceImages { bytes, classes }, Choice::Sent(prefetch))
        };
        let assembler = Assembler::new(gpu, input)?;
        Ok(GpuSource { images, chosen, choice, assembler, set: set.clone() })
    }

    fn prepare(&mut self, step: u64) -> Result<()> {
        match &mut self.choice {
            Choice::Random => Ok(()),
            Choice::Turns { sampler, order, epoch } => {
                let turns = sampler.steps_per_epoch();
                let now = step / turns;
                if *epoch != Some(now) {
                    let images = (now * turns..(now + 1) * turns).flat_map(|step| sampler.batch(step));
                    let images: Vec<i32> = images.map(|image| image as i32).collect();
                    order.upload_async(bytemuck::cast_slice(&images))?;
                    *epoch = Some(now);
                }
                Ok(())
            }
            Choice::Sent(prefetch) => {
                let Gathered { bytes, labels } = taken(prefetch)?;
                self.images.bytes.upload_async(&bytes)?;
                self.images.classes.upload_async(bytemuck::cast_slice(&labels))
            }
        }
    }

    fn batch(&mut self, step: u64, values: &StepValues) -> Result<Batch> {
        let options = &self.set.options;
        let seed = options.seed;
        match &self.choice {
            Choice::Random => {
                let n = self.set.usable.len();
                self.assembler.sample(&mut self.chosen, n, seed, &values.step)?;
            }
            Choice::Turns { order, .. } => self.assembler.take_turn(&mut self.chosen, order, &values.step)?,
            Choice::Sent(_) => {}
        }
        let views = Views::Augmented { augment: options.augment, seed, step: &values.step };
        let (pixels, labels) = self.assembler.assemble(&self.images, &self.chosen, views)?;
        Ok(Batch { step, pixels, labels, images: Vec::new() })
    }
}

fn gather(set: &TrainingSet, sampler: &mut Sampler, step: u64) -> Gathered {
    let images: Vec<usize> = sampler.batch(step).into_iter().map(|i| set.usable[i]).collect();
    let bytes = images.iter().flat_map(|&i| set.cache.image(i)).copied().collect();
    let labels = images.iter().map(|&i| set.labels[i]).collect();
    Gathered { bytes, labels }
}
