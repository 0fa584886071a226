use std::ops::Range;

/// A piece of work: the bytes that it uses, and its time.
pub struct Work {
    pub reads: Vec<Range<usize>>,
    pub writes: Vec<Range<usize>>,
    pub time: Range<u32>,
}

/// The pairs of work that conflict and overlap in time, each as two indices, the smaller one first.
pub fn conflicts(timeline: &[Work]) -> Vec<[usize; 2]> {
    todo!("the pairs of {} pieces of work", timeline.len())
}
