//! Other names of the same tensors.

use std::collections::BTreeMap;

/// Layers that are the neck, if they are a batch normalisation. fast-reid has used all four names with `heads.`; the last
/// is layumi's, without a linear layer before it.
const NECKS: [&str; 5] = [
    "heads.bottleneck.0.",
    "heads.bottleneck.",
    "heads.bnneck.0.",
    "heads.bnneck.",
    "classifier.add_block.0.",
];

/// Parameters and statistics of a batch normalisation.
pub(super) const OF_A_NORM: [&str; 5] =
    ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"];

/// Gives the tensors the names that they have here, and adds notes about this. No tensor takes the name of another.
pub(crate) fn translate<T>(tensors: BTreeMap<String, T>, notes: &mut Vec<String>) -> BTreeMap<String, T> {
    let tensors = match tensors.contains_key("stem.conv1.weight") {
        true => {
            notes.push(
                "its names are detectron2's, which state no strides: as in torchvision, stages are taken to stride on \
                 the 3x3 (STRIDE_IN_1X1: False)"
                    .into(),
            );
            rename(tensors, detectron)
        }
        false => tensors,
    };
    let neck = NECKS.into_iter().find(|layer| is_norm(&tensors, layer));
    match neck {
        None => tensors,
        Some(layer) => {
            notes.push(format!("read {:?} as the neck, bottleneck", layer.trim_end_matches('.')));
            rename(tensors, |name| {
                let part = name.strip_prefix(layer).filter(|part| OF_A_NORM.contains(part))?;
                Some(format!("{}{part}", super::NECK))
            })
        }
    }
}

/// Renames tensors for which `new` has a name that no tensor has.
fn rename<T>(tensors: BTreeMap<String, T>, new: impl Fn(&str) -> Option<String>) -> BTreeMap<String, T> {
    let mut renamed = BTreeMap::new();
    let taken: std::collections::BTreeSet<String> = tensors.keys().cloned().collect();
    for (name, tensor) in tensors {
        let new = new(&name).filter(|new| !taken.contains(new) && !renamed.contains_key(new));
        renamed.insert(new.unwrap_or(name), tensor);
    }
    renamed
}

/// True if a layer has the statistics of a batch normalisation.
pub(super) fn is_norm<T>(tensors: &BTreeMap<String, T>, layer: &str) -> bool {
    ["running_mean", "running_var"].iter().all(|part| tensors.contains_key(&format!("{layer}{part}")))
}

/// torchvision's name of a tensor of detectron2's ResNet: `stem.conv1.norm.weight`, `res2.0.conv1.weight`,
/// `res2.0.conv1.norm.weight`, `res2.0.shortcut.weight`, `res2.0.shortcut.norm.weight`. `None` for other names.
fn detectron(name: &str) -> Option<String> {
    let (place, rest) = match name.strip_prefix("stem.") {
        Some(rest) => (String::new(), rest),
        None => {
            let mut parts = name.splitn(3, '.');
            let stage: usize = parts.next()?.strip_prefix("res")?.parse().ok()?;
            let block: usize = parts.next()?.parse().ok()?;
            let stage = stage.checked_sub(1).filter(|stage| (1..=4).contains(stage))?;
            (format!("layer{stage}.{block}."), parts.next()?)
        }
    };
    let (layer, rest) = rest.split_once('.')?;
    let (is_norm, part) = match rest.strip_prefix("norm.") {
        Some(part) => (true, part),
        None => (false, rest),
    };
    if part.contains('.') {
        return None;
    }
    let layer = match layer.strip_prefix("conv") {
        Some(n) if n.parse::<usize>().is_ok() => format!("{}{n}", if is_norm { "bn" } else { "conv" }),
        None if layer == "shortcut" => format!("downsample.{}", usize::from(is_norm)),
        _ => return None,
    };
    Some(format!("{place}{layer}.{part}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detectrons_names_are_torchvisions() {
        for (theirs, ours) in [
            ("stem.conv1.weight", "conv1.weight"),
            ("stem.conv1.norm.running_var", "bn1.running_var"),
            ("res2.0.conv1.weight", "layer1.0.conv1.weight"),
            ("res5.2.conv3.norm.bias", "layer4.2.bn3.bias"),
            ("res3.0.shortcut.weight", "layer2.0.downsample.0.weight"),
            ("res3.0.shortcut.norm.weight", "layer2.0.downsample.1.weight"),
        ] {
            assert_eq!(detectron(theirs).as_deref(), Some(ours));
        }
        for other in [
            "res1.0.conv1.weight",
            "res6.0.conv1.weight",
            "res2.conv1",
            "fc.weight",
            "res2.0.se.weight",
            "res2.0.convx.weight",
            "stem.conv1",
            "res2.0.conv1.norm.IN.weight",
            "conv1.weight",
        ] {
            assert_eq!(detectron(other), None, "{other}");
        }
    }

    #[test]
    fn a_neck_gets_its_name_and_takes_none() {
        let named = |names: &[&str]| {
            let mut notes = Vec::new();
            let tensors = names.iter().map(|name| (name.to_string(), ())).collect();
            (translate(tensors, &mut notes).into_keys().collect::<Vec<_>>(), notes)
        };
        let norm = |layer: &str| OF_A_NORM.map(|part| format!("{layer}{part}"));
        for layer in NECKS {
            let theirs = norm(layer);
            let mut theirs: Vec<&str> = theirs.iter().map(String::as_str).collect();
            theirs.push("heads.weight");
            let (names, notes) = named(&theirs);
            let mut wanted = norm("bottleneck.").to_vec();
            wanted.push("heads.weight".into());
            wanted.sort();
            assert_eq!(names, wanted, "{layer}");
            assert_eq!(notes.len(), 1);
        }
        // An embedding before the neck is no norm.
        let (names, notes) = named(&["heads.bottleneck.0.weight"]);
        assert_eq!((names, notes.len()), (vec!["heads.bottleneck.0.weight".to_string()], 0));
        let both = ["bottleneck.running_mean", "heads.bnneck.running_mean", "heads.bnneck.running_var"];
        assert!(named(&both).0.contains(&"heads.bnneck.running_mean".to_string()));
    }
}
