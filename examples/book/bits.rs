//! Chapter 16: numbers of 16 bits, the order of sums, random numbers without a state, and files that are equal.

use bcreid::tensor::philox::{Philox, RngStream};
use half::{bf16, f16};
use std::error::Error;

pub fn bf16() -> Result<(), Box<dyn Error>> {
    println!("{:>12} {:>14} {:>14}", "f32", "bf16", "f16");
    for x in [1.0f32, 1.001, 1.005, std::f32::consts::PI, 257.0, 70000.0, 1e-6, 1e-8] {
        println!("{x:12e} {:14e} {:14e}", bf16::from_f32(x).to_f32(), f16::from_f32(x).to_f32());
    }
    // ANCHOR: lost
    let (mut narrow, mut master) = (bf16::ONE, 1.0f32);
    for _ in 0..100 {
        narrow = bf16::from_f32(narrow.to_f32() - 0.001);
        master -= 0.001;
    }
    // ANCHOR_END: lost
    println!(
        "1 - 100 x 0.001: bf16 {narrow}, f32 {master:.4}, the copy of it in bf16 {}",
        bf16::from_f32(master)
    );
    // ANCHOR: sums
    let ones = [bf16::ONE; 4096];
    let narrow = ones.iter().fold(bf16::ZERO, |sum, x| bf16::from_f32(sum.to_f32() + x.to_f32()));
    let wide: f32 = ones.iter().map(|x| x.to_f32()).sum();
    // ANCHOR_END: sums
    println!("4096 ones: sum in bf16 {narrow}, in f32 {wide}");
    Ok(())
}

pub fn order() -> Result<(), Box<dyn Error>> {
    // ANCHOR: order
    let x: Vec<f32> = (0..1000).map(|i| 1.0 / (i as f32 + 1.0)).collect();
    let forwards: f32 = x.iter().sum();
    let backwards: f32 = x.iter().rev().sum();
    let lanes: f32 = (0..8).map(|lane| x.iter().skip(lane).step_by(8).sum::<f32>()).sum();
    // ANCHOR_END: order
    for (name, sum) in [("forwards", forwards), ("backwards", backwards), ("eight lanes", lanes)] {
        println!("{name:12} {sum:.6} {:08x}", sum.to_bits());
    }
    // ANCHOR: draws
    let draw = |step, image, index| Philox::new(7, step, image, RngStream::Dropout).uniform(index);
    let all: Vec<f32> = (0..6).map(|step| draw(step, 3, 0)).collect();
    println!("steps 0 to 5: {all:.4?}");
    println!("step 4 alone: {:.4}", draw(4, 3, 0));
    // ANCHOR_END: draws
    Ok(())
}

/// `book compare A B`: whether two files are equal, byte for byte.
pub fn compare() -> Result<(), Box<dyn Error>> {
    let names: Vec<String> = std::env::args().skip(2).collect();
    let [a, b] = &names[..] else { return Err("give two files: book compare A B".into()) };
    let read = |name: &String| std::fs::read(name).map_err(|error| format!("{name}: {error}"));
    let (first, second) = (read(a)?, read(b)?);
    match first.iter().zip(&second).position(|(a, b)| a != b) {
        None if first.len() == second.len() => println!("{} bytes, all equal", first.len()),
        None => println!("{} and {} bytes", first.len(), second.len()),
        Some(at) => println!("different from byte {at} on"),
    }
    Ok(())
}
