//! Search for a ResNet in a net by its connections: stem, blocks, pool5, with any layer names.
//!
//! ```text
//! data - Convolution - BatchNorm - Scale - ReLU - max Pooling - block - ... - block - average Pooling
//!
//! block:  x -+- Convolution - BatchNorm - Scale - ReLU - ... - Convolution - BatchNorm - Scale -+- sum - ReLU
//!            +---- nothing, or one Convolution - BatchNorm - Scale ---------------------------+
//! ```
//!
//! Only layers that pool5 depends on are examined, so heads are ignored. A layer that does not fit this structure is an
//! error that names the layer.

use super::graph::{Graph, Value};
use super::net::Layer;
use super::wire::Fault;
use crate::display::quoted;

/// Largest number of average poolings that are tried as pool5.
const MAX_CANDIDATES: usize = 16;
/// Largest number of convolutions in a block's branch.
const MAX_CONVOLUTIONS: usize = 3;

/// Trunk of a ResNet, conv1 to pool5.
#[derive(Debug)]
pub struct Trunk<'a> {
    /// Input value of the first convolution.
    pub data: Value,
    /// The first convolution.
    pub stem: Convolved<'a>,
    /// Max pooling after the first convolution.
    pub pool1: &'a Layer,
    /// The blocks, in order.
    pub blocks: Vec<Block<'a>>,
    /// Average pooling that outputs the features.
    pub pool5: &'a Layer,
    /// Output value of pool5.
    pub features: Value,
}

/// A convolution with its normalisation.
#[derive(Clone, Copy, Debug)]
pub struct Convolved<'a> {
    /// The convolution.
    pub convolution: &'a Layer,
    /// Batch norm, with statistics.
    pub batch_norm: &'a Layer,
    /// Scale layer, with gamma and beta, if present.
    pub scale: Option<&'a Layer>,
}

/// A residual block.
#[derive(Debug)]
pub struct Block<'a> {
    /// Convolutions of the branch, two or three.
    pub branch: Vec<Convolved<'a>>,
    /// Projection of the block's input, if present.
    pub shortcut: Option<Convolved<'a>>,
}

/// Finds the trunk: the path to the average pooling after the most convolutions, else to the next one that ends a
/// ResNet. `None` if no pooling depends on two convolutions or more.
///
/// # Errors
/// The first layer that does not fit a ResNet on the path to the average pooling after the most convolutions; another
/// kind of pooling after the last convolution.
pub fn find<'a>(graph: &Graph<'a>, layers: &'a [Layer]) -> Option<Result<Trunk<'a>, Fault>> {
    let depths = graph.depths();
    let average = |layer: &&Layer| {
        layer.pooling.as_ref().is_some_and(|pooling| pooling.is_average())
            || layer.reduction.as_ref().is_some_and(|reduction| reduction.misfit().is_none())
    };
    let mut candidates: Vec<&Layer> =
        layers.iter().filter(average).filter(|layer| depths[layer.number] > 0).collect();
    if candidates.is_empty() {
        return other_pooling(layers, &depths).map(Err);
    }
    // Of those behind equally many convolutions, say of one for the whole map and one for each stripe of it, the
    // global one comes first.
    candidates.sort_by_key(|layer| {
        let is_global = layer.pooling.as_ref().is_none_or(|pooling| pooling.is_global());
        (std::cmp::Reverse(depths[layer.number]), !is_global, layer.number)
    });
    let mut first = None;
    for pool5 in candidates.into_iter().take(MAX_CANDIDATES) {
        let walk = Walk { graph, feeding: graph.feeding(pool5.number), pool5 };
        match walk.trunk() {
            Ok(trunk) => return Some(Ok(trunk)),
            Err(fault) => first = first.or(Some(Err(fault))),
        }
    }
    first
}

/// Error if the pooling after the last convolution is not an average; `None` without such a layer.
fn other_pooling(layers: &[Layer], depths: &[usize]) -> Option<Fault> {
    let deepest = depths.iter().copied().max().filter(|&depth| depth > 1)?;
    let last = layers.iter().filter(|layer| depths[layer.number] == deepest);
    last.filter_map(not_average).next()
}

/// Error if a pooling layer is not an average over the map; `None` for an average, for other layers, and if the file
/// does not state the method.
pub fn not_average(layer: &Layer) -> Option<Fault> {
    let (pooling, reduction) = (layer.pooling.as_deref(), layer.reduction.as_deref());
    let found = match layer.kind.as_str() {
        "Pooling" => pooling.filter(|p| !p.is_average()).map(|p| format!("takes {}", p.method()))?,
        "Reduction" => reduction.and_then(|reduction| reduction.misfit())?,
        _ => return None,
    };
    Some(format!(
        "{} {found}, where a ResNet's last pooling takes the average (AVE) of each channel's map",
        layer.with_kind()
    ))
}

struct Walk<'a, 'g> {
    graph: &'g Graph<'a>,
    /// For each layer, true if pool5 depends on it.
    feeding: Vec<bool>,
    pool5: &'a Layer,
}

/// A sequence of convolutions up to a sum.
struct Chain<'a> {
    convolutions: Vec<Convolved<'a>>,
    sum: &'a Layer,
}

impl<'a> Walk<'a, '_> {
    fn trunk(&self) -> Result<Trunk<'a>, Fault> {
        let first = self.first()?;
        let data = self.graph.inputs(first.number)[0];
        let (stem, value, is_rectified) = self.convolved(first)?;
        let pool1 = self.only_reader(value)?;
        if !is_rectified || pool1.kind != "Pooling" || pool1.number == self.pool5.number {
            return Err(format!(
                "{} follows {}, where a ResNet has a ReLU and its first pooling",
                pool1.with_kind(),
                quoted(&stem.convolution.name)
            ));
        }
        let mut value = self.output(pool1)?;
        let mut blocks = Vec::new();
        loop {
            if let [reader] = self.readers(value)[..]
                && reader.number == self.pool5.number
            {
                let features = self.output(self.pool5)?;
                return Ok(Trunk { data, stem, pool1, blocks, pool5: self.pool5, features });
            }
            let block;
            (block, value) = self.block(value)?;
            blocks.push(block);
        }
    }

    /// The layer that reads the data.
    fn first(&self) -> Result<&'a Layer, Fault> {
        let is_data = |value: &Value| {
            self.graph.writer(*value).is_none_or(|writer| self.graph.layer(writer).bottoms.is_empty())
        };
        let feeding = (0..self.feeding.len()).filter(|&number| self.feeding[number]);
        let mut readers = feeding.filter(|&number| self.graph.inputs(number).iter().any(is_data));
        let first = readers.next().ok_or("no layer of the net reads its data")?;
        let layer = self.graph.layer(first);
        if layer.kind != "Convolution" {
            return Err(format!(
                "{} is the first to read the data, where a ResNet has a convolution",
                layer.with_kind()
            ));
        }
        match readers.next() {
            None => Ok(layer),
            Some(other) => {
                let value = self.graph.inputs(other).iter().copied().find(is_data).unwrap_or_default();
                Err(format!(
                    "{} reads blob {}, which no layer before it computes; in a ResNet only the first convolution \
                     reads the data",
                    self.graph.layer(other).with_kind(),
                    self.graph.name(value)
                ))
            }
        }
    }

    /// Layers of the trunk that read a value.
    fn readers(&self, value: Value) -> Vec<&'a Layer> {
        let readers = self.graph.readers(value).iter().filter(|&&reader| self.feeding[reader]);
        readers.map(|&reader| self.graph.layer(reader)).collect()
    }

    fn only_reader(&self, value: Value) -> Result<&'a Layer, Fault> {
        match self.readers(value)[..] {
            [reader] => Ok(reader),
            ref readers => Err(self.too_many(value, readers, "one")),
        }
    }

    /// Error for a value with another number of readers than in a ResNet.
    fn too_many(&self, value: Value, readers: &[&Layer], wanted: &str) -> Fault {
        let some: Vec<String> = readers.iter().take(3).map(|reader| reader.with_kind()).collect();
        format!(
            "blob {} is read by {} layers ({}), where a ResNet has {wanted}",
            self.graph.name(value),
            readers.len(),
            some.join(", ")
        )
    }

    /// Output value of a layer with one input and one output.
    fn output(&self, layer: &Layer) -> Result<Value, Fault> {
        match (self.graph.inputs(layer.number), self.graph.outputs(layer.number)) {
            ([_], [output]) => Ok(*output),
            (inputs, outputs) => Err(format!(
                "{} reads {} blobs and writes {}, where a ResNet's reads and writes one",
                layer.with_kind(),
                inputs.len(),
                outputs.len()
            )),
        }
    }

    /// A convolution with its normalisation; also the value after it, and true if a ReLU follows.
    fn convolved(&self, convolution: &'a Layer) -> Result<(Convolved<'a>, Value, bool), Fault> {
        let mut value = self.output(convolution)?;
        let (mut batch_norm, mut scale, mut is_rectified) = (None, None, false);
        while let [reader] = self.readers(value)[..] {
            match reader.kind.as_str() {
                "BatchNorm" if batch_norm.is_none() && !is_rectified => batch_norm = Some(reader),
                "Scale" if batch_norm.is_some() && scale.is_none() && !is_rectified => scale = Some(reader),
                "ReLU" if batch_norm.is_some() && !is_rectified => is_rectified = true,
                _ => break,
            }
            check_rectifier(reader)?;
            value = self.output(reader)?;
        }
        let Some(batch_norm) = batch_norm else {
            let next = self.readers(value);
            let next = next.first().map_or("nothing".into(), |layer| layer.with_kind());
            return Err(format!(
                "{} has no BatchNorm behind it, but {next}: if the batch norms of this model were merged into its \
                 convolutions, convert the model as it was before that",
                convolution.with_kind()
            ));
        };
        for layer in [Some(convolution), Some(batch_norm), scale].into_iter().flatten() {
            if layer.blobs.is_empty() {
                return Err(format!("{} has no weights in the file", layer.with_kind()));
            }
        }
        Ok((Convolved { convolution, batch_norm, scale }, value, is_rectified))
    }

    /// Convolutions from `first` to the sum at the end of the block.
    fn chain(&self, first: &'a Layer) -> Result<Chain<'a>, Fault> {
        let (mut convolutions, mut next) = (Vec::new(), first);
        loop {
            let (convolved, value, is_rectified) = self.convolved(next)?;
            convolutions.push(convolved);
            next = self.only_reader(value)?;
            let sum_or_more = match (next.kind.as_str(), is_rectified) {
                ("Eltwise", false) => return Ok(Chain { convolutions, sum: next }),
                ("Convolution", true) if convolutions.len() < MAX_CONVOLUTIONS => continue,
                ("Convolution", true) => {
                    "the sum that ends the block: a branch has two or three convolutions"
                }
                (_, true) => "another convolution: what goes into a block's sum is not rectified before",
                (_, false) => "a ReLU, or the sum that ends the block",
            };
            return Err(format!(
                "{} follows {}{}, where a ResNet has {sum_or_more}",
                next.with_kind(),
                quoted(&convolved.convolution.name),
                if is_rectified { " and its ReLU" } else { "" },
            ));
        }
    }

    /// The block that reads `value`, and its output value.
    fn block(&self, value: Value) -> Result<(Block<'a>, Value), Fault> {
        let (branch, shortcut, sum) = match self.readers(value)[..] {
            [one, other] => match (one.kind.as_str(), other.kind.as_str()) {
                ("Convolution", "Eltwise") => self.identity(one, other)?,
                ("Eltwise", "Convolution") => self.identity(other, one)?,
                ("Convolution", "Convolution") => self.projection(one, other)?,
                (kind, _) => {
                    let stray = if kind == "Convolution" { other } else { one };
                    return Err(misplaced(stray));
                }
            },
            [one] if one.kind == "Convolution" => {
                return Err(format!(
                    "{} has no shortcut beside it: in a ResNet a block's input is added to its output",
                    one.with_kind()
                ));
            }
            [one] => return Err(misplaced(one)),
            ref readers => return Err(self.too_many(value, readers, "one or two")),
        };
        if let [_, _, ..] = branch[..]
            && let [_, _] = self.graph.inputs(sum.number)
            && check_sum(sum).is_ok()
            && let [output] = self.graph.outputs(sum.number)
        {
            let rectifier = match self.readers(*output)[..] {
                [rectifier] if rectifier.kind == "ReLU" => rectifier,
                [other, ..] => {
                    return Err(format!(
                        "{} follows the sum {}, where a ResNet has a ReLU and nothing else; pre-activation networks \
                         (ResNet v2) are not for this program",
                        other.with_kind(),
                        quoted(&sum.name)
                    ));
                }
                [] => return Err(self.too_many(*output, &[], "one")),
            };
            check_rectifier(rectifier)?;
            return Ok((Block { branch, shortcut }, self.output(rectifier)?));
        }
        Err(match branch[..] {
            [_, _, ..] => {
                format!("{} is no sum of two blobs, where a ResNet's block ends in one", sum.with_kind())
            }
            _ => {
                format!("{} ends a block of one convolution; a ResNet's has two or three", sum.with_kind())
            }
        })
    }

    /// A block whose input is added as it is.
    fn identity(&self, first: &'a Layer, sum: &'a Layer) -> Result<Parts<'a>, Fault> {
        let branch = self.chain(first)?;
        if branch.sum.number != sum.number {
            return Err(astray(first, branch.sum, sum));
        }
        Ok((branch.convolutions, None, sum))
    }

    /// A block whose input is added through a convolution, in either order.
    fn projection(&self, one: &'a Layer, other: &'a Layer) -> Result<Parts<'a>, Fault> {
        let (a, b) = (self.chain(one)?, self.chain(other)?);
        if a.sum.number != b.sum.number {
            return Err(astray(one, a.sum, b.sum));
        }
        match (&a.convolutions[..], &b.convolutions[..]) {
            ([_, _, ..], &[shortcut]) => Ok((a.convolutions, Some(shortcut), a.sum)),
            (&[shortcut], _) => Ok((b.convolutions, Some(shortcut), a.sum)),
            _ => Err(format!(
                "layers {} and {} begin two branches of several convolutions; in a ResNet's block one of them is a \
                 single convolution",
                quoted(&one.name),
                quoted(&other.name)
            )),
        }
    }
}

/// The branch, the projection and the sum of a block.
type Parts<'a> = (Vec<Convolved<'a>>, Option<Convolved<'a>>, &'a Layer);

/// A rectifier must set what is below 0 to 0.
pub fn check_rectifier(layer: &Layer) -> Result<(), Fault> {
    if layer.kind == "ReLU" && layer.negative_slope != 0.0 {
        let slope = layer.negative_slope;
        return Err(format!("{} has the slope {slope} below 0; a ResNet's has none", layer.with_kind()));
    }
    Ok(())
}

/// An element-wise layer must add what it reads.
pub fn check_sum(layer: &Layer) -> Result<(), Fault> {
    match &layer.eltwise {
        Some(eltwise) if !eltwise.is_plain_sum() => Err(format!(
            "{} is no sum of its inputs with factor 1, which is how a ResNet's block ends",
            layer.with_kind()
        )),
        _ => Ok(()),
    }
}

fn misplaced(layer: &Layer) -> Fault {
    let why = match layer.kind.as_str() {
        "BatchNorm" | "Scale" | "ReLU" => "; pre-activation networks (ResNet v2) are not for this program",
        _ => "",
    };
    format!("{} begins a block, where a ResNet has a convolution and its shortcut{why}", layer.with_kind())
}

fn astray(first: &Layer, end: &Layer, expected: &Layer) -> Fault {
    format!(
        "the branch that begins with layer {} ends in the sum {} and its shortcut in {}",
        quoted(&first.name),
        quoted(&end.name),
        quoted(&expected.name)
    )
}
