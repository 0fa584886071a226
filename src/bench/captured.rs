//! Timing of captured steps: whole, in parts, and by the kind of work.
//!
//! A part is captured as a graph of its own, and the graphs of a step are replayed in its order: the backward pass
//! reads what the forward pass has saved, and overwrites some of it. No part is therefore replayed alone.
//!
//! The kinds of work are timed within a step, by an event behind each piece of work, and not in graphs of one kind
//! each: such a graph would read what other kinds should have written, addresses among it, and its kernels would find
//! other data in the caches.

use super::clock::{Mark, between, median};
use super::parts::{Part, Parts, by_part};
use super::report::Times;
use super::{Bench, MOST_PENDING};
use crate::device::Device;
use crate::device::cuda::{CudaDevice, TimeByKind};
use crate::error::Remedy;
use crate::train::step::{step, step_with_hook};
use crate::train::step_runner::StepRunner;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Number of steps within which one must have been captured.
const CAPTURE_DEADLINE: usize = 20;
/// Untimed replays before the timed ones.
const WARM_UP: usize = 3;

impl Bench {
    /// Times replays of a step that was captured once.
    pub(super) fn captured(&mut self, steps: usize, done: &dyn Fn(usize)) -> Result<Times> {
        let mut step_runner = StepRunner::new(&self.device, true);
        let mut warm = 0;
        while step_runner.nodes().is_none() || warm < self.warm_up() {
            if warm == CAPTURE_DEADLINE {
                return Err(never_captured());
            }
            self.step(&mut step_runner)?;
            if let Some(capture_error) = step_runner.take_capture_error() {
                return Err(Error::Device(capture_error).with_remedies([Remedy::WithoutCapture]));
            }
            warm += 1;
        }
        let mut marks = vec![Mark::here(&self.device)?];
        for i in 0..steps {
            self.step(&mut step_runner)?;
            marks.push(Mark::here(&self.device)?);
            done(i + 1);
        }
        self.wait(0)?;
        let nodes = step_runner.nodes().map(|nodes| nodes as u64);
        Ok(Times::new(between(&marks)?, self.config.solver.batch, nodes))
    }

    /// Times the parts of a step, each a graph of its own; also returns the nodes of each part.
    pub(super) fn captured_parts(
        &mut self,
        gpu: &Arc<CudaDevice>,
        steps: usize,
        done: &dyn Fn(usize),
    ) -> Result<(Parts, [u64; Part::COUNT])> {
        self.settle(gpu)?;
        self.prepare()?;
        let mut parts = vec![Part::Assemble];
        let (mut graphs, output) = {
            let Bench { config, model, params, optimizer, values, loader, .. } = self;
            gpu.capture_parts(&gpu.enter_step()?, |next_part| {
                let batch = loader.batch(values)?;
                next_part()?;
                step_with_hook(model, params, &mut **optimizer, values, batch, config, &mut |phase| {
                    parts.push(phase.into());
                    next_part()
                })
            })?
        };
        // Work of a step behind its last phase belongs to that phase.
        parts.push(*parts.last().expect("a step has parts"));
        let mut nodes = [0; Part::COUNT];
        for (part, graph) in parts.iter().zip(&graphs) {
            nodes[*part as usize] += graph.nodes() as u64;
        }
        let mut marks = Vec::new();
        for i in 0..WARM_UP + steps {
            if i > 0 {
                self.prepare()?;
            }
            let mut of_step = vec![Mark::here(&self.device)?];
            for graph in &mut graphs {
                graph.replay()?;
                of_step.push(Mark::here(&self.device)?);
            }
            marks.push(of_step);
            self.pending.push_back(output.download_async()?);
            self.wait(MOST_PENDING)?;
            done((i + 1).saturating_sub(WARM_UP));
        }
        self.wait(0)?;
        let seconds = marks[WARM_UP..].iter().map(|marks| Ok(by_part(&parts, &between(marks)?)));
        Ok((Parts::new(&seconds.collect::<Result<Vec<_>>>()?), nodes))
    }

    /// Times the kinds of work in replays of a step with events, in one stream. Returns the median seconds of each kind
    /// with the number of its pieces, and the median seconds of the same step without events.
    pub(super) fn kind_times(
        &mut self,
        gpu: &Arc<CudaDevice>,
        steps: usize,
        done: &dyn Fn(usize),
    ) -> Result<(TimeByKind, f64)> {
        let is_one = gpu.streams() == 1;
        gpu.use_one_stream(true);
        let times = self.kind_times_in_one_stream(gpu, steps, done);
        gpu.use_one_stream(is_one);
        times
    }

    fn kind_times_in_one_stream(
        &mut self,
        gpu: &Arc<CudaDevice>,
        steps: usize,
        done: &dyn Fn(usize),
    ) -> Result<(TimeByKind, f64)> {
        self.settle(gpu)?;
        self.prepare()?;
        let (mut whole, (mut timed, output)) = {
            let Bench { config, model, params, optimizer, values, loader, .. } = self;
            let mut work = || step(model, params, &mut **optimizer, values, loader.batch(values)?, config);
            let region = gpu.enter_step()?;
            // Without its output, whose memory the second capture needs.
            let (whole, _) = gpu.capture(&region, &mut work)?;
            (whole, gpu.capture_timed(&region, work)?)
        };
        if timed.nodes() != whole.nodes() {
            return Err(Error::Device(format!(
                "the step has {} nodes, and {} of them when it is captured with events; this is a bug of bcreid, \
                 please report it",
                whole.nodes(),
                timed.nodes()
            )));
        }
        let mut marks = Vec::new();
        for i in 0..=WARM_UP + steps {
            if i > 0 {
                self.prepare()?;
            }
            whole.replay()?;
            if i >= WARM_UP {
                marks.push(Mark::here(&self.device)?);
            }
        }
        let whole_seconds = median(&mut between(&marks)?);
        let mut samples = BTreeMap::<String, (Vec<f64>, u64)>::new();
        for i in 0..WARM_UP + steps {
            self.prepare()?;
            for (kind, (seconds, count)) in timed.time()? {
                let (values, pieces) = samples.entry(kind).or_default();
                *pieces = count;
                if i >= WARM_UP {
                    values.push(seconds);
                }
            }
            done((i + 1).saturating_sub(WARM_UP));
        }
        self.pending.push_back(output.download_async()?);
        self.wait(0)?;
        let medians =
            samples.into_iter().map(|(kind, (mut values, count))| (kind, (median(&mut values), count)));
        Ok((medians.collect(), whole_seconds))
    }

    /// Runs plain steps until one finds all its memory in the pool, so that the next one can be captured.
    fn settle(&mut self, gpu: &CudaDevice) -> Result<()> {
        for _ in 0..CAPTURE_DEADLINE {
            let before = gpu.memory_growth();
            self.step(&mut StepRunner::new(&Device::clone(&self.device), false))?;
            self.wait(0)?;
            if gpu.memory_growth() == before {
                return Ok(());
            }
        }
        Err(never_captured())
    }
}

fn never_captured() -> Error {
    Error::Device(format!(
        "none of {CAPTURE_DEADLINE} steps could be captured: each of them needed more memory"
    ))
    .with_remedies([Remedy::WithoutCapture])
}
