//! Detection of a net's wiring from its strides and its pooling.
//!
//! A weight file of Caffe has the settings of its layers. They override the default wiring of Caffe files, because
//! Caffe is also used to train other variants.

use super::names::Unit;
use super::net::Layer;
use super::settings::Pooling;
use super::wire::Fault;
use crate::content::Asked;
use bcreid::config::Wiring;
use std::collections::BTreeMap;

/// Finds the wiring, and the stride of the last stage (1 or 2), that fit every convolution and the stem's pooling; the
/// options `asked` decide where the file does not. Adds notes about unusual settings.
///
/// # Errors
/// A network with neither of the two wirings; an option that contradicts the file.
pub fn wiring(
    convolutions: &BTreeMap<Unit, &Layer>,
    pool1: Option<&Pooling>,
    asked: Asked,
    notes: &mut Vec<String>,
) -> Result<(Wiring, usize), Fault> {
    let mut strides = Vec::new();
    for (&unit, layer) in convolutions {
        if let Some(stride) = stride(layer)? {
            strides.push((unit, layer.title(), stride));
        }
    }
    if strides.is_empty() && (asked.wiring.is_none() || asked.last_stride.is_none()) {
        notes.push("the file does not say where the network strides; He's release is assumed".into());
    }
    let bottleneck = |stage, block| convolutions.contains_key(&Unit::Branch { stage, block, n: 3 });
    let misfit = |(wiring, last_stride): (Wiring, usize)| {
        let stride_misfit = strides.iter().find_map(|&(unit, ref name, found)| {
            let wanted = expected_stride(unit, &bottleneck, wiring, last_stride as u64);
            (found != wanted).then(|| format!("{name} has stride {found}, not {wanted}"))
        });
        stride_misfit.or_else(|| pool1.and_then(|pool| pool_misfit(pool, wiring)))
    };
    let all = [Wiring::Caffe, Wiring::Torchvision].map(|wiring| [2, 1].map(|stride| (wiring, stride)));
    let fitting: Vec<(Wiring, usize)> =
        all.into_iter().flatten().filter(|&candidate| misfit(candidate).is_none()).collect();
    let Some(&(wiring, last_stride)) = fitting.first() else {
        let why = |wiring| misfit((wiring, 2)).unwrap_or_default();
        let (caffe, torchvision) = (why(Wiring::Caffe), why(Wiring::Torchvision));
        return Err(format!(
            "the network is wired neither as He's release ({caffe}) nor as torchvision's ResNet ({torchvision}); \
             there is no third wiring to load it into"
        ));
    };
    let contradiction = |option: String, asked: (Wiring, usize), more: &str| {
        let why = misfit(asked).unwrap_or_default();
        format!("contradicts {option}: {why}; leave the option out, and the file's is taken{more}")
    };
    let is_asked = |&&(own, _): &&(Wiring, usize)| asked.wiring.is_none_or(|asked| asked == own);
    let of_wiring: Vec<(Wiring, usize)> = fitting.iter().filter(is_asked).copied().collect();
    if let (Some(asked), true) = (asked.wiring, of_wiring.is_empty()) {
        let name = format!("{asked:?}").to_lowercase();
        return Err(contradiction(format!("--wiring {name}"), (asked, last_stride), ""));
    }
    let chosen = of_wiring.iter().find(|(_, own)| asked.last_stride.is_none_or(|asked| asked == *own));
    let Some(&chosen) = chosen else {
        let stride = asked.last_stride.unwrap_or_default();
        let more = " (training may use another: model.last_stride)";
        let wiring = of_wiring.first().map_or(wiring, |(wiring, _)| *wiring);
        return Err(contradiction(format!("--last-stride {stride}"), (wiring, stride), more));
    };
    if asked.wiring.is_some() && fitting.iter().any(|(own, _)| *own != chosen.0) {
        notes.push("the wiring is that of --wiring; the file leaves it open".into());
    }
    let is_open = |&(own, stride): &(Wiring, usize)| own == chosen.0 && stride != chosen.1;
    if asked.last_stride.is_some() && fitting.iter().any(is_open) {
        notes.push("the stride of the last stage is that of --last-stride; the file leaves it open".into());
    }
    if asked.wiring.is_none() && chosen.0 == Wiring::Torchvision {
        notes.push("by its strides and pooling the network is wired as torchvision's".into());
    }
    if asked.last_stride.is_none() && chosen.1 == 1 {
        notes.push("by its strides the last stage has stride 1 (model.last_stride = 1)".into());
    }
    Ok(chosen)
}

/// A convolution's stride, none if the file does not say; its other settings must be those of a ResNet.
fn stride(layer: &Layer) -> Result<Option<u64>, Fault> {
    let (Some(convolution), Some(&kernel)) = (&layer.convolution, layer.blobs[0].shape.last()) else {
        return Ok(None);
    };
    let (name, half) = (layer.title(), kernel as u64 / 2);
    let shape = &layer.blobs[0].shape;
    if let Some(stated) = convolution.contradicts(shape, layer.blobs.len() > 1) {
        let with_bias = if layer.blobs.len() > 1 { " and a bias" } else { " and no bias" };
        return Err(format!("{name} has weights {shape:?}{with_bias}, and its settings state {stated}"));
    }
    let [stride, columns] = convolution.stride_hw();
    if stride != columns {
        return Err(format!(
            "{name} strides by {stride} rows and {columns} columns; a ResNet's strides are square"
        ));
    }
    if convolution.pad_hw() != [half; 2] {
        let pad = convolution.pad_hw();
        return Err(format!("{name} has pad {pad:?}; a ResNet's {kernel}x{kernel} convolution has {half}"));
    }
    let (dilation, group) = (convolution.dilation_hw(), convolution.groups());
    if dilation != [1; 2] || group != 1 {
        return Err(format!("{name} has dilation {dilation:?} and {group} group(s); a ResNet has neither"));
    }
    Ok(Some(stride))
}

fn expected_stride(
    unit: Unit,
    bottleneck: &impl Fn(u8, u16) -> bool,
    wiring: Wiring,
    last_stride: u64,
) -> u64 {
    let entry = |stage| match stage {
        1 => 1,
        4 => last_stride,
        _ => 2,
    };
    match unit {
        Unit::Stem => 2,
        Unit::Shortcut { stage, block: 0 } => entry(stage),
        Unit::Branch { stage, block: 0, n } => {
            let strider = if bottleneck(stage, 0) && wiring == Wiring::Torchvision { 2 } else { 1 };
            if n == strider { entry(stage) } else { 1 }
        }
        _ => 1,
    }
}

fn pool_misfit(pool: &Pooling, wiring: Wiring) -> Option<String> {
    let (pad, ceil) = match wiring {
        Wiring::Caffe => (0, true),
        Wiring::Torchvision => (1, false),
    };
    if !pool.is_max() || pool.kernel_hw() != [3; 2] || pool.stride_hw() != [2; 2] {
        Some("pool1 is no 3x3 maximum of stride 2".into())
    } else if pool.pad_hw() != [pad; 2] {
        Some(format!("pool1 has pad {:?}, not {pad}", pool.pad_hw()))
    } else if pool.is_ceil() != ceil {
        let (found, wanted) = if ceil { ("down", "up") } else { ("up", "down") };
        Some(format!("pool1 rounds its size {found}, not {wanted}"))
    } else {
        None
    }
}
