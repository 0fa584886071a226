//! Every convolution of ResNet-50 on a batch of 16 images of 256 x 128: fprop, dgrad and wgrad, best of a few.
//!
//! `cargo bench --bench conv2d` prints the times; `benches/conv2d_side_by_side.sh` compares them with PyTorch's.
//! With `--ask` the program reads shapes (`H W C K R stride`) from its input, one a line, and answers with the
//! three times in milliseconds; the script uses this.

use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::ops::conv2d::{Conv, conv2d};
use bcreid::tensor::Tensor;
use layers::{BATCH, LAYERS};
use std::io::{BufRead, Write};
use std::time::Instant;

#[path = "common/layers.rs"]
mod layers;

const TIMES: usize = 5;

/// Best times of fprop, dgrad and wgrad in milliseconds.
fn time(device: &Device, [h, w, c, k, r, stride]: [usize; 6]) -> [f64; 3] {
    let conv = Conv { stride, pad: r / 2 };
    let values = |n: usize| (0..n).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect::<Vec<_>>();
    let x = Tensor::from_f32(device, [BATCH, h, w, c], &values(BATCH * h * w * c)).unwrap();
    let filters = Tensor::from_f32(device, [k, r, r, c], &values(k * r * r * c)).unwrap();
    let mut best = [f64::INFINITY; 3];
    let mut params = Params::none(device);
    for _ in 0..TIMES {
        let mut note = |i: usize, start: Instant| best[i] = best[i].min(start.elapsed().as_secs_f64() * 1e3);
        let mut tape = Tape::no_grad(&mut params).unwrap();
        let (a, b) = (tape.constant(x.clone()), tape.constant(filters.clone()));
        let start = Instant::now();
        let y = conv2d(&mut tape, a, b, None, conv).expect("fprop");
        note(0, start);
        let dy = y.value;
        for (i, of_input) in [(1, true), (2, false)] {
            let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
            let (a, b) = if of_input {
                (tape.leaf(x.clone()), tape.constant(filters.clone()))
            } else {
                (tape.constant(x.clone()), tape.leaf(filters.clone()))
            };
            let y = conv2d(&mut tape, a, b, None, conv).expect("fprop");
            let start = Instant::now();
            tape.backward(vec![(y, dy.clone())]).expect("backward");
            note(i, start);
        }
    }
    best
}

fn main() {
    let device = Device::cpu();
    if std::env::args().any(|arg| arg == "--ask") {
        for line in std::io::stdin().lock().lines() {
            let line = line.expect("a line of input");
            let sizes: Vec<usize> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            let shape = sizes.try_into().expect("six sizes: H W C K R stride");
            let [f, d, w] = time(&device, shape);
            println!("{f:.4} {d:.4} {w:.4}");
            std::io::stdout().flush().expect("an open output");
        }
        return;
    }
    println!(
        "{:<32} {:>8}  {:>18}  {:>18}  {:>18}",
        "H W C K R stride", "GFLOP", "fprop ms, GFLOP/s", "dgrad", "wgrad"
    );
    let mut totals = [0.0; 3];
    for (shape, count) in LAYERS {
        let [h, w, c, k, r, stride] = shape;
        let flops = 2.0 * (BATCH * h * w / stride / stride * c * k * r * r) as f64 / 1e9;
        let best = time(&device, shape);
        print!("{:<32} {flops:>8.3}", format!("{shape:?} x {count}"));
        for (total, ms) in totals.iter_mut().zip(best) {
            *total += ms * count as f64;
            print!("  {ms:>10.2} {:>7.0}", flops / ms * 1e3);
        }
        println!();
    }
    println!("whole network, ms: fprop {:.0}, dgrad {:.0}, wgrad {:.0}", totals[0], totals[1], totals[2]);
}
