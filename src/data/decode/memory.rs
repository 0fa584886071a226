//! The memory of all decoders of the process together.
//!
//! A small file may hold a large picture, and as many threads decode as the machine has cores. A decoder reserves the
//! bytes that it is going to use, and waits while other decoders use them.

use std::sync::{Condvar, Mutex};

/// Bytes of all decoders together: a photograph of 64 million pixels, or a hundred of 600,000.
pub const LIMIT: u64 = 192 << 20;

/// The memory of this process's decoders.
static DECODERS: Memory = Memory::new(LIMIT);

/// A number of bytes that decoders share.
#[derive(Debug)]
struct Memory {
    free: Mutex<u64>,
    freed: Condvar,
    limit: u64,
}

/// Reserved bytes; dropping them frees them.
#[derive(Debug)]
pub struct Reserved {
    memory: &'static Memory,
    bytes: u64,
}

/// Reserves memory for a decoder, after waiting for other decoders if necessary. A thread that already holds a
/// reservation must not ask for another: two such threads could wait for each other.
///
/// # Errors
/// More bytes than all decoders have together.
pub fn reserve(bytes: u64) -> Result<Reserved, String> {
    DECODERS.reserve(bytes)
}

impl Memory {
    const fn new(limit: u64) -> Self {
        Memory { free: Mutex::new(limit), freed: Condvar::new(), limit }
    }

    fn reserve(&'static self, bytes: u64) -> Result<Reserved, String> {
        if bytes > self.limit {
            let [needed, limit] = [bytes, self.limit].map(|bytes| bytes.div_ceil(1 << 20));
            return Err(format!("needs {needed} MiB to decode, and the limit is {limit} MiB"));
        }
        let free = self.free.lock().expect("the lock is never held across a panic");
        let mut free = self.freed.wait_while(free, |free| *free < bytes).expect("as above");
        *free -= bytes;
        Ok(Reserved { memory: self, bytes })
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Ok(mut free) = self.memory.free.lock() {
            *free += self.bytes;
        }
        self.memory.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn decoders_wait_for_each_other_below_the_limit() {
        static MEMORY: Memory = Memory::new(10);
        static USED: AtomicU64 = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for bytes in [1, 3, 7, 10, 2, 9, 4, 10] {
                scope.spawn(move || {
                    for _ in 0..200 {
                        let _reserved = MEMORY.reserve(bytes).unwrap();
                        assert!(USED.fetch_add(bytes, Ordering::SeqCst) + bytes <= 10);
                        std::thread::yield_now();
                        USED.fetch_sub(bytes, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(*MEMORY.free.lock().unwrap(), 10);
        let error = MEMORY.reserve(11).unwrap_err();
        assert!(error.contains("the limit is 1 MiB"), "{error}");
    }
}
