use crate::answer::sum;
use crate::checks::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// The elements of a chunk, by the task.
const CHUNK: usize = 1000;

/// The longest time for which a chunk is held: threads that run at the same time need far less.
const PATIENCE: Duration = Duration::from_secs(10);

/// The calls of `add`: place and length of the chunk, in the order of their ends, with the thread.
struct Calls {
    ended: Mutex<Vec<(usize, usize, ThreadId)>>,
    one_more: Condvar,
}

/// The sum by so many threads, and who has added what. Chunk `held` is not added before `others` other chunks are.
fn run(
    x: &[f32],
    threads: usize,
    held: usize,
    others: usize,
) -> Result<(f32, Vec<(usize, usize, ThreadId)>), String> {
    let is_alone = AtomicBool::new(false);
    let calls = Calls { ended: Mutex::new(Vec::new()), one_more: Condvar::new() };
    let begin = x.as_ptr() as usize;
    let add = |chunk: &[f32]| {
        let at = (chunk.as_ptr() as usize).wrapping_sub(begin) / 4;
        let mut ended = calls.ended.lock().unwrap();
        if at == held * CHUNK {
            let waited =
                calls.one_more.wait_timeout_while(ended, PATIENCE, |ended| ended.len() < others).unwrap();
            is_alone.fetch_or(waited.1.timed_out(), Ordering::Relaxed);
            ended = waited.0;
        }
        ended.push((at, chunk.len(), thread::current().id()));
        drop(ended);
        calls.one_more.notify_all();
        chunk.iter().sum()
    };
    let got = sum(x, threads, &add);
    that(!is_alone.into_inner(), || {
        format!(
            "while chunk {held} is added, no other thread adds chunks: the threads must run at the same time"
        )
    })?;
    let ended = calls.ended.into_inner().map_err(|_| "a thread has panicked".to_string())?;
    Ok((got, ended))
}

/// Each chunk was added once, by its thread.
fn shared_out(n: usize, threads: usize, mut calls: Vec<(usize, usize, ThreadId)>) -> Finding {
    calls.sort_unstable_by_key(|(at, ..)| *at);
    let mut owners: BTreeMap<usize, ThreadId> = BTreeMap::new();
    for (c, &(at, length, thread)) in calls.iter().enumerate() {
        let want = CHUNK.min(n.saturating_sub(c * CHUNK));
        that(length == want, || {
            format!(
                "a call of `add` gets {length} elements, chunk {c} has {want}: the chunks must not depend on the \
                     number of threads"
            )
        })?;
        that(at == c * CHUNK, || {
            format!("a call of `add` begins at element {at}, and chunk {c} at {}", c * CHUNK)
        })?;
        let owner = *owners.entry(c % threads).or_insert(thread);
        that(owner == thread, || format!("chunk {c} is added by another thread than chunk {}", c % threads))?;
    }
    let chunks = n.div_ceil(CHUNK);
    that(calls.len() == chunks, || format!("`add` is called {} times for {chunks} chunks", calls.len()))?;
    let mut different: Vec<ThreadId> = owners.into_values().collect();
    different.sort_unstable_by_key(|id| format!("{id:?}"));
    different.dedup();
    that(different.len() == threads.min(chunks), || {
        format!("threads that have added chunks: {} instead of {}", different.len(), threads.min(chunks))
    })
}

fn same(got: f32, other: f32, what: &str) -> Finding {
    let [got, other] = [got, other].map(f32::to_bits);
    that(got == other, || format!("the bits are {got:08x} or {other:08x}: they depend on {what}"))
}

fn one(n: usize) -> Finding {
    // Of many sizes and of both signs, so that nearly each order of additions has other bits.
    let of_size = |(i, x): (usize, f32)| x * 2f32.powi((i / 800 % 11) as i32);
    let x: Vec<f32> = Numbers::new(n as u64).many_f32(n).into_iter().enumerate().map(of_size).collect();
    let size: f64 = x.iter().map(|x| f64::from(x.abs())).sum();
    let exact: f64 = x.iter().map(|x| f64::from(*x)).sum();
    let (chunks, mut sums) = (n.div_ceil(CHUNK), Vec::new());
    for threads in 1..=16 {
        let named = |found: String| format!("length {n}, threads {threads}: {found}");
        // Chunks of the threads that do not wait.
        let others =
            |held: usize| (0..chunks).filter(|c| c % threads != held % threads).count().min(2 * threads);
        let (free, calls) = run(&x, threads, chunks, 0).map_err(named)?;
        shared_out(n, threads, calls).map_err(named)?;
        that((f64::from(free) - exact).abs() <= 1e-6 * size, || {
            named(format!("the sum is {free} instead of {}", short(exact + 0.0)))
        })?;
        for held in [0, 1] {
            let (late, _) = run(&x, threads, held, others(held)).map_err(named)?;
            same(late, free, "which thread is first").map_err(named)?;
        }
        sums.push(free);
    }
    for (threads, &got) in (1..).zip(&sums) {
        let named = |found: String| format!("length {n}, threads {threads} and 1: {found}");
        same(got, sums[0], "the number of threads").map_err(named)?;
    }
    Ok(())
}

pub fn grade(checks: &mut Checks) {
    for n in [0, 1, 1000, 20_003, 50_000] {
        checks.check(&format!("length {n}"), || one(n));
    }
}
