//! Times of the stand-ins' convolutions and matrix products: `cargo bench -p softcuda --bench libraries`.

#[path = "../tests/common/mod.rs"]
mod common;
#[allow(dead_code)] // the tests use all of it
#[path = "../tests/cudnn/layer.rs"]
mod layer;
#[allow(dead_code)]
#[path = "../tests/cublas/product.rs"]
mod product;

use std::process::Command;
use std::time::Instant;

use common::numbers::Type;
use common::stand_ins::wait;

fn main() {
    if std::env::var_os("SOFTCUDA_KERNELS").is_none() {
        // A library path counts when a process starts.
        let kernels = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernels/softmax.cu");
        let stand_ins = softcuda::Build::new(env!("CARGO_TARGET_TMPDIR")).file(kernels).stand_ins();
        let environment = stand_ins.unwrap_or_else(|error| panic!("{error}")).environment();
        let status = Command::new(std::env::current_exe().unwrap()).envs(environment).status().unwrap();
        assert!(status.success(), "{status}");
        return;
    }
    convolutions();
    products();
}

/// The shortest of 30 rounds, in milliseconds.
fn shortest(mut round: impl FnMut()) -> f64 {
    let times = (0..30).map(|_| {
        let start = Instant::now();
        round();
        start.elapsed().as_secs_f64() * 1e3
    });
    times.fold(f64::INFINITY, f64::min)
}

fn convolutions() {
    use layer::{Case, Cudnn, DIRECTIONS, Layer, Run, SUCCESS};
    let cudnn = Cudnn::open();
    for of in [Type::F32, Type::Bf16] {
        let case = Case { of, x: [8, 16, 32, 24], w: [16, 16, 3, 3], pad: 1, stride: 1 };
        let (layer, run) = (Layer::new(&cudnn, &case), Run::of(&cudnn, &case));
        for direction in DIRECTIONS {
            let time = shortest(|| {
                assert_eq!(layer.run(direction, &run), SUCCESS);
                wait(&cudnn.stream).unwrap();
            });
            println!("{direction:?} {of:?}: {time:.2} ms");
        }
    }
}

fn products() {
    use product::{Cublas, Gemm, SMALL, SUCCESS};
    let cublas = Cublas::open();
    for inputs in [Type::F32, Type::Bf16] {
        let gemm = Gemm { inputs, m: 256, n: 256, k: 512, ld: [256, 512, 256], ..SMALL }.on(&cublas.stream);
        let time = shortest(|| {
            assert_eq!(cublas.multiply(&gemm), SUCCESS);
            wait(&cublas.stream).unwrap();
        });
        println!("256 x 512 times 512 x 256, {inputs:?}: {time:.2} ms");
    }
}
