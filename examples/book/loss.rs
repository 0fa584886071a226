//! Chapter 11: the batch-contrastive loss with its two gradients, the two signs of the centers, and collapse.

use crate::ops::gradient_check::noise;
use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::ops::batch_contrastive::{Gradient, Options, Reduction, Term, batch_contrastive};
use bcreid::ops::center_step::center_step;
use bcreid::ops::l2_normalize::l2_normalize;
use bcreid::tensor::Tensor;
use std::error::Error;

/// L_b + L_c of features of two numbers, in `f64`. `partners` are the features at the other end of each pair.
fn loss(x: &[[f64; 2]], partners: &[[f64; 2]], labels: &[i32], centers: &[[f64; 2]], tau: f64) -> f64 {
    let distance = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
    let mut total = 0.0;
    for (i, &own) in x.iter().enumerate() {
        let pairs =
            || labels.iter().zip(partners).map(|(&label, &other)| (label == labels[i], distance(own, other)));
        let positive: f64 = pairs().filter(|(same, _)| *same).map(|(_, d)| d).sum();
        let nearest = pairs().filter(|(same, _)| !same).map(|(_, d)| d).fold(f64::INFINITY, f64::min);
        total += 0.5 * (positive + (tau - nearest).max(0.0) + distance(own, centers[labels[i] as usize]));
    }
    total
}

pub fn gradients() -> Result<(), Box<dyn Error>> {
    let device = Device::cpu();
    let labels = [0, 0, 1, 1];
    let x: Vec<[f64; 2]> = [0.0f64, 0.4, 0.7, 1.6].iter().map(|angle| [angle.cos(), angle.sin()]).collect();
    let centers = [[1.0, 0.0], [0.0, 1.0]];
    let tau = 0.3;
    let flat = |rows: &[[f64; 2]]| rows.iter().flatten().map(|&value| value as f32).collect::<Vec<f32>>();
    let mut dx = Vec::new();
    for gradient in [Gradient::Paper, Gradient::Exact] {
        // ANCHOR: both
        let mut params = Params::none(&device);
        let values = StepValues::new(&device, 0)?;
        let mut tape = Tape::new(&mut params, &values);
        let input = tape.leaf(Tensor::from_f32(&device, [4, 2], &flat(&x))?);
        let of_images = Tensor::from_i32(&device, [4], &labels)?;
        let of_classes = Tensor::from_f32(&device, [2, 2], &flat(&centers))?;
        let options = Options { gradient, reduction: Reduction::Sum, tau: tau as f32 };
        let out = batch_contrastive(&mut tape, input.clone(), &of_images, &of_classes, options)?;
        // ANCHOR_END: both
        if gradient == Gradient::Paper {
            let term = |term: Term| out.terms.f32()[term as usize];
            let (positive, hinge, center) = (term(Term::Positive), term(Term::Hinge), term(Term::Center));
            println!(
                "positive {positive:.4} + hinge {hinge:.4} + center {center:.4} = L {:.4}",
                out.loss.value.f32()[0]
            );
        }
        let mut gradients = tape.backward(vec![(out.loss, Tensor::full(&device, [1], 1.0)?)])?;
        dx.push(gradients.take(&input).ok_or("the loss depends on its features")?.f32().to_vec());
    }
    println!("L in f64: {:.4}\n", loss(&x, &x, &labels, &centers, tau));
    println!("image  paper (8)          exact              difference of L    with partners constant");
    // ANCHOR: differences
    let step = 1e-6;
    for i in 0..x.len() {
        let [whole, own] = [true, false].map(|moves_partners| {
            [0, 1].map(|k| {
                let [up, down] = [step, -step].map(|step| {
                    let mut moved = x.clone();
                    moved[i][k] += step;
                    loss(&moved, if moves_partners { &moved } else { &x }, &labels, &centers, tau)
                });
                (up - down) / (2.0 * step)
            })
        });
        let [paper, exact] = [0, 1].map(|which| [dx[which][2 * i], dx[which][2 * i + 1]]);
        println!("{i}      {paper:>7.4?}  {exact:>7.4?}  {whole:>7.4?}  {own:>7.4?}");
    }
    // ANCHOR_END: differences
    Ok(())
}

pub fn centers() -> Result<(), Box<dyn Error>> {
    let device = Device::cpu();
    let (x, rate) = (Tensor::from_f32(&device, [2, 2], &[1.0, 0.0, 0.8, 0.6])?, 0.5);
    let labels = Tensor::from_i32(&device, [2], &[0, 0])?;
    let mean = [0.9f32, 0.3];
    let away = |c: &[f32]| (c[0] - mean[0]).hypot(c[1] - mean[1]);
    let mut center = Tensor::from_f32(&device, [1, 2], &[0.0, 0.0])?;
    let mut printed = vec![0.0f32; 2];
    println!("distance of the center from the mean of its two images:");
    for step in 0..=12 {
        if step % 3 == 0 {
            println!(
                "step {step:2}: product {:.4}, as (6) is printed {:.4}",
                away(center.f32()),
                away(&printed)
            );
        }
        // ANCHOR: centers
        center_step(&mut center, &x, &labels, &Tensor::full(&device, [1], rate)?)?;
        for (k, c) in printed.iter_mut().enumerate() {
            let delta = (2.0 * *c - x.f32()[k] - x.f32()[2 + k]) / (1.0 + 2.0);
            *c += rate * delta;
        }
        // ANCHOR_END: centers
    }
    Ok(())
}

pub fn collapse() -> Result<(), Box<dyn Error>> {
    println!("noise   distance of persons  hinge of 1.2 at most  steps until no hinge is active");
    for spread in [1.0, 0.1, 0.01, 0.001, 0.0] {
        let (inter, hinge, steps) = descend(spread)?;
        let steps = steps.map_or("more than 2000".into(), |steps| steps.to_string());
        println!("{spread:<7} {inter:<20.5} {hinge:<21.5} {steps}");
    }
    Ok(())
}

/// Gradient descent on the features of eight images of four persons, without a network and without a softmax loss.
/// Returns distance and hinge at the start, and the number of steps until the hinge is 0, if it is within 2,000.
fn descend(spread: f32) -> Result<(f32, f32, Option<usize>), Box<dyn Error>> {
    const M: usize = 8;
    const D: usize = 16;
    let device = Device::cpu();
    let labels = Tensor::from_i32(&device, [M], &[0, 0, 1, 1, 2, 2, 3, 3])?;
    // A direction that all share, and noise.
    let mut z: Vec<f32> = noise(3, M * D).iter().map(|noise| 1.0 + spread * noise).collect();
    let mut centers = Tensor::zeros(&device, [4, D])?;
    let options = Options { gradient: Gradient::Paper, reduction: Reduction::Sum, tau: 0.3 };
    let values = StepValues::new(&device, 0)?;
    let (mut inter, mut hinge) = (0.0, 0.0);
    for step in 0..2000 {
        // ANCHOR: descend
        let mut params = Params::none(&device);
        let mut tape = Tape::new(&mut params, &values);
        let input = tape.leaf(Tensor::from_f32(&device, [M, D], &z)?);
        let x = l2_normalize(&mut tape, input.clone())?;
        let out = batch_contrastive(&mut tape, x.clone(), &labels, &centers, options)?;
        let mut gradients = tape.backward(vec![(out.loss, Tensor::full(&device, [1], 1.0)?)])?;
        let dz = gradients.take(&input).ok_or("the loss depends on its features")?;
        center_step(&mut centers, &x.value, &labels, &Tensor::full(&device, [1], 0.5)?)?;
        z.iter_mut().zip(dz.f32()).for_each(|(z, dz)| *z -= 0.1 * dz);
        // ANCHOR_END: descend
        let terms = out.terms.f32();
        if step == 0 {
            (inter, hinge) = (terms[Term::InterMean as usize], terms[Term::Hinge as usize]);
        }
        if terms[Term::Hinge as usize] == 0.0 {
            return Ok((inter, hinge, Some(step)));
        }
    }
    Ok((inter, hinge, None))
}
