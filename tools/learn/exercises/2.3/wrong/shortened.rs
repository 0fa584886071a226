// Expect: leave its length as it is
/// Blocks of memory that are used again.
#[derive(Default)]
pub struct Pool {
    free: Vec<Vec<u8>>,
}

impl Pool {
    /// A block of `put` with at least `bytes` and at most twice as many bytes if there is one, and else a new one of
    /// `bytes` bytes.
    pub fn take(&mut self, bytes: usize) -> Vec<u8> {
        let fits = |block: &Vec<u8>| (bytes..=2 * bytes).contains(&block.len());
        match self.free.iter().position(fits) {
            Some(at) => {
                let mut block = self.free.swap_remove(at);
                block.truncate(bytes);
                block
            }
            None => vec![0; bytes],
        }
    }

    /// Keeps a block for later.
    pub fn put(&mut self, block: Vec<u8>) {
        self.free.push(block);
    }
}
