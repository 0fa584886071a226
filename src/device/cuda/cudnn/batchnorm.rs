//! Batch normalisation by cuDNN: training, its gradients, inference.
//!
//! Which functions and modes of cuDNN are used, and why:
//!
//! - Training: `cudnnBatchNormalizationForwardTrainingEx` and `cudnnBatchNormalizationBackwardEx`, first in the mode
//!   `CUDNN_BATCHNORM_SPATIAL_PERSISTENT`, with a workspace and the reserve space that the forward pass leaves to the
//!   backward pass. These are the functions that have kernels for packed NHWC arrays (the reference of the first one),
//!   and PyTorch calls them in this way for channels-last tensors. For which types they have them, a GPU must show.
//! - If cuDNN refuses a pass in this mode (a wrong parameter or not supported, status 2000 to 3999: an answer before
//!   anything is enqueued), the pass runs in the mode `CUDNN_BATCHNORM_SPATIAL` without workspace, where the functions
//!   are the plain `cudnnBatchNormalizationForwardTraining` and `Backward`. Their header has f32 parameters for all data
//!   but doubles, and TensorFlow computes bf16 with this mode (its pull request 58512). A plan keeps the mode, so a
//!   resumed run, whose first step asks again, has the same one. A parameter that is wrong in any mode is refused once
//!   more, and is then an error. Other errors do not change the mode: the running statistics may have been changed
//!   already.
//! - `CUDNN_BATCHNORM_OPS_BN` alone. The forms that add a residual and apply a ReLU are documented for
//!   `CUDNN_DATA_HALF` only, which is neither f32 nor bf16; kernels of this program do that.
//! - Both modes give the same bits in each run: batch normalisation is not in cuDNN's list of routines that do not
//!   (<https://docs.nvidia.com/deeplearning/cudnn/latest/developer/misc.html>). The integer sums with a limited range
//!   of values, which the persistent mode may take, are of NCHW arrays.
//! - Frozen statistics: `cudnnBatchNormalizationForwardInference` in the mode `CUDNN_BATCHNORM_SPATIAL`. cuDNN has no
//!   gradient of it.
//! - No array is overwritten in place: the reference permits it nowhere.

mod run;

pub use run::{Gradients, Inference, Training};

use super::api::{self, Api, Descriptor, cudnnStatus_t as Status};
use super::{Cudnn, Element};
use crate::{Error, Result};
use std::ffi::c_int;
use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

/// Batch normalisation of an array `[n, h, w, c]` over all dimensions but the last one, with f32 parameters `[c]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchNormProblem {
    /// The number of images.
    pub n: usize,
    /// The height.
    pub h: usize,
    /// The width.
    pub w: usize,
    /// The channels.
    pub c: usize,
    /// The element type of the array, of the output and of their gradients.
    pub element: Element,
}

/// A pass of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Statistics and output.
    Forward,
    /// The gradients of the input, gamma and beta.
    Backward,
}

/// The memory that a pass needs beside its arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Scratch memory of one pass.
    Workspace,
    /// cuDNN's reserve space: memory that the forward pass writes and the backward pass reads.
    Reserve,
}

/// The plan of a batch normalisation: its descriptors, the sizes of its memory, and the mode of each pass.
#[derive(Debug)]
pub struct BatchNormPlan {
    api: Arc<Api>,
    problem: BatchNormProblem,
    /// The descriptor of x, y, dx and dy; null until it is created.
    x: Descriptor,
    /// The descriptor of all arrays `[c]`; likewise.
    parameters: Descriptor,
    /// The bytes of the workspace of each pass in the persistent mode.
    workspace: [usize; 2],
    /// The bytes of the reserve space in the persistent mode.
    reserve: usize,
    /// True for a pass that cuDNN refuses in the persistent mode.
    is_plain: [AtomicBool; 2],
}

// SAFETY: descriptors are host memory that belongs to the plan. They are written only while the plan is made and read
// by cuDNN afterwards; they are not bound to a thread.
unsafe impl Send for BatchNormPlan {}
// SAFETY: as for Send.
unsafe impl Sync for BatchNormPlan {}

impl BatchNormProblem {
    /// Checks the sizes; returns n, c, h and w as cuDNN takes them.
    fn check(&self) -> Result<[c_int; 4]> {
        let BatchNormProblem { n, h, w, c, .. } = *self;
        let sizes = [n, c, h, w];
        if sizes.contains(&0) {
            return Err(Error::Device(format!("cuDNN: {self}: a size is 0")));
        }
        let elements = sizes.into_iter().try_fold(1usize, usize::checked_mul);
        if elements.and_then(|elements| c_int::try_from(elements).ok()).is_none() {
            return Err(Error::Device(format!(
                "cuDNN: {self}: cuDNN supports tensors of less than 2^31 elements only; use a smaller batch"
            )));
        }
        Ok(sizes.map(|size| size as c_int))
    }
}

impl Cudnn {
    /// The plan of a batch normalisation: made at the first call, cached after.
    ///
    /// The context of [`Cudnn::open`] must be current, as in every call of cuDNN.
    ///
    /// # Errors
    /// A size of 0 or sizes beyond cuDNN's 31 bits; a cuDNN error.
    pub fn batchnorm_plan(&self, problem: &BatchNormProblem) -> Result<Arc<BatchNormPlan>> {
        let mut plans = self.batchnorm_plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(problem) {
            return Ok(Arc::clone(plan));
        }
        let plan = Arc::new(self.make_batchnorm_plan(problem)?);
        plans.insert(*problem, Arc::clone(&plan));
        Ok(plan)
    }

    fn make_batchnorm_plan(&self, problem: &BatchNormProblem) -> Result<BatchNormPlan> {
        let [n, c, h, w] = problem.check()?;
        let api = &self.api;
        let mut plan = BatchNormPlan {
            api: Arc::clone(api),
            problem: *problem,
            x: ptr::null_mut(),
            parameters: ptr::null_mut(),
            workspace: [0; 2],
            reserve: 0,
            is_plain: Default::default(),
        };
        let check = |name: &str, status| api.check(status, || format!("{name} for the {problem}"));
        // SAFETY: cuDNN creates each descriptor before it is set. The plan owns the descriptors and destroys them, also
        // when a later call fails.
        unsafe {
            for descriptor in [&mut plan.x, &mut plan.parameters] {
                let status = (api.cudnnCreateTensorDescriptor)(descriptor);
                check("cudnnCreateTensorDescriptor", status)?;
            }
            let set = api.cudnnSetTensor4dDescriptor;
            let status = set(plan.x, api::NHWC, problem.element.code(), n, c, h, w);
            check("cudnnSetTensor4dDescriptor", status)?;
            let status =
                (api.cudnnDeriveBNTensorDescriptor)(plan.parameters, plan.x, api::SPATIAL_PERSISTENT);
            check("cudnnDeriveBNTensorDescriptor", status)?;
        }
        let statuses = self.query_spaces(&mut plan);
        for (pass, statuses) in [(Pass::Forward, &statuses[..2]), (Pass::Backward, &statuses[2..])] {
            for &status in statuses {
                if is_refusal(status) {
                    plan.is_plain[pass as usize].store(true, Ordering::Relaxed);
                } else {
                    check("the query for the size of the memory", status)?;
                }
            }
        }
        Ok(plan)
    }

    /// Asks for the sizes of both spaces of the forward pass and of the workspace of the backward pass, in the
    /// persistent mode; returns the statuses.
    fn query_spaces(&self, plan: &mut BatchNormPlan) -> [Status; 3] {
        let (api, handle) = (&self.api, self.lock());
        let (mode, ops, none) = (api::SPATIAL_PERSISTENT, api::BATCHNORM_ALONE, ptr::null_mut());
        let (x, parameters) = (plan.x, plan.parameters);
        let [forward, backward] = &mut plan.workspace;
        // SAFETY: the descriptors are set, and each function writes one size. z, dz and the activation are not part of
        // these operations.
        unsafe {
            [
                (api.cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize)(
                    *handle, mode, ops, x, x, x, parameters, none, forward,
                ),
                (api.cudnnGetBatchNormalizationTrainingExReserveSpaceSize)(
                    *handle,
                    mode,
                    ops,
                    none,
                    x,
                    &raw mut plan.reserve,
                ),
                (api.cudnnGetBatchNormalizationBackwardExWorkspaceSize)(
                    *handle, mode, ops, x, x, x, none, x, parameters, none, backward,
                ),
            ]
        }
    }
}

impl BatchNormPlan {
    /// The problem of the plan.
    pub fn problem(&self) -> &BatchNormProblem {
        &self.problem
    }

    /// True if a pass runs in the persistent mode; false once cuDNN has refused it.
    pub fn is_persistent(&self, pass: Pass) -> bool {
        !self.is_plain[pass as usize].load(Ordering::Relaxed)
    }
}

/// Whether a status is an answer before anything is enqueued, with which another mode may be tried.
fn is_refusal(status: Status) -> bool {
    api::BAD_PARAM.contains(&status) || api::NOT_SUPPORTED.contains(&status)
}

impl Drop for BatchNormPlan {
    fn drop(&mut self) {
        for descriptor in [self.x, self.parameters] {
            if !descriptor.is_null() {
                // SAFETY: cuDNN created the descriptor, and it is destroyed once.
                let _ = unsafe { (self.api.cudnnDestroyTensorDescriptor)(descriptor) };
            }
        }
    }
}

impl fmt::Display for BatchNormProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BatchNormProblem { n, h, w, c, element } = *self;
        let element = match element {
            Element::F32 => "f32",
            Element::Bf16 => "bf16",
        };
        write!(f, "{element} batch normalisation of [{n}, {h}, {w}, {c}]")
    }
}
