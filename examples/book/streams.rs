//! Chapter 15: the rules of the product's memory pool and of its two streams, without a GPU.

use std::collections::BTreeMap;
use std::error::Error;

const MB: usize = 1 << 20;

// ANCHOR: pool
/// A caching allocator: freed blocks are kept by their size, and the driver is asked only if none fits.
#[derive(Default)]
struct Pool {
    free: BTreeMap<usize, usize>,
    from_driver: usize,
    held: usize,
    current: usize,
    peak: usize,
}

impl Pool {
    /// Takes the smallest block of at least `bytes`, and at most a quarter more. Returns its size.
    fn alloc(&mut self, bytes: usize) -> usize {
        let size = bytes.next_multiple_of(if bytes < MB { 512 } else { 2 * MB });
        let found = self.free.range(size..=size + size / 4).next().map(|(&size, _)| size);
        let block = found.unwrap_or(size);
        match self.free.get_mut(&block) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => drop(self.free.remove(&block)),
            None => (self.from_driver, self.held) = (self.from_driver + 1, self.held + size),
        }
        self.current += block;
        self.peak = self.peak.max(self.current);
        block
    }

    fn free(&mut self, block: usize) {
        self.current -= block;
        *self.free.entry(block).or_default() += 1;
    }
}
// ANCHOR_END: pool

pub fn pool() -> Result<(), Box<dyn Error>> {
    let mut pool = Pool::default();
    println!("step  batch  from the driver  peak, MB  held, MB");
    for (step, batch) in [16, 16, 16, 24, 16].into_iter().enumerate() {
        let before = pool.from_driver;
        // The activations of six layers live until their backward pass; each gradient replaces the one before it.
        let sizes = [8, 8, 4, 4, 2, 1].map(|mb| mb * MB * batch / 16);
        let mut activations: Vec<usize> = sizes.iter().map(|&bytes| pool.alloc(bytes)).collect();
        let mut gradient = pool.alloc(sizes[5]);
        for bytes in sizes.iter().rev() {
            let next = pool.alloc(*bytes);
            pool.free(std::mem::replace(&mut gradient, next));
            pool.free(activations.pop().ok_or("a layer without an activation")?);
        }
        pool.free(gradient);
        let asked = pool.from_driver - before;
        println!("{step:4}  {batch:5}  {asked:15}  {:8}  {:8}", pool.peak / MB, pool.held / MB);
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Lane {
    Main,
    Side,
}

/// A piece of work: its name, its stream, what it reads, what it writes, and its time.
struct Work(&'static str, Lane, &'static [&'static str], &'static [&'static str], u32);

/// A step of a network with three convolutions, each with batch normalisation.
const STEP: [Work; 20] = [
    Work("conv1", Lane::Main, &["x", "w1"], &["y1"], 6),
    Work("bn1", Lane::Main, &["y1"], &["z1"], 5),
    Work("conv2", Lane::Main, &["z1", "w2"], &["y2"], 6),
    Work("bn2", Lane::Main, &["y2"], &["z2"], 5),
    Work("conv3", Lane::Main, &["z2", "w3"], &["y3"], 6),
    Work("bn3", Lane::Main, &["y3"], &["z3"], 5),
    Work("loss", Lane::Main, &["z3"], &["dz3"], 2),
    Work("bn3'", Lane::Main, &["y3", "dz3"], &["dy3"], 7),
    Work("wgrad3", Lane::Side, &["z2", "dy3"], &["dw3"], 6),
    Work("dgrad3", Lane::Main, &["w3", "dy3"], &["dz2"], 6),
    Work("sgd3", Lane::Side, &["dw3"], &["w3"], 3),
    Work("bn2'", Lane::Main, &["y2", "dz2"], &["dy2"], 7),
    Work("wgrad2", Lane::Side, &["z1", "dy2"], &["dw2"], 6),
    Work("dgrad2", Lane::Main, &["w2", "dy2"], &["dz1"], 6),
    Work("sgd2", Lane::Side, &["dw2"], &["w2"], 3),
    Work("bn1'", Lane::Main, &["y1", "dz1"], &["dy1"], 7),
    Work("wgrad1", Lane::Side, &["x", "dy1"], &["dw1"], 6),
    Work("sgd1", Lane::Side, &["dw1"], &["w1"], 1),
    // The end of the backward pass: later work may read all weights.
    Work("join", Lane::Main, &["w1", "w2", "w3"], &[], 0),
    Work("centers", Lane::Main, &["z3"], &["c"], 2),
];

// ANCHOR: order
/// The order of two streams: the time when each is free, and side work that the main stream has not waited for.
#[derive(Default)]
struct Streams<'a> {
    main: u32,
    side: u32,
    pending: Vec<(&'a Work, u32)>,
}

impl<'a> Streams<'a> {
    /// Enqueues work and returns when it begins and ends.
    fn enqueue(&mut self, work: &'a Work) -> [u32; 2] {
        let &Work(_, lane, reads, writes, time) = work;
        let shares = |a: &[&str], b: &[&str]| a.iter().any(|name| b.contains(name));
        if lane == Lane::Side {
            // A fork: it waits for all that the main stream has got before it.
            let begin = self.side.max(self.main);
            self.side = begin + time;
            self.pending.push((work, self.side));
            return [begin, self.side];
        }
        // A join, if they share memory and one of the two writes it.
        let conflicts = |(side, _): &(&Work, u32)| {
            shares(writes, side.2) || shares(writes, side.3) || shares(reads, side.3)
        };
        if let Some(last) = self.pending.iter().rposition(conflicts) {
            self.main = self.main.max(self.pending[last].1);
            self.pending.drain(..=last);
        }
        let begin = self.main;
        self.main += time;
        [begin, self.main]
    }
}
// ANCHOR_END: order

pub fn timeline() -> Result<(), Box<dyn Error>> {
    let mut streams = Streams::default();
    println!("stream  work     begin  end");
    for work in &STEP {
        let [begin, end] = streams.enqueue(work);
        let stream = if work.1 == Lane::Main { "main" } else { "side" };
        println!("{stream}    {:8} {begin:5} {end:4}", work.0);
    }
    let one: u32 = STEP.iter().map(|work| work.4).sum();
    println!("two streams: {}, one stream: {one}", streams.main.max(streams.side));
    Ok(())
}
