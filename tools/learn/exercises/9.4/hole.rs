/// The properties of a stored ResNet, from its names and shapes.
#[derive(Debug)]
pub struct Network {
    /// Whether it has Caffe's wiring.
    pub caffe: bool,
    /// Whether its blocks are bottlenecks: then they have three convolutions.
    pub bottleneck: bool,
    /// Number of blocks of each stage.
    pub depths: [usize; 4],
    /// Inner channels of the blocks of the first stage.
    pub width: usize,
    /// Number of classes, if there is a classifier.
    pub classes: Option<usize>,
}

/// Reads the names and shapes of all tensors of a network, in any order.
pub fn read(tensors: &[(String, Vec<usize>)]) -> Network {
    todo!("read {} names and shapes", tensors.len())
}
