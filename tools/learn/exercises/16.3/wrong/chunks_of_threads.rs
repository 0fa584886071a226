// Expect: a call of `add` gets 500 elements, chunk 0 has 1000
use std::thread;

pub const CHUNK: usize = 1000;

pub fn sum(x: &[f32], threads: usize, add: &(dyn Fn(&[f32]) -> f32 + Sync)) -> f32 {
    let chunk = x.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let workers: Vec<_> = x.chunks(chunk).map(|own| scope.spawn(move || add(own))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a thread ends")).sum()
    })
}
