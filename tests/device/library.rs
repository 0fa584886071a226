//! The device API of the library: memory, tensors.

use crate::capture::output;
use crate::support::on_device;
use bcreid::autograd::{Backward, Params, Sinks, StepValues, Tape};
use bcreid::device::cuda::{CudaBuffer, Label};
use bcreid::element::{DType, Shape};
use bcreid::tensor::Tensor;
use bcreid::train::step_runner::StepRunner;
use half::bf16;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

#[test]
fn what_is_dropped_is_used_again() {
    on_device("library::what_is_dropped_is_used_again", |device, gpu| {
        let before = gpu.usage();
        let a = Tensor::zeros(device, [1000]).unwrap();
        let with_a = gpu.usage();
        // 4000 bytes in grains of 512.
        assert_eq!((with_a.current, with_a.held), (before.current + 4096, before.held + 4096));
        drop(a);
        let b = Tensor::zeros(device, [900]).unwrap();
        assert_eq!(gpu.usage(), with_a, "a little less fits where the first one was");
        let c = Tensor::zeros(device, [1000]).unwrap();
        assert_eq!(gpu.usage().held, with_a.held + 4096);
        drop((b, c));
        let small = Tensor::zeros(device, [100]).unwrap();
        let now = gpu.usage();
        assert_eq!(now.held, with_a.held + 4096 + 512, "much less does not take a large block");
        assert_eq!((now.current, now.peak), (before.current + 512, before.current + 8192));
        drop(small);
    });
}

#[test]
fn a_step_has_memory_of_its_own() {
    on_device("library::a_step_has_memory_of_its_own", |device, gpu| {
        drop(Tensor::zeros(device, [1000]).unwrap());
        let outside = gpu.usage().held;
        let mut step_runner = StepRunner::new(device, false);
        let mut step = || {
            let sent = step_runner.run(|| {
                drop(Tensor::zeros(device, [1000])?);
                output(device)
            });
            assert_eq!(sent.unwrap().softmax.wait().unwrap(), [1.0]);
        };
        step();
        let inside = gpu.usage().held;
        assert_eq!(inside, outside + 4096 + 2 * 512, "the block that is free outside is not a step's");
        step();
        assert_eq!(gpu.usage().held, inside, "the second step finds what the first one left");
        let [_a, _b] = [(); 2].map(|()| Tensor::zeros(device, [1000]).unwrap());
        assert_eq!(gpu.usage().held, inside + 4096, "what a step left is not for others");
    });
}

#[test]
fn elements_there_and_back() {
    on_device("library::elements_there_and_back", |device, _| {
        let values: Vec<f32> = (0..1001).map(|i| (i as f32 - 500.0) * 0.37).collect();
        let mut tensor = Tensor::from_f32(device, [7, 11, 13], &values).unwrap();
        let copy = tensor.duplicate(device).unwrap();
        tensor.clear().unwrap();
        assert_eq!(tensor.to_host_f32().unwrap(), vec![0.0; 1001]);
        assert_eq!(copy.to_host_f32().unwrap(), values, "a copy is no second name");
        assert_eq!(Tensor::from_i32(device, [3], &[-1, 0, 7]).unwrap().to_host_i32().unwrap(), [-1, 0, 7]);

        let mut narrow = Tensor::empty(device, [1001], DType::BF16).unwrap();
        narrow.convert_from(&copy).unwrap();
        let rounded: Vec<f32> = values.iter().map(|&value| bf16::from_f32(value).to_f32()).collect();
        assert_eq!(narrow.to_host_f32().unwrap(), rounded);
        tensor.convert_from(&narrow).unwrap();
        assert_eq!(tensor.to_host_f32().unwrap(), rounded, "back it is exact");
    });
}

/// An operation whose gradient is never written.
struct Halve;

impl Backward for Halve {
    fn op(&self) -> &'static str {
        "halve"
    }

    fn backward(self: Box<Self>, _dy: Tensor, sinks: &mut Sinks<'_>) -> bcreid::Result<()> {
        sinks.add(0, |_, _| panic!("there is room"))
    }
}

/// By its operation, and not by the place where all gradients are allocated.
#[test]
fn a_gradient_without_room_is_named() {
    on_device("library::a_gradient_without_room_is_named", |device, gpu| {
        // Two tensors of three eighths of the memory, so that there is no room for a third one.
        let elements = gpu.free_memory().unwrap() / size_of::<f32>() / 8 * 3;
        let [x, _filler] = [(); 2].map(|()| Tensor::empty(device, [elements], DType::F32).unwrap());
        let (mut params, values) = (Params::none(device), StepValues::new(device, 0).unwrap());
        let mut tape = Tape::new(&mut params, &values);
        let x = tape.leaf(x);
        let one = || Tensor::full(device, [1], 1.0).unwrap();
        let y = tape.record(one(), &[x.handle()], |_| Halve);
        let error = tape.backward(vec![(y, one())]).expect_err("no room").to_string();
        assert!(error.contains(&format!("no room for f32 [{elements}], a gradient of halve")), "{error}");
    });
}

#[test]
fn misuse_is_a_panic() {
    on_device("library::misuse_is_a_panic", |device, gpu| {
        let purpose = Label::of_caller(Shape::from([16]), DType::F32);
        let whole = Arc::new(gpu.allocate(64, &purpose).unwrap());
        let part = CudaBuffer::part(&whole, 16, 48);
        assert_eq!(part.address(), whole.address() + 16);
        let panics = |work: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(work)).is_err();
        assert!(panics(&mut || drop(CudaBuffer::part(&whole, 8, 16))), "kernels read 16 bytes at once");
        assert!(panics(&mut || drop(CudaBuffer::part(&whole, 32, 48))), "past the end");
        let _ = part.clear(48);
        assert!(panics(&mut || drop(part.clear(49))), "past the end of a part");
        let mut tensor = Tensor::zeros(device, [4]).unwrap();
        let other = tensor.clone();
        assert!(panics(&mut || drop(tensor.clear())), "somebody else reads it");
        assert!(
            panics(&mut || {
                let _ = other.f32();
            }),
            "a loop of the CPU"
        );
        assert!(panics(&mut || drop(tensor.copy_from_host_f32(&[0.0; 3]))), "another length");
    });
}

#[test]
fn what_is_read_back_is_what_was_there() {
    on_device("library::what_is_read_back_is_what_was_there", |device, _| {
        let mut tensor = Tensor::full(device, [100], 1.0).unwrap();
        let two = Tensor::full(device, [100], 2.0).unwrap();
        let first = tensor.download_async().unwrap();
        tensor.copy_from(&two).unwrap();
        let second = tensor.download_async().unwrap();
        drop(tensor);
        let _taker = Tensor::full(device, [100], 3.0).unwrap();
        assert_eq!(second.wait().unwrap(), [2.0; 100]);
        assert_eq!(first.wait().unwrap(), [1.0; 100]);
    });
}
