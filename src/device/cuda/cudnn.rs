//! Convolutions by cuDNN: forward, gradient of the input, gradient of the filters.
//!
//! The functions are those of cuDNN's older interface, deprecated since version 9 and still exported by 9.28.
//! Algorithms come from cuDNN's heuristics and not from timing, so that one machine computes the same bits in each
//! run. Only algorithms that cuDNN declares deterministic are used.

pub(super) mod api;
mod problem;

pub use problem::{Direction, Element, Problem};

use super::libraries::Library;
use crate::{Error, Result};
use api::{AlgoPerf, Api, Descriptor, Handle};
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::fmt::Write as _;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The preferred limit of an algorithm's workspace, in bytes: algorithms beyond it are used only if no other is left.
pub const WORKSPACE_LIMIT: usize = 256 << 20;

/// A cuDNN handle for one stream, with a cache of plans.
#[derive(Debug)]
pub struct Cudnn {
    api: Arc<Api>,
    /// The handle, locked: cuDNN allows its use by several threads, but not at the same time.
    handle: Mutex<Handle>,
    plans: Mutex<HashMap<Problem, Arc<Plan>>>,
}

// SAFETY: the handle is used under its mutex alone, and cuDNN's manual allows any thread to use it then. The other
// fields are function pointers and plans, which are Send and Sync themselves.
unsafe impl Send for Cudnn {}
// SAFETY: as for Send.
unsafe impl Sync for Cudnn {}

/// The plan of one convolution: its descriptors, and a list of algorithms for each direction.
#[derive(Debug)]
pub struct Plan {
    api: Arc<Api>,
    problem: Problem,
    /// The descriptors of x, y, w and the convolution; null until they are created.
    x: Descriptor,
    y: Descriptor,
    w: Descriptor,
    convolution: Descriptor,
    /// The algorithms of each direction, best first. A direction without any has the reason; it is an error only when
    /// that direction is run.
    choices: [std::result::Result<Vec<Algorithm>, String>; 3],
    /// The index of the algorithm in use, for each direction: the first that cuDNN has not rejected in a run.
    current: [AtomicUsize; 3],
}

// SAFETY: descriptors are host memory that belongs to the plan. They are written only while the plan is made and read
// by cuDNN afterwards; they are not bound to a thread.
unsafe impl Send for Plan {}
// SAFETY: as for Send.
unsafe impl Sync for Plan {}

/// An algorithm, by cuDNN's number, and its workspace in bytes.
#[derive(Clone, Copy, Debug)]
struct Algorithm {
    number: c_int,
    workspace: usize,
}

/// The algorithm of one run of a plan. A workspace is sized by it and the run takes it, so that both are of one
/// algorithm, whatever other threads do with the plan in between.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    plan: &'a Plan,
    direction: Direction,
    /// The index of the algorithm in the plan's list.
    index: usize,
    algorithm: Algorithm,
}

impl Choice<'_> {
    /// The workspace of the algorithm in bytes. It may be 0, and is at most [`WORKSPACE_LIMIT`] if the direction has
    /// such an algorithm.
    pub fn workspace(&self) -> usize {
        self.algorithm.workspace
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
        let cudnn = Cudnn { api, handle: Mutex::new(handle), plans: Mutex::default() };
        // SAFETY: the handle was created above; the caller guarantees the stream.
        let status = unsafe { (cudnn.api.cudnnSetStream)(handle, stream) };
        cudnn.api.check(status, || "cudnnSetStream".into())?;
        Ok(cudnn)
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
        let untried = || Err("not queried".to_string());
        let mut plan = Plan {
            api: Arc::clone(api),
            problem: *problem,
            x: ptr::null_mut(),
            y: ptr::null_mut(),
            w: ptr::null_mut(),
            convolution: ptr::null_mut(),
            choices: [untried(), untried(), untried()],
            current: Default::default(),
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
                (
                    "cudnnCreateConvolutionDescriptor",
                    api.cudnnCreateConvolutionDescriptor,
                    &mut plan.convolution,
                ),
            ] {
                api.check(create(descriptor), || format!("{name} for the {problem}"))?;
            }
            let set = |name: &str, status| api.check(status, || format!("{name} for the {problem}"));
            let tensor = api.cudnnSetTensor4dDescriptor;
            set("cudnnSetTensor4dDescriptor of x", tensor(plan.x, api::NHWC, element, n, c, h, w))?;
            set("cudnnSetTensor4dDescriptor of y", tensor(plan.y, api::NHWC, element, n, k, p, q))?;
            let filter = (api.cudnnSetFilter4dDescriptor)(plan.w, element, api::NHWC, k, c, r, s);
            set("cudnnSetFilter4dDescriptor", filter)?;
            let convolution = (api.cudnnSetConvolution2dDescriptor)(
                plan.convolution,
                pad,
                pad,
                stride,
                stride,
                1,
                1,
                api::CROSS_CORRELATION,
                api::FLOAT,
            );
            set("cudnnSetConvolution2dDescriptor", convolution)?;
            let math = (api.cudnnSetConvolutionMathType)(plan.convolution, problem.math());
            set("cudnnSetConvolutionMathType", math)?;
        }
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        plan.choices = Direction::ALL.map(|direction| plan.choose(*handle, direction));
        Ok(plan)
    }

    /// Enqueues the convolution of a choice: `result = f(operands) + beta * result`, where the operands are (x, w) of
    /// [`Direction::Forward`] with the result y, (w, dy) of [`Direction::InputGradient`] with dx, (x, dy) of
    /// [`Direction::FilterGradient`] with dw. x is `[n, h, w, c]`, w `[k, r, s, c]`, y `[n, p, q, k]`.
    ///
    /// Returns true if the work was enqueued. It returns false if cuDNN rejected the algorithm although its heuristics
    /// had listed it: the plan's next choice is another algorithm, whose workspace may differ, and the caller tries
    /// again.
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
        beta: f32,
        workspace: u64,
    ) -> Result<bool> {
        let Choice { plan, direction, algorithm: Algorithm { number: algorithm, workspace: bytes }, .. } =
            choice;
        if bytes > 0 && workspace == 0 {
            let problem = plan.problem;
            return Err(Error::Device(format!(
                "cuDNN: {direction} of the {problem} needs a workspace of {bytes} bytes and has none; \
                 allocate as many bytes as Choice::workspace returns"
            )));
        }
        let api = &self.api;
        let [a, b] = operands.map(|address| address as *const c_void);
        let (space, to) = (workspace as *mut c_void, result as *mut c_void);
        let one = 1.0f32;
        let (alpha, beta) = ((&raw const one).cast(), (&raw const beta).cast());
        let (x, y, w, conv) = (plan.x, plan.y, plan.w, plan.convolution);
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the caller guarantees the arrays; descriptors and algorithm are those of the query. Alpha and beta
        // are read before the call returns (host pointers, f32 for both element types).
        let status = unsafe {
            match direction {
                Direction::Forward => (api.cudnnConvolutionForward)(
                    *handle, alpha, x, a, w, b, conv, algorithm, space, bytes, beta, y, to,
                ),
                Direction::InputGradient => (api.cudnnConvolutionBackwardData)(
                    *handle, alpha, w, a, y, b, conv, algorithm, space, bytes, beta, x, to,
                ),
                Direction::FilterGradient => (api.cudnnConvolutionBackwardFilter)(
                    *handle, alpha, x, a, y, b, conv, algorithm, space, bytes, beta, w, to,
                ),
            }
        };
        if api::NOT_SUPPORTED.contains(&status) && plan.move_on(choice) {
            return Ok(false);
        }
        api.check(status, || format!("{direction} of the {} by algorithm {algorithm}", plan.problem))?;
        Ok(true)
    }
}

impl Drop for Cudnn {
    fn drop(&mut self) {
        let handle = *self.handle.get_mut().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: cudnnCreate made the handle, and it is destroyed once. A destructor cannot return an error.
        let _ = unsafe { (self.api.cudnnDestroy)(handle) };
    }
}

impl Plan {
    /// The convolution that this plan computes.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The algorithm in use for a direction: the first that cuDNN has not rejected in a run.
    ///
    /// # Errors
    /// cuDNN has no deterministic algorithm for this direction.
    pub fn choice(&self, direction: Direction) -> Result<Choice<'_>> {
        let index = self.current[direction as usize].load(Ordering::Relaxed);
        let algorithms = self.choices[direction as usize].as_ref();
        // In bounds: `move_on` never moves past the last one.
        let algorithm = algorithms.map(|algorithms| algorithms[index]).map_err(|why| {
            Error::Device(format!("cuDNN: no algorithm for {direction} of the {}: {why}", self.problem))
        })?;
        Ok(Choice { plan: self, direction, index, algorithm })
    }

    /// Moves on from a rejected choice to the next algorithm; another thread may have done it already. Returns false if
    /// there is none after it.
    fn move_on(&self, from: Choice<'_>) -> bool {
        let (direction, next) = (from.direction as usize, from.index + 1);
        let exists = self.choices[direction].as_ref().is_ok_and(|algorithms| next < algorithms.len());
        if exists {
            let order = Ordering::Relaxed;
            // An error means that another thread has moved on from the same choice.
            let _ = self.current[direction].compare_exchange(from.index, next, order, order);
        }
        exists
    }

    /// The deterministic algorithms of a direction in the order of cuDNN's heuristics; those beyond [`WORKSPACE_LIMIT`]
    /// come last, the smallest workspace first.
    ///
    /// # Errors
    /// There is none; the text lists the reason for each algorithm.
    fn choose(&self, handle: Handle, direction: Direction) -> std::result::Result<Vec<Algorithm>, String> {
        let candidates = self.candidates(handle, direction).map_err(|error| error.to_string())?;
        let (mut choices, mut over_limit, mut rejected) = (Vec::new(), Vec::new(), String::new());
        for candidate in &candidates {
            let algorithm = candidate.algo;
            let reason = if candidate.status != api::SUCCESS {
                self.api.text(candidate.status)
            } else if candidate.determinism != api::DETERMINISTIC || direction.avoids(algorithm) {
                "not deterministic".into()
            } else {
                match self.workspace_of(handle, direction, algorithm) {
                    Ok(workspace) => {
                        let list = if workspace <= WORKSPACE_LIMIT { &mut choices } else { &mut over_limit };
                        list.push(Algorithm { number: algorithm, workspace });
                        continue;
                    }
                    Err(error) => error.to_string(),
                }
            };
            let _ = write!(rejected, "{}{algorithm}: {reason}", if rejected.is_empty() { "" } else { ", " });
        }
        over_limit.sort_by_key(|choice| choice.workspace);
        choices.append(&mut over_limit);
        if !choices.is_empty() {
            return Ok(choices);
        }
        let rejected = if rejected.is_empty() { "none" } else { &rejected };
        Err(format!("cuDNN offered {rejected}; use another cuDNN 9, or the CPU"))
    }

    /// All algorithms of a direction, in the order of cuDNN's heuristics.
    fn candidates(&self, handle: Handle, direction: Direction) -> Result<Vec<AlgoPerf>> {
        let api = &self.api;
        let (x, y, w, conv) = (self.x, self.y, self.w, self.convolution);
        let mut candidates = [AlgoPerf::default(); api::MAX_ALGORITHMS];
        let (room, mut number) = (api::MAX_ALGORITHMS as c_int, 0);
        let (to, count) = (candidates.as_mut_ptr(), &raw mut number);
        // SAFETY: the descriptors are set, and cuDNN writes at most `room` entries.
        let status = unsafe {
            match direction {
                Direction::Forward => {
                    (api.cudnnGetConvolutionForwardAlgorithm_v7)(handle, x, w, conv, y, room, count, to)
                }
                Direction::InputGradient => {
                    (api.cudnnGetConvolutionBackwardDataAlgorithm_v7)(handle, w, y, conv, x, room, count, to)
                }
                Direction::FilterGradient => (api.cudnnGetConvolutionBackwardFilterAlgorithm_v7)(
                    handle, x, y, conv, w, room, count, to,
                ),
            }
        };
        api.check(status, || "the query for algorithms".into())?;
        let number = usize::try_from(number).unwrap_or(0);
        Ok(candidates.into_iter().take(number).collect())
    }

    fn workspace_of(&self, handle: Handle, direction: Direction, algorithm: c_int) -> Result<usize> {
        let api = &self.api;
        let (x, y, w, conv) = (self.x, self.y, self.w, self.convolution);
        let mut bytes = 0;
        let to = &raw mut bytes;
        // SAFETY: the descriptors are set, and `to` points to a variable for the one value that is written.
        let status = unsafe {
            match direction {
                Direction::Forward => {
                    (api.cudnnGetConvolutionForwardWorkspaceSize)(handle, x, w, conv, y, algorithm, to)
                }
                Direction::InputGradient => {
                    (api.cudnnGetConvolutionBackwardDataWorkspaceSize)(handle, w, y, conv, x, algorithm, to)
                }
                Direction::FilterGradient => {
                    (api.cudnnGetConvolutionBackwardFilterWorkspaceSize)(handle, x, y, conv, w, algorithm, to)
                }
            }
        };
        api.check(status, || "the query for the size of a workspace".into())?;
        Ok(bytes)
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        let api = &self.api;
        for (descriptor, destroy) in [
            (self.x, api.cudnnDestroyTensorDescriptor),
            (self.y, api.cudnnDestroyTensorDescriptor),
            (self.w, api.cudnnDestroyFilterDescriptor),
            (self.convolution, api.cudnnDestroyConvolutionDescriptor),
        ] {
            if !descriptor.is_null() {
                // SAFETY: cuDNN created the descriptor, and it is destroyed once.
                let _ = unsafe { destroy(descriptor) };
            }
        }
    }
}
