//! The multiplications of a ResNet, from a list of its convolutions.

use crate::answer::{Spec, multiplications};
use crate::checks::*;

/// A convolution: pixels of input and output, channels of input and output, side of the filters, and whether it is the
/// projection of a shortcut.
struct Conv {
    input: [usize; 2],
    output: [usize; 2],
    channels: [usize; 2],
    kernel: usize,
    is_projection: bool,
}

impl Conv {
    fn at(&self, pixels: [usize; 2]) -> u64 {
        [pixels[0], pixels[1], self.channels[0], self.channels[1], self.kernel, self.kernel]
            .iter()
            .map(|n| *n as u64)
            .product()
    }
}

/// The rule by which the pooling counts its windows.
#[derive(Clone, Copy)]
enum Pooling {
    Torchvision,
    Caffe,
    /// Neither: without padding, and rounded down.
    RoundedDown,
}

fn pooling(is_caffe: bool) -> Pooling {
    if is_caffe { Pooling::Caffe } else { Pooling::Torchvision }
}

/// All convolutions: `strides` is true where the strides are as in Caffe's wiring, and `projections` where each first
/// block of a stage has a projection.
fn convolutions(
    spec: &Spec,
    image: [usize; 2],
    strides: bool,
    pooling: Pooling,
    projections: bool,
) -> Vec<Conv> {
    let mut all: Vec<Conv> = Vec::new();
    let mut add =
        |input: [usize; 2], channels: [usize; 2], kernel: usize, stride: usize, is_projection: bool| {
            // A window begins at each pixel 0, stride, 2 stride, ...: the padding is half of the filter.
            let output = input.map(|n| (0..n).step_by(stride).count());
            all.push(Conv { input, output, channels, kernel, is_projection });
            output
        };
    let stem = add(image, [3, spec.stem], 7, 2, false);
    let mut pixels = stem.map(|n| {
        // Windows of 3 with stride 2. Caffe's begin at pixel 0, and the last one covers the last pixel. torchvision's
        // begin at pixel -1, and end at the latest behind the last pixel.
        match pooling {
            Pooling::Torchvision => (0..n).step_by(2).count(),
            Pooling::Caffe => (0..).find(|w| 2 * w + 3 >= n).unwrap() + 1,
            Pooling::RoundedDown => (0..n).step_by(2).filter(|first| first + 3 <= n).count(),
        }
    });
    let mut channels = spec.stem;
    for stage in 0..4 {
        let inner = spec.width * [1, 2, 4, 8][stage];
        let outputs = inner * if spec.bottleneck { 4 } else { 1 };
        for block in 0..spec.depths[stage] {
            let stride = if block > 0 { 1 } else { [1, 2, 2, spec.last_stride][stage] };
            if stride > 1 || channels != outputs || (projections && block == 0) {
                add(pixels, [channels, outputs], 1, stride, true);
            }
            let layers = match (spec.bottleneck, strides) {
                (false, _) => vec![(3, stride, inner), (3, 1, outputs)],
                (true, true) => vec![(1, stride, inner), (3, 1, inner), (1, 1, outputs)],
                (true, false) => vec![(1, 1, inner), (3, stride, inner), (1, 1, outputs)],
            };
            for (kernel, stride, outputs) in layers {
                pixels = add(pixels, [channels, outputs], kernel, stride, false);
                channels = outputs;
            }
        }
    }
    all
}

fn one(spec: &Spec, image: [usize; 2]) -> Finding {
    let list = |strides, pooling| convolutions(spec, image, strides, pooling, false);
    let own_pooling = pooling(spec.caffe);
    let total = |list: Vec<Conv>| list.iter().map(|conv| conv.at(conv.output)).sum::<u64>();
    let own = || list(spec.caffe, own_pooling);
    let (got, want) = (multiplications(spec, image), total(own()));
    if got == want {
        return Ok(());
    }
    let without: u64 = own().iter().filter(|conv| !conv.is_projection).map(|conv| conv.at(conv.output)).sum();
    let at_inputs: u64 = own().iter().map(|conv| conv.at(conv.input)).sum();
    let why = if got == without {
        ": the projections of the shortcuts are missing"
    } else if got == at_inputs {
        ": that is the number with the pixels of the inputs; a convolution multiplies for each pixel of its output"
    } else if got == total(list(!spec.caffe, own_pooling)) {
        ": the stride of a stage is on the other convolution in this wiring"
    } else if [pooling(!spec.caffe), Pooling::RoundedDown]
        .into_iter()
        .any(|p| got == total(list(spec.caffe, p)))
    {
        ": the pooling has another number of windows in this wiring"
    } else if got == total(convolutions(spec, image, spec.caffe, own_pooling, true)) {
        ": a block whose input and output have the same shape has no projection"
    } else {
        ""
    };
    let wiring = if spec.caffe { "Caffe's" } else { "torchvision's" };
    Err(format!("{image:?} pixels, {wiring} wiring: {got} multiplications instead of {want}{why}"))
}

pub fn grade(checks: &mut Checks) {
    let networks = [
        ("ResNet-50", true, [3, 4, 6, 3], 64, 64),
        ("ResNet-18", false, [2, 2, 2, 2], 64, 64),
        ("a slim network with a stem of its own", true, [2, 1, 3, 2], 16, 24),
        ("basic blocks with a stem of its own", false, [1, 2, 1, 1], 8, 12),
    ];
    for (name, bottleneck, depths, width, stem) in networks {
        checks.check(name, || {
            for caffe in [false, true] {
                for last_stride in [2, 1] {
                    let spec = Spec { bottleneck, depths, width, stem, caffe, last_stride };
                    [[224, 224], [256, 128], [250, 121], [65, 33]]
                        .into_iter()
                        .try_for_each(|image| one(&spec, image))?;
                }
            }
            Ok(())
        });
    }
}
