//! The states of each thread over time. The unit of time is a run: of one thread, from where it goes on to where it
//! waits or returns.

use super::{Event, Trace, Wait};

/// The state of a thread: running, or waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Run,
    Wait(Wait),
    Returned,
}

/// One thread from `begin` to before `end`. Where a thread has no span, it may run, and others do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub thread: u32,
    pub state: State,
    pub begin: u32,
    pub end: u32,
}

/// The threads of a barrier or of a warp operation may go on from `time` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    pub time: u32,
    pub wait: Wait,
    pub warp: u32,
    pub operation: String,
    pub place: String,
}

/// The times of a block.
#[derive(Debug, Default)]
pub struct Times {
    pub spans: Vec<Span>,
    pub passed: Vec<Passed>,
    /// The number of threads that are seen.
    pub threads: u32,
    /// The number of runs.
    pub end: u32,
    /// Whether the trace has more runs than `most`.
    pub is_cut: bool,
}

impl Times {
    /// The times of the first `most` runs of a trace.
    pub fn of(trace: &Trace, most: u32) -> Times {
        let mut times = Times { threads: threads(trace), ..Times::default() };
        // Since when a thread is in a state.
        let mut states: Vec<Option<(State, u32)>> = vec![None; times.threads as usize];
        for event in &trace.events {
            match event {
                Event::Run { .. } if times.end == most => {
                    times.is_cut = true;
                    break;
                }
                Event::Run { thread } => {
                    states[*thread as usize] = Some((State::Run, times.end));
                    times.end += 1;
                }
                Event::Wait { thread, wait, .. } => times.change(&mut states, *thread, State::Wait(*wait)),
                Event::Return { thread } => times.change(&mut states, *thread, State::Returned),
                Event::Pass { threads, wait, operation, place } => {
                    for &thread in threads {
                        times.close(thread, &mut states[thread as usize]);
                    }
                    let warp = threads.first().map_or(0, |first| first / 32);
                    let (operation, place) = (operation.clone(), place.clone());
                    times.passed.push(Passed { time: times.end, wait: *wait, warp, operation, place });
                }
                Event::Access { .. } => {}
            }
        }
        for (thread, state) in (0..).zip(&mut states) {
            times.close(thread, state);
        }
        times
    }

    fn change(&mut self, states: &mut [Option<(State, u32)>], thread: u32, state: State) {
        self.close(thread, &mut states[thread as usize]);
        states[thread as usize] = Some((state, self.end));
    }

    fn close(&mut self, thread: u32, state: &mut Option<(State, u32)>) {
        if let Some((state, begin)) = state.take()
            && begin < self.end
        {
            self.spans.push(Span { thread, state, begin, end: self.end });
        }
    }
}

fn threads(trace: &Trace) -> u32 {
    let last = |event: &Event| match event {
        Event::Run { thread } | Event::Return { thread } => thread + 1,
        Event::Pass { threads, .. } => threads.last().map_or(0, |thread| thread + 1),
        Event::Wait { .. } | Event::Access { .. } => 0,
    };
    trace.events.iter().map(last).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(thread: u32, wait: Wait) -> Event {
        Event::Wait { thread, wait, operation: "w".into(), place: "k.cu:1".into() }
    }

    fn pass(threads: &[u32], wait: Wait) -> Event {
        Event::Pass { threads: threads.to_vec(), wait, operation: "w".into(), place: "k.cu:1".into() }
    }

    /// Two threads meet at a barrier, then in a shuffle; thread 1 runs first.
    fn events() -> Vec<Event> {
        let run = |thread| Event::Run { thread };
        vec![
            run(1),
            wait(1, Wait::Block),
            run(0),
            wait(0, Wait::Block),
            pass(&[0, 1], Wait::Block),
            run(0),
            wait(0, Wait::Warp),
            run(1),
            wait(1, Wait::Warp),
            pass(&[0, 1], Wait::Warp),
            run(0),
            Event::Return { thread: 0 },
            run(1),
            Event::Return { thread: 1 },
        ]
    }

    #[test]
    fn each_thread_runs_waits_and_returns() {
        let times = Times::of(&Trace { events: events(), ..Trace::default() }, 100);
        assert_eq!((times.threads, times.end, times.is_cut), (2, 6, false));
        let of = |thread| -> Vec<(State, u32, u32)> {
            let spans = times.spans.iter().filter(|span| span.thread == thread);
            spans.map(|span| (span.state, span.begin, span.end)).collect()
        };
        let (block, warp) = (State::Wait(Wait::Block), State::Wait(Wait::Warp));
        // Thread 0 comes last to the barrier, so it does not wait there; thread 1 does not in the shuffle.
        assert_eq!(
            of(0),
            [
                (State::Run, 1, 2),
                (State::Run, 2, 3),
                (warp, 3, 4),
                (State::Run, 4, 5),
                (State::Returned, 5, 6)
            ]
        );
        assert_eq!(of(1), [(State::Run, 0, 1), (block, 1, 2), (State::Run, 3, 4), (State::Run, 5, 6)]);
        let passed: Vec<(u32, Wait)> = times.passed.iter().map(|passed| (passed.time, passed.wait)).collect();
        assert_eq!(passed, [(2, Wait::Block), (4, Wait::Warp)]);
    }

    #[test]
    fn a_long_trace_is_cut_and_says_so() {
        let times = Times::of(&Trace { events: events(), ..Trace::default() }, 3);
        assert_eq!((times.threads, times.end, times.is_cut), (2, 3, true));
        assert!(times.spans.iter().all(|span| span.end <= 3), "{:?}", times.spans);
    }
}
