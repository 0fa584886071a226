// Expect: they depend on which thread is first
use std::sync::Mutex;
use std::thread;

pub const CHUNK: usize = 1000;

pub fn sum(x: &[f32], threads: usize, add: &(dyn Fn(&[f32]) -> f32 + Sync)) -> f32 {
    let chunks: Vec<&[f32]> = x.chunks(CHUNK).collect();
    let all = Mutex::new(0.0);
    thread::scope(|scope| {
        for t in 0..threads {
            let (chunks, all) = (&chunks, &all);
            scope.spawn(move || {
                for chunk in chunks.iter().skip(t).step_by(threads) {
                    let own = add(chunk);
                    *all.lock().expect("no thread panics") += own;
                }
            });
        }
    });
    all.into_inner().expect("no thread panics")
}
