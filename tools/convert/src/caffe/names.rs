//! Layer names of He's release, and the corresponding names of torchvision.
//!
//! | Caffe | torchvision |
//! |---|---|
//! | `conv1`, `bn_conv1`, `scale_conv1` | `conv1`, `bn1` (both) |
//! | `res2a_branch1`, `bn2a_branch1`, `scale2a_branch1` | `layer1.0.downsample.0`, `layer1.0.downsample.1` |
//! | `res2a_branch2a`, `bn2a_branch2a`, `scale2a_branch2a` | `layer1.0.conv1`, `layer1.0.bn1` |
//! | `res2a_branch2b`, `res2a_branch2c` | `layer1.0.conv2`, `layer1.0.conv3` |
//! | `res3b`, or `res3b1` in the deeper nets | `layer2.1` |
//! | `fc1000`, or another number | `fc` |

/// A convolution with its batch norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// The first convolution.
    Stem,
    /// A convolution of a block's residual branch.
    Branch {
        /// Stage, 1 to 4.
        stage: u8,
        /// Block of the stage, from 0.
        block: u16,
        /// Convolution of the branch, from 1.
        n: u8,
    },
    /// A block's projection.
    Shortcut {
        /// Stage, 1 to 4.
        stage: u8,
        /// Block of the stage, from 0.
        block: u16,
    },
}

impl Unit {
    /// torchvision's name of the convolution.
    pub fn convolution(self) -> String {
        match self {
            Unit::Stem => "conv1".into(),
            Unit::Branch { stage, block, n } => format!("layer{stage}.{block}.conv{n}"),
            Unit::Shortcut { stage, block } => format!("layer{stage}.{block}.downsample.0"),
        }
    }

    /// torchvision's name of the batch norm.
    pub fn batch_norm(self) -> String {
        match self {
            Unit::Stem => "bn1".into(),
            Unit::Branch { stage, block, n } => format!("layer{stage}.{block}.bn{n}"),
            Unit::Shortcut { stage, block } => format!("layer{stage}.{block}.downsample.1"),
        }
    }
}

/// Role of a layer in its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The convolution.
    Convolution,
    /// Batch norm layer, with the running statistics.
    BatchNorm,
    /// Scale layer, with gamma and beta.
    Scale,
}

impl Role {
    /// Caffe's type of such a layer.
    pub fn kind(self) -> &'static str {
        match self {
            Role::Convolution => "Convolution",
            Role::BatchNorm => "BatchNorm",
            Role::Scale => "Scale",
        }
    }
}

/// Place of a layer in a ResNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A part of a unit.
    Unit(Unit, Role),
    /// The classifier.
    Classifier,
}

/// The place of the layer with this name; `None` if a ResNet has no such layer.
pub fn place(name: &str) -> Option<Place> {
    match name {
        "conv1" => return Some(Place::Unit(Unit::Stem, Role::Convolution)),
        "bn_conv1" => return Some(Place::Unit(Unit::Stem, Role::BatchNorm)),
        "scale_conv1" => return Some(Place::Unit(Unit::Stem, Role::Scale)),
        _ => {}
    }
    if name.strip_prefix("fc").is_some_and(|classes| classes.bytes().all(|b| b.is_ascii_digit())) {
        return Some(Place::Classifier);
    }
    let (role, rest) = [("res", Role::Convolution), ("bn", Role::BatchNorm), ("scale", Role::Scale)]
        .into_iter()
        .find_map(|(prefix, role)| Some((role, name.strip_prefix(prefix)?)))?;
    let (block, branch) = rest.split_once("_branch")?;
    let (stage, block) = block_of(block)?;
    let unit = match branch {
        "1" => Unit::Shortcut { stage, block },
        "2a" => Unit::Branch { stage, block, n: 1 },
        "2b" => Unit::Branch { stage, block, n: 2 },
        "2c" => Unit::Branch { stage, block, n: 3 },
        _ => return None,
    };
    Some(Place::Unit(unit, role))
}

/// Parses a stage and a block: `4f` and `4b5` are stage 3, block 5.
fn block_of(text: &str) -> Option<(u8, u16)> {
    let mut letters = text.chars();
    let stage = letters.next()?.to_digit(10).filter(|stage| (2..=5).contains(stage))? as u8 - 1;
    let letter = letters.next().filter(char::is_ascii_lowercase)?;
    let number = letters.as_str();
    let block = match (letter, number) {
        (letter, "") => letter as u16 - 'a' as u16,
        ('b', number) if number.len() <= 3 && number.starts_with(|c| matches!(c, '1'..='9')) => {
            number.parse().ok()?
        }
        _ => return None,
    };
    Some((stage, block))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_the_release_have_places() {
        let unit = |name| match place(name) {
            Some(Place::Unit(unit, role)) => Some((unit.convolution(), unit.batch_norm(), role)),
            _ => None,
        };
        let expected = |conv: &str, bn: &str, role| Some((conv.to_string(), bn.to_string(), role));
        assert_eq!(unit("conv1"), expected("conv1", "bn1", Role::Convolution));
        assert_eq!(unit("bn_conv1"), expected("conv1", "bn1", Role::BatchNorm));
        assert_eq!(unit("scale_conv1"), expected("conv1", "bn1", Role::Scale));
        let shortcut = ("layer1.0.downsample.0", "layer1.0.downsample.1");
        assert_eq!(unit("res2a_branch1"), expected(shortcut.0, shortcut.1, Role::Convolution));
        assert_eq!(unit("bn2a_branch1"), expected(shortcut.0, shortcut.1, Role::BatchNorm));
        assert_eq!(unit("scale5c_branch2c"), expected("layer4.2.conv3", "layer4.2.bn3", Role::Scale));
        assert_eq!(unit("res4f_branch2b"), expected("layer3.5.conv2", "layer3.5.bn2", Role::Convolution));
        assert_eq!(unit("res4b22_branch2a"), expected("layer3.22.conv1", "layer3.22.bn1", Role::Convolution));
        assert_eq!(unit("bn3b7_branch2a"), expected("layer2.7.conv1", "layer2.7.bn1", Role::BatchNorm));
        assert_eq!(place("fc1000"), Some(Place::Classifier));
        assert_eq!(place("fc751"), Some(Place::Classifier));
    }

    #[test]
    fn other_names_have_none() {
        for name in [
            "",
            "res",
            "conv1_1",
            "res6a_branch1",
            "res1a_branch1",
            "res2a",
            "res2_branch1",
            "res2a_branch2d",
            "res2a_branch2a_relu",
            "res4b0_branch2a",
            "res4b01_branch2a",
            "res4c2_branch2a",
            "res4b99999_branch2a",
            "res4b1x_branch2a",
            "resäa_branch1",
            "res2ä_branch1",
            "fc_new",
            "data",
        ] {
            assert_eq!(place(name), None, "{name}");
        }
    }
}
