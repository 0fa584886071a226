//! Captured steps: replay, what a capture refuses, and the memory that a captured step owns.

use crate::support::on_device;
use bcreid::Result;
use bcreid::device::Device;
use bcreid::device::cuda::CudaDevice;
use bcreid::tensor::Tensor;
use bcreid::train::step::StepOutput;
use bcreid::train::step_runner::StepRunner;

/// The output of a step that computes no losses.
pub fn output(device: &Device) -> Result<StepOutput> {
    Ok(StepOutput {
        softmax: Tensor::full(device, [1], 1.0)?,
        terms: Tensor::zeros(device, [7])?,
        metric_losses: Vec::new(),
    })
}

/// Runs `step` until a capture has been tried: `step` gets true if it is captured now. Returns the error of the
/// capture.
fn captured(
    runner: &mut StepRunner,
    gpu: &CudaDevice,
    device: &Device,
    mut step: impl FnMut(bool) -> Result<()>,
) -> Option<String> {
    let (mut is_settled, mut tried) = (false, false);
    while !tried {
        let (held, mut calls) = (gpu.usage().held, 0);
        // A step that has found all its memory in the pool is followed by a capture.
        tried = is_settled;
        let pending = runner.run(|| {
            calls += 1;
            step(tried && calls == 1)?;
            output(device)
        });
        pending.unwrap();
        is_settled = gpu.usage().held == held;
    }
    let error = runner.take_capture_error();
    assert_eq!(runner.nodes().is_none(), error.is_some());
    error
}

/// Replays the captured step.
fn replay(runner: &mut StepRunner) {
    runner.run(|| panic!("the step is called again")).unwrap();
}

#[test]
fn a_captured_step_is_replayed() {
    on_device("capture::a_captured_step_is_replayed", |device, gpu| {
        let mut from = Tensor::full(device, [100], 1.0).unwrap();
        let mut to = Tensor::zeros(device, [100]).unwrap();
        let mut runner = StepRunner::new(device, true);
        let error = captured(&mut runner, gpu, device, |_| to.copy_from(&from));
        assert_eq!((error, runner.nodes()), (None, Some(3)), "a copy and two fills");
        for value in [2.0, 3.0] {
            from.copy_from_host_f32(&[value; 100]).unwrap();
            replay(&mut runner);
            assert_eq!(to.to_host_f32().unwrap(), [value; 100]);
        }
    });
}

/// The step runs plainly then.
#[test]
fn what_cannot_be_captured_is_an_error() {
    on_device("capture::what_cannot_be_captured_is_an_error", |device, gpu| {
        let to = Tensor::zeros(device, [100]).unwrap();
        type Step = fn(&Device, &Tensor) -> Result<()>;
        let steps: [(Step, &str); 3] = [
            (
                |device, _| Tensor::zeros(device, [1 << 20]).map(drop),
                "needs memory that the steps before it did not need",
            ),
            (|_, to| to.to_host_f32().map(drop), "capturing"),
            (|_, to| to.download_async().map(drop), "cannot be part of a captured step"),
        ];
        for (refused, words) in steps {
            let mut runner = StepRunner::new(device, true);
            let step = |is_captured| if is_captured { refused(device, &to) } else { Ok(()) };
            let error = captured(&mut runner, gpu, device, step).expect("an error");
            assert!(error.contains(words), "{words}: {error}");
            assert_eq!(to.to_host_f32().unwrap(), [0.0; 100], "the stream works on");
        }
    });
}

/// A captured step owns the memory that it reads and writes, whatever becomes of the tensors.
#[test]
fn a_dropped_tensor_stays_with_the_captured_step() {
    on_device("capture::a_dropped_tensor_stays_with_the_captured_step", |device, gpu| {
        let from = Tensor::full(device, [100], 1.0).unwrap();
        let (mut first, mut last) =
            (Tensor::zeros(device, [100]).unwrap(), Tensor::zeros(device, [100]).unwrap());
        let mut runner = StepRunner::new(device, true);
        let step = |_| {
            first.copy_from(&from)?;
            last.copy_from(&first)
        };
        assert_eq!(captured(&mut runner, gpu, device, step), None);
        drop((first, from));
        let held = gpu.usage().held;
        let fresh = [7.0, 8.0].map(|value| Tensor::full(device, [100], value).unwrap());
        assert_eq!(gpu.usage().held, held + 2 * 512, "the dropped tensors' memory is not used again");
        replay(&mut runner);
        assert_eq!(last.to_host_f32().unwrap(), [1.0; 100], "what the step reads is still there");
        for (tensor, value) in fresh.iter().zip([7.0, 8.0]) {
            assert_eq!(tensor.to_host_f32().unwrap(), [value; 100], "the step writes nobody else's memory");
        }
        drop(runner);
        let held = gpu.usage().held;
        let _again = [(); 2].map(|()| Tensor::zeros(device, [100]).unwrap());
        assert_eq!(gpu.usage().held, held, "without the captured step their memory is free");
    });
}

/// The last owner of a tensor is the step itself, which drops it while it is captured.
#[test]
fn a_tensor_that_the_step_drops_stays_with_it() {
    on_device("capture::a_tensor_that_the_step_drops_stays_with_it", |device, gpu| {
        let mut own = Some(Tensor::full(device, [100], 1.0).unwrap());
        let mut to = Tensor::zeros(device, [100]).unwrap();
        let mut runner = StepRunner::new(device, true);
        let step = |is_captured| {
            to.copy_from(own.as_ref().expect("the step is captured once"))?;
            if is_captured {
                own = None;
            }
            Ok(())
        };
        assert_eq!(captured(&mut runner, gpu, device, step), None);
        let _fresh = Tensor::full(device, [100], 7.0).unwrap();
        replay(&mut runner);
        assert_eq!(to.to_host_f32().unwrap(), [1.0; 100]);
    });
}

/// The stream belongs to the capture then: it would take the work of other threads.
#[test]
fn other_threads_wait_outside_of_a_capture() {
    on_device("capture::other_threads_wait_outside_of_a_capture", |device, gpu| {
        let outside = Tensor::zeros(device, [100]).unwrap();
        let on_another_thread = || {
            let thread = std::thread::scope(|scope| {
                scope.spawn(|| outside.duplicate(device).and_then(|copy| copy.to_host_f32())).join()
            });
            thread.unwrap()
        };
        let mut runner = StepRunner::new(device, true);
        let error = captured(&mut runner, gpu, device, |is_captured| {
            let done = on_another_thread();
            match is_captured {
                true => assert!(done.unwrap_err().to_string().contains("another thread captures a step")),
                false => assert_eq!(done.unwrap(), [0.0; 100]),
            }
            Ok(())
        });
        assert_eq!(error, None, "and the capture goes on");
    });
}

#[test]
fn a_step_inside_of_a_step_is_an_error() {
    on_device("capture::a_step_inside_of_a_step_is_an_error", |device, _| {
        let mut inner = StepRunner::new(device, false);
        let mut outer = StepRunner::new(device, false);
        let step = || {
            let error = inner.run(|| output(device)).err().expect("an error").to_string();
            assert!(error.contains("another run is in the middle of a step"), "{error}");
            output(device)
        };
        outer.run(step).unwrap();
        inner.run(|| output(device)).unwrap();
    });
}
