//! Lists of names and shapes, as src/model/resnet.rs declares them.

use crate::answer::read;
use crate::checks::*;

struct Spec {
    caffe: bool,
    bottleneck: bool,
    depths: [usize; 4],
    width: usize,
    stem: usize,
    classes: Option<usize>,
}

impl Spec {
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let mut all = Vec::new();
        let mut conv_bn = |conv: &str, bn: &str, filters: [usize; 4], has_bias: bool| {
            let outputs = vec![filters[0]];
            all.push((format!("{conv}.weight"), filters.to_vec()));
            if has_bias {
                all.push((format!("{conv}.bias"), outputs.clone()));
            }
            for part in ["weight", "bias", "running_mean", "running_var"] {
                all.push((format!("{bn}.{part}"), outputs.clone()));
            }
        };
        conv_bn("conv1", "bn1", [self.stem, 7, 7, 3], self.caffe);
        let mut channels = self.stem;
        for (stage, depth) in (1..).zip(self.depths) {
            let inner = self.width << (stage - 1);
            let outputs = if self.bottleneck { 4 * inner } else { inner };
            for block in 0..depth {
                let name = |layer: &str| format!("layer{stage}.{block}.{layer}");
                let shapes = match self.bottleneck {
                    true => vec![[inner, 1, 1, channels], [inner, 3, 3, inner], [outputs, 1, 1, inner]],
                    false => vec![[inner, 3, 3, channels], [outputs, 3, 3, inner]],
                };
                for (n, shape) in (1..).zip(shapes) {
                    conv_bn(&name(&format!("conv{n}")), &name(&format!("bn{n}")), shape, false);
                }
                if channels != outputs || (block == 0 && stage > 1) {
                    conv_bn(&name("downsample.0"), &name("downsample.1"), [outputs, 1, 1, channels], false);
                }
                channels = outputs;
            }
        }
        if let Some(classes) = self.classes {
            all.push(("fc.weight".into(), vec![classes, channels]));
            all.push(("fc.bias".into(), vec![classes]));
        }
        all
    }

    fn grade(&self, seed: u64) -> Finding {
        let (mut tensors, mut numbers) = (self.tensors(), Numbers::new(seed));
        for last in (1..tensors.len()).rev() {
            tensors.swap(last, numbers.below(last + 1));
        }
        let got = read(&tensors);
        let wiring = |caffe: bool| if caffe { "Caffe's" } else { "torchvision's" };
        that(got.caffe == self.caffe, || {
            format!(
                "{} wiring instead of {}: in Caffe's the first convolution, conv1, has a bias; batch normalisations \
                 and the classifier have one in both",
                wiring(got.caffe),
                wiring(self.caffe)
            )
        })?;
        that(got.bottleneck == self.bottleneck, || {
            format!(
                "bottleneck is {} instead of {}: look for a third convolution",
                got.bottleneck, self.bottleneck
            )
        })?;
        that(got.depths == self.depths, || {
            format!(
                "depths are {:?} instead of {:?}: count the blocks, in any order; their numbers may have two digits",
                got.depths, self.depths
            )
        })?;
        that(got.width == self.width, || {
            format!(
                "width is {} instead of {}: filters are [K, R, S, C], and the stem may have {} channels of its own",
                got.width, self.width, self.stem
            )
        })?;
        that(got.classes == self.classes, || {
            format!("classes are {:?} instead of {:?}", got.classes, self.classes)
        })
    }
}

pub fn grade(checks: &mut Checks) {
    let networks = [
        ("ResNet-50", true, [3, 4, 6, 3], 64, 64),
        ("ResNet-18", false, [2, 2, 2, 2], 64, 64),
        ("ResNet-101", true, [3, 4, 23, 3], 64, 64),
        ("a slim network with a stem of its own", true, [2, 1, 12, 2], 16, 24),
        ("basic blocks with a stem of its own", false, [1, 11, 2, 1], 8, 12),
    ];
    for (name, bottleneck, depths, width, stem) in networks {
        checks.check(name, || {
            for caffe in [false, true] {
                for (seed, classes) in [(1, None), (2, Some(751)), (3, Some(1))] {
                    Spec { caffe, bottleneck, depths, width, stem, classes }.grade(seed)?;
                }
            }
            Ok(())
        });
    }
}
