//! Convolutions by cuDNN: forward, gradient of the input, gradient of the filters.
//!
//! These are the functions of cuDNN's older interface, deprecated since version 9 and still exported by 9.28.
//! An algorithm is taken from cuDNN's heuristics and not by timing, so that one machine computes the same bits
//! in each run, and only if cuDNN calls it deterministic.

mod api;
mod problem;

pub use problem::{Direction, Element, Problem};

use super::libraries::Library;
use crate::{Error, Result};
use api::{Api, Descriptor, Handle, Offer};
use std::collections::HashMap;
use std::ffi::{CStr, c_int, c_void};
use std::fmt::Write as _;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The most bytes of workspace that an algorithm may ask for where another asks for less.
pub const WORKSPACE_LIMIT: usize = 256 << 20;

/// cuDNN, at work in one stream.
#[derive(Debug)]
pub struct Cudnn {
    api: Arc<Api>,
    /// cuDNN allows several threads at one handle, but not at the same time.
    handle: Mutex<Handle>,
    plans: Mutex<HashMap<Problem, Arc<Plan>>>,
}

// SAFETY: the handle is reached under its mutex alone, and cuDNN's manual lets any thread use it then. All
// else is function pointers and plans, which are Send and Sync themselves.
unsafe impl Send for Cudnn {}
// SAFETY: as for Send.
unsafe impl Sync for Cudnn {}

/// How one convolution is computed: descriptors, and an algorithm for each direction.
#[derive(Debug)]
pub struct Plan {
    api: Arc<Api>,
    problem: Problem,
    /// Of x and y, of w, and of the convolution: null until made.
    x: Descriptor,
    y: Descriptor,
    w: Descriptor,
    convolution: Descriptor,
    /// In the order of [`Direction`]; else why there is none, which matters only to who asks for it.
    choices: [std::result::Result<Vec<Choice>, String>; 3],
    /// Which of the choices is in use: the first that cuDNN has not refused when it came to it.
    current: [AtomicUsize; 3],
}

// SAFETY: descriptors are host memory that belongs to the plan, is written only while the plan is made, and
// is read by cuDNN afterwards; nothing in it is bound to a thread.
unsafe impl Send for Plan {}
// SAFETY: as for Send.
unsafe impl Sync for Plan {}

/// An algorithm by cuDNN's number, and the bytes of workspace that it needs.
#[derive(Clone, Copy, Debug)]
struct Choice {
    algorithm: c_int,
    workspace: usize,
}

impl Cudnn {
    /// cuDNN for the device of the current context, working in `stream`.
    ///
    /// # Errors
    /// The library lacks a function, or refuses the device.
    ///
    /// # Safety
    /// `stream` is a `CUstream` of the current context, and outlives the result.
    pub unsafe fn open(library: &Library, stream: *mut c_void) -> Result<Self> {
        let api = Arc::new(Api::of(library)?);
        let mut handle: Handle = ptr::null_mut();
        // SAFETY: a place for the handle.
        let status = unsafe { (api.cudnnCreate)(&raw mut handle) };
        api.check(status, || {
            format!("cudnnCreate of {library} (a driver too old for it? bcreid doctor shows both)")
        })?;
        let cudnn = Cudnn { api, handle: Mutex::new(handle), plans: Mutex::default() };
        // SAFETY: the handle was made above, the caller answers for the stream.
        let status = unsafe { (cudnn.api.cudnnSetStream)(handle, stream) };
        cudnn.api.check(status, || "cudnnSetStream".into())?;
        Ok(cudnn)
    }

    /// How `problem` is computed; made at the first call with it, kept after.
    ///
    /// The context of [`Cudnn::open`] is to be current, as in every call that reaches cuDNN.
    ///
    /// # Errors
    /// Sizes that do not fit together or exceed cuDNN's 31 bits; bf16 with channels that are no multiples of
    /// 8.
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
        let untried = || Err("it was not looked for".to_string());
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
        // SAFETY: each descriptor is made by cuDNN before it is set; it belongs to the plan, which destroys
        // it also when a later call fails.
        unsafe {
            for (name, create, made) in [
                ("cudnnCreateTensorDescriptor", api.cudnnCreateTensorDescriptor, &mut plan.x),
                ("cudnnCreateTensorDescriptor", api.cudnnCreateTensorDescriptor, &mut plan.y),
                ("cudnnCreateFilterDescriptor", api.cudnnCreateFilterDescriptor, &mut plan.w),
                (
                    "cudnnCreateConvolutionDescriptor",
                    api.cudnnCreateConvolutionDescriptor,
                    &mut plan.convolution,
                ),
            ] {
                api.check(create(made), || format!("{name} for the {problem}"))?;
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

    /// Enqueues a convolution: `result = f(operands) + beta * result`, where the operands are (x, w) of
    /// [`Direction::Forward`] with the result y, (w, dy) of [`Direction::InputGradient`] with dx, (x, dy) of
    /// [`Direction::FilterGradient`] with dw. x is `[n, h, w, c]`, w `[k, r, s, c]`, y `[n, p, q, k]`.
    ///
    /// Returns whether cuDNN took it: its offers are only promises, and where it does not keep one the plan goes on
    /// to the next, which may want another workspace.
    ///
    /// # Errors
    /// No algorithm for this direction, a workspace of address 0 where one is needed, or whatever cuDNN
    /// refuses.
    ///
    /// # Safety
    /// The plan is one of this `Cudnn`. The addresses are device arrays of the problem's shapes and element,
    /// `workspace` one of [`Plan::workspace`] bytes; they live until the stream has done the work, and
    /// nothing outside of the stream uses them meanwhile. The context of [`Cudnn::open`] is current.
    pub unsafe fn run(
        &self,
        plan: &Plan,
        direction: Direction,
        operands: [u64; 2],
        result: u64,
        beta: f32,
        workspace: u64,
    ) -> Result<bool> {
        let Choice { algorithm, workspace: bytes } = plan.choice(direction)?;
        if bytes > 0 && workspace == 0 {
            let problem = plan.problem;
            return Err(Error::Device(format!(
                "cuDNN: {direction} of the {problem} got no workspace and needs one of {bytes} bytes; \
                 allocate what Plan::workspace says"
            )));
        }
        let api = &self.api;
        let [a, b] = operands.map(|address| address as *const c_void);
        let (space, to) = (workspace as *mut c_void, result as *mut c_void);
        let one = 1.0f32;
        let (alpha, beta) = ((&raw const one).cast(), (&raw const beta).cast());
        let (x, y, w, how) = (plan.x, plan.y, plan.w, plan.convolution);
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the caller answers for the arrays; descriptors and algorithm are those that cuDNN was asked
        // about. The factors are read before the call returns (host pointers, f32 for both elements).
        let status = unsafe {
            match direction {
                Direction::Forward => (api.cudnnConvolutionForward)(
                    *handle, alpha, x, a, w, b, how, algorithm, space, bytes, beta, y, to,
                ),
                Direction::InputGradient => (api.cudnnConvolutionBackwardData)(
                    *handle, alpha, w, a, y, b, how, algorithm, space, bytes, beta, x, to,
                ),
                Direction::FilterGradient => (api.cudnnConvolutionBackwardFilter)(
                    *handle, alpha, x, a, y, b, how, algorithm, space, bytes, beta, w, to,
                ),
            }
        };
        if api::NOT_SUPPORTED.contains(&status) && plan.go_on(direction) {
            return Ok(false);
        }
        api.check(status, || format!("{direction} of the {} by algorithm {algorithm}", plan.problem))?;
        Ok(true)
    }
}

impl Drop for Cudnn {
    fn drop(&mut self) {
        let handle = *self.handle.get_mut().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: made by cudnnCreate and destroyed once. A refusal would have no one to tell.
        let _ = unsafe { (self.api.cudnnDestroy)(handle) };
    }
}

impl Plan {
    /// The bytes that [`Cudnn::run`] needs as workspace, at most [`WORKSPACE_LIMIT`] if there is a way; it may be 0.
    ///
    /// # Errors
    /// cuDNN has no deterministic algorithm for this direction.
    pub fn workspace(&self, direction: Direction) -> Result<usize> {
        Ok(self.choice(direction)?.workspace)
    }

    /// What is computed.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    fn choice(&self, direction: Direction) -> Result<Choice> {
        let current = self.current[direction as usize].load(Ordering::Relaxed);
        let choices = self.choices[direction as usize].as_ref();
        // Never past the last one: `go_on` does not go there.
        choices.map(|choices| choices[current]).map_err(|why| {
            Error::Device(format!("cuDNN: no algorithm for {direction} of the {}: {why}", self.problem))
        })
    }

    /// Leaves the current choice for the next, if there is one.
    fn go_on(&self, direction: Direction) -> bool {
        let current = &self.current[direction as usize];
        let next = current.load(Ordering::Relaxed) + 1;
        let is_there = self.choices[direction as usize].as_ref().is_ok_and(|choices| next < choices.len());
        if is_there {
            current.store(next, Ordering::Relaxed);
        }
        is_there
    }

    /// Those of cuDNN's offers that are deterministic, in its order; behind them those that want more than
    /// [`WORKSPACE_LIMIT`], the most modest first. At least one.
    fn choose(&self, handle: Handle, direction: Direction) -> std::result::Result<Vec<Choice>, String> {
        let offers = self.offers(handle, direction).map_err(|error| error.to_string())?;
        let (mut choices, mut greedy, mut told) = (Vec::new(), Vec::new(), String::new());
        for offer in &offers {
            let algorithm = offer.algorithm;
            let refusal = if offer.status != api::SUCCESS {
                self.api.text(offer.status)
            } else if offer.determinism != api::DETERMINISTIC || direction.avoids(algorithm) {
                "not deterministic".into()
            } else {
                match self.workspace_of(handle, direction, algorithm) {
                    Ok(workspace) => {
                        let list = if workspace <= WORKSPACE_LIMIT { &mut choices } else { &mut greedy };
                        list.push(Choice { algorithm, workspace });
                        continue;
                    }
                    Err(error) => error.to_string(),
                }
            };
            let _ = write!(told, "{}{algorithm}: {refusal}", if told.is_empty() { "" } else { ", " });
        }
        greedy.sort_by_key(|choice| choice.workspace);
        choices.append(&mut greedy);
        if !choices.is_empty() {
            return Ok(choices);
        }
        let told = if told.is_empty() { "none" } else { &told };
        Err(format!("cuDNN offered {told}; use another cuDNN 9, or the CPU"))
    }

    fn offers(&self, handle: Handle, direction: Direction) -> Result<Vec<Offer>> {
        let api = &self.api;
        let (x, y, w, how) = (self.x, self.y, self.w, self.convolution);
        let mut offers = [Offer::default(); api::MOST_OFFERS];
        let (room, mut number) = (api::MOST_OFFERS as c_int, 0);
        let (to, count) = (offers.as_mut_ptr(), &raw mut number);
        // SAFETY: the descriptors are set, and cuDNN writes at most `room` offers.
        let status = unsafe {
            match direction {
                Direction::Forward => {
                    (api.cudnnGetConvolutionForwardAlgorithm_v7)(handle, x, w, how, y, room, count, to)
                }
                Direction::InputGradient => {
                    (api.cudnnGetConvolutionBackwardDataAlgorithm_v7)(handle, w, y, how, x, room, count, to)
                }
                Direction::FilterGradient => {
                    (api.cudnnGetConvolutionBackwardFilterAlgorithm_v7)(handle, x, y, how, w, room, count, to)
                }
            }
        };
        api.check(status, || "the question for algorithms".into())?;
        let number = usize::try_from(number).unwrap_or(0);
        Ok(offers.into_iter().take(number).collect())
    }

    fn workspace_of(&self, handle: Handle, direction: Direction, algorithm: c_int) -> Result<usize> {
        let api = &self.api;
        let (x, y, w, how) = (self.x, self.y, self.w, self.convolution);
        let mut bytes = 0;
        let to = &raw mut bytes;
        // SAFETY: the descriptors are set, and `bytes` is a place for the one value that is written.
        let status = unsafe {
            match direction {
                Direction::Forward => {
                    (api.cudnnGetConvolutionForwardWorkspaceSize)(handle, x, w, how, y, algorithm, to)
                }
                Direction::InputGradient => {
                    (api.cudnnGetConvolutionBackwardDataWorkspaceSize)(handle, w, y, how, x, algorithm, to)
                }
                Direction::FilterGradient => {
                    (api.cudnnGetConvolutionBackwardFilterWorkspaceSize)(handle, x, y, how, w, algorithm, to)
                }
            }
        };
        api.check(status, || "the question for a workspace".into())?;
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
                // SAFETY: made by cuDNN and destroyed once.
                let _ = unsafe { destroy(descriptor) };
            }
        }
    }
}

impl Api {
    /// cuDNN's name of a status.
    fn text(&self, status: c_int) -> String {
        // SAFETY: the function takes any integer and returns null or a text that is never freed.
        let text = unsafe { (self.cudnnGetErrorString)(status) };
        if text.is_null() {
            return format!("status {status}");
        }
        // SAFETY: as above.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }

    fn check(&self, status: c_int, what: impl FnOnce() -> String) -> Result<()> {
        if status == api::SUCCESS {
            return Ok(());
        }
        Err(Error::Device(format!("cuDNN: {} failed: {} ({status})", what(), self.text(status))))
    }
}
