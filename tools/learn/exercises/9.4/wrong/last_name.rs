// Expect: depths are
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
    let shape = |name: &str| tensors.iter().find(|(own, _)| own == name).map(|(_, shape)| &shape[..]);
    // Strides have no name and no shape. The bias of the first convolution has.
    let caffe = shape("conv1.bias").is_some();
    let bottleneck = shape("layer1.0.conv3.weight").is_some();
    let depths = [1, 2, 3, 4].map(|stage| {
        // The number of the last name in the order of texts.
        let start = format!("layer{stage}.");
        let last =
            tensors.iter().map(|(name, _)| name).filter(|name| name.starts_with(&start)).max().unwrap();
        last[start.len()..].split(".").next().unwrap().parse::<usize>().unwrap() + 1
    });
    // Filters are [K, R, S, C].
    let width = shape("layer1.0.conv1.weight").map_or(0, |shape| shape[0]);
    let classes = shape("fc.weight").map(|shape| shape[0]);
    Network { caffe, bottleneck, depths, width, classes }
}
