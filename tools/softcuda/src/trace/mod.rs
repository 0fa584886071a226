//! The events of one block of a launch, in the order of the run.

mod accesses;
mod draw;
mod memory;
mod svg;
mod times;

use std::collections::HashMap;
use std::ffi::{CStr, c_void};
use std::sync::Arc;

use crate::ffi::{RawEvent, Visit};

pub use accesses::WarpAccess;

/// The events of one block, in the order of the run: `softcuda_take_trace` of `runtime/softcuda_api.h`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    pub events: Vec<Event>,
    /// The arrays that the block accesses, in the order of the first accesses.
    pub arrays: Vec<Array>,
    /// The number of events that were left out, because there were more than [`crate::Launch::trace_limit`].
    pub lost: u64,
}

/// One event. Threads have their numbers in the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A thread begins, or goes on behind a wait.
    Run { thread: u32 },
    /// A thread reads or writes.
    Access { thread: u32, access: Access },
    /// A thread waits.
    Wait { thread: u32, wait: Wait, operation: String, place: String },
    /// Threads that waited may go on.
    Pass { threads: Vec<u32>, wait: Wait, operation: String, place: String },
    /// A thread returns.
    Return { thread: u32 },
}

/// The cause of a thread's wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A `__syncthreads`.
    Block,
    /// A barrier of the grid.
    Grid,
    /// A shuffle, a vote or a `__syncwarp`.
    Warp,
}

/// An access as the compiler made it. It may make several of one load of a vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    pub kind: AccessKind,
    /// The index in [`Trace::arrays`].
    pub array: usize,
    /// Where in the array, in bytes.
    pub offset: u64,
    pub bytes: u32,
    /// The source lines as `FILE:LINE`: that of the access, and those of the functions into which the compiler put it.
    /// Empty where the system has no `addr2line`.
    pub places: Arc<[String]>,
    /// A number that tells the instructions of the kernel apart.
    pub instruction: u64,
}

/// The kind of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    Read,
    Write,
    Atomic,
}

/// A buffer or an array in shared memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    pub name: String,
    pub bytes: u64,
    pub is_shared: bool,
    address: u64,
}

impl Trace {
    /// Takes the events from `take`, which calls the given function for each and returns the number of lost ones.
    pub(crate) fn collect(take: impl FnOnce(Visit, *mut c_void) -> u64) -> Trace {
        unsafe extern "C" fn visit(context: *mut c_void, event: *const RawEvent) {
            // SAFETY: the context is the collector below, and the event lives through this call.
            unsafe { (*context.cast::<Collector>()).add(&*event) }
        }
        let mut collector = Collector::default();
        let lost = take(visit, std::ptr::from_mut(&mut collector).cast());
        Trace { lost, ..collector.trace }
    }
}

/// A trace that grows, and the places of each instruction, which its accesses share.
#[derive(Default)]
struct Collector {
    trace: Trace,
    places: HashMap<u64, Arc<[String]>>,
}

impl Collector {
    fn add(&mut self, raw: &RawEvent) {
        let text = |text: *const std::ffi::c_char| {
            if text.is_null() {
                return String::new();
            }
            // SAFETY: a string of the library that lives through the visit.
            unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
        };
        let (thread, name, place) = (raw.thread, text(raw.name), text(raw.place));
        let wait = |number: u32| [Wait::Block, Wait::Grid, Wait::Warp][number as usize];
        let event = match raw.kind {
            0 => Event::Run { thread },
            1..=3 => {
                let kind = [AccessKind::Read, AccessKind::Write, AccessKind::Atomic][raw.kind as usize - 1];
                let array = self.array(raw, name);
                let known = self.places.entry(raw.instruction);
                let places = Arc::clone(known.or_insert_with(|| place.lines().map(String::from).collect()));
                let access = Access {
                    kind,
                    array,
                    offset: raw.offset,
                    bytes: raw.count,
                    places,
                    instruction: raw.instruction,
                };
                Event::Access { thread, access }
            }
            4..=6 => Event::Wait { thread, wait: wait(raw.kind - 4), operation: name, place },
            7..=9 => {
                let wait = wait(raw.kind - 7);
                let threads = match wait {
                    Wait::Warp => {
                        (0..32).filter(|lane| raw.count >> lane & 1 == 1).map(|lane| thread + lane).collect()
                    }
                    Wait::Block | Wait::Grid => (0..raw.count).collect(),
                };
                Event::Pass { threads, wait, operation: name, place }
            }
            _ => Event::Return { thread },
        };
        self.trace.events.push(event);
    }

    fn array(&mut self, raw: &RawEvent, name: String) -> usize {
        let arrays = &mut self.trace.arrays;
        if let Some(known) = arrays.iter().position(|array| array.address == raw.array) {
            return known;
        }
        let is_shared = raw.is_shared != 0;
        arrays.push(Array { name, bytes: raw.array_bytes, is_shared, address: raw.array });
        arrays.len() - 1
    }
}
