//! Assignment of a trunk's blocks to the four stages of a ResNet, and of layers to their places.

use super::names::Unit;
use super::net::Layer;
use super::units::Units;
use super::walk::{Block, Convolved, Trunk};
use super::wire::Fault;
use crate::display::quoted;

/// Number of stages of a ResNet.
const STAGES: u8 = 4;

/// Shape of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    /// Input channels.
    from: usize,
    /// Inner channels.
    inner: usize,
    /// Output channels.
    to: usize,
    /// Stride.
    stride: u64,
}

/// Places the layers of a trunk. A stage begins where a block strides or widens its output.
///
/// # Errors
/// The first layer that does not fit the engine's ResNet, and the reason.
pub fn place<'a>(trunk: &Trunk<'a>) -> Result<Units<'a>, Fault> {
    let mut units = Units { pool1: Some(trunk.pool1), ..Units::default() };
    let stem = trunk.stem.convolution;
    expect_kernel(stem, 7)?;
    let (mut channels, colours) = channels(stem)?;
    if colours != 3 {
        return Err(format!("{} reads {colours} channels; images have 3", stem.with_kind()));
    }
    units.insert(Unit::Stem, trunk.stem);

    let (mut stage, mut block) = (0, 0);
    let (mut width, bottleneck) = (0, trunk.blocks.first().is_some_and(|first| first.branch.len() == 3));
    for parts in &trunk.blocks {
        let first = parts.branch[0].convolution;
        if (parts.branch.len() == 3) != bottleneck {
            return Err(format!("{} begins a block of another kind than the first", first.with_kind()));
        }
        let shape = shape(parts, channels)?;
        if stage == 0 || shape.stride != 1 || shape.to != channels {
            (stage, block) = (stage + 1, 0);
            if stage > STAGES {
                return Err(format!("{} begins a fifth stage; a ResNet has four", first.with_kind()));
            }
            if stage > 1 && shape.inner != 2 * width {
                return Err(format!(
                    "{} begins stage {stage} of {} channels, and the stage before has {width}; the engine's ResNet \
                     has twice as many in each",
                    first.with_kind(),
                    shape.inner
                ));
            }
            width = shape.inner;
        }
        check_block(parts, shape, width, bottleneck)?;
        for (convolved, n) in parts.branch.iter().zip(1..) {
            units.insert(Unit::Branch { stage, block, n }, *convolved);
        }
        if let Some(shortcut) = parts.shortcut {
            units.insert(Unit::Shortcut { stage, block }, shortcut);
        }
        (channels, block) = (shape.to, block + 1);
    }
    if stage != STAGES {
        return Err(format!(
            "{} of the net averages the map behind {stage} stage(s) of blocks; a ResNet has four",
            trunk.pool5.with_kind()
        ));
    }
    Ok(units)
}

/// Channels and stride of a block; checks that each convolution reads as many channels as the one before writes.
fn shape(block: &Block<'_>, from: usize) -> Result<Shape, Fault> {
    let (mut to, mut stride) = (from, 1_u64);
    for Convolved { convolution, .. } in &block.branch {
        let (writes, reads) = channels(convolution)?;
        if reads != to {
            return Err(format!(
                "{} has weights for {reads} channels and reads {to}; a ResNet's convolutions are not grouped",
                convolution.with_kind()
            ));
        }
        to = writes;
        stride = stride.saturating_mul(convolution.convolution.as_ref().map_or(1, |c| c.stride_hw()[0]));
    }
    let inner = channels(block.branch[0].convolution)?.0;
    Ok(Shape { from, inner, to, stride })
}

/// Checks kernels and widths of a block, and the presence of a projection.
fn check_block(block: &Block<'_>, shape: Shape, width: usize, bottleneck: bool) -> Result<(), Fault> {
    let kernels: &[usize] = if bottleneck { &[1, 3, 1] } else { &[3, 3] };
    for (convolved, &kernel) in block.branch.iter().zip(kernels) {
        expect_kernel(convolved.convolution, kernel)?;
    }
    let last = block.branch.len() - 1;
    for (at, convolved) in block.branch.iter().enumerate() {
        let expected = if bottleneck && at == last { 4 * width } else { width };
        let (found, _) = channels(convolved.convolution)?;
        if found != expected {
            return Err(format!(
                "{} writes {found} channels, where a ResNet of this width has {expected}",
                convolved.convolution.with_kind()
            ));
        }
    }
    let first = block.branch[0].convolution;
    let changes = shape.stride != 1 || shape.from != shape.to;
    match block.shortcut {
        None if changes => Err(format!(
            "the block that begins with layer {} turns {} channels into {} at stride {} and its shortcut does not",
            quoted(&first.name),
            shape.from,
            shape.to,
            shape.stride
        )),
        Some(Convolved { convolution, .. }) if !changes => Err(format!(
            "{} projects the input of a block that has the shape of its output already; the engine's ResNet adds it \
             as it is",
            convolution.with_kind()
        )),
        Some(Convolved { convolution, .. }) => {
            expect_kernel(convolution, 1)?;
            match channels(convolution)? {
                (writes, reads) if (writes, reads) == (shape.to, shape.from) => Ok(()),
                (writes, reads) => Err(format!(
                    "{} turns {reads} channels into {writes}, and the branch beside it {} into {}",
                    convolution.with_kind(),
                    shape.from,
                    shape.to
                )),
            }
        }
        None => Ok(()),
    }
}

/// Channels of a convolution: output, input.
fn channels(layer: &Layer) -> Result<(usize, usize), Fault> {
    match layer.blobs.first().map(|weight| &weight.shape[..]) {
        Some(&[writes, reads, _, _]) => Ok((writes, reads)),
        Some(shape) => Err(format!("{} has weights {shape:?}; a convolution's are 4-d", quoted(&layer.name))),
        None => Err(format!("{} has no weights in the file", layer.with_kind())),
    }
}

fn expect_kernel(layer: &Layer, size: usize) -> Result<(), Fault> {
    channels(layer)?;
    match layer.blobs[0].shape[2..] {
        [rows, columns] if (rows, columns) == (size, size) => Ok(()),
        ref other => Err(format!(
            "{} has a kernel of {other:?}, where a ResNet has one of {size}x{size}",
            layer.with_kind()
        )),
    }
}
