//! The casts have no operation of their own: `Tensor::convert_from` and the kernels of `cuda/cast.cu` against the
//! `half` crate.

use crate::gpu::{self, Gpu, Outcome};
use crate::gradient_check::noise;
use crate::on::{self, host};
use bcreid::element::DType;
use bcreid::tensor::Tensor;
use half::bf16;
use softcuda::{Launch, args};

/// The same bits, or both NaN.
fn rounds_like_half(gpu: &Gpu, x: &[f32], launch: Launch) -> Outcome {
    let (input, output) = (gpu.upload("x", x)?, gpu.unwritten::<u16>("y", x.len())?);
    gpu.launch("cast_f32_bf16", launch, args![&input, &output, x.len() as u64])?;
    for (&x, ours) in x.iter().zip(gpu.read(&output)?) {
        let (ours, want) = (bf16::from_bits(ours), bf16::from_f32(x));
        if ours.to_bits() != want.to_bits() && !(ours.is_nan() && want.is_nan()) {
            return Err(format!("{x:e} became {ours:?}, expected {want:?}").into());
        }
    }
    Ok(())
}

/// The same bits, or both NaN.
fn widens_like_half(gpu: &Gpu, x: &[u16], launch: Launch) -> Outcome {
    let (input, output) = (gpu.upload("x", x)?, gpu.unwritten::<f32>("y", x.len())?);
    gpu.launch("cast_bf16_f32", launch, args![&input, &output, x.len() as u64])?;
    for (&x, ours) in x.iter().zip(gpu.read(&output)?) {
        let want = bf16::from_bits(x).to_f32();
        if ours.to_bits() != want.to_bits() && !(ours.is_nan() && want.is_nan()) {
            return Err(format!("{x:#06x} became {ours:e}, expected {want:e}").into());
        }
    }
    Ok(())
}

/// Of every size of a grid, from f32 to bf16 and back; what is behind the tensor stays.
#[test]
fn tensors_are_converted_both_ways() {
    on::cuda_in_each_precision(|device| {
        for n in [1, 7, 8, 9, 2048, 2049, 100_003] {
            let x: Vec<f32> = noise(1, n).iter().map(|v| v * 1e3).collect();
            let exact = Tensor::from_f32(device, [n], &x).unwrap();
            let mut narrow = Tensor::cleared(device, [n], DType::BF16).unwrap();
            narrow.convert_from(&exact).unwrap();
            let want: Vec<f32> = x.iter().map(|&x| bf16::from_f32(x).to_f32()).collect();
            assert_eq!(host(&narrow), want, "{n} elements");
            let mut wide = Tensor::full(device, [n], f32::NAN).unwrap();
            wide.convert_from(&narrow).unwrap();
            assert_eq!(host(&wide), want, "{n} elements");
        }
    });
}

#[test]
fn every_bf16_widens_exactly() {
    gpu::run("cast", |gpu| {
        let x: Vec<u16> = (0..=u16::MAX).collect();
        widens_like_half(gpu, &x, Launch::new(4, 256))
    });
}

/// All bf16 themselves, and between neighbours the middle and the floats beside it: subnormal numbers, ties to even,
/// and what overflows to infinity are among them.
#[test]
fn f32_rounds_to_the_nearest_and_ties_to_even() {
    gpu::run("cast", |gpu| {
        let beside =
            |bits| [0, 0x7fff, 0x8000, 0x8001].map(|low| f32::from_bits(u32::from(bits) << 16 | low));
        let x: Vec<f32> = (0..=u16::MAX).flat_map(beside).collect();
        rounds_like_half(gpu, &x, Launch::new(8, 256))
    });
}

#[test]
fn any_size_and_any_launch() {
    gpu::run("cast", |gpu| {
        for n in [1, 7, 8, 9, 255, 1031, 4096] {
            let x: Vec<f32> = (0..n).map(|i| 1.001f32.powi(i)).collect();
            let narrow: Vec<u16> = x.iter().map(|&x| bf16::from_f32(x).to_bits()).collect();
            for launch in [Launch::new(1, 32), Launch::new(3, 96), Launch::new(2, 1024)] {
                rounds_like_half(gpu, &x, launch)?;
                widens_like_half(gpu, &narrow, launch)?;
            }
        }
        Ok(())
    });
}

/// 16 bytes are promised, no more: two accesses of 16 on the side of f32 may not become one of 32.
#[test]
fn buffers_begin_at_any_multiple_of_16_bytes() {
    gpu::run("cast", |gpu| {
        let wide: Vec<f32> = (0..36).map(|i| i as f32).collect();
        let narrow: Vec<u16> = wide.iter().map(|&x| bf16::from_f32(x).to_bits()).collect();
        let launch = Launch::new(1, 32);
        let (x, y) = (gpu.upload("x", &wide)?, gpu.upload("y", &[0u16; 40])?);
        gpu.launch("cast_f32_bf16", launch, args![x.at(4), y.at(8), 32u64])?;
        let (x, z) = (gpu.upload("x", &narrow)?, gpu.upload("z", &[0.0f32; 36])?);
        gpu.launch("cast_bf16_f32", launch, args![x.at(0), z.at(4), 32u64])?;
        if gpu.read(&y)?[8..] != narrow[4..] || gpu.read(&z)?[4..] != wide[..32] {
            return Err("the values of a shifted buffer differ".into());
        }
        Ok(())
    });
}
