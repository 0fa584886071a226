//! The arguments of a kernel as data: buffers, their contents and their order.

use super::super::gpu::{Buffer, Gpu, Outcome};
use super::super::gradient_check::noise;
use softcuda::{Arg, Element};

/// One argument of a kernel.
#[derive(Clone, Debug)]
pub enum Slot {
    F32(Vec<f32>),
    Bf16(Vec<u16>),
    I32(Vec<i32>),
    U8(Vec<u8>),
    /// This many f32 that the kernel writes.
    Output(usize),
    /// As [`Slot::Output`], of bf16.
    Output16(usize),
    /// As [`Slot::Output`], of bytes.
    Output8(usize),
    /// A number, and not a buffer.
    Value(Arg),
}

impl Slot {
    /// A number passed by value.
    pub fn value(value: impl Into<Arg>) -> Slot {
        Slot::Value(value.into())
    }

    /// f32 noise in [-1, 1). Long buffers repeat it: what they hold does not change the time.
    pub fn noise(len: usize) -> Slot {
        const PERIOD: usize = 999_983;
        let some = noise(len as u64, len.min(PERIOD));
        Slot::F32(some.iter().copied().cycle().take(len).collect())
    }

    /// Labels all over the `n` classes.
    pub fn labels(m: usize, n: usize) -> Slot {
        Slot::I32((0..m).map(|i| (i * 7919 % n) as i32).collect())
    }
}

/// The number types of activations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Float {
    F32,
    Bf16,
}

impl Float {
    pub const BOTH: [Float; 2] = [Float::F32, Float::Bf16];

    /// What a kernel's name ends in.
    pub fn name(self) -> &'static str {
        match self {
            Float::F32 => "f32",
            Float::Bf16 => "bf16",
        }
    }

    pub fn bytes(self) -> usize {
        match self {
            Float::F32 => 4,
            Float::Bf16 => 2,
        }
    }

    /// As [`Slot::noise`], of this type.
    pub fn noise(self, len: usize) -> Slot {
        match (self, Slot::noise(len)) {
            (Float::Bf16, Slot::F32(values)) => {
                Slot::Bf16(values.iter().map(|value| (value.to_bits() >> 16) as u16).collect())
            }
            (_, slot) => slot,
        }
    }

    /// As [`Slot::Output`], of this type.
    pub fn output(self, len: usize) -> Slot {
        match self {
            Float::F32 => Slot::Output(len),
            Float::Bf16 => Slot::Output16(len),
        }
    }
}

/// The arguments of one launch, with the memory behind them.
pub struct Staged {
    pub args: Vec<Arg>,
    /// f32 outputs, in the order of the arguments.
    pub outputs: Vec<Buffer<f32>>,
    /// Keeps the other buffers alive.
    _rest: Vec<Box<dyn std::any::Any>>,
}

impl Staged {
    /// Uploads what a kernel is to find.
    pub fn new(gpu: &Gpu, slots: &[Slot]) -> Outcome<Staged> {
        let mut staged = Staged { args: Vec::new(), outputs: Vec::new(), _rest: Vec::new() };
        for (i, slot) in slots.iter().enumerate() {
            let name = format!("argument {}", i + 1);
            let arg = match slot {
                Slot::F32(values) => staged.keep(gpu.upload(&name, values)?),
                Slot::Bf16(values) => staged.keep(gpu.upload(&name, values)?),
                Slot::I32(values) => staged.keep(gpu.upload(&name, values)?),
                Slot::U8(values) => staged.keep(gpu.upload(&name, values)?),
                Slot::Output8(len) => staged.keep(gpu.unwritten::<u8>(&name, *len)?),
                Slot::Output16(len) => staged.keep(gpu.unwritten::<u16>(&name, *len)?),
                Slot::Output(len) => {
                    staged.outputs.push(gpu.unwritten(&name, *len)?);
                    staged.outputs[staged.outputs.len() - 1].at(0)
                }
                Slot::Value(value) => *value,
            };
            staged.args.push(arg);
        }
        Ok(staged)
    }

    fn keep<T: Element>(&mut self, buffer: Buffer<T>) -> Arg {
        let arg = buffer.at(0);
        self._rest.push(Box::new(buffer));
        arg
    }
}
