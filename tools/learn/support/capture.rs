//! A device whose work can be captured, in small. Read it; your answer uses it.

/// The address of an array in the device's memory.
pub type Address = usize;

/// A kernel gets the device's arrays, by their addresses, and its arguments: addresses and numbers.
pub type Kernel = fn(&mut [Vec<f32>], &[Address], &[f32]);

/// A launch with the arguments that it was enqueued with.
#[derive(Clone)]
pub struct Node {
    kernel: Kernel,
    addresses: Vec<Address>,
    numbers: Vec<f32>,
}

/// Memory and one stream. Work that is enqueued runs at once, or becomes a node while the stream is captured.
#[derive(Default)]
pub struct Device {
    arrays: Vec<Vec<f32>>,
    captured: Option<Vec<Node>>,
}

impl Device {
    /// An array of zeros, which lives as long as the device.
    pub fn alloc(&mut self, elements: usize) -> Result<Address, String> {
        self.not_captured("an allocation")?;
        self.arrays.push(vec![0.0; elements]);
        Ok(self.arrays.len() - 1)
    }

    /// Writes an array; the host waits until it is done.
    pub fn upload(&mut self, to: Address, values: &[f32]) -> Result<(), String> {
        self.not_captured("a wait of the host")?;
        self.arrays[to].copy_from_slice(values);
        Ok(())
    }

    /// Reads an array; the host waits for the work before.
    pub fn download(&mut self, from: Address) -> Result<Vec<f32>, String> {
        self.not_captured("a wait of the host")?;
        Ok(self.arrays[from].clone())
    }

    /// Enqueues a kernel.
    pub fn launch(&mut self, kernel: Kernel, addresses: &[Address], numbers: &[f32]) {
        let node = Node { kernel, addresses: addresses.into(), numbers: numbers.into() };
        match &mut self.captured {
            Some(nodes) => nodes.push(node),
            None => self.replay(&[node]),
        }
    }

    /// Enqueued work is recorded from now on, and does not run.
    pub fn begin_capture(&mut self) {
        self.captured = Some(Vec::new());
    }

    /// The work since `begin_capture`.
    pub fn end_capture(&mut self) -> Vec<Node> {
        self.captured.take().unwrap_or_default()
    }

    /// Runs captured work, with the arguments of the capture.
    pub fn replay(&mut self, graph: &[Node]) {
        for node in graph {
            (node.kernel)(&mut self.arrays, &node.addresses, &node.numbers);
        }
    }

    fn not_captured(&self, what: &str) -> Result<(), String> {
        match self.captured {
            None => Ok(()),
            Some(_) => Err(format!("{what} cannot be part of a capture")),
        }
    }
}

/// Whether dropout keeps an element: a function of seed, step and index. Whole numbers below 2^24.
pub fn keeps(seed: f32, step: f32, index: usize) -> bool {
    let mut mixed = 1u64;
    for word in [seed as u64, step as u64, index as u64] {
        mixed = (mixed ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^= mixed >> 29;
    }
    mixed >> 63 == 1
}
