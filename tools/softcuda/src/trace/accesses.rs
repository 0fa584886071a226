//! The accesses of a warp, made of those of its lanes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Access, AccessKind, Event, Trace};

const LANES: u32 = 32;
/// The most that a thread loads or stores with one instruction.
const WIDEST: u64 = 16;

/// The memory that the lanes of a warp read or write with one instruction: on a GPU one request to the memory.
///
/// The simulated GPU runs one thread at a time. So the n-th access that a lane makes with an instruction belongs to the
/// n-th of the other lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarpAccess {
    pub warp: u32,
    pub kind: AccessKind,
    /// The index in [`Trace::arrays`].
    pub array: usize,
    /// As [`Access::places`].
    pub places: Arc<[String]>,
    /// The number of lanes that take part.
    pub lanes: u32,
    /// The bytes that are accessed, as ascending ranges of begin and end that do not touch.
    pub ranges: Vec<(u64, u64)>,
}

impl WarpAccess {
    /// The pieces of `size` bytes of the array that are accessed: the number of each, and how many of its bytes. Size
    /// 32 gives the sectors, 128 the lines of global memory.
    pub fn pieces(&self, size: u64) -> BTreeMap<u64, u64> {
        let mut pieces = BTreeMap::new();
        for &(begin, end) in &self.ranges {
            for piece in begin / size..end.div_ceil(size) {
                let inside = end.min((piece + 1) * size) - begin.max(piece * size);
                *pieces.entry(piece).or_insert(0) += inside;
            }
        }
        pieces
    }

    /// The number of bytes that are accessed.
    pub fn bytes(&self) -> u64 {
        self.ranges.iter().map(|(begin, end)| end - begin).sum()
    }
}

impl Trace {
    /// The accesses of the warps, in the order of the first lane's.
    pub fn warp_accesses(&self) -> Vec<WarpAccess> {
        let mut found: Vec<WarpAccess> = Vec::new();
        let mut known = HashMap::new();
        // The number of times that a thread has come to an instruction.
        let mut times = HashMap::new();
        for (thread, access) in self.whole_accesses() {
            let place = (access.array, access.instruction);
            let time = times.entry((thread, place)).and_modify(|time| *time += 1).or_insert(0u64);
            let number = *known.entry((thread / LANES, *time, place)).or_insert_with(|| {
                found.push(WarpAccess {
                    warp: thread / LANES,
                    kind: access.kind,
                    array: access.array,
                    places: Arc::clone(&access.places),
                    lanes: 0,
                    ranges: Vec::new(),
                });
                found.len() - 1
            });
            found[number].lanes += 1;
            found[number].ranges.push((access.offset, access.offset + u64::from(access.bytes)));
        }
        for access in &mut found {
            access.ranges = joined(std::mem::take(&mut access.ranges));
        }
        found
    }

    /// The accesses of the threads, with those that the compiler made of one load or store of a vector put together
    /// again: those of different instructions at one place of the source that follow each other, in memory as in time,
    /// within aligned 16 bytes. A loop that comes to one instruction again makes another access.
    fn whole_accesses(&self) -> Vec<(u32, Access)> {
        let mut whole: Vec<(u32, Access)> = Vec::new();
        // The instruction of the last part, while nothing came behind it.
        let mut part = None;
        for event in &self.events {
            let Event::Access { thread, access } = event else {
                part = None;
                continue;
            };
            if part.is_some_and(|last| last != access.instruction)
                && let Some((earlier, last)) = whole.last_mut()
                && earlier == thread
                && follows(last, access)
            {
                last.bytes += access.bytes;
            } else {
                whole.push((*thread, access.clone()));
            }
            part = Some(access.instruction);
        }
        whole
    }
}

/// Whether `next`, of another instruction, is a further part of the vector of which `last` has the first parts.
fn follows(last: &Access, next: &Access) -> bool {
    let end = last.offset + u64::from(last.bytes);
    let same_place = last.kind == next.kind && last.array == next.array && last.places == next.places;
    let same_vector = last.offset / WIDEST == (end + u64::from(next.bytes) - 1) / WIDEST;
    same_place && same_vector && next.offset == end
}

fn joined(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut disjoint: Vec<(u64, u64)> = Vec::new();
    for (begin, end) in ranges {
        match disjoint.last_mut() {
            Some(last) if begin <= last.1 => last.1 = last.1.max(end),
            _ => disjoint.push((begin, end)),
        }
    }
    disjoint
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(thread: u32, instruction: u64, offset: u64, bytes: u32) -> Event {
        let places = ["/k.cu:7".to_string()].into();
        let access = Access { kind: AccessKind::Read, array: 0, offset, bytes, places, instruction };
        Event::Access { thread, access }
    }

    fn accesses(events: Vec<Event>) -> Vec<WarpAccess> {
        Trace { events, ..Trace::default() }.warp_accesses()
    }

    #[test]
    fn lanes_of_one_warp_make_one_access_for_each_round_of_a_loop() {
        // Each of 64 threads reads two elements, 64 apart, one thread behind the other.
        let events = (0..64).flat_map(|thread| {
            (0..2).map(move |round| read(thread, 1, u64::from(4 * (thread + 64 * round)), 4))
        });
        let found = accesses(events.collect());
        assert_eq!(found.len(), 4);
        let of_warp_1 = &found[2..];
        assert_eq!((of_warp_1[0].warp, of_warp_1[0].lanes), (1, 32));
        assert_eq!(
            (&of_warp_1[0].ranges[..], &of_warp_1[1].ranges[..]),
            (&[(128, 256)][..], &[(384, 512)][..])
        );
        assert_eq!(
            of_warp_1[1].pieces(32).into_iter().collect::<Vec<_>>(),
            [(12, 32), (13, 32), (14, 32), (15, 32)]
        );
    }

    #[test]
    fn a_sector_counts_once_and_has_the_bytes_that_are_used() {
        // 32 rows of 100 bytes: each lane reads another row. A second warp reads one element 32 times.
        let rows = (0..32).map(|thread| read(thread, 1, 100 * u64::from(thread), 4));
        let same = (32..64).map(|thread| read(thread, 1, 60, 4));
        let found = accesses(rows.chain(same).collect());
        assert_eq!((found[0].bytes(), found[0].pieces(32).len(), found[0].pieces(128).len()), (128, 32, 25));
        assert_eq!(
            (found[1].bytes(), found[1].pieces(32).into_iter().collect::<Vec<_>>()),
            (4, vec![(1, 4)])
        );
    }

    #[test]
    fn parts_of_a_vector_are_one_access_and_rounds_of_a_loop_are_not() {
        let parts = |at: u64| (0..4).map(move |i| read(0, i, at + 4 * i, 4));
        assert_eq!(accesses(parts(16).collect())[0].ranges, [(16, 32)]);
        assert_eq!(accesses(parts(16).collect()).len(), 1);
        assert_eq!(accesses((0..4).map(|i| read(0, 9, 4 * i, 4)).collect()).len(), 4, "one instruction");
        assert_eq!(accesses(parts(8).collect()).len(), 2, "two vectors of 16 bytes");
        let mut interrupted: Vec<Event> = parts(0).collect();
        interrupted.insert(2, Event::Run { thread: 0 });
        assert_eq!(accesses(interrupted).len(), 2, "with something between");
    }
}
