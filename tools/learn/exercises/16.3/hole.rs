use std::thread;

/// Elements of a chunk; the last one has what is left.
pub const CHUNK: usize = 1000;

/// The sum of x, by so many threads. Thread t adds the chunks t, t + threads, t + 2 threads, each by one call of `add`.
/// The bits of the result are the same for any number of threads.
pub fn sum(x: &[f32], threads: usize, add: &(dyn Fn(&[f32]) -> f32 + Sync)) -> f32 {
    let _ = (x, add, thread::spawn(|| ()));
    todo!("which thread adds the sums of the chunks, and in which order, with {threads} threads?")
}
