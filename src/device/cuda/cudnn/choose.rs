//! The choice of the algorithms of a direction: the offers of cuDNN's heuristics, and a dry run of them.
//!
//! Book: [chapter 14](../../../../../../../docs/book/src/14-launches.md).

use super::api::{self, AlgoPerf, cudnnHandle_t as Handle};
use super::{Algorithm, Choice, Cudnn, Direction, Found, Plan, WORKSPACE_LIMIT};
use crate::Result;
use crate::device::cuda::Lane;
use crate::element::GradMode;
use std::ffi::c_int;

/// The algorithms that cuDNN's heuristics offer for a direction.
struct Offers {
    /// The deterministic ones, best first.
    algorithms: Vec<Algorithm>,
    /// The others, each with the reason.
    rejected: Vec<String>,
}

impl Cudnn {
    /// Tries out a direction of a plan and keeps its algorithms: for a result that is overwritten and for one that is
    /// added to, the first of cuDNN's offers that is enqueued without an error. An offer that fails is passed over whatever the status, with two exceptions: a
    /// parameter that cuDNN calls wrong is an error of the caller, which the next algorithm would hide; and free memory
    /// changes from run to run, so it must not decide. The first call for a direction decides; later ones run in vain. The
    /// content of the result is lost.
    ///
    /// `allocate` returns the address of a workspace of so many bytes and a guard, which is dropped once the dry run
    /// is enqueued.
    ///
    /// # Errors
    /// The error of `allocate`; a wrong parameter; no memory inside of cuDNN. That no algorithm runs is an error of [`Plan::choice`].
    ///
    /// # Safety
    /// As for [`Cudnn::run`], with a workspace of as many bytes as `allocate` was asked for.
    pub unsafe fn try_out<M>(
        &self,
        plan: &Plan,
        direction: Direction,
        operands: [u64; 2],
        result: u64,
        mut allocate: impl FnMut(usize) -> Result<(u64, M)>,
    ) -> Result<()> {
        // The lock is released here: a dry run takes it again.
        let offers = plan.offers(*self.lock(), direction);
        let algorithms = match offers {
            Err(error) => [(); 2].map(|()| Err(error.to_string())),
            Ok(offers) => {
                let mut first_to_run = |mode| {
                    let choice = |algorithm| Choice { plan, direction, mode, algorithm };
                    // SAFETY: the caller guarantees the arrays and the workspace.
                    unsafe { self.first_to_run(&offers, choice, operands, result, &mut allocate) }
                };
                let overwrite = first_to_run(GradMode::Overwrite)?;
                let accumulate = match &overwrite {
                    // It reads what the first dry run has written. Not every direction is ever added to, so that an
                    // error is one only where it is.
                    Ok(_) => {
                        first_to_run(GradMode::Accumulate).unwrap_or_else(|error| Err(error.to_string()))
                    }
                    Err(reasons) => Err(reasons.clone()),
                };
                [overwrite, accumulate]
            }
        };
        // An error means that another thread was first, with the same algorithms.
        let _ = plan.choices[direction as usize].set(algorithms);
        Ok(())
    }

    /// The first algorithm that runs, or the reason of each that does not.
    ///
    /// # Safety
    /// As for [`Cudnn::try_out`].
    unsafe fn first_to_run<'a, M>(
        &self,
        offers: &Offers,
        choice: impl Fn(Algorithm) -> Choice<'a>,
        operands: [u64; 2],
        result: u64,
        allocate: &mut impl FnMut(usize) -> Result<(u64, M)>,
    ) -> Result<Found> {
        let mut rejected = offers.rejected.clone();
        // ANCHOR: dry_run
        for &algorithm in &offers.algorithms {
            let (number, choice) = (algorithm.number, choice(algorithm));
            let (workspace, _guard) = match algorithm.workspace {
                0 => (0, None),
                bytes => allocate(bytes).map(|(address, guard)| (address, Some(guard)))?,
            };
            // SAFETY: the caller guarantees the arrays and the workspace.
            let status = unsafe { self.enqueue(Lane::Main, choice, operands, result, workspace) };
            if status == api::SUCCESS {
                return Ok(Ok(algorithm));
            }
            if api::BAD_PARAM.contains(&status) || api::NO_MEMORY.contains(&status) {
                let (direction, problem) = (choice.direction, choice.plan.problem);
                self.api.check(status, || format!("{direction} of the {problem} by algorithm {number}"))?;
            }
            rejected.push(format!("{number}: {} ({status}) in a dry run", self.api.text(status)));
        }
        // ANCHOR_END: dry_run
        let offered = if rejected.is_empty() { "none".into() } else { rejected.join(", ") };
        Ok(Err(format!("cuDNN offered {offered}; use another cuDNN 9, or the CPU")))
    }
}

impl Plan {
    /// The deterministic algorithms of a direction in the order of cuDNN's heuristics; those beyond [`WORKSPACE_LIMIT`]
    /// come last, the smallest workspace first.
    fn offers(&self, handle: Handle, direction: Direction) -> Result<Offers> {
        let (mut algorithms, mut over_limit, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
        for offer in self.listed(handle, direction)? {
            let (number, math) = (offer.algo, offer.mathType);
            let math_type = self.problem.math_types().iter().copied().find(|&known| known == math);
            let reason = match math_type {
                _ if offer.status != api::SUCCESS => {
                    format!("{} ({})", self.api.text(offer.status), offer.status)
                }
                _ if offer.determinism != api::DETERMINISTIC || direction.avoids(number) => {
                    "not deterministic".into()
                }
                None => format!("math type {math}, which is not of this precision"),
                Some(math) => match self.workspace_of(handle, direction, number, math) {
                    Ok(workspace) => {
                        let list =
                            if workspace <= WORKSPACE_LIMIT { &mut algorithms } else { &mut over_limit };
                        list.push(Algorithm { number, math, workspace });
                        continue;
                    }
                    Err(error) => error.to_string(),
                },
            };
            rejected.push(format!("{number}: {reason}"));
        }
        over_limit.sort_by_key(|algorithm| algorithm.workspace);
        algorithms.append(&mut over_limit);
        Ok(Offers { algorithms, rejected })
    }

    /// All algorithms of a direction, in the order of cuDNN's heuristics.
    fn listed(&self, handle: Handle, direction: Direction) -> Result<Vec<AlgoPerf>> {
        let api = &self.api;
        let (x, y, w, conv) = (self.x, self.y, self.w, self.convolution(self.problem.math_types()[0]));
        let mut listed = [AlgoPerf::default(); api::MAX_ALGORITHMS];
        let (room, mut number) = (api::MAX_ALGORITHMS as c_int, 0);
        let (to, count) = (listed.as_mut_ptr(), &raw mut number);
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
        Ok(listed.into_iter().take(number).collect())
    }

    fn workspace_of(
        &self,
        handle: Handle,
        direction: Direction,
        algorithm: c_int,
        math: c_int,
    ) -> Result<usize> {
        let api = &self.api;
        let (x, y, w, conv) = (self.x, self.y, self.w, self.convolution(math));
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
