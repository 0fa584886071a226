//! The calls: arrays, modes, and what happens where cuDNN does not support a mode.

use super::super::Cudnn;
use super::super::api::{self, cudnnStatus_t as Status};
use super::{BatchNormPlan, Pass, Space, is_refusal};
use crate::Result;
use crate::element::GradMode;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::Ordering;

/// The device arrays of a forward pass of training, and its numbers.
#[derive(Clone, Copy, Debug)]
pub struct Training {
    /// The input, which is read.
    pub x: u64,
    /// The output, which is overwritten.
    pub y: u64,
    /// The scale and the shift, which are read.
    pub gamma_beta: [u64; 2],
    /// The running mean and the running variance, which are moved.
    pub running: [u64; 2],
    /// The mean of the batch and 1 / sqrt(variance + epsilon), which are overwritten.
    pub saved: [u64; 2],
    /// The weight of the batch in the running statistics, in [0, 1].
    pub momentum: f64,
    /// The constant added to the variance.
    pub epsilon: f64,
}

/// The device arrays of a backward pass, and its numbers.
#[derive(Clone, Copy, Debug)]
pub struct Gradients {
    /// The input of the forward pass.
    pub x: u64,
    /// The gradient of the output, which is read.
    pub dy: u64,
    /// The gradient of the input, which is overwritten.
    pub dx: u64,
    /// The scale.
    pub gamma: u64,
    /// The gradients of gamma and beta.
    pub parameters: [u64; 2],
    /// Whether the gradients of gamma and beta are overwritten or added to.
    pub mode: GradMode,
    /// [`Training::saved`].
    pub saved: [u64; 2],
    /// [`Training::epsilon`].
    pub epsilon: f64,
}

/// The device arrays of a forward pass with given statistics, and its number.
#[derive(Clone, Copy, Debug)]
pub struct Inference {
    /// The input, which is read.
    pub x: u64,
    /// The output, which is overwritten.
    pub y: u64,
    /// The scale and the shift.
    pub gamma_beta: [u64; 2],
    /// The mean and the variance.
    pub statistics: [u64; 2],
    /// The constant added to the variance.
    pub epsilon: f64,
}

impl Cudnn {
    /// Enqueues the forward pass of training: statistics of the batch,
    /// y = gamma (x - mean) / sqrt(variance + epsilon) + beta, and running = (1 - momentum) running + momentum batch,
    /// with the unbiased variance. Returns the guard of the reserve space for [`Cudnn::batchnorm_backward`], none where
    /// the pass ran without one.
    ///
    /// `allocate` returns the address of so many bytes for a [`Space`] and a guard; that of a workspace is dropped once
    /// the pass is enqueued.
    ///
    /// # Errors
    /// The error of `allocate`; a cuDNN error.
    ///
    /// # Safety
    /// The plan is one of this `Cudnn`. The addresses are device arrays of the problem's sizes, `[n, h, w, c]` of its
    /// element type or `[c]` of f32, which do not overlap; what `allocate` returns has at least as many bytes as it was
    /// asked for. The arrays live until the stream has done the work, and nothing outside of the stream uses them
    /// before. The context of [`Cudnn::open`] is current.
    pub unsafe fn batchnorm_forward<M>(
        &self,
        plan: &BatchNormPlan,
        arrays: &Training,
        mut allocate: impl FnMut(Space, usize) -> Result<(u64, M)>,
    ) -> Result<Option<M>> {
        if plan.is_persistent(Pass::Forward) {
            let (workspace, _guard) = allocate(Space::Workspace, plan.workspace[Pass::Forward as usize])?;
            let (reserve, guard) = allocate(Space::Reserve, plan.reserve)?;
            // SAFETY: the caller guarantees the arrays and the spaces.
            let status = unsafe { self.enqueue_forward(plan, arrays, Some([workspace, reserve])) };
            if !plan.must_be_plain(Pass::Forward, status) {
                return plan.check(status, "the forward pass").map(|()| Some(guard));
            }
        }
        // SAFETY: the caller guarantees the arrays.
        let status = unsafe { self.enqueue_forward(plan, arrays, None) };
        plan.check(status, "the forward pass").map(|()| None)
    }

    /// Enqueues the backward pass of training. `reserve` is the address of what [`Cudnn::batchnorm_forward`] left in
    /// its reserve space; none where that pass ran without one.
    ///
    /// # Errors
    /// As [`Cudnn::batchnorm_forward`].
    ///
    /// # Safety
    /// As for [`Cudnn::batchnorm_forward`]; x, gamma and the saved statistics are unchanged since that pass.
    pub unsafe fn batchnorm_backward<M>(
        &self,
        plan: &BatchNormPlan,
        arrays: &Gradients,
        reserve: Option<u64>,
        mut allocate: impl FnMut(Space, usize) -> Result<(u64, M)>,
    ) -> Result<()> {
        if let Some(reserve) = reserve.filter(|_| plan.is_persistent(Pass::Backward)) {
            let (workspace, _guard) = allocate(Space::Workspace, plan.workspace[Pass::Backward as usize])?;
            // SAFETY: the caller guarantees the arrays and the spaces.
            let status = unsafe { self.enqueue_backward(plan, arrays, Some([workspace, reserve])) };
            if !plan.must_be_plain(Pass::Backward, status) {
                return plan.check(status, "the backward pass");
            }
        }
        // SAFETY: the caller guarantees the arrays.
        let status = unsafe { self.enqueue_backward(plan, arrays, None) };
        plan.check(status, "the backward pass")
    }

    /// Enqueues the forward pass with given statistics: y = gamma (x - mean) / sqrt(variance + epsilon) + beta.
    ///
    /// # Errors
    /// A cuDNN error.
    ///
    /// # Safety
    /// As for [`Cudnn::batchnorm_forward`].
    pub unsafe fn batchnorm_inference(&self, plan: &BatchNormPlan, arrays: &Inference) -> Result<()> {
        let Inference { x, y, gamma_beta, statistics, epsilon } = *arrays;
        let [gamma, beta] = gamma_beta.map(input);
        let [mean, variance] = statistics.map(input);
        let (api, handle) = (&self.api, self.lock());
        // SAFETY: the caller guarantees the arrays; the descriptors are set. The factors are read before the call
        // returns.
        let status = unsafe {
            (api.cudnnBatchNormalizationForwardInference)(
                *handle,
                api::SPATIAL,
                factor(&ONE),
                factor(&ZERO),
                plan.x,
                input(x),
                plan.x,
                output(y),
                plan.parameters,
                gamma,
                beta,
                mean,
                variance,
                epsilon,
            )
        };
        plan.check(status, "the forward pass with given statistics")
    }

    /// Enqueues the forward pass of training: in the persistent mode with a workspace and a reserve space, in the plain
    /// mode without. Returns cuDNN's status.
    ///
    /// # Safety
    /// As for [`Cudnn::batchnorm_forward`].
    unsafe fn enqueue_forward(
        &self,
        plan: &BatchNormPlan,
        arrays: &Training,
        spaces: Option<[u64; 2]>,
    ) -> Status {
        let Training { x, y, gamma_beta, running, saved, momentum, epsilon } = *arrays;
        let [gamma, beta] = gamma_beta.map(input);
        let [running_mean, running_variance] = running.map(output);
        let [mean, inverse_deviation] = saved.map(output);
        let Mode { mode, workspace, reserve } = plan.mode(Pass::Forward, spaces);
        let (api, handle, none) = (&self.api, self.lock(), ptr::null_mut());
        // SAFETY: the caller guarantees the arrays; the descriptors are set. The factors are read before the call
        // returns.
        unsafe {
            (api.cudnnBatchNormalizationForwardTrainingEx)(
                *handle,
                mode,
                api::BATCHNORM_ALONE,
                factor(&ONE),
                factor(&ZERO),
                plan.x,
                input(x),
                none,
                none,
                plan.x,
                output(y),
                plan.parameters,
                gamma,
                beta,
                momentum,
                running_mean,
                running_variance,
                epsilon,
                mean,
                inverse_deviation,
                none,
                workspace.0,
                workspace.1,
                reserve.0,
                reserve.1,
            )
        }
    }

    /// As [`Cudnn::enqueue_forward`], for the backward pass.
    ///
    /// # Safety
    /// As for [`Cudnn::batchnorm_backward`].
    unsafe fn enqueue_backward(
        &self,
        plan: &BatchNormPlan,
        arrays: &Gradients,
        spaces: Option<[u64; 2]>,
    ) -> Status {
        let Gradients { x, dy, dx, gamma, parameters, mode: of_parameters, saved, epsilon } = *arrays;
        let [dgamma, dbeta] = parameters.map(output);
        let [mean, inverse_deviation] = saved.map(input);
        let Mode { mode, workspace, reserve } = plan.mode(Pass::Backward, spaces);
        let (api, handle, none) = (&self.api, self.lock(), ptr::null_mut());
        let beta_of_parameters: f32 = of_parameters.beta();
        // SAFETY: the caller guarantees the arrays; the descriptors are set. The factors are read before the call
        // returns. y, dz and beta belong to operations with an activation.
        unsafe {
            (api.cudnnBatchNormalizationBackwardEx)(
                *handle,
                mode,
                api::BATCHNORM_ALONE,
                factor(&ONE),
                factor(&ZERO),
                factor(&ONE),
                factor(&beta_of_parameters),
                plan.x,
                input(x),
                none,
                none,
                plan.x,
                input(dy),
                none,
                none,
                plan.x,
                output(dx),
                plan.parameters,
                input(gamma),
                none,
                dgamma,
                dbeta,
                epsilon,
                mean,
                inverse_deviation,
                none,
                workspace.0,
                workspace.1,
                reserve.0,
                reserve.1,
            )
        }
    }
}

/// The scaling factors of cuDNN's functions, in host memory; f32 for f32 and for bf16 data.
static ONE: f32 = 1.0;
static ZERO: f32 = 0.0;

fn factor(value: &f32) -> *const c_void {
    ptr::from_ref(value).cast()
}

fn input(address: u64) -> *const c_void {
    address as *const c_void
}

fn output(address: u64) -> *mut c_void {
    address as *mut c_void
}

/// The mode of a call and its spaces: address and bytes.
struct Mode {
    mode: c_int,
    workspace: (*mut c_void, usize),
    reserve: (*mut c_void, usize),
}

impl BatchNormPlan {
    /// Whether the answer to a call in the persistent mode is a refusal; the plan then keeps the plain mode for this
    /// pass.
    fn must_be_plain(&self, pass: Pass, status: Status) -> bool {
        let refused = is_refusal(status);
        if refused {
            self.is_plain[pass as usize].store(true, Ordering::Relaxed);
        }
        refused
    }

    fn mode(&self, pass: Pass, spaces: Option<[u64; 2]>) -> Mode {
        let nothing = (ptr::null_mut(), 0);
        match spaces.map(|spaces| spaces.map(output)) {
            None => Mode { mode: api::SPATIAL, workspace: nothing, reserve: nothing },
            Some([workspace, reserve]) => Mode {
                mode: api::SPATIAL_PERSISTENT,
                workspace: (workspace, self.workspace[pass as usize]),
                reserve: (reserve, self.reserve),
            },
        }
    }

    fn check(&self, status: Status, pass: &str) -> Result<()> {
        self.api.check(status, || format!("{pass} of the {}", self.problem))
    }
}
