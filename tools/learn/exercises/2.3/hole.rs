/// Blocks of memory that are used again.
#[derive(Default)]
pub struct Pool {}

impl Pool {
    /// A block of `put` with at least `bytes` and at most twice as many bytes if there is one, and else a new one of
    /// `bytes` bytes.
    pub fn take(&mut self, bytes: usize) -> Vec<u8> {
        todo!("a block of {bytes} bytes")
    }

    /// Keeps a block for later.
    pub fn put(&mut self, block: Vec<u8>) {
        todo!("keep a block of {} bytes", block.len())
    }
}
