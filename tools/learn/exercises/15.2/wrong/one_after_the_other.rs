// Expect: begins when the other one ends
use std::ops::Range;

/// A piece of work: the bytes that it uses, and its time.
pub struct Work {
    pub reads: Vec<Range<usize>>,
    pub writes: Vec<Range<usize>>,
    pub time: Range<u32>,
}

/// The pairs of work that conflict and overlap in time, each as two indices, the smaller one first.
pub fn conflicts(timeline: &[Work]) -> Vec<[usize; 2]> {
    let mut found = Vec::new();
    for (j, b) in timeline.iter().enumerate() {
        for (i, a) in timeline[..j].iter().enumerate() {
            // One writes what the other one reads or writes.
            let conflict =
                share(&a.writes, &b.writes) || share(&a.writes, &b.reads) || share(&a.reads, &b.writes);
            if conflict && a.time.start <= b.time.end && b.time.start <= a.time.end {
                found.push([i, j]);
            }
        }
    }
    found
}

fn share(a: &[Range<usize>], b: &[Range<usize>]) -> bool {
    a.iter().any(|a| b.iter().any(|b| overlap(a, b)))
}

/// Whether two ranges have a number in common. The end of a range is no part of it.
fn overlap<T: Copy + Ord>(a: &Range<T>, b: &Range<T>) -> bool {
    a.start.max(b.start) < a.end.min(b.end)
}
