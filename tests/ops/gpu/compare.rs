//! Number types of kernels, and comparisons with a reference.

use super::Outcome;
use half::bf16;
use softcuda::Element;

/// The number types that activations have: f32, and bf16 as its bits.
pub trait Float: Element + bytemuck::NoUninit + PartialEq {
    /// What a kernel's name ends in.
    const NAME: &str;
    /// Half the distance from 1 to the next number: the relative error of one rounding.
    const ROUNDING: f64;
    fn from_f32(value: f32) -> Self;
    fn to_f32(self) -> f32;

    fn rounded(values: &[f32]) -> Vec<Self> {
        values.iter().map(|&value| Self::from_f32(value)).collect()
    }

    /// What is left of f32 values after rounding to this type.
    fn kept(values: &[f32]) -> Vec<f32> {
        values.iter().map(|&value| Self::from_f32(value).to_f32()).collect()
    }
}

impl Float for f32 {
    const NAME: &str = "f32";
    const ROUNDING: f64 = 6e-8;

    fn from_f32(value: f32) -> Self {
        value
    }

    fn to_f32(self) -> f32 {
        self
    }
}

impl Float for u16 {
    const NAME: &str = "bf16";
    const ROUNDING: f64 = 3.91e-3;

    fn from_f32(value: f32) -> Self {
        bf16::from_f32(value).to_bits()
    }

    fn to_f32(self) -> f32 {
        bf16::from_bits(self).to_f32()
    }
}

/// |ours - reference| <= tolerance * max(floor, |reference|) for every element; NaN agrees with NaN.
pub fn close(what: &str, ours: &[f32], reference: &[f64], tolerance: f64, floor: f64) -> Outcome {
    if ours.len() != reference.len() {
        return Err(format!("{what}: {} elements, {} expected", ours.len(), reference.len()).into());
    }
    for (i, (&ours, &want)) in ours.iter().zip(reference).enumerate() {
        // An infinite reference would allow any distance.
        let near = want.is_finite() && (f64::from(ours) - want).abs() <= tolerance * want.abs().max(floor);
        if !(near || ours.is_nan() && want.is_nan()) && f64::from(ours) != want {
            return Err(format!("{what}[{i}] is {ours}, expected {want}").into());
        }
    }
    Ok(())
}

/// Every element the same, bit for bit but for the bits of NaN and the sign of zero.
pub fn equal(what: &str, ours: &[f32], reference: &[f32]) -> Outcome {
    let reference: Vec<f64> = reference.iter().map(|&v| f64::from(v)).collect();
    close(what, ours, &reference, 0.0, 0.0)
}
