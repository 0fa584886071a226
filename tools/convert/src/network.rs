//! Identification of a ResNet from named tensors: found by names, checked by shapes.

use crate::content::{Source, SourceTensor};
use crate::toolboxes::head::Head;
use crate::toolboxes::{has_neck, parts};
use crate::{Error, Result};
use bcreid::config::{Arch, Config, Input, Model, NeckKind, Pooling, Wiring};
use bcreid::device::Device;
use bcreid::model::resnet::Spec;
use std::collections::BTreeSet;
use std::path::Path;

/// A ResNet found in a file.
#[derive(Debug)]
pub struct Network<'a> {
    /// Kind, wiring and input convention; all other settings are defaults.
    pub config: Config,
    /// Tensors of the engine, in the engine's order.
    pub places: Vec<Place<'a>>,
    /// Tensors of the file that the engine does not use: classifiers, counters.
    pub left_out: Vec<&'a str>,
}

/// A tensor of the engine and its source.
#[derive(Debug)]
pub struct Place<'a> {
    /// Name, equal in the file and in the engine.
    pub name: String,
    /// Shape in the engine: convolutions `[K, R, S, C]`.
    pub shape: Vec<usize>,
    /// Tensor of the file; `None` for the bias that Caffe's ResNet-101 and -152 lack, which is 0.
    pub source: Option<&'a SourceTensor>,
}

/// Kinds of networks, distinguished by their blocks.
const KNOWN: [Arch; 6] =
    [Arch::Resnet18, Arch::Resnet34, Arch::Resnet50, Arch::Resnet101, Arch::Resnet152, Arch::Slim];

/// Properties that shapes do not show.
#[derive(Clone, Debug)]
pub struct Unseen {
    /// Wiring: the places of strides and pooling.
    pub wiring: Wiring,
    /// Stride of the last stage, 1 or 2.
    pub last_stride: usize,
    /// Input convention.
    pub input: Input,
    /// True to leave out the neck and the other layers behind pool5 (`--without-head`).
    pub without_head: bool,
}

impl Unseen {
    /// The properties that the file states, or the defaults of its container.
    pub fn of(source: &Source) -> Self {
        Unseen {
            wiring: source.wiring,
            last_stride: source.last_stride,
            input: source.input.clone(),
            without_head: false,
        }
    }
}

/// Identifies the network in `source`, read from `path`.
///
/// # Errors
/// No ResNet of a known kind; missing tensors or tensors of another shape (the error names the first and their number);
/// tensors in the trunk that this kind does not have; a head that a network here cannot have; a head
/// without a stated stride of the last stage.
pub fn recognise<'a>(source: &'a Source, path: &Path, unseen: Unseen) -> Result<Network<'a>> {
    let fault = |what: String| Error::weights(path, what);
    parts::check_trunk(source, path)?;
    let Some(stem) = source.tensors.get("conv1.weight") else {
        let some: Vec<&str> = source.tensors.keys().take(6).map(String::as_str).collect();
        let more = source.tensors.len() - some.len();
        return Err(fault(format!(
            "has no conv1.weight, so it is no ResNet by torchvision's names; it holds {some:?} and {more} more \
             (--list shows all)"
        )));
    };
    let &[stem, ..] = stem.shape.as_slice() else {
        return Err(fault("conv1.weight is a scalar; a convolution has 4 sizes".into()));
    };
    let depths = depths(source);
    if let Some(stage) = depths.iter().position(|&depth| depth == 0) {
        return Err(fault(format!(
            "has no layer{}.0, so it is none of ResNet-18, 34, 50, 101 and 152, which have four stages",
            stage + 1
        )));
    }
    // The first convolution of the first block gives the width of the stages; without it, the check below fails.
    let width = source.tensors.get("layer1.0.conv1.weight").and_then(|first| first.shape.first().copied());
    let width = width.unwrap_or(stem);
    for (name, channels) in [("conv1.weight", stem), ("layer1.0.conv1.weight", width)] {
        if !(1..=1024).contains(&channels) {
            return Err(fault(format!("{name} has {channels} channels; known networks have 1 to 1024")));
        }
    }
    let bottleneck = source.tensors.contains_key("layer1.0.conv3.weight");
    let ibn = source.tensors.contains_key("layer1.0.bn1.IN.weight");
    let arch = nearest(bottleneck, depths);
    let preset = Spec::of(&Model { arch, ..Model::default() });
    let Unseen { wiring, last_stride, input, without_head } = unseen;
    if !without_head {
        parts::check_head(source, path)?;
    }
    let head = if without_head { Head::default() } else { source.head.clone() };
    let neck = match has_neck(source) && !without_head {
        true => NeckKind::Batchnorm,
        false => NeckKind::None,
    };
    let of_reid = [
        (neck == NeckKind::Batchnorm, "a neck"),
        (!head.embedding.is_empty(), "an embedding"),
        (head.gem, "a generalised mean"),
    ];
    if let Some((_, part)) = of_reid.into_iter().find(|(has, _)| *has && !source.states_stride) {
        return Err(fault(format!(
            "is a re-identification network with {part}, and does not state the stride of its last stage, on which its \
             features depend: add --last-stride 1, the default of fast-reid, reid-strong-baseline and torchreid's \
             resnet50_fc512, or --last-stride 2"
        )));
    }
    let own_stem = (stem != width).then_some(stem);
    let width = (preset.width != width).then_some(width);
    let depths = (source.is_whole && preset.depths != depths).then_some(depths);
    let model = Model {
        arch,
        width,
        stem: own_stem,
        depths,
        wiring,
        last_stride,
        neck,
        ibn,
        pooling: if head.gem { Pooling::Gem } else { Pooling::Average },
        // Where a bias has no meaning, the setting keeps its default.
        embedding_bias: head.bias || head.batchnorm || head.embedding.is_empty(),
        embedding: head.embedding,
        embedding_batchnorm: head.batchnorm,
        embedding_relu: head.relu,
        ..Model::default()
    };
    let config = Config { model, input, ..Config::default() };

    let (_, specs) = bcreid::model::Model::declare(&config, 0, &Device::cpu())?;
    let mut places = Vec::new();
    let (mut missing, mut misshapen, mut first) = (0, 0, None);
    for (name, shape) in specs.shapes() {
        let shape = shape.dims().to_vec();
        let expected = match shape[..] {
            [k, r, s, c] => vec![k, c, r, s],
            _ => shape.clone(),
        };
        let found = source.tensors.get(name);
        match found {
            Some(found) if !["f64", "f32", "f16", "bf16"].contains(&found.dtype) => {
                misshapen += 1;
                first.get_or_insert_with(|| {
                    format!(
                        "{name} is of {}, quantised or damaged; weights must be floating point",
                        found.dtype
                    )
                });
            }
            Some(found) if found.shape != expected => {
                misshapen += 1;
                first.get_or_insert_with(|| {
                    format!("{name} is {:?} in the file and {expected:?} in the network", found.shape)
                });
            }
            None if name != "conv1.bias" => {
                missing += 1;
                first.get_or_insert_with(|| format!("{name} {expected:?} is missing"));
            }
            _ => {}
        }
        places.push(Place { name: name.into(), shape, source: found });
    }
    let wanted: BTreeSet<&str> = places.iter().map(|place| place.name.as_str()).collect();
    let others = source.tensors.keys().map(String::as_str).filter(|name| !wanted.contains(name));
    // A tensor of a head has its layer's name, whatever that is, a slash and a number.
    let is_of_a_head = |name: &str| source.is_whole && name.contains('/');
    let (strays, left_out): (Vec<&str>, Vec<&str>) =
        others.partition(|name| is_inside(name) && !is_of_a_head(name));
    let first = first.or_else(|| {
        let stray = strays.first()?;
        Some(format!("{stray:?} {:?} is not part of it", source.tensors[*stray].shape))
    });
    match first {
        None => Ok(Network { config, places, left_out }),
        Some(first) => Err(fault(format!(
            "is not {}{}: {first} (in all {missing} missing, {misshapen} of another shape \
             or type, {} too many)",
            title_of(&config.model),
            if source.is_whole { "" } else { ", the nearest known network" },
            strays.len()
        ))),
    }
}

/// Title of a network, with its blocks if they are not those of its kind.
pub fn title_of(model: &Model) -> String {
    let ibn = if model.ibn { " with IBN-a" } else { "" };
    match model.depths {
        None => format!("{}{ibn}", name_of(model.arch)),
        Some([a, b, c, d]) => {
            let block = if Spec::of(model).bottleneck { "bottleneck" } else { "basic" };
            format!("a ResNet of {a}-{b}-{c}-{d} {block} blocks{ibn}")
        }
    }
}

/// Common name of a kind of network.
pub fn name_of(arch: Arch) -> &'static str {
    match arch {
        Arch::Resnet18 => "ResNet-18",
        Arch::Resnet34 => "ResNet-34",
        Arch::Resnet50 => "ResNet-50",
        Arch::Resnet101 => "ResNet-101",
        Arch::Resnet152 => "ResNet-152",
        Arch::Slim => "bcreid's slim ResNet",
    }
}

/// Number of blocks of each stage, by the highest number in a name.
fn depths(source: &Source) -> [usize; 4] {
    let mut depths = [0; 4];
    for name in source.tensors.keys() {
        let mut parts = name.split('.');
        let stage = parts.next().and_then(|part| part.strip_prefix("layer")?.parse::<usize>().ok());
        let block = parts.next().and_then(|part| part.parse::<usize>().ok());
        if let (Some(stage @ 1..=4), Some(block @ 0..1000)) = (stage, block) {
            depths[stage - 1] = depths[stage - 1].max(block + 1);
        }
    }
    depths
}

/// The known network with that kind of block whose stages are closest in length.
fn nearest(bottleneck: bool, depths: [usize; 4]) -> Arch {
    let distance = |arch: &Arch| {
        let known = Spec::of(&Model { arch: *arch, ..Model::default() });
        let blocks: usize = known.depths.iter().zip(depths).map(|(a, b)| a.abs_diff(b)).sum();
        (known.bottleneck != bottleneck, blocks)
    };
    KNOWN.into_iter().min_by_key(distance).expect("the list is not empty")
}

/// True if a tensor of this name belongs to conv1 to pool5 and not to a head.
fn is_inside(name: &str) -> bool {
    let inside = ["conv1.", "bn1.", "layer1.", "layer2.", "layer3.", "layer4."];
    inside.iter().any(|part| name.starts_with(part)) && !name.ends_with(".num_batches_tracked")
}
