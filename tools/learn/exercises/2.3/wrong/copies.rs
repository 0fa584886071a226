// Expect: is at another address
#[derive(Default)]
pub struct Pool {
    free: Vec<Vec<u8>>,
}

impl Pool {
    pub fn take(&mut self, bytes: usize) -> Vec<u8> {
        match self.free.iter().find(|block| (bytes..=2 * bytes).contains(&block.len())) {
            Some(block) => block.clone(),
            None => vec![0; bytes],
        }
    }

    pub fn put(&mut self, block: Vec<u8>) {
        self.free.push(block);
    }
}
