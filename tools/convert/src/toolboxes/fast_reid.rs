//! The settings that fast-reid writes into the folder of its checkpoints, `config.yaml`.
//!
//! Only what tensors do not show is read: the stride of the last stage, the pooling and the pixel normalisation. The
//! file is written by PyYAML in block style, two spaces a level, of which this reads keys, scalars and lists of
//! scalars; other lines are skipped.

use crate::content::Source;
use crate::{Error, Result};
use bcreid::config::Input;
use bcreid::error::printable;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The file's name.
pub(crate) const FILE: &str = "config.yaml";
/// Most bytes that are read; fast-reid's have about 6,000.
const LONGEST: u64 = 1 << 20;
/// The poolings that are averages, as fast-reid has named them.
const AVERAGES: [&str; 5] =
    ["GlobalAvgPool", "FastGlobalAvgPool", "FastGlobalAvgPool2d", "avgpool", "fastavgpool"];

/// The properties of a network that the settings state.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Stated {
    /// The file with the settings.
    pub path: PathBuf,
    /// `MODEL.BACKBONE.LAST_STRIDE`.
    pub last_stride: Option<usize>,
    /// `MODEL.HEADS.POOL_LAYER`, if it is no average.
    pub pooling: Option<String>,
    /// `MODEL.PIXEL_MEAN` and `MODEL.PIXEL_STD`, of pixels of 0 to 255.
    pub pixels: Option<([f32; 3], [f32; 3])>,
}

/// Reads what the tensors of a checkpoint do not show from its settings, if it is fast-reid's: its head is `heads`.
///
/// # Errors
/// As [`beside`]; values of the pixel normalisation that cannot be read.
pub(crate) fn apply(source: &mut Source, checkpoint: &Path) -> Result<()> {
    if !source.tensors.keys().any(|name| name.starts_with("heads.")) {
        return Ok(());
    }
    let mut pixels = None;
    if let Some(stated) = beside(checkpoint)? {
        let name = printable(&stated.path.display().to_string());
        if let Some(last_stride) = stated.last_stride {
            source.last_stride = last_stride;
            source.states_stride = true;
            source.notes.push(format!("the stride of the last stage is the LAST_STRIDE of {name}"));
        }
        source.pooling = stated.pooling;
        pixels = stated.pixels.map(|(mean, std)| (mean, std, name));
    }
    // Versions of 2020 store them as tensors, which are closer to the weights than a file beside them.
    let three = |name: &str| -> Result<Option<[f32; 3]>> {
        let Some(tensor) = source.tensors.get(name) else { return Ok(None) };
        let count: usize = tensor.shape.iter().product();
        Ok(if count == 3 { tensor.values()?.try_into().ok() } else { None })
    };
    if let (Some(mean), Some(std)) = (three("pixel_mean")?, three("pixel_std")?) {
        pixels = Some((mean, std, "pixel_mean and pixel_std".to_string()));
    }
    if let Some((mean, std, from)) = pixels {
        source.input = input(mean, std);
        source.states_input = true;
        source.notes.push(format!("the input convention is that of {from}"));
    }
    Ok(())
}

/// The settings beside a checkpoint; `None` without the file.
///
/// # Errors
/// A file that cannot be read; a stride other than 1 and 2.
pub(crate) fn beside(checkpoint: &Path) -> Result<Option<Stated>> {
    let path = checkpoint.with_file_name(FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let length = std::fs::metadata(&path).map_err(Error::io(&path))?.len();
    if length > LONGEST {
        return Ok(None);
    }
    let text = std::fs::read(&path).map_err(Error::io(&path))?;
    let values = values(&String::from_utf8_lossy(&text));
    let one = |key: &str| values.get(key).and_then(|list| list.first()).map(String::as_str);
    let last_stride = match one("MODEL.BACKBONE.LAST_STRIDE") {
        None => None,
        Some("1") => Some(1),
        Some("2") => Some(2),
        Some(other) => {
            let other = crate::display::quoted(other);
            return Err(Error::Data(format!(
                "{}: MODEL.BACKBONE.LAST_STRIDE is {other}, and the network here has 1 or 2; give other weights",
                path.display()
            )));
        }
    };
    let pooling = one("MODEL.HEADS.POOL_LAYER").filter(|name| !AVERAGES.contains(name)).map(String::from);
    let three = |key: &str| {
        let numbers: Vec<f32> =
            values.get(key)?.iter().map(|text| text.parse().ok()).collect::<Option<_>>()?;
        <[f32; 3]>::try_from(numbers).ok()
    };
    let pixels = three("MODEL.PIXEL_MEAN").zip(three("MODEL.PIXEL_STD"));
    Ok(Some(Stated { path, last_stride, pooling, pixels }))
}

/// The input convention of fast-reid's pixels: RGB of 0 to 255, less `mean`, over `std`. ImageNet's numbers are those of
/// the default convention times 255, and become that one.
pub(crate) fn input(mean: [f32; 3], std: [f32; 3]) -> Input {
    let default = Input::default();
    let near = |theirs: [f32; 3], ours: [f32; 3]| {
        theirs.iter().zip(ours).all(|(theirs, ours)| (theirs - ours / default.scale).abs() < 0.02)
    };
    match near(mean, default.mean) && near(std, default.std) {
        true => default,
        false => Input { scale: 1.0, mean, std, ..default },
    }
}

/// The scalars and lists of scalars of a YAML text by their dotted keys.
fn values(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut values = BTreeMap::<String, Vec<String>>::new();
    // Keys above the current line with their indents.
    let mut above: Vec<(usize, String)> = Vec::new();
    for line in text.lines() {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        let plain = |text: &str| text.trim().trim_matches(['"', '\'']).to_string();
        if let Some(item) = content.strip_prefix("- ") {
            // Items may have the indent of their key.
            above.retain(|(of_key, _)| *of_key <= indent);
            let key = dotted(&above, None);
            values.entry(key).or_default().push(plain(item));
            continue;
        }
        let Some((key, value)) = content.split_once(':').filter(|_| !content.starts_with('#')) else {
            continue;
        };
        above.retain(|(of_key, _)| *of_key < indent);
        match value.trim() {
            "" => above.push((indent, key.trim().to_string())),
            value => {
                let list = value.strip_prefix('[').and_then(|list| list.strip_suffix(']'));
                let list = match list {
                    Some(list) => list.split(',').map(plain).collect(),
                    None => vec![plain(value)],
                };
                values.insert(dotted(&above, Some(key.trim())), list);
            }
        }
    }
    values
}

fn dotted(above: &[(usize, String)], last: Option<&str>) -> String {
    let keys: Vec<&str> = above.iter().map(|(_, key)| key.as_str()).chain(last).collect();
    keys.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "CUDNN_BENCHMARK: true\nMODEL:\n  BACKBONE:\n    DEPTH: 50x\n    LAST_STRIDE: 1\n    NAME: \
                        build_resnet_backbone\n  HEADS:\n    POOL_LAYER: GeneralizedMeanPooling\n  PIXEL_MEAN:\n  - \
                        123.675\n  - 116.28\n  - 103.53\n  PIXEL_STD: [1.0, 2.5, 3]\nOUTPUT_DIR: logs/market\nTEST:\n  \
                        LAST_STRIDE: 2\n";

    #[test]
    fn keys_and_lists_are_read_with_what_is_above_them() {
        let values = values(TEXT);
        assert_eq!(values["MODEL.BACKBONE.LAST_STRIDE"], ["1"]);
        assert_eq!(values["TEST.LAST_STRIDE"], ["2"]);
        assert_eq!(values["MODEL.PIXEL_MEAN"], ["123.675", "116.28", "103.53"]);
        assert_eq!(values["MODEL.PIXEL_STD"], ["1.0", "2.5", "3"]);
        assert_eq!(values["CUDNN_BENCHMARK"], ["true"]);
    }

    #[test]
    fn the_file_beside_a_checkpoint_states_stride_pooling_and_pixels() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("model_best.pth");
        assert_eq!(beside(&checkpoint).unwrap(), None);
        std::fs::write(folder.path().join(FILE), TEXT).unwrap();
        let stated = beside(&checkpoint).unwrap().unwrap();
        assert_eq!(
            (stated.last_stride, stated.pooling.as_deref()),
            (Some(1), Some("GeneralizedMeanPooling"))
        );
        assert_eq!(stated.pixels, Some(([123.675, 116.28, 103.53], [1.0, 2.5, 3.0])));
        std::fs::write(folder.path().join(FILE), TEXT.replace("LAST_STRIDE: 1", "LAST_STRIDE: 4")).unwrap();
        assert!(beside(&checkpoint).unwrap_err().to_string().contains("LAST_STRIDE is \"4\""));
        let average = TEXT.replace("GeneralizedMeanPooling", "GlobalAvgPool");
        std::fs::write(folder.path().join(FILE), average).unwrap();
        assert_eq!(beside(&checkpoint).unwrap().unwrap().pooling, None);
        // Another program's file of this name.
        std::fs::write(folder.path().join(FILE), b"\xff\xfe: - [\n- x").unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(beside(&checkpoint).unwrap(), Some(Stated { path, ..Stated::default() }));
    }

    #[test]
    fn imagenets_pixels_are_the_default_convention() {
        assert_eq!(input([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]), Input::default());
        let other = input([0.0, 116.28, 103.53], [58.395, 57.12, 57.375]);
        assert_eq!((other.scale, other.mean[0]), (1.0, 0.0));
    }
}
