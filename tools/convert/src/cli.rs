//! The command line of the program `bcreid-convert`.

mod convention;
pub mod loading;
mod pages;
mod summary;
mod values;

use crate::network::{Unseen, title_of};
use crate::source::{self, Asked, Container, Source, UNREAD};
use crate::torchvision::Output;
use crate::{Error, Result, caffe, engine, network, toolboxes, torchvision};
use bcreid::command_help::require_other;
use bcreid::config::NeckKind;
use bcreid::console::{say, say_lines};
use bcreid::device::Device;
use bcreid::error::printable;
use bcreid::files::{follow, remove_temporaries};
use bcreid::model::Model;
use bcreid::model::resnet::Spec;
use bcreid::weights::NetworkFile;
use bcreid::weights::provenance::{Conversion, Text};
use clap::{Args, CommandFactory, Parser, ValueEnum};
use comfy_table::{CellAlignment, Table, presets};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use summary::{report, short, some_of};

/// Convert PyTorch, Caffe and safetensors ResNet weights for bcreid, and back.
///
/// The format of the input is detected by its content: PyTorch (.pth of any version), Caffe (.caffemodel) or
/// safetensors with the names of torchvision, timm, fast-reid, reid-strong-baseline, torchreid, layumi's baseline or
/// detectron2. No code in it is executed. Wiring and input convention are torchvision's, or Caffe's for a Caffe file,
/// unless an option overrides them; they are written into the output, and `bcreid train --weights` applies them.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Line {
    #[command(flatten)]
    conversion: Option<Arguments>,
    #[command(subcommand)]
    command: Option<pages::Command>,
}

#[derive(Debug, Args)]
struct Arguments {
    /// The weights to convert.
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The file to write: .safetensors, or with --to torchvision also .pth.
    #[arg(long, value_name = "OUT", required_unless_present = "list")]
    out: Option<PathBuf>,
    /// Overwrite OUT if it exists.
    #[arg(long, requires = "out")]
    force: bool,
    /// Prototxt of a Caffe model, for files without connections or with other layer names.
    #[arg(long, value_name = "FILE")]
    prototxt: Option<PathBuf>,
    /// List the content of IN and write nothing: the layers of a Caffe file, the tensors of any other.
    #[arg(
        long,
        conflicts_with_all = [
            "out", "to", "wiring", "last_stride", "without_head", "channels", "scale", "mean", "std", "licence", "source"
        ]
    )]
    list: bool,
    /// Program that OUT is for. torchvision: IN is a weight file of bcreid, OUT loads into a plain ResNet of PyTorch.
    #[arg(long, value_enum, default_value = "bcreid")]
    to: Target,
    /// The output of OUT in PyTorch, with --to torchvision: the feature that bcreid evaluates, with embedding and
    /// neck as fc, or the logits of the training identities, with both folded into the classifier (default: feature for
    /// weights with an embedding or a neck, else classifier).
    #[arg(long, value_name = "OUTPUT", conflicts_with = "list")]
    fc: Option<OutputName>,
    /// Wiring, i.e. the places of strides and pooling: on the 3x3 (torchvision), or on the first 1x1 with ceil (caffe).
    #[arg(long, value_name = "WIRING")]
    wiring: Option<WiringName>,
    /// Stride of the network's last stage, 1 or 2 (default: what the file says, else 2).
    #[arg(long, value_name = "STRIDE", value_parser = clap::value_parser!(u8).range(1..=2))]
    last_stride: Option<u8>,
    /// Take the network up to pool5, without the neck, pooling or embedding of a re-identification checkpoint: a start
    /// for training.
    #[arg(long)]
    without_head: bool,
    /// Order of the input's channels.
    #[arg(long, value_name = "ORDER")]
    channels: Option<ChannelsName>,
    /// Factor of pixels of 0 to 255, applied first.
    #[arg(long, value_name = "FACTOR", value_parser = values::positive)]
    scale: Option<f32>,
    /// Means, subtracted from each channel after scaling: three numbers in the channels' order, or a Caffe
    /// .binaryproto mean image.
    #[arg(long, value_name = "A,B,C|FILE", allow_hyphen_values = true)]
    mean: Option<String>,
    /// Deviations, by which each channel is divided last, in the channels' order.
    #[arg(long, value_name = "A,B,C", value_parser = values::positive_triple)]
    std: Option<[f32; 3]>,
    /// The licence of the weights, to be written into OUT (default: what the file says).
    #[arg(long, value_name = "TEXT", value_parser = values::statement)]
    licence: Option<Text>,
    /// Where IN is from, such as its address, to be written into OUT (default: what the file says).
    #[arg(long, value_name = "URL", value_parser = values::statement)]
    source: Option<Text>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    Bcreid,
    Torchvision,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OutputName {
    Feature,
    Classifier,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WiringName {
    Torchvision,
    Caffe,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ChannelsName {
    Rgb,
    Bgr,
}

/// Runs the program with its command line, whose first item is the program's name, and prints its error. A faulty
/// command line, `--help` and `--version` end the process.
pub fn main(line: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = parse(&line.into_iter().collect::<Vec<_>>());
    match end_without_leftovers().and_then(|()| line.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            bcreid::tell!("bcreid-convert: {}", error.line());
            ExitCode::FAILURE
        }
    }
}

/// Lets a signal that ends the program remove the temporary file of an output first. The exit status is 128 plus the
/// signal's number.
fn end_without_leftovers() -> Result<()> {
    let refused = |e| Error::Device(format!("cannot listen for Ctrl-C: {e}"));
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(refused)?;
    let listen = move || {
        if let Some(signal) = signals.forever().next() {
            remove_temporaries();
            std::process::exit(128 + signal);
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(listen).map_err(refused)?;
    Ok(())
}

/// Parses the command line, or ends the program. The message about a faulty argument quotes it, and it may be the name
/// of a file that a pattern stood for: then the message is about the escaped arguments.
fn parse(line: &[OsString]) -> Line {
    Line::try_parse_from(line).unwrap_or_else(|error| {
        let escaped = line.iter().map(|text| printable(&text.to_string_lossy()));
        Line::try_parse_from(escaped).err().unwrap_or(error).exit()
    })
}

impl Line {
    fn run(self) -> Result<()> {
        match (self.command, self.conversion) {
            (Some(command), _) => command.run(Line::command()),
            (None, Some(conversion)) => conversion.run(),
            (None, None) => Err(Error::Data("bcreid-convert needs weights to convert, IN".into())),
        }
    }
}

impl Arguments {
    fn run(&self) -> Result<()> {
        let Some(out) = &self.out else { return self.list() };
        let out = &follow(out)?;
        if out.is_dir() {
            return Err(Error::weights(
                out,
                "is a folder; name the file to write, e.g. weights.safetensors in it",
            ));
        }
        let folder = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            let what = if folder.exists() { "is no folder" } else { "does not exist; make it first" };
            return Err(Error::weights(out, format!("its folder {what}")));
        }
        if self.to == Target::Torchvision && (self.says_what_shapes_do_not() || self.prototxt.is_some()) {
            return Err(Error::Data(
                "--to torchvision takes wiring, input convention, source and licence from the file; leave those \
                 options out"
                    .into(),
            ));
        }
        if self.to == Target::Bcreid && self.fc.is_some() {
            return Err(Error::Data("--fc is an option of --to torchvision; leave it out".into()));
        }
        require_other(out, [self.input.as_path()])?;
        if out.exists() && !self.force {
            return Err(Error::weights(out, "exists; give another --out, or --force to overwrite it"));
        }
        if self.input.is_file() {
            source::check_header(&self.input)?;
        }
        match self.to {
            Target::Bcreid => self.import(out),
            Target::Torchvision => self.export(out),
        }
    }

    fn list(&self) -> Result<()> {
        if source::container(&self.input)? == Container::Caffe {
            return self.list_layers();
        }
        // The table has the tensors of the file, and no layers that were put together from them.
        let asked = Asked { without_head: true, ..self.asked() };
        let source = source::open_with(&self.input, self.prototxt.as_deref(), asked)?;
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["tensor", "type", "shape", "sum"]);
        for (name, tensor) in &source.tensors {
            let sum = match tensor.dtype {
                UNREAD => "not read".to_string(),
                _ => format!("{:.7}", tensor.sum()?),
            };
            table.add_row([
                short(name),
                tensor.dtype.to_string(),
                short(&format!("{:?}", tensor.shape)),
                sum,
            ]);
        }
        if let Some(sums) = table.column_mut(3) {
            sums.set_cell_alignment(CellAlignment::Right);
        }
        say_lines(&table)?;
        self.announce(&source)
    }

    /// Lists the layers of a Caffe file, and says if they form a ResNet.
    fn list_layers(&self) -> Result<()> {
        let model = caffe::Model::open(&self.input, self.prototxt.as_deref())?;
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["layer", "type", "reads", "writes", "shapes"]);
        let names = |names: &[String]| some_of(names.iter().map(String::as_str));
        for layer in model.layers() {
            let shapes: Vec<String> = layer.shapes.iter().map(|shape| format!("{shape:?}")).collect();
            table.add_row([
                short(&layer.name),
                short(&layer.kind),
                names(&layer.bottoms),
                names(&layer.tops),
                names(&shapes),
            ]);
        }
        say_lines(&table)?;
        let source = match model.source(self.asked()) {
            Ok(source) => source,
            Err(error) => return say(format_args!("cannot be converted: {}", error.line())),
        };
        self.announce(&source)?;
        match network::recognise(&source, &self.input, Unseen::of(&source)) {
            Ok(network) => say(format_args!("can be converted: {}", title_of(&network.config.model))),
            Err(error) => say(format_args!("cannot be converted: {}", error.line())),
        }
    }

    fn source(&self) -> Result<Source> {
        source::open_with(&self.input, self.prototxt.as_deref(), self.asked())
    }

    fn import(&self, out: &Path) -> Result<()> {
        if out.extension().is_none_or(|e| e != "safetensors") {
            return Err(Error::weights(out, "bcreid loads .safetensors; name the output so"));
        }
        if NetworkFile::open(&self.input).is_ok() {
            return Err(Error::weights(
                &self.input,
                "is already one of bcreid's; to go back, add --to torchvision",
            ));
        }
        let source = self.source()?;
        let network = network::recognise(&source, &self.input, self.unseen(&source)?)?;
        let stated = Conversion {
            format: Some(Text::new(&source.format)),
            url: self.source.clone().or_else(|| source.stated.url.clone()),
            licence: self.licence.clone().or_else(|| source.stated.licence.clone()),
            ..Conversion::default()
        };
        engine::write(&network, &self.input, stated, out)?;
        self.announce(&source)?;
        for note in toolboxes::notes(&source, &network.config.model)? {
            bcreid::tell!("warning: {note}");
        }
        self.say_assumed(&source, &network.config.input)?;
        report(&network)?;
        let written = NetworkFile::open(out)?;
        written.check()?;
        say_lines(written.describe())
    }

    fn export(&self, out: &Path) -> Result<()> {
        torchvision::Container::of(out)?;
        let network = NetworkFile::open(&self.input)?;
        let output = match self.fc {
            None => Output::of(&network),
            Some(OutputName::Feature) => Output::Feature,
            Some(OutputName::Classifier) => Output::Classifier,
        };
        let behind = torchvision::write(&network, output, out)?;
        say_lines(network.describe())?;
        if !behind.is_empty() {
            say(format_args!("left behind: {}", some_of(behind.iter().map(String::as_str))))?;
        }
        let spec = Spec::of(&network.config().model);
        if spec.stem != spec.width {
            say(format_args!(
                "its conv1 has {} channels and its first stage {}, which a constructor of torchvision takes as one \
                 number: give the ResNet that you load this into a conv1, bn1 and layer1 of these widths",
                spec.stem, spec.width
            ))?;
        }
        let model = &network.config().model;
        let behind = match (model.embedding.is_empty(), model.neck) {
            (true, NeckKind::None) => None,
            (true, NeckKind::Batchnorm) => Some("the neck"),
            (false, NeckKind::None) => Some("the embedding"),
            (false, NeckKind::Batchnorm) => Some("embedding and neck"),
        };
        match (output, behind) {
            (Output::Feature, behind) => {
                let layer = behind.map_or("pool5".into(), |behind| format!("{behind} (its layer fc)"));
                say(format_args!("its output is the feature of {layer}; divide it by its length"))?;
            }
            (Output::Classifier, Some(behind)) => say(format_args!(
                "its output is the logits, with {behind} folded into fc; what is before fc is pool5, and not the \
                 feature that bcreid evaluates (--fc feature)",
            ))?,
            (Output::Classifier, None) => {}
        }
        if model.last_stride == 1 {
            bcreid::tell!(
                "warning: its last stage strides by 1, which a state dict does not hold: a plain ResNet loads it \
                 without an error and gives other features; load it as below"
            );
        }
        if model.last_stride == 1 || output == Output::Feature {
            say("to load it in PyTorch:")?;
            let rows = match output {
                Output::Feature => Some(Model::declare(network.config(), 0, &Device::cpu())?.0.features()),
                Output::Classifier => {
                    network.tensors().tensor("fc.weight").ok().and_then(|fc| fc.shape().first().copied())
                }
            };
            let lines = loading::lines(model, rows, out);
            lines.iter().try_for_each(|line| say(format_args!("  {line}")))?;
        }
        say(format_args!("written: {}", out.display()))
    }

    fn announce(&self, source: &Source) -> Result<()> {
        let values: usize = source.tensors.values().map(|t| t.shape.iter().product::<usize>()).sum();
        let (path, format, tensors) = (self.input.display(), &source.format, source.tensors.len());
        say(format_args!("{path}: {format}, {tensors} tensors, {values} values"))?;
        source.notes.iter().try_for_each(|note| say(format_args!("  {note}")))
    }
}
