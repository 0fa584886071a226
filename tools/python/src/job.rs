//! Computations without the interpreter's lock.
//!
//! The calling thread of Python waits for another thread, which computes. It takes the lock 20 times a second to let
//! Python handle signals, and after each part of the work to report progress. At an exception, such as that of Ctrl-C,
//! the call ends at once; work that reports progress stops after its current part, other work comes to its end unseen.

use crate::error::{ToPython, fault, of_library};
use bcreid::Result;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Time between two looks at the signals.
const INTERVAL: Duration = Duration::from_millis(50);

/// What the computing thread reports.
enum Message<T> {
    /// Parts that are done, and all parts.
    Progress(usize, usize),
    Done(Result<T>),
}

/// The computing thread's connection to the caller.
pub struct Reporter<T> {
    sender: Sender<Message<T>>,
    stopped: Arc<AtomicBool>,
}

impl<T> Reporter<T> {
    /// Reports that `done` parts of `total` are done.
    ///
    /// # Errors
    /// The caller does not wait any more; the work should end with this error.
    pub fn advance(&self, done: usize, total: usize) -> Result<()> {
        let gone = self.sender.send(Message::Progress(done, total)).is_err();
        if gone || self.stopped.load(Ordering::Relaxed) {
            return Err(of_library("interrupted"));
        }
        Ok(())
    }
}

/// Sets the flag when the caller leaves.
struct StopAtEnd(Arc<AtomicBool>);

impl Drop for StopAtEnd {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `work` on another thread and calls `progress`, if given, with the numbers it reports.
///
/// # Errors
/// The error of `work`; an exception of `progress` or of a signal's handler; a process that was forked after the
/// threads were started; an instruction set in `BCREID_CPU` that the processor lacks.
pub fn run<T: Send + 'static>(
    py: Python<'_>,
    progress: impl FnMut(usize, usize) -> PyResult<()>,
    work: impl FnOnce(&Reporter<T>) -> Result<T> + Send + 'static,
) -> PyResult<T> {
    run_with(py, progress, Arc::new(Mutex::new(())), |(), reporter| work(reporter))
}

/// As [`run`], with a value of which one call has the use at a time.
///
/// # Errors
/// As [`run`].
pub fn run_with<L: Send + 'static, T: Send + 'static>(
    py: Python<'_>,
    mut progress: impl FnMut(usize, usize) -> PyResult<()>,
    shared: Arc<Mutex<L>>,
    work: impl FnOnce(&mut L, &Reporter<T>) -> Result<T> + Send + 'static,
) -> PyResult<T> {
    refuse_forked()?;
    bcreid::device::cpu::isa::requested().to_python()?;
    let stopped = Arc::new(AtomicBool::new(false));
    let _stop = StopAtEnd(stopped.clone());
    let (sender, receiver) = channel();
    let reporter = Reporter { sender, stopped };
    // On a thread of the pool: calls from outside cost two context switches for each operation.
    let compute = move || {
        // Locked before the pool: a thread of the pool that waits for a part of its work takes up the work of another
        // call meanwhile, which would wait for ever for a lock that this very thread holds.
        let mut own = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let own = &mut *own;
        let done = rayon::scope(|_| work(own, &reporter));
        // A caller that was interrupted has left.
        let _ = reporter.sender.send(Message::Done(done));
    };
    let thread = std::thread::Builder::new().name("bcreid".into()).spawn(compute);
    thread.map_err(|e| fault(format!("cannot start a thread: {e}")))?;
    let mut receiver = Some(receiver);
    loop {
        let waiting = receiver.take().expect("it is put back below");
        // The receiver moves, because two threads may not share it.
        let (waiting, message) = py.detach(move || wait(waiting));
        receiver = Some(waiting);
        py.check_signals()?;
        match message {
            Ok(Message::Progress(done, total)) => progress(done, total)?,
            Ok(Message::Done(result)) => return result.to_python(),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(fault(
                    "the computation ended by a fault of bcreid; standard error says more, please report it",
                ));
            }
        }
    }
}

fn wait<T>(
    receiver: Receiver<Message<T>>,
) -> (Receiver<Message<T>>, std::result::Result<Message<T>, RecvTimeoutError>) {
    let message = receiver.recv_timeout(INTERVAL);
    (receiver, message)
}

/// The same without progress.
pub fn run_silently<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> PyResult<T> {
    run(py, |_, _| Ok(()), move |_| work())
}

/// A forked process has none of the pool's threads and would wait for them for ever.
fn refuse_forked() -> PyResult<()> {
    static FIRST: OnceLock<u32> = OnceLock::new();
    let (first, own) = (*FIRST.get_or_init(std::process::id), std::process::id());
    if first == own {
        return Ok(());
    }
    Err(fault(format!(
        "this process (pid {own}) was forked after bcreid had been used (in pid {first}), and its threads are not in \
         it; start workers with multiprocessing's method \"spawn\" or \"forkserver\""
    )))
}
