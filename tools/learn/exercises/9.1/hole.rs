/// A ResNet.
pub struct Spec {
    /// Whether a block is a bottleneck (1 x 1, 3 x 3, and 1 x 1 to four times the channels), or two convolutions of
    /// 3 x 3.
    pub bottleneck: bool,
    /// Number of blocks of each stage.
    pub depths: [usize; 4],
    /// Inner channels of the blocks of the first stage. Each later stage has twice as many as the one before it.
    pub width: usize,
    /// Output channels of the first convolution, which has filters of 7 x 7 and stride 2.
    pub stem: usize,
    /// Whether it has Caffe's wiring, or torchvision's. A block of two convolutions has its stride on the first one in
    /// both.
    pub caffe: bool,
    /// Stride of the last stage, 1 or 2.
    pub last_stride: usize,
}

/// The multiplications of all convolutions for one image of `size` = [height, width] and three channels. The padding of
/// a filter of R x R is R / 2, rounded down.
pub fn multiplications(spec: &Spec, size: [usize; 2]) -> u64 {
    todo!("the stem, and {:?} blocks behind the pooling of {size:?} pixels", spec.depths)
}
