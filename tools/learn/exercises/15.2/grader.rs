use crate::answer::{Work, conflicts};
use crate::checks::*;
use std::ops::Range;

/// A piece of work before it has a time: its stream, what it reads and writes, and how long it takes.
struct Step {
    is_side: bool,
    reads: Vec<Range<usize>>,
    writes: Vec<Range<usize>>,
    takes: u32,
}

/// The error in the streams of a timeline.
#[derive(Clone, Copy, PartialEq)]
enum Error {
    None,
    /// The second stream does not wait for the main stream.
    NoFork,
    /// The main stream does not wait for the second stream.
    NoJoin,
    /// Two blocks serve all gradients, and the pool does not wait for what the second stream still reads.
    ReusedTooEarly,
}

/// The backward pass of a chain of layers: activations x, weights w, their gradients, and the update of the weights.
fn backward(layers: usize, error: Error, numbers: &mut Numbers) -> Vec<Step> {
    const ARRAY: usize = 8;
    let array = |kind: usize, layer: usize| {
        let begin = (kind * (layers + 1) + layer) * ARRAY;
        begin..begin + ARRAY
    };
    let (x, w, dw) = (|l| array(0, l), |l| array(1, l), |l| array(2, l));
    // A gradient lives until its layer is done; two blocks serve all layers.
    let dy = |l: usize| array(3, if error == Error::ReusedTooEarly { l % 2 } else { l });
    // The first half of an array, or the second one.
    let half = |of: Range<usize>, second: bool| {
        let middle = of.start + ARRAY / 2;
        if second { middle..of.end } else { of.start..middle }
    };
    let mut steps = Vec::new();
    let mut step = |is_side, reads: Vec<Range<usize>>, writes: Vec<Range<usize>>, numbers: &mut Numbers| {
        steps.push(Step { is_side, reads, writes, takes: 2 + numbers.below(6) as u32 });
    };
    for l in (1..=layers).rev() {
        step(true, vec![x(l - 1), dy(l)], vec![dw(l)], numbers);
        step(false, vec![w(l), dy(l)], vec![dy(l - 1)], numbers);
        // The update in two halves, as of two parameters in one array.
        step(true, vec![half(dw(l), false)], vec![half(w(l), false)], numbers);
        step(true, vec![half(dw(l), true)], vec![half(w(l), true)], numbers);
        // Only reads.
        step(false, vec![x(l - 1)], vec![], numbers);
    }
    // The next step reads all weights.
    for l in 1..=layers {
        step(false, vec![x(l - 1), w(l)], vec![x(l)], numbers);
    }
    steps
}

/// The times of the work, by the rules of the two streams, apart from the error.
fn timeline(steps: Vec<Step>, error: Error) -> Vec<Work> {
    let (mut main, mut side) = (0, 0);
    let mut pending: Vec<usize> = Vec::new();
    let mut works: Vec<Work> = Vec::new();
    for Step { is_side, reads, writes, takes } in steps {
        let begin = if is_side {
            if error == Error::NoFork { side } else { main.max(side) }
        } else {
            let in_conflict = |&at: &usize| {
                let work: &Work = &works[at];
                share(&writes, &work.reads) || share(&writes, &work.writes) || share(&reads, &work.writes)
            };
            if matches!(error, Error::None | Error::NoFork)
                && let Some(last) = pending.iter().rposition(in_conflict)
            {
                main = main.max(works[pending[last]].time.end);
                pending.drain(..=last);
            }
            main
        };
        let end = begin + takes;
        *(if is_side { &mut side } else { &mut main }) = end;
        if is_side {
            pending.push(works.len());
        }
        works.push(Work { reads, writes, time: begin..end });
    }
    works
}

/// Whether two lists of bytes share one, byte by byte.
fn share(a: &[Range<usize>], b: &[Range<usize>]) -> bool {
    a.iter().flat_map(Range::clone).any(|byte| b.iter().any(|b| b.contains(&byte)))
}

fn conflict(a: &Work, b: &Work) -> bool {
    share(&a.writes, &b.writes) || share(&a.writes, &b.reads) || share(&a.reads, &b.writes)
}

fn overlap(a: &Work, b: &Work) -> bool {
    a.time.clone().any(|moment| b.time.contains(&moment))
}

/// The pairs, moment by moment.
fn pairs(works: &[Work]) -> Vec<[usize; 2]> {
    let all = (0..works.len()).flat_map(|j| (0..j).map(move |i| [i, j]));
    all.filter(|&[i, j]| overlap(&works[i], &works[j]) && conflict(&works[i], &works[j])).collect()
}

/// Compares the answer's pairs with those of the grader.
fn compare(works: &[Work]) -> Result<usize, String> {
    let want = pairs(works);
    let mut got = conflicts(works);
    got.sort_unstable();
    if let Some(pair) = got.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("the pair {:?} is there twice", pair[0]));
    }
    let told = |[i, j]: [usize; 2]| {
        let of = |i: usize| {
            let Work { reads, writes, time } = &works[i];
            format!("{i} (reads {reads:?}, writes {writes:?}, time {time:?})")
        };
        format!("{} and {}", of(i), of(j))
    };
    for &pair in &got {
        let [i, j] = pair;
        that(i < j && j < works.len(), || {
            format!("{pair:?} is no pair of indices below {}, the smaller one first", works.len())
        })?;
        let (a, b) = (&works[i], &works[j]);
        that(conflict(a, b), || match share(&a.reads, &b.reads) {
            true => format!("{}: they only read the bytes that they share", told(pair)),
            false => format!("{}: they share no bytes", told(pair)),
        })?;
        that(overlap(a, b), || format!("{}: one begins when the other one ends, or later", told(pair)))?;
    }
    match want.iter().find(|pair| !got.contains(pair)) {
        None => Ok(want.len()),
        Some(&pair) => Err(format!(
            "the pair {} is missing: they share the bytes of a write, and overlap in time",
            told(pair)
        )),
    }
}

/// Work that touches another one in memory or in time, lies in it, or is empty.
fn edges() -> Finding {
    let work = |reads: Range<usize>, writes: Range<usize>, time: Range<u32>| Work {
        reads: vec![0..0, reads],
        writes: vec![writes],
        time,
    };
    let timelines = [
        vec![],
        vec![work(0..0, 0..8, 0..4)],
        // Bytes side by side; a part of the other bytes; one byte.
        vec![
            work(0..0, 0..8, 0..4),
            work(8..16, 0..0, 0..4),
            work(2..3, 0..0, 1..2),
            work(7..12, 0..0, 3..9),
        ],
        // Behind each other; no time at all, in the middle of the other one; the same time.
        vec![work(0..0, 0..8, 0..4), work(0..8, 0..0, 4..6), work(0..8, 0..0, 2..2), work(0..0, 0..8, 0..4)],
        // Later in the list, and earlier in time.
        vec![work(0..8, 8..16, 6..9), work(8..16, 16..24, 2..7)],
    ];
    timelines.iter().try_for_each(|works| compare(works).map(drop))
}

pub fn grade(checks: &mut Checks) {
    checks.check("edges of memory and time", edges);
    for (name, error) in [
        ("without a fork", Error::NoFork),
        ("without a join", Error::NoJoin),
        ("memory that is reused too early", Error::ReusedTooEarly),
    ] {
        checks.check(&format!("4 timelines: {name}"), || {
            (1..=4).try_for_each(|layers| {
                // The times are random; some have no overlap by chance.
                let mut found = (0..1000).map(|seed| {
                    timeline(backward(layers, error, &mut Numbers::new(1000 * layers as u64 + seed)), error)
                });
                let works = found.find(|works| !pairs(works).is_empty());
                compare(&works.ok_or("the grader found no timeline with this error")?).map(drop)
            })
        });
    }
    checks.check("8 timelines without an error", || {
        (1..=8).try_for_each(|layers| {
            let works =
                timeline(backward(layers, Error::None, &mut Numbers::new(layers as u64)), Error::None);
            that(compare(&works)? == 0, || "the grader has made a timeline with an error".into())
        })
    });
}
