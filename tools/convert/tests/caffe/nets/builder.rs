//! The layers of a made-up ResNet, one after the other.

use super::{Kind, Layer, Net, Setting};

use Setting::{Whole, Word};

/// The net of that kind.
pub fn build(kind: Kind) -> Net {
    let layers = vec![Layer::new("pictures", "Input", &[], "pictures")];
    let mut builder = Builder { kind, net: Net { layers, convolutions: Vec::new() } };
    builder.build();
    builder.net
}

struct Builder {
    kind: Kind,
    net: Net,
}

/// A convolution to be: its name, torchvision's, channels read and written, kernel, stride.
struct Convolution<'a> {
    name: String,
    torchvision: String,
    bottom: &'a str,
    channels: [i64; 2],
    kernel: i64,
    stride: i64,
    relu: bool,
}

impl Builder {
    /// Adds a layer and gives the name of its top.
    fn add(&mut self, name: &str, kind: &'static str, bottom: &str, shapes: &[&[i64]]) -> String {
        let top = if self.kind.in_place { bottom } else { name };
        let mut layer = Layer::new(name, kind, &[bottom], top);
        layer.shapes = shapes.iter().map(|shape| shape.to_vec()).collect();
        self.net.layers.push(layer);
        top.to_string()
    }

    fn convolution(&mut self, convolution: Convolution<'_>) -> String {
        let Convolution { name, torchvision, bottom, channels: [from, to], kernel, stride, relu } =
            convolution;
        let mut layer = Layer::new(&name, "Convolution", &[bottom], &name);
        layer.shapes = vec![vec![to, from, kernel, kernel]];
        if self.kind.biases {
            layer.shapes.push(vec![to]);
        }
        layer.value = (self.net.convolutions.len() + 2) as f32;
        let bias = i64::from(self.kind.biases);
        for (key, value) in [
            ("num_output", to),
            ("kernel_size", kernel),
            ("stride", stride),
            ("pad", kernel / 2),
            ("bias_term", bias),
        ] {
            layer.set(key, Whole(value));
        }
        self.net.convolutions.push((torchvision, layer.value));
        self.net.layers.push(layer);
        let mut top = self.add(&format!("{name}/norm"), "BatchNorm", &name, &[&[to], &[to], &[1]]);
        if self.kind.scales {
            top = self.add(&format!("{name}/gain"), "Scale", &top, &[&[to], &[to]]);
            self.net.at(&format!("{name}/gain")).set("bias_term", Whole(1));
        }
        if relu { self.add(&format!("{name}/rect"), "ReLU", &top, &[]) } else { top }
    }

    /// A blob for each of two readers.
    fn both(&mut self, name: &str, blob: String) -> [String; 2] {
        if !self.kind.splits {
            return [blob.clone(), blob];
        }
        let mut split = Layer::new(&format!("{name}_split"), "Split", &[&blob], &format!("{name}_split_0"));
        split.tops.push(format!("{name}_split_1"));
        let tops = [0, 1].map(|at| split.tops[at].clone());
        self.net.layers.push(split);
        tops
    }

    fn build(&mut self) {
        let Kind { stem, width, depths, torchvision, .. } = self.kind;
        let stem = self.convolution(Convolution {
            name: "first".into(),
            torchvision: "conv1".into(),
            bottom: "pictures",
            channels: [3, stem],
            kernel: 7,
            stride: 2,
            relu: true,
        });
        let mut pool = Layer::new("shrink", "Pooling", &[&stem], "shrink");
        let (pad, rounding) = if torchvision { (1, Word("FLOOR", 1)) } else { (0, Word("CEIL", 0)) };
        for (key, value) in [
            ("pool", Word("MAX", 0)),
            ("kernel_size", Whole(3)),
            ("stride", Whole(2)),
            ("pad", Whole(pad)),
            ("round_mode", rounding),
        ] {
            pool.set(key, value);
        }
        self.net.layers.push(pool);
        let (mut blob, mut channels) = ("shrink".to_string(), self.kind.stem);
        for (stage, &depth) in depths.iter().enumerate() {
            for block in 0..depth {
                let stride = match (block, stage) {
                    (0, 1 | 2) => 2,
                    (0, 3) => self.kind.last_stride,
                    _ => 1,
                };
                (blob, channels) = self.block(stage, block, blob, [channels, width << stage], stride);
            }
        }
        let mut pool = Layer::new("mean", "Pooling", &[&blob], "mean");
        pool.set("pool", Word("AVE", 1));
        pool.set("global_pooling", Whole(1));
        self.net.layers.push(pool);
        let mut classes = Layer::new("who", "InnerProduct", &["mean"], "who");
        classes.shapes = vec![vec![5, channels], vec![5]];
        self.net.layers.push(classes);
    }

    fn block(
        &mut self,
        stage: usize,
        block: usize,
        blob: String,
        [from, inner]: [i64; 2],
        stride: i64,
    ) -> (String, i64) {
        let place = format!("s{stage}b{block}");
        let [left, right] = self.both(&place, blob);
        let to = if self.kind.bottleneck { 4 * inner } else { inner };
        let project = |this: &mut Self| -> String {
            if stride == 1 && from == to {
                return left.clone();
            }
            this.convolution(Convolution {
                name: format!("{place}/side"),
                torchvision: format!("layer{}.{block}.downsample.0", stage + 1),
                bottom: &left,
                channels: [from, to],
                kernel: 1,
                stride,
                relu: false,
            })
        };
        let early = self.kind.shortcut_first.then(|| project(self));
        // Channels read and written, kernel, stride.
        let (first, second) =
            if self.kind.torchvision && self.kind.bottleneck { (1, stride) } else { (stride, 1) };
        let convolutions = if self.kind.bottleneck {
            vec![([from, inner], 1, first), ([inner, inner], 3, second), ([inner, to], 1, 1)]
        } else {
            vec![([from, inner], 3, first), ([inner, to], 3, second)]
        };
        let (mut branch, last) = (right, convolutions.len());
        for ((channels, kernel, stride), n) in convolutions.into_iter().zip(1..) {
            branch = self.convolution(Convolution {
                name: format!("{place}/main{n}"),
                torchvision: format!("layer{}.{block}.conv{n}", stage + 1),
                bottom: &branch,
                channels,
                kernel,
                stride,
                relu: n < last,
            });
        }
        let inputs = match early {
            Some(side) => [side, branch],
            None => [branch, project(self)],
        };
        let name = format!("{place}/sum");
        self.net.layers.push(Layer::new(&name, "Eltwise", &[&inputs[0], &inputs[1]], &name));
        (self.add(&format!("{place}/out"), "ReLU", &name, &[]), to)
    }
}
