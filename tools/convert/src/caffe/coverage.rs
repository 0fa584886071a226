//! Check that the last average pooling covers the whole map.
//!
//! Caffe's networks state a kernel that fits the images they were trained on, say 7x7 for 224x224, and the engine
//! averages a map of any size. For the network's input size both must be equal.

use super::net::Layer;
use super::walk::Trunk;
use super::wire::Fault;

/// Checks the kernel of pool5 against the map of images of `size`; without a size, adds a note about the assumption.
pub fn check(trunk: &Trunk<'_>, size: Option<[u64; 2]>, notes: &mut Vec<String>) -> Result<(), Fault> {
    let Some(pool5) = trunk.pool5.pooling.as_deref() else { return Ok(()) };
    if pool5.is_global() {
        return Ok(());
    }
    let (name, kernel) = (trunk.pool5.with_kind(), pool5.kernel_hw());
    if pool5.pad_hw() != [0; 2] {
        return Err(format!("{name} has pad {:?}; a ResNet's last average has none", pool5.pad_hw()));
    }
    let Some(map) = size.and_then(|size| map(trunk, size)) else {
        notes.push(format!(
            "{name} averages {} x {} values; the file does not say how large its map is, and the average is taken to \
             be over the whole map",
            kernel[0], kernel[1]
        ));
        return Ok(());
    };
    if (0..2).any(|axis| kernel[axis] < map[axis]) {
        return Err(format!(
            "{name} averages {} x {} values of a map of {} x {}, where a ResNet averages all",
            kernel[0], kernel[1], map[0], map[1]
        ));
    }
    Ok(())
}

/// Rows and columns of the map before pool5; `None` if a layer before pool5 does not state its stride.
fn map(trunk: &Trunk<'_>, size: [u64; 2]) -> Option<[u64; 2]> {
    let convolved = |size: [u64; 2], layer: &Layer| {
        let settings = layer.convolution.as_ref()?;
        let &[.., rows, columns] = &layer.blobs.first()?.shape[..] else { return None };
        let kernel = [rows as u64, columns as u64];
        Some(windows(size, kernel, settings.stride_hw(), settings.pad_hw(), false))
    };
    let pool1 = trunk.pool1.pooling.as_ref()?;
    let size = convolved(size, trunk.stem.convolution)?;
    let size = windows(size, pool1.kernel_hw(), pool1.stride_hw(), pool1.pad_hw(), pool1.is_ceil());
    let branches = trunk.blocks.iter().flat_map(|block| &block.branch);
    branches.map(|part| part.convolution).try_fold(size, convolved)
}

/// Number of windows along each axis.
fn windows(size: [u64; 2], kernel: [u64; 2], stride: [u64; 2], pad: [u64; 2], ceil: bool) -> [u64; 2] {
    [0, 1].map(|axis| {
        let room = size[axis].saturating_add(pad[axis].saturating_mul(2)).saturating_sub(kernel[axis]);
        let stride = stride[axis].max(1);
        let steps = if ceil { room.div_ceil(stride) } else { room / stride };
        steps.saturating_add(1)
    })
}
