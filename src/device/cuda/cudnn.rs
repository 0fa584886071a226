//! Convolutions by cuDNN: forward, gradient of the input, gradient of the filters; and batch normalisation
//! ([`batchnorm`]).
//!
//! The functions are those of cuDNN's older interface, deprecated since version 9 and still exported by 9.28.
//! Algorithms come from cuDNN's heuristics and not from timing, so that one machine computes the same bits in each
//! run. Only algorithms that cuDNN declares deterministic are used. The heuristics also list algorithms that fail when
//! they run, some of them only where the result is added to. So each direction of a plan is tried out before its first
//! result counts (`choose`), and the choice stays: a process that resumes a run makes the same one.
//!
//! Book: [chapter 14](../../../../../../docs/book/src/14-launches.md).

pub(super) mod api;
pub mod batchnorm;
mod choose;
mod problem;

pub use problem::{COLOURS, Direction, Element, Problem, padded_channels};

use super::Lane;
use super::libraries::Library;
use crate::element::GradMode;
use crate::{Error, Result};
use api::{Api, Descriptor, cudnnHandle_t as Handle};
use batchnorm::{BatchNormPlan, BatchNormProblem};
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The preferred limit of an algorithm's workspace, in bytes: algorithms beyond it are used only if no other is left.
pub const WORKSPACE_LIMIT: usize = 256 << 20;

/// The cuDNN handles of a device, one for each stream, with a cache of plans.
///
/// A handle has resources of its own, such as events and memory for the sums of some algorithms, which are free for the
/// next call in the order of its stream only. `cudnnSetStream` between calls of one handle would let two streams use
/// them at once, also in the replay of a captured step, so the second stream has a second handle (as in PyTorch).
#[derive(Debug)]
pub struct Cudnn {
    api: Arc<Api>,
    /// The handle, locked: cuDNN allows its use by several threads, but not at the same time.
    handle: Mutex<Handle>,
    /// The handle of the second stream, if there is one.
    side: Option<Mutex<Handle>>,
    plans: Mutex<HashMap<Problem, Arc<Plan>>>,
    batchnorm_plans: Mutex<HashMap<BatchNormProblem, Arc<BatchNormPlan>>>,
}

// SAFETY: the handle is used under its mutex alone, and cuDNN's manual allows any thread to use it then. The other
// fields are function pointers and plans, which are Send and Sync themselves.
unsafe impl Send for Cudnn {}
// SAFETY: as for Send.
unsafe impl Sync for Cudnn {}

/// The plan of one convolution: its descriptors, and the algorithms of each direction.
#[derive(Debug)]
pub struct Plan {
    api: Arc<Api>,
    problem: Problem,
    /// The descriptors of x, y and w; null until they are created.
    x: Descriptor,
    y: Descriptor,
    w: Descriptor,
    /// The descriptors of the convolution, one for each math type by its number, so that none changes once it is set. A
    /// math type that the problem does not use has null.
    convolutions: [Descriptor; api::MATH_TYPES],
    /// The algorithms of each direction, once it has been tried out: the one that overwrites the result, and the one
    /// that adds to it.
    choices: [OnceLock<[Found; 2]>; 3],
}

/// An algorithm, or the reasons why there is none, which are an error only when it would run.
type Found = std::result::Result<Algorithm, String>;

// SAFETY: descriptors are host memory that belongs to the plan. They are written only while the plan is made and read
// by cuDNN afterwards; they are not bound to a thread.
unsafe impl Send for Plan {}
// SAFETY: as for Send.
unsafe impl Sync for Plan {}

/// An algorithm as cuDNN offers it: its number, the math type that it is ranked with, its workspace in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Algorithm {
    number: c_int,
    math: c_int,
    workspace: usize,
}

/// The algorithm of one run of a plan.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    plan: &'a Plan,
    direction: Direction,
    mode: GradMode,
    algorithm: Algorithm,
}

impl Choice<'_> {
    /// The workspace of the algorithm in bytes. It may be 0, and is at most [`WORKSPACE_LIMIT`] if the direction has
    /// such an algorithm that runs.
    pub fn workspace(&self) -> usize {
        self.algorithm.workspace
    }

    /// cuDNN's numbers of the algorithm and of its math type.
    pub fn numbers(&self) -> (c_int, c_int) {
        (self.algorithm.number, self.algorithm.math)
    }
}

impl Cudnn {
    /// Creates a cuDNN handle for the current context and `stream`.
    ///
    /// # Errors
    /// The library lacks a function, or rejects the device.
    ///
    /// # Safety
    /// `stream` is a `CUstream` of the current context, and outlives the result.
    pub unsafe fn open(library: &Library, stream: *mut c_void) -> Result<Self> {
        let api = Arc::new(Api::of(library)?);
        let mut handle: Handle = ptr::null_mut();
        // SAFETY: the argument points to a variable for the handle.
        let status = unsafe { (api.cudnnCreate)(&raw mut handle) };
        api.check(status, || {
            format!("cudnnCreate of {library} (a driver too old for it? bcreid doctor shows both)")
        })?;
        let cudnn = Cudnn {
            api,
            handle: Mutex::new(handle),
            side: None,
            plans: Mutex::default(),
            batchnorm_plans: Mutex::default(),
        };
        // SAFETY: the handle was created above; the caller guarantees the stream.
        let status = unsafe { (cudnn.api.cudnnSetStream)(handle, stream) };
        cudnn.api.check(status, || "cudnnSetStream".into())?;
        Ok(cudnn)
    }

    /// Creates a second handle, for `stream`.
    ///
    /// # Errors
    /// cuDNN lacks the memory, or rejects the stream.
    ///
    /// # Safety
    /// As for [`Cudnn::open`], in the same context.
    pub unsafe fn open_side(&mut self, stream: *mut c_void) -> Result<()> {
        let mut handle: Handle = ptr::null_mut();
        // SAFETY: the argument points to a variable for the handle.
        let status = unsafe { (self.api.cudnnCreate)(&raw mut handle) };
        self.api.check(status, || "cudnnCreate for a second stream".into())?;
        self.side = Some(Mutex::new(handle));
        // SAFETY: the handle was created above; the caller guarantees the stream.
        let status = unsafe { (self.api.cudnnSetStream)(handle, stream) };
        self.api.check(status, || "cudnnSetStream".into())
    }

    /// The plan of `problem`: made at the first call, cached after.
    ///
    /// The context of [`Cudnn::open`] must be current, as in every call of cuDNN.
    ///
    /// # Errors
    /// Sizes that do not fit together or exceed cuDNN's 31 bits; bf16 with channels that are no multiple of 8.
    pub fn plan(&self, problem: &Problem) -> Result<Arc<Plan>> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(problem) {
            return Ok(Arc::clone(plan));
        }
        let plan = Arc::new(self.make(problem)?);
        plans.insert(*problem, Arc::clone(&plan));
        Ok(plan)
    }

    fn make(&self, problem: &Problem) -> Result<Plan> {
        let sizes = problem.check()?;
        let api = &self.api;
        let mut plan = Plan {
            api: Arc::clone(api),
            problem: *problem,
            x: ptr::null_mut(),
            y: ptr::null_mut(),
            w: ptr::null_mut(),
            convolutions: [ptr::null_mut(); api::MATH_TYPES],
            choices: Default::default(),
        };
        let element = problem.element.code();
        let [n, h, w, c, k, r, s, p, q, stride, pad] = sizes;
        // SAFETY: cuDNN creates each descriptor before it is set. The plan owns the descriptors and destroys them, also
        // when a later call fails.
        unsafe {
            for (name, create, descriptor) in [
                ("cudnnCreateTensorDescriptor", api.cudnnCreateTensorDescriptor, &mut plan.x),
                ("cudnnCreateTensorDescriptor", api.cudnnCreateTensorDescriptor, &mut plan.y),
                ("cudnnCreateFilterDescriptor", api.cudnnCreateFilterDescriptor, &mut plan.w),
            ] {
                api.check(create(descriptor), || format!("{name} for the {problem}"))?;
            }
            let set = |name: &str, status| api.check(status, || format!("{name} for the {problem}"));
            let tensor = api.cudnnSetTensor4dDescriptor;
            set("cudnnSetTensor4dDescriptor of x", tensor(plan.x, api::NHWC, element, n, c, h, w))?;
            set("cudnnSetTensor4dDescriptor of y", tensor(plan.y, api::NHWC, element, n, k, p, q))?;
            let filter = (api.cudnnSetFilter4dDescriptor)(plan.w, element, api::NHWC, k, c, r, s);
            set("cudnnSetFilter4dDescriptor", filter)?;
            for &math in problem.math_types() {
                let descriptor = &mut plan.convolutions[math as usize];
                set("cudnnCreateConvolutionDescriptor", (api.cudnnCreateConvolutionDescriptor)(descriptor))?;
                let (one, mode) = (1, api::CROSS_CORRELATION);
                let convolution = (api.cudnnSetConvolution2dDescriptor)(
                    *descriptor,
                    pad,
                    pad,
                    stride,
                    stride,
                    one,
                    one,
                    mode,
                    api::FLOAT,
                );
                set("cudnnSetConvolution2dDescriptor", convolution)?;
                let math = (api.cudnnSetConvolutionMathType)(*descriptor, math);
                set("cudnnSetConvolutionMathType", math)?;
            }
        }
        Ok(plan)
    }

    fn lock(&self) -> MutexGuard<'_, Handle> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handle of a stream; without a second stream that of the only one.
    fn lock_in(&self, lane: Lane) -> MutexGuard<'_, Handle> {
        match &self.side {
            Some(side) if lane == Lane::Side => side.lock().unwrap_or_else(PoisonError::into_inner),
            _ => self.lock(),
        }
    }

    /// Enqueues the convolution of a choice: `result = f(operands) + beta * result`, where beta is that of the choice's
    /// [`GradMode`] and the operands are (x, w) of [`Direction::Forward`] with the result y, (w, dy) of
    /// [`Direction::InputGradient`] with dx, (x, dy) of [`Direction::FilterGradient`] with dw. x is `[n, h, w, c]`, w
    /// `[k, r, s, c]`, y `[n, p, q, k]`.
    ///
    /// # Errors
    /// A workspace of address 0 where one is needed, or a cuDNN error.
    ///
    /// # Safety
    /// The plan of the choice is one of this `Cudnn`. The addresses are device arrays of the problem's shapes and
    /// element type, `workspace` one of [`Choice::workspace`] bytes. The arrays live until the stream has done the
    /// work, and nothing outside of the stream uses them before. The context of [`Cudnn::open`] is current.
    pub unsafe fn run(
        &self,
        choice: Choice<'_>,
        operands: [u64; 2],
        result: u64,
        workspace: u64,
    ) -> Result<()> {
        // SAFETY: the caller guarantees the same.
        unsafe { self.run_in(Lane::Main, choice, operands, result, workspace) }
    }

    /// As [`Cudnn::run`], in a stream of choice.
    ///
    /// # Errors
    /// As [`Cudnn::run`].
    ///
    /// # Safety
    /// As for [`Cudnn::run`].
    pub(super) unsafe fn run_in(
        &self,
        lane: Lane,
        choice: Choice<'_>,
        operands: [u64; 2],
        result: u64,
        workspace: u64,
    ) -> Result<()> {
        let Choice { plan, direction, algorithm, .. } = choice;
        let (problem, bytes) = (plan.problem, algorithm.workspace);
        if bytes > 0 && workspace == 0 {
            return Err(Error::Device(format!(
                "cuDNN: {direction} of the {problem} needs a workspace of {bytes} bytes and has none; \
                 allocate as many bytes as Choice::workspace returns"
            )));
        }
        // SAFETY: the caller guarantees the arrays.
        let status = unsafe { self.enqueue(lane, choice, operands, result, workspace) };
        self.api.check(status, || format!("{direction} of the {problem} by algorithm {}", algorithm.number))
    }

    /// As [`Cudnn::run`]; returns cuDNN's status.
    ///
    /// # Safety
    /// As for [`Cudnn::run`].
    unsafe fn enqueue(
        &self,
        lane: Lane,
        choice: Choice<'_>,
        operands: [u64; 2],
        result: u64,
        workspace: u64,
    ) -> c_int {
        let Choice { plan, direction, mode, algorithm: Algorithm { number, math, workspace: bytes } } =
            choice;
        let api = &self.api;
        let [a, b] = operands.map(|address| address as *const c_void);
        let (space, to) = (workspace as *mut c_void, result as *mut c_void);
        let factors = [1.0, mode.beta()];
        let [alpha, beta] = [0, 1].map(|i| (&raw const factors[i]).cast());
        let (x, y, w, conv) = (plan.x, plan.y, plan.w, plan.convolution(math));
        let handle = self.lock_in(lane);
        // SAFETY: the caller guarantees the arrays; descriptors and algorithm are those of the query. Alpha and beta
        // are read before the call returns (host pointers, f32 for both element types).
        unsafe {
            match direction {
                Direction::Forward => (api.cudnnConvolutionForward)(
                    *handle, alpha, x, a, w, b, conv, number, space, bytes, beta, y, to,
                ),
                Direction::InputGradient => (api.cudnnConvolutionBackwardData)(
                    *handle, alpha, w, a, y, b, conv, number, space, bytes, beta, x, to,
                ),
                Direction::FilterGradient => (api.cudnnConvolutionBackwardFilter)(
                    *handle, alpha, x, a, y, b, conv, number, space, bytes, beta, w, to,
                ),
            }
        }
    }
}

impl Drop for Cudnn {
    fn drop(&mut self) {
        for handle in [Some(&mut self.handle), self.side.as_mut()].into_iter().flatten() {
            let handle = *handle.get_mut().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: cudnnCreate made the handle, and it is destroyed once. A destructor cannot return an error.
            let _ = unsafe { (self.api.cudnnDestroy)(handle) };
        }
    }
}

impl Plan {
    /// The convolution that this plan computes.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The descriptor of the convolution with a math type of [`Problem::math_types`].
    fn convolution(&self, math: c_int) -> Descriptor {
        self.convolutions[math as usize]
    }

    /// The algorithm of a direction, for a result that is overwritten or added to. None before
    /// [`Cudnn::try_out`] has run for this direction.
    ///
    /// # Errors
    /// cuDNN has no algorithm that is deterministic and runs.
    pub fn choice(&self, direction: Direction, mode: GradMode) -> Option<Result<Choice<'_>>> {
        let algorithm = self.choices[direction as usize].get()?[mode.flag()].as_ref();
        let choice = algorithm.map(|&algorithm| Choice { plan: self, direction, mode, algorithm });
        Some(choice.map_err(|why| {
            Error::Device(format!("cuDNN: no algorithm for {direction} of the {}: {why}", self.problem))
        }))
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        let api = &self.api;
        let arrays = [
            (self.x, api.cudnnDestroyTensorDescriptor),
            (self.y, api.cudnnDestroyTensorDescriptor),
            (self.w, api.cudnnDestroyFilterDescriptor),
        ];
        let convolutions = self.convolutions.map(|how| (how, api.cudnnDestroyConvolutionDescriptor));
        for (descriptor, destroy) in arrays.into_iter().chain(convolutions) {
            if !descriptor.is_null() {
                // SAFETY: cuDNN created the descriptor, and it is destroyed once.
                let _ = unsafe { destroy(descriptor) };
            }
        }
    }
}
