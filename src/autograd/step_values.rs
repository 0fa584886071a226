//! The values that change between steps, in device memory: step number and named scalars.
//!
//! Kernels read these values from device memory and never as launch arguments. A captured step is therefore replayed
//! without change: only the contents of this memory differ.
//!
//! Book: [chapter 15](../../../../../docs/book/src/15-memory-streams.md).

use crate::device::Device;
use crate::element::DType;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The seed of a run, the number of the step being computed, and the scalars that a solver declares, such as `lr` or
/// `lambda`.
///
/// ```
/// use bcreid::autograd::StepValues;
/// use bcreid::device::Device;
///
/// # fn main() -> bcreid::Result<()> {
/// let mut values = StepValues::new(&Device::cpu(), 7)?.with_scalars(&["lr", "temperature"])?;
/// values.set(3, &[("lr", 0.1), ("temperature", 0.5)])?;
/// assert_eq!(values.step.i32(), [3]);
/// assert_eq!(values.scalar("lr")?.f32(), [0.1]);
/// assert!(values.scalar("margin").is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StepValues {
    device: Device,
    /// The seed of the run. It is constant, and so a plain number.
    pub seed: u64,
    /// i32 `[1]`: the step number, from 0.
    pub step: Tensor,
    /// f32 `[1]` each, in the order of their declaration.
    scalars: Vec<(&'static str, Tensor)>,
    /// On a GPU the tensors above are slots of this one, so that one copy sends all of them.
    together: Option<Tensor>,
}

/// Bytes from one slot to the next: [`Tensor::part`] needs such multiples.
const SLOT: usize = 16;

impl StepValues {
    /// Step 0, no scalars.
    ///
    /// # Errors
    /// If the device lacks the memory.
    pub fn new(device: &Device, seed: u64) -> Result<Self> {
        Self::allocate(device, seed, &[])
    }

    /// The same seed at step 0 with these scalars, all of them 0. It replaces scalars that were declared before.
    ///
    /// # Errors
    /// A name that is given twice; too little memory on the device.
    pub fn with_scalars(self, names: &[&'static str]) -> Result<Self> {
        if let Some(name) =
            names.iter().enumerate().find_map(|(i, name)| names[..i].contains(name).then_some(name))
        {
            return Err(Error::Run(format!(
                "the step values declare the scalar {name} twice; give each name once"
            )));
        }
        Self::allocate(&self.device, self.seed, names)
    }

    fn allocate(device: &Device, seed: u64, names: &[&'static str]) -> Result<Self> {
        let together = match device {
            Device::Cpu(_) => None,
            Device::Cuda(_) => Some(Tensor::cleared(device, [(1 + names.len()) * SLOT], DType::U8)?),
        };
        let value = |slot: usize, dtype| match &together {
            Some(whole) => Ok(whole.part(slot * SLOT, [1], dtype)),
            None => Tensor::cleared(device, [1], dtype),
        };
        let step = value(0, DType::I32)?;
        let scalars = names.iter().enumerate().map(|(i, &name)| Ok((name, value(1 + i, DType::F32)?)));
        let scalars = scalars.collect::<Result<_>>()?;
        Ok(StepValues { device: device.clone(), seed, step, scalars, together })
    }

    /// The scalar of this name, f32 `[1]`.
    ///
    /// # Errors
    /// A name that was not declared.
    pub fn scalar(&self, name: &str) -> Result<&Tensor> {
        let found = self.scalars.iter().find(|(own, _)| *own == name);
        found.map(|(_, value)| value).ok_or_else(|| self.unknown(&format!("no scalar {name}")))
    }

    /// Sends the values of the next step to the device, in the order of the stream, and does not wait for their
    /// arrival. `scalars` has a value for each declared name, in the order of the declaration.
    ///
    /// # Errors
    /// Other names than the declared ones, or another order; a step above 2^31 - 1; errors of the device.
    ///
    /// # Panics
    /// If a tape still holds the values of the last step, on the CPU.
    pub fn set(&mut self, step: u64, scalars: &[(&str, f32)]) -> Result<()> {
        if !scalars.iter().map(|(name, _)| *name).eq(self.scalars.iter().map(|(name, _)| *name)) {
            let given: Vec<&str> = scalars.iter().map(|(name, _)| *name).collect();
            return Err(self.unknown(&format!("values for [{}]", given.join(", "))));
        }
        let number = i32::try_from(step)
            .map_err(|_| Error::Run(format!("step {step} is above the largest step number, {}", i32::MAX)))?;
        let numbers = scalars.iter().map(|(_, number)| number.to_ne_bytes());
        let words = std::iter::once(number.to_ne_bytes()).chain(numbers);
        if let Some(together) = &mut self.together {
            let mut bytes = vec![0; (1 + scalars.len()) * SLOT];
            bytes.chunks_exact_mut(SLOT).zip(words).for_each(|(slot, word)| slot[..4].copy_from_slice(&word));
            return together.upload_async(&bytes);
        }
        let values = std::iter::once(&mut self.step).chain(self.scalars.iter_mut().map(|(_, value)| value));
        values.zip(words).try_for_each(|(value, word)| value.upload_async(&word))
    }

    fn unknown(&self, what: &str) -> Error {
        let names: Vec<&str> = self.scalars.iter().map(|(name, _)| *name).collect();
        Error::Run(format!("step values: {what}; with_scalars declared [{}]", names.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let device = Device::cpu();
        let twice = StepValues::new(&device, 0).unwrap().with_scalars(&["a", "b", "a"]);
        assert!(twice.unwrap_err().to_string().contains("declare the scalar a twice"));
        let mut values = StepValues::new(&device, 5).unwrap().with_scalars(&["lr", "lambda"]).unwrap();
        assert_eq!(values.seed, 5);
        values.set(1, &[("lr", 0.5), ("lambda", 2.0)]).unwrap();
        assert_eq!(
            (values.scalar("lr").unwrap().f32()[0], values.scalar("lambda").unwrap().f32()[0]),
            (0.5, 2.0)
        );
        for wrong in [vec![("lr", 1.0)], vec![("lambda", 1.0), ("lr", 1.0)], vec![]] {
            let error = values.set(2, &wrong).unwrap_err().to_string();
            assert!(error.contains("[lr, lambda]"), "{error}");
        }
        assert_eq!(values.step.i32(), [1], "a refused call changes no value");
        assert!(values.scalar("tau").unwrap_err().to_string().contains("no scalar tau"));
    }
}
