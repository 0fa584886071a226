//! The stand-in for cuDNN against convolutions in f64, and what it refuses.

mod common;

use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::Arc;
use std::time::Instant;

use common::numbers::Type;
use common::stand_ins::{
    Process, alloc, captured, download, free, library, open_stream, upload, uploaded, wait,
};
use cudarc::driver::CudaStream;
use cudarc::driver::sys::CUresult;

type Handle = *mut c_void;

/// What cuDNN says of an algorithm: `cudnnConvolution*AlgoPerf_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Performance {
    algorithm: i32,
    status: i32,
    time: f32,
    memory: usize,
    determinism: i32,
    math: i32,
    reserved: [i32; 3],
}

library! { Functions in "libcudnn.so.9":
    fn cudnnGetVersion() -> usize;
    fn cudnnGetErrorString(i32) -> *const c_char;
    fn cudnnCreate(*mut Handle) -> i32;
    fn cudnnDestroy(Handle) -> i32;
    fn cudnnSetStream(Handle, Handle) -> i32;
    fn cudnnCreateTensorDescriptor(*mut Handle) -> i32;
    fn cudnnCreateFilterDescriptor(*mut Handle) -> i32;
    fn cudnnCreateConvolutionDescriptor(*mut Handle) -> i32;
    fn cudnnDestroyTensorDescriptor(Handle) -> i32;
    fn cudnnDestroyFilterDescriptor(Handle) -> i32;
    fn cudnnDestroyConvolutionDescriptor(Handle) -> i32;
    fn cudnnSetTensor4dDescriptorEx(Handle, i32, i32, i32, i32, i32, i32, i32, i32, i32) -> i32;
    fn cudnnSetFilter4dDescriptor(Handle, i32, i32, i32, i32, i32, i32) -> i32;
    fn cudnnSetConvolution2dDescriptor(Handle, i32, i32, i32, i32, i32, i32, i32, i32) -> i32;
    fn cudnnSetConvolutionMathType(Handle, i32) -> i32;
    fn cudnnGetConvolutionForwardAlgorithm_v7(Handle, Handle, Handle, Handle, Handle, i32, *mut i32, *mut Performance) -> i32;
    fn cudnnGetConvolutionBackwardDataAlgorithm_v7(Handle, Handle, Handle, Handle, Handle, i32, *mut i32, *mut Performance) -> i32;
    fn cudnnGetConvolutionBackwardFilterAlgorithm_v7(Handle, Handle, Handle, Handle, Handle, i32, *mut i32, *mut Performance) -> i32;
    fn cudnnGetConvolutionForwardWorkspaceSize(Handle, Handle, Handle, Handle, Handle, i32, *mut usize) -> i32;
    fn cudnnGetConvolutionBackwardDataWorkspaceSize(Handle, Handle, Handle, Handle, Handle, i32, *mut usize) -> i32;
    fn cudnnGetConvolutionBackwardFilterWorkspaceSize(Handle, Handle, Handle, Handle, Handle, i32, *mut usize) -> i32;
    fn cudnnConvolutionForward(Handle, *const f32, Handle, u64, Handle, u64, Handle, i32, u64, usize, *const f32, Handle, u64) -> i32;
    fn cudnnConvolutionBackwardData(Handle, *const f32, Handle, u64, Handle, u64, Handle, i32, u64, usize, *const f32, Handle, u64) -> i32;
    fn cudnnConvolutionBackwardFilter(Handle, *const f32, Handle, u64, Handle, u64, Handle, i32, u64, usize, *const f32, Handle, u64) -> i32;
}

/// Sizes in the order N, C, H, W; of a filter K, C, R, S. All arrays lie as NHWC.
#[derive(Clone, Copy, Debug)]
struct Case {
    of: Type,
    x: [i32; 4],
    w: [i32; 4],
    pad: i32,
    stride: i32,
}

/// In bf16 the channels would have to be multiples of 8.
const SMALL: Case = Case { of: Type::F32, x: [2, 3, 6, 5], w: [4, 3, 3, 3], pad: 1, stride: 1 };
const SMALL_BF16: Case = Case { of: Type::Bf16, x: [2, 8, 6, 5], w: [16, 8, 3, 3], pad: 1, stride: 1 };

impl Case {
    fn y(&self) -> [i32; 4] {
        let out = |i: usize| (self.x[i] + 2 * self.pad - self.w[i]) / self.stride + 1;
        [self.x[0], self.w[0], out(2), out(3)]
    }

    /// Calls f(index in x, in w, in y) for every multiplication of the convolution.
    fn each_product(&self, mut f: impl FnMut(usize, usize, usize)) {
        let at = |size: [i32; 4], n, c, h, w| (((n * size[2] + h) * size[3] + w) * size[1] + c) as usize;
        let (y, [k_count, c_count, r_count, s_count]) = (self.y(), self.w);
        for (n, k, p, q) in each([y[0], k_count, y[2], y[3]]) {
            for (c, r, s, _) in each([c_count, r_count, s_count, 1]) {
                let (h, w) = (p * self.stride + r - self.pad, q * self.stride + s - self.pad);
                if (0..self.x[2]).contains(&h) && (0..self.x[3]).contains(&w) {
                    f(at(self.x, n, c, h, w), at(self.w, k, c, r, s), at(y, n, k, p, q));
                }
            }
        }
    }
}

/// All indices of an array of these sizes.
fn each(size: [i32; 4]) -> impl Iterator<Item = (i32, i32, i32, i32)> {
    (0..count(size) as i32).map(move |i| {
        let rest = [i / size[3], i / size[3] / size[2]];
        (rest[1] / size[1], rest[1] % size[1], rest[0] % size[2], i % size[3])
    })
}

fn count(size: [i32; 4]) -> usize {
    size.iter().product::<i32>() as usize
}

fn nhwc([_, c, h, w]: [i32; 4]) -> [i32; 4] {
    [h * w * c, 1, w * c, c]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Direction {
    Forward,
    Data,
    Filter,
}
use Direction::{Data, Filter, Forward};

impl Direction {
    /// Both inputs and the result, of x, w and y.
    fn roles<T>(self, [x, w, y]: [T; 3]) -> [T; 3] {
        match self {
            Forward => [x, w, y],
            Data => [w, y, x],
            Filter => [x, y, w],
        }
    }
}

struct Cudnn {
    call: Functions,
    handle: Handle,
    stream: Arc<CudaStream>,
}

impl Cudnn {
    fn open() -> Self {
        let (stream, call, mut handle) = (open_stream(), Functions::load(), ptr::null_mut());
        // SAFETY: a place for the handle, then the handle and an open stream.
        unsafe {
            assert_eq!((call.cudnnCreate)(&raw mut handle), 0);
            assert_eq!((call.cudnnSetStream)(handle, stream.cu_stream().cast()), 0);
        }
        Self { call, handle, stream }
    }

    fn status(&self, status: i32) -> String {
        // SAFETY: the text lives as long as the library.
        unsafe { CStr::from_ptr((self.call.cudnnGetErrorString)(status)) }.to_string_lossy().into_owned()
    }
}

impl Drop for Cudnn {
    fn drop(&mut self) {
        // SAFETY: the handle is destroyed once.
        assert_eq!(unsafe { (self.call.cudnnDestroy)(self.handle) }, 0);
    }
}

/// A convolution's descriptors.
struct Layer<'a> {
    cudnn: &'a Cudnn,
    arrays: [Handle; 3],
    how: Handle,
}

impl<'a> Layer<'a> {
    fn new(cudnn: &'a Cudnn, case: &Case) -> Self {
        Self::described(cudnn, case, nhwc(case.x), case.y())
    }

    /// With strides of x and sizes of y that may be wrong.
    fn described(cudnn: &'a Cudnn, case: &Case, x_strides: [i32; 4], y: [i32; 4]) -> Self {
        let (call, of) = (&cudnn.call, if case.of == Type::F32 { 0 } else { 9 });
        let mut layer = Self { cudnn, arrays: [ptr::null_mut(); 3], how: ptr::null_mut() };
        let [x_is, w_is, y_is] = &mut layer.arrays;
        // SAFETY: places for the descriptors, then descriptors.
        unsafe {
            for (array, [n, c, h, w], [n_stride, c_stride, h_stride, w_stride]) in
                [(x_is, case.x, x_strides), (y_is, y, nhwc(y))]
            {
                assert_eq!((call.cudnnCreateTensorDescriptor)(array), 0);
                let set = call.cudnnSetTensor4dDescriptorEx;
                assert_eq!(set(*array, of, n, c, h, w, n_stride, c_stride, h_stride, w_stride), 0);
            }
            let ([k, c, r, s], nhwc) = (case.w, 1);
            assert_eq!((call.cudnnCreateFilterDescriptor)(w_is), 0);
            assert_eq!((call.cudnnSetFilter4dDescriptor)(*w_is, of, nhwc, k, c, r, s), 0);
            let (pad, stride, cross_correlation) = (case.pad, case.stride, 1);
            let (set, f32) = (call.cudnnSetConvolution2dDescriptor, 0);
            assert_eq!((call.cudnnCreateConvolutionDescriptor)(&raw mut layer.how), 0);
            assert_eq!(set(layer.how, pad, pad, stride, stride, 1, 1, cross_correlation, f32), 0);
            assert_eq!((call.cudnnSetConvolutionMathType)(layer.how, 3), 0);
        }
        layer
    }

    fn algorithms(&self, direction: Direction) -> Vec<Performance> {
        let call = &self.cudnn.call;
        let list = match direction {
            Forward => call.cudnnGetConvolutionForwardAlgorithm_v7,
            Data => call.cudnnGetConvolutionBackwardDataAlgorithm_v7,
            Filter => call.cudnnGetConvolutionBackwardFilterAlgorithm_v7,
        };
        let ([first, second, result], mut returned) = (direction.roles(self.arrays), 0);
        let mut found = vec![Performance::default(); 4];
        // SAFETY: descriptors, and places for as many results as are asked for.
        let status = unsafe {
            list(self.cudnn.handle, first, second, self.how, result, 4, &raw mut returned, found.as_mut_ptr())
        };
        assert_eq!(status, 0);
        found.truncate(returned as usize);
        found
    }

    fn workspace(&self, direction: Direction, algorithm: i32) -> usize {
        let call = &self.cudnn.call;
        let ask = match direction {
            Forward => call.cudnnGetConvolutionForwardWorkspaceSize,
            Data => call.cudnnGetConvolutionBackwardDataWorkspaceSize,
            Filter => call.cudnnGetConvolutionBackwardFilterWorkspaceSize,
        };
        let ([first, second, result], mut bytes) = (direction.roles(self.arrays), 0);
        // SAFETY: descriptors, and a place for the answer.
        let status =
            unsafe { ask(self.cudnn.handle, first, second, self.how, result, algorithm, &raw mut bytes) };
        assert_eq!(status, 0);
        bytes
    }

    fn run(&self, direction: Direction, run: &Run) -> String {
        let call = &self.cudnn.call;
        let convolve = match direction {
            Forward => call.cudnnConvolutionForward,
            Data => call.cudnnConvolutionBackwardData,
            Filter => call.cudnnConvolutionBackwardFilter,
        };
        let [first_is, second_is, result_is] = direction.roles(self.arrays);
        let [first, second, result] = direction.roles(run.arrays);
        let (workspace, bytes) = run.workspace;
        // SAFETY: descriptors and factors of this side; what is wrong with the rest is refused.
        let status = unsafe {
            convolve(
                self.cudnn.handle,
                &raw const run.alpha,
                first_is,
                first,
                second_is,
                second,
                self.how,
                run.algorithm,
                workspace,
                bytes,
                &raw const run.beta,
                result_is,
                result,
            )
        };
        self.cudnn.status(status)
    }
}

impl Drop for Layer<'_> {
    fn drop(&mut self) {
        let (call, [x, w, y]) = (&self.cudnn.call, self.arrays);
        // SAFETY: each is destroyed once.
        let destroyed = unsafe {
            [
                (call.cudnnDestroyTensorDescriptor)(x),
                (call.cudnnDestroyFilterDescriptor)(w),
                (call.cudnnDestroyTensorDescriptor)(y),
                (call.cudnnDestroyConvolutionDescriptor)(self.how),
            ]
        };
        assert_eq!(destroyed, [0; 4]);
    }
}

/// The arguments of a call: x, w and y on the device, and where the algorithm may work.
#[derive(Clone, Copy)]
struct Run {
    arrays: [u64; 3],
    algorithm: i32,
    workspace: (u64, usize),
    alpha: f32,
    beta: f32,
}

impl Run {
    /// Numbers in all three arrays, and a workspace that is large enough for the small cases.
    fn of(cudnn: &Cudnn, case: &Case) -> Self {
        let [x, w, y] = noise(case).map(|values| uploaded(&cudnn.stream, &case.of.encode(&values)));
        let workspace = (alloc(1 << 16), 1 << 16);
        Self { arrays: [x, w, y], algorithm: 1, workspace, alpha: 1.0, beta: 0.0 }
    }
}

fn noise(case: &Case) -> [Vec<f32>; 3] {
    let values = |size, seed| case.of.noise(count(size), seed);
    [values(case.x, 1), values(case.w, 2), values(case.y(), 3)]
}

fn result_of(cudnn: &Cudnn, case: &Case, direction: Direction, run: &Run) -> Vec<f32> {
    let [.., size] = direction.roles([case.x, case.w, case.y()]);
    let [.., address] = direction.roles(run.arrays);
    case.of.decode(&download::<u8>(&cudnn.stream, address, count(size) * case.of.bytes()))
}

const SUCCESS: &str = "CUDNN_STATUS_SUCCESS";
const DIRECTIONS: [Direction; 3] = [Forward, Data, Filter];

#[test]
fn convolutions_agree_with_f64() {
    Process::of("convolutions_agree_with_f64").run(|| {
        let cudnn = Cudnn::open();
        for (filter, pad, stride, of) in [
            (1, 0, 1, Type::F32),
            (1, 0, 2, Type::Bf16),
            (3, 1, 1, Type::F32),
            (3, 1, 1, Type::Bf16),
            (3, 1, 2, Type::F32),
            (3, 0, 2, Type::Bf16),
            (7, 3, 2, Type::F32),
            (7, 3, 2, Type::Bf16),
        ] {
            let (c, k) = if of == Type::F32 { (3, 5) } else { (8, 16) };
            let case = Case { of, x: [2, c, 9, 7], w: [k, c, filter, filter], pad, stride };
            let layer = Layer::new(&cudnn, &case);
            for (direction, (alpha, beta)) in DIRECTIONS
                .into_iter()
                .flat_map(|direction| [(direction, (1.0, 0.0)), (direction, (0.5, 1.0))])
            {
                let run = Run { alpha, beta, ..Run::of(&cudnn, &case) };
                let [.., old] = direction.roles(noise(&case));
                if beta == 0.0 {
                    let [.., result] = direction.roles(run.arrays);
                    upload(&cudnn.stream, result, &of.encode(&vec![f32::NAN; old.len()]));
                }
                assert_eq!(layer.run(direction, &run), SUCCESS);
                let got = result_of(&cudnn, &case, direction, &run);

                let [first, second, _] = direction.roles(noise(&case));
                let mut sums = vec![0.0; got.len()];
                case.each_product(|x, w, y| {
                    let [i, j, to] = direction.roles([x, w, y]);
                    sums[to] += f64::from(first[i]) * f64::from(second[j]);
                });
                let scaled = |(sum, old): (&f64, &f32)| f64::from(alpha) * sum + f64::from(beta * old);
                let want: Vec<f64> = sums.iter().zip(&old).map(scaled).collect();
                of.assert_near(&got, &want, &format!("{case:?} {direction:?} beta {beta}"));
            }
        }
    });
}

#[test]
fn strides_say_how_an_array_lies() {
    Process::of("strides_say_how_an_array_lies").run(|| {
        let cudnn = Cudnn::open();
        let [n, c, h, w] = SMALL.x;
        let run = Run::of(&cudnn, &SMALL);
        assert_eq!(Layer::new(&cudnn, &SMALL).run(Forward, &run), SUCCESS);
        let want = result_of(&cudnn, &SMALL, Forward, &run);

        let [x, ..] = noise(&SMALL);
        let mut turned = vec![0.0; x.len()];
        for (i, (n, c_, h_, w_)) in each([n, c, h, w]).enumerate() {
            turned[i] = x[(((n * h + h_) * w + w_) * c + c_) as usize];
        }
        upload(&cudnn.stream, run.arrays[0], &turned);
        let nchw = Layer::described(&cudnn, &SMALL, [c * h * w, h * w, w, 1], SMALL.y());
        assert_eq!(nchw.run(Forward, &run), SUCCESS);
        assert_eq!(result_of(&cudnn, &SMALL, Forward, &run), want);
    });
}

#[test]
fn the_first_gradient_algorithm_is_not_deterministic() {
    Process::of("the_first_gradient_algorithm_is_not_deterministic").run(|| {
        let cudnn = Cudnn::open();
        let layer = Layer::new(&cudnn, &SMALL);
        for direction in DIRECTIONS {
            let listed = layer.algorithms(direction);
            assert_eq!(listed.len(), 2);
            for found in listed {
                assert_eq!((found.status, found.math), (0, 3));
                assert_eq!(found.memory, layer.workspace(direction, found.algorithm));
                let run = Run { algorithm: found.algorithm, ..Run::of(&cudnn, &SMALL) };
                let mut results = (0..2).map(|_| {
                    assert_eq!(layer.run(direction, &run), SUCCESS);
                    result_of(&cudnn, &SMALL, direction, &run)
                });
                let same = results.next() == results.next();
                assert_eq!(same, found.determinism == 1, "{direction:?} {found:?}");
                assert_eq!(same, direction == Forward || found.algorithm == 1);
            }
        }
    });
}

#[test]
fn a_replay_convolves_anew() {
    Process::of("a_replay_convolves_anew").run(|| {
        let cudnn = Cudnn::open();
        for direction in DIRECTIONS {
            let (layer, run) = (Layer::new(&cudnn, &SMALL), Run::of(&cudnn, &SMALL));
            let graph = captured(&cudnn.stream, || assert_eq!(layer.run(direction, &run), SUCCESS));
            drop(layer);
            let replay = || {
                graph.launch().unwrap();
                result_of(&cudnn, &SMALL, direction, &run)
            };
            let once = replay();
            let [first, ..] = direction.roles(noise(&SMALL));
            let twice: Vec<f32> = first.iter().map(|value| 2.0 * value).collect();
            upload(&cudnn.stream, direction.roles(run.arrays)[0], &twice);
            let doubled: Vec<f32> = once.iter().map(|value| 2.0 * value).collect();
            assert_eq!(replay(), doubled, "{direction:?}");
        }
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    Process::of("what_does_not_fit_is_refused")
        .says("elements of x overlap")
        .says("do not give y 2 x 4 x 6 x 6")
        .says("the workspace of 100 bytes is less than the")
        .says("an array does not begin at a multiple of 16 bytes")
        .says("an array does not begin at a multiple of 4 bytes")
        .says("16-bit channels must be multiples of 8")
        .says("16-bit arrays must be packed NHWC")
        .says("algorithm 2 is none of those that were listed")
        .run(|| {
            let cudnn = Cudnn::open();
            let [(small, run), (small_bf16, run_bf16)] =
                [SMALL, SMALL_BF16].map(|case| (Layer::new(&cudnn, &case), Run::of(&cudnn, &case)));
            let [n, c, h, w] = nhwc(SMALL.x);
            let swapped = Layer::described(&cudnn, &SMALL, [n, c, w, h], SMALL.y());
            let wide = Layer::described(&cudnn, &SMALL, nhwc(SMALL.x), [2, 4, 6, 6]);
            let few_channels = Case { x: [2, 12, 6, 5], w: [16, 12, 3, 3], ..SMALL_BF16 };
            let few = Layer::new(&cudnn, &few_channels);
            let [n, c, h, w] = nhwc(SMALL_BF16.x);
            let loose = Layer::described(&cudnn, &SMALL_BF16, [2 * n, c, h, w], SMALL_BF16.y());
            let [x, filters, y] = run.arrays;
            let [x_bf16, filters_bf16, y_bf16] = run_bf16.arrays;
            for direction in DIRECTIONS {
                let refused = |layer: &Layer, run: &Run, status: &str| {
                    assert_eq!(layer.run(direction, run), format!("CUDNN_STATUS_{status}"), "{direction:?}");
                };
                refused(&swapped, &run, "NOT_SUPPORTED_LAYOUT");
                refused(&wide, &run, "BAD_PARAM_SHAPE_MISMATCH");
                let short = Run { workspace: (run.workspace.0, 100), ..run };
                refused(&small, &short, "BAD_PARAM_SIZE_INSUFFICIENT");
                refused(&small, &Run { workspace: (0, 1 << 16), ..run }, "BAD_PARAM_SIZE_INSUFFICIENT");
                for odd in [[x + 2, filters, y], [x, filters + 2, y], [x, filters, y + 2]] {
                    refused(&small, &Run { arrays: odd, ..run }, "BAD_PARAM_MISALIGNED_POINTER");
                }
                let odd = Run { arrays: [x_bf16 + 8, filters_bf16, y_bf16], ..run_bf16 };
                refused(&small_bf16, &odd, "BAD_PARAM_MISALIGNED_POINTER");
                refused(&few, &run_bf16, "NOT_SUPPORTED");
                refused(&loose, &run_bf16, "NOT_SUPPORTED_LAYOUT");
                refused(&small, &Run { algorithm: 2, ..run }, "NOT_SUPPORTED");
            }
            wait(&cudnn.stream).unwrap();
        });
}

/// Enqueues the convolution, which must fail when it runs.
fn fails(cudnn: &Cudnn, direction: Direction, run: &Run) {
    assert_eq!(Layer::new(cudnn, &SMALL).run(direction, run), SUCCESS);
    assert_eq!(wait(&cudnn.stream).unwrap_err().0, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
}

#[test]
fn a_freed_array_is_told() {
    Process::of("a_freed_array_is_told")
        .says("cuDNN convolution: second input: buffer `allocation 2` is freed")
        .run(|| {
            let cudnn = Cudnn::open();
            let run = Run::of(&cudnn, &SMALL);
            free(run.arrays[1]);
            fails(&cudnn, Forward, &run);
        });
}

#[test]
fn a_short_result_is_told() {
    Process::of("a_short_result_is_told").says("cuDNN convolution: result: 720 bytes at byte 0").run(|| {
        let cudnn = Cudnn::open();
        let run = Run::of(&cudnn, &SMALL);
        let [_, w, y] = run.arrays;
        fails(&cudnn, Data, &Run { arrays: [alloc(716), w, y], ..run });
    });
}

#[test]
fn a_workspace_on_the_host_is_told() {
    Process::of("a_workspace_on_the_host_is_told")
        .says("cuDNN convolution: workspace: the address is in no buffer")
        .run(|| {
            let (cudnn, host) = (Cudnn::open(), vec![0u8; 1 << 16]);
            let run = Run { workspace: (host.as_ptr() as u64, host.len()), ..Run::of(&cudnn, &SMALL) };
            fails(&cudnn, Filter, &run);
        });
}

#[test]
fn a_replay_needs_its_workspace() {
    Process::of("a_replay_needs_its_workspace")
        .says("cuDNN convolution: workspace: buffer `allocation 4` is freed")
        .run(|| {
            let cudnn = Cudnn::open();
            let (layer, run) = (Layer::new(&cudnn, &SMALL), Run::of(&cudnn, &SMALL));
            let graph = captured(&cudnn.stream, || assert_eq!(layer.run(Filter, &run), SUCCESS));
            free(run.workspace.0);
            graph.launch().unwrap();
            assert_eq!(wait(&cudnn.stream).unwrap_err().0, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
        });
}

#[test]
fn a_workspace_loses_what_it_held() {
    Process::of("a_workspace_loses_what_it_held").run(|| {
        let cudnn = Cudnn::open();
        let run = Run::of(&cudnn, &SMALL);
        let held = uploaded(&cudnn.stream, &vec![1.0f32; 1 << 14]);
        let run = Run { workspace: (held, 1 << 16), ..run };
        assert_eq!(Layer::new(&cudnn, &SMALL).run(Forward, &run), SUCCESS);
        assert!(download::<f32>(&cudnn.stream, held, 1)[0].is_nan());
    });
}

#[test]
fn the_library_may_be_old() {
    Process::of("the_library_may_be_old").set("SOFTCUDA_CUDNN_VERSION", 8907).run(|| {
        // SAFETY: it takes nothing.
        assert_eq!(unsafe { (Functions::load().cudnnGetVersion)() }, 8907);
    });
}

/// `cargo test --release -p softcuda --test cudnn -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn how_long_a_layer_takes() {
    Process::of("how_long_a_layer_takes").run(|| {
        let cudnn = Cudnn::open();
        for of in [Type::F32, Type::Bf16] {
            let case = Case { of, x: [8, 16, 32, 24], w: [16, 16, 3, 3], pad: 1, stride: 1 };
            let (layer, run) = (Layer::new(&cudnn, &case), Run::of(&cudnn, &case));
            for direction in DIRECTIONS {
                let rounds = (0..30).map(|_| {
                    let start = Instant::now();
                    assert_eq!(layer.run(direction, &run), SUCCESS);
                    wait(&cudnn.stream).unwrap();
                    start.elapsed().as_secs_f64() * 1e3
                });
                println!("{direction:?} {of:?}: {:.2} ms", rounds.fold(f64::INFINITY, f64::min));
            }
        }
    });
}
