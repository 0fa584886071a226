use std::thread;

/// Elements of a chunk; the last one has what is left.
pub const CHUNK: usize = 1000;

/// The sum of x, by so many threads. Thread t adds the chunks t, t + threads, t + 2 threads, each by one call of `add`.
/// The bits of the result are the same for any number of threads.
pub fn sum(x: &[f32], threads: usize, add: &(dyn Fn(&[f32]) -> f32 + Sync)) -> f32 {
    let chunks: Vec<&[f32]> = x.chunks(CHUNK).collect();
    let mut sums = vec![0.0; chunks.len()];
    thread::scope(|scope| {
        let chunks = &chunks;
        let own = |t: usize| move || chunks.iter().skip(t).step_by(threads).map(|chunk| add(chunk)).collect();
        let workers: Vec<_> = (0..threads).map(|t| scope.spawn(own(t))).collect();
        for (t, worker) in workers.into_iter().enumerate() {
            let own: Vec<f32> = worker.join().expect("a thread ends");
            sums.iter_mut().skip(t).step_by(threads).zip(own).for_each(|(to, from)| *to = from);
        }
    });
    // One order of the chunks, whoever has added them.
    sums.iter().sum()
}
