//! `bcreid export`: a network as ONNX.

use super::output;
use crate::console::Bytes;
use crate::export::onnx::{self, Options, Pixels};
use crate::{Error, Result};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// Export the network as ONNX: from images to normalised features.
///
/// Batch normalisation, the L2 normalisation of the features and, except with --input normalised, the input
/// normalisation are in the graph.
#[derive(Debug, Args)]
pub struct Export {
    /// A run folder or a weight file.
    #[arg(long, visible_alias = "run", value_name = "RUN|F.safetensors")]
    weights: PathBuf,
    /// The file to write.
    #[arg(long, value_name = "F.onnx")]
    out: PathBuf,
    /// The graph's input, RGB of the network's size.
    #[arg(long, value_enum, default_value = "bytes")]
    input: InputName,
    /// Add the feature of the mirrored image before normalising, as extract --flip does.
    #[arg(long)]
    flip: bool,
    /// Overwrite the file if it exists.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum InputName {
    /// uint8 [N, H, W, 3], 0 to 255.
    Bytes,
    /// float32 [N, 3, H, W], 0 to 1, as torchvision's ToTensor makes them.
    Floats,
    /// float32 [N, 3, H, W], normalised by ImageNet's mean and deviation, for trackers that do so themselves (BoxMOT).
    Normalised,
}

impl Export {
    pub fn run(mut self) -> Result<ExitCode> {
        if self.out.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("onnx")) {
            let out = self.out.display();
            return Err(Error::Data(format!(
                "--out {out}: the network is written as ONNX; give a name that ends in .onnx"
            )));
        }
        self.out = output::prepare(&self.out, self.force)?;
        let file = super::open_network(&self.weights)?;
        let pixels = match self.input {
            InputName::Bytes => Pixels::Bytes,
            InputName::Floats => Pixels::Floats,
            InputName::Normalised => Pixels::Normalised,
        };
        let model = onnx::model(&file, Options { pixels, flip: self.flip })?;
        let bytes = onnx::write(&model, &self.out)?;
        let fact = |key: &str| {
            let found = model.metadata_props.iter().find(|fact| fact.key == key);
            found.map_or(String::new(), |fact| fact.value.clone())
        };
        super::say(format_args!("{}: {}", self.out.display(), Bytes(bytes as usize)))?;
        let (input, range, where_to) = (fact("input"), fact("input_range"), fact("input_normalisation"));
        super::say(format_args!("  {}: {input}, RGB, {range}; normalised {where_to}", onnx::INPUT))?;
        super::say(format_args!("  {}: {}, L2-normalised", onnx::OUTPUT, fact("output")))?;
        Ok(ExitCode::SUCCESS)
    }
}
