// Expect: has no projection
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
    let mut count = 0;
    let mut conv = |size: [usize; 2], [inputs, outputs]: [usize; 2], kernel: usize, stride: usize| {
        let size = size.map(|n| (n + 2 * (kernel / 2) - kernel) / stride + 1);
        count += (size[0] * size[1] * kernel * kernel * inputs * outputs) as u64;
        size
    };
    let mut size = conv(size, [3, spec.stem], 7, 2);
    size = size.map(|n| if spec.caffe { (n - 3).div_ceil(2) + 1 } else { (n - 1) / 2 + 1 });
    let mut channels = spec.stem;
    for (stage, depth) in spec.depths.into_iter().enumerate() {
        let inner = spec.width << stage;
        let outputs = if spec.bottleneck { 4 * inner } else { inner };
        for block in 0..depth {
            let stride = match (block, stage) {
                (0, 1 | 2) => 2,
                (0, 3) => spec.last_stride,
                _ => 1,
            };
            if block == 0 {
                conv(size, [channels, outputs], 1, stride);
            }
            size = if spec.bottleneck {
                let [first, second] = if spec.caffe { [stride, 1] } else { [1, stride] };
                let size = conv(size, [channels, inner], 1, first);
                let size = conv(size, [inner, inner], 3, second);
                conv(size, [inner, outputs], 1, 1)
            } else {
                let size = conv(size, [channels, inner], 3, stride);
                conv(size, [inner, outputs], 3, 1)
            };
            channels = outputs;
        }
    }
    count
}
