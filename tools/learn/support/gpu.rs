//! A simulated GPU with one stream, and the clock of its host. Your answer uses it. All times are in microseconds.

/// The GPU and its host.
#[derive(Clone)]
pub struct Gpu {
    /// The host's clock.
    now: u64,
    /// When the stream has done all work that is in it.
    done: u64,
    /// The host's time for a launch.
    launch: u64,
}

/// A mark in the stream: the time at which the stream has done all work before it.
pub struct Event(u64);

impl Gpu {
    /// A GPU whose launches cost the host so much, with `work` in its stream.
    pub fn new(launch: u64, work: u64) -> Self {
        Gpu { now: 1_000_000, done: 1_000_000 + work, launch }
    }

    /// The host's clock.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Launches a kernel that runs so long. It begins when the work before it is done; the host does not wait for it.
    pub fn launch(&mut self, time: u64) {
        self.now += self.launch;
        self.done = self.done.max(self.now) + time;
    }

    /// Lets the host wait until all work in the stream is done.
    pub fn synchronize(&mut self) {
        self.now = self.now.max(self.done);
    }

    /// Puts a mark into the stream, behind all work that is in it. The host does not wait.
    pub fn record(&mut self) -> Event {
        Event(self.done.max(self.now))
    }

    /// The time from a mark to a later one.
    ///
    /// # Panics
    /// If the stream has not come to the later mark yet.
    pub fn elapsed(&self, from: &Event, to: &Event) -> u64 {
        assert!(to.0 <= self.now, "the stream has not come to this event yet: synchronize first");
        to.0 - from.0
    }
}
