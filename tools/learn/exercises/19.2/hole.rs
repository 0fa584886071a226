//! Three clocks for the same work: a launch of each of `kernels`, which are times in microseconds. Work of others may
//! be in the stream before, and does not count.

use crate::gpu::Gpu;

/// The host's clock, read before the first and after the last launch: how long the host was busy with launching.
pub fn without_waiting(gpu: &mut Gpu, kernels: &[u64]) -> u64 {
    let _ = gpu;
    todo!("{} launches", kernels.len())
}

/// The host's clock with all the waiting that is needed: from an idle stream to the end of the last kernel.
pub fn with_waiting(gpu: &mut Gpu, kernels: &[u64]) -> u64 {
    let _ = gpu;
    todo!("{} launches", kernels.len())
}

/// The stream's time from an event before the first kernel to one after the last.
pub fn by_events(gpu: &mut Gpu, kernels: &[u64]) -> u64 {
    let _ = gpu;
    todo!("{} launches", kernels.len())
}
