// Expect: is more than twice as large
#[derive(Default)]
pub struct Pool {
    free: Vec<Vec<u8>>,
}

impl Pool {
    pub fn take(&mut self, bytes: usize) -> Vec<u8> {
        match self.free.iter().position(|block| block.len() >= bytes) {
            Some(at) => self.free.swap_remove(at),
            None => vec![0; bytes],
        }
    }

    pub fn put(&mut self, block: Vec<u8>) {
        self.free.push(block);
    }
}
