// Expect: they depend on the number of threads
use std::thread;

pub const CHUNK: usize = 1000;

pub fn sum(x: &[f32], threads: usize, add: &(dyn Fn(&[f32]) -> f32 + Sync)) -> f32 {
    let chunks: Vec<&[f32]> = x.chunks(CHUNK).collect();
    thread::scope(|scope| {
        let chunks = &chunks;
        let own = |t: usize| move || -> f32 { chunks.iter().skip(t).step_by(threads).map(|c| add(c)).sum() };
        let workers: Vec<_> = (0..threads).map(|t| scope.spawn(own(t))).collect();
        // The sums of the threads are added in order, but what a thread has added depends on their number.
        workers.into_iter().map(|worker| worker.join().expect("a thread ends")).sum()
    })
}
