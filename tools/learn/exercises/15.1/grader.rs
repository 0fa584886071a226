use crate::answer::{Lane, Pool};
use crate::checks::*;

/// The state of a block.
#[derive(Clone, Copy, PartialEq)]
enum State {
    InUse,
    Free,
    /// Until the main stream has joined the work of this number.
    Waiting(u64),
}

/// A pool and what its calls have made of the blocks.
#[derive(Default)]
struct Watched {
    pool: Pool,
    blocks: Vec<(usize, State)>,
    joined: u64,
}

impl Watched {
    /// The size of the smallest block that an allocation may take: a waiting one, if `waits`.
    fn smallest(&self, bytes: usize, waits: bool) -> Option<usize> {
        let may = |state| match state {
            State::InUse => false,
            State::Free => !waits,
            State::Waiting(_) => waits,
        };
        let fitting = self.blocks.iter().filter(|(size, state)| may(*state) && *size >= bytes);
        fitting.map(|(size, _)| *size).filter(|size| *size <= bytes + bytes / 4).min()
    }

    /// Calls `alloc` and checks the block.
    fn alloc(&mut self, is_side: bool, bytes: usize) -> Result<usize, String> {
        let (waiting, free) = (self.smallest(bytes, true).filter(|_| is_side), self.smallest(bytes, false));
        let block = self.pool.alloc(if is_side { Lane::Side } else { Lane::Main }, bytes);
        let lane = if is_side { "the second stream" } else { "the main stream" };
        let Some(&(size, state)) = self.blocks.get(block) else {
            that(block == self.blocks.len(), || {
                format!("block {block} does not exist; the next one of the driver is {}", self.blocks.len())
            })?;
            that(waiting.is_none(), || {
                format!(
                    "the driver is asked for {bytes} bytes for {lane}, and a block of {} bytes waits for work of the \
                     second stream, which may reuse it at once",
                    waiting.unwrap_or(0)
                )
            })?;
            that(free.is_none(), || {
                format!(
                    "the driver is asked for {bytes} bytes for {lane}, and a block of {} bytes is free",
                    free.unwrap_or(0)
                )
            })?;
            self.blocks.push((bytes, State::InUse));
            return Ok(block);
        };
        let told = format!("{bytes} bytes for {lane}: block {block} of {size} bytes");
        that(state != State::InUse, || format!("{told} is in use already"))?;
        that(size >= bytes, || format!("{told} is too small"))?;
        that(size <= bytes + bytes / 4, || format!("{told} is more than a quarter too large"))?;
        if let State::Waiting(number) = state {
            that(is_side, || format!("{told}, which work {number} of the second stream still uses"))?;
        } else {
            that(waiting.is_none(), || {
                format!("{told} is free, and one that waits fits: leave the free ones to the main stream")
            })?;
        }
        let smallest = waiting.or(free).unwrap_or(size);
        that(size == smallest, || format!("{told} is not the smallest: there is one of {smallest} bytes"))?;
        self.blocks[block].1 = State::InUse;
        Ok(block)
    }

    fn free(&mut self, block: usize, side_use: u64) {
        self.pool.free(block, side_use);
        self.blocks[block].1 = if side_use > self.joined { State::Waiting(side_use) } else { State::Free };
    }

    fn join(&mut self, number: u64) {
        self.pool.joined(number);
        self.joined = self.joined.max(number);
        for (_, state) in &mut self.blocks {
            if matches!(state, State::Waiting(side_use) if *side_use <= self.joined) {
                *state = State::Free;
            }
        }
    }
}

/// One block, freed while the second stream uses it, then joined.
fn one_block() -> Finding {
    let mut watched = Watched::default();
    let block = watched.alloc(false, 1000)?;
    watched.free(block, 1);
    let own = watched.alloc(false, 1000)?;
    watched.free(own, 0);
    watched.join(1);
    (0..3).try_for_each(|_| watched.alloc(false, 1000).map(drop))
}

/// Blocks of three works; the join of the last one is one of all.
fn three_works() -> Finding {
    let mut watched = Watched::default();
    let blocks: Vec<usize> = (0..3).map(|_| watched.alloc(false, 4096)).collect::<Result<_, _>>()?;
    (1..).zip(&blocks).for_each(|(number, &block)| watched.free(block, number));
    watched.join(3);
    blocks.iter().try_for_each(|_| watched.alloc(false, 4096).map(drop))?;
    // Work 2 is joined already.
    watched.free(blocks[1], 2);
    watched.alloc(false, 4096).map(drop)
}

/// Random calls; the live blocks stay few, so that most allocations find one.
fn random(seed: u64, sizes: usize) -> Finding {
    let (mut watched, mut numbers) = (Watched::default(), Numbers::new(seed));
    let (mut live, mut newest) = (Vec::new(), 0);
    for call in 0..2000 {
        let named = |found: String| format!("call {call}: {found}");
        match numbers.below(10) {
            0 => watched.join(newest - numbers.below(3).min(newest as usize) as u64),
            1..=5 if live.len() < 30 => {
                let bytes = 512 * (1 + numbers.below(sizes));
                live.push(watched.alloc(numbers.below(3) == 0, bytes).map_err(named)?);
            }
            _ if !live.is_empty() => {
                let block = live.swap_remove(numbers.below(live.len()));
                let is_used = numbers.below(2) == 0;
                newest += u64::from(is_used);
                watched.free(block, if is_used { newest } else { 0 });
            }
            _ => {}
        }
    }
    Ok(())
}

pub fn grade(checks: &mut Checks) {
    checks.check("one block, freed and joined", one_block);
    checks.check("the join of three works", three_works);
    for sizes in [1, 2, 4, 16, 64] {
        checks.check(&format!("2,000 random calls with {sizes} sizes"), || random(sizes as u64, sizes));
    }
}
