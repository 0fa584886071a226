//! Provenance in words: one line for tables, several lines for a description. All texts are escaped.

use super::{Conversion, Provenance, Start, Training, WeightsFile};
use std::fmt;

/// The words for what is not recorded.
const NOT_RECORDED: &str = "not recorded";

/// One clause, for example `made from resnet50.pth, licence BSD-3-Clause`, or `trained on made-up (...), started from
/// random weights`.
impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Provenance::NotRecorded => f.write_str("provenance not recorded"),
            Provenance::Unreadable(_) => f.write_str("provenance cannot be read"),
            Provenance::Omitted => f.write_str("earlier starts not kept"),
            Provenance::Converted(conversion) => conversion.fmt(f),
            Provenance::Trained(training) => {
                write!(f, "trained on {}, started from {}", training.trained_on(), training.start)
            }
        }
    }
}

impl fmt::Display for Conversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "made from {file}")?,
            None => f.write_str("source not stated")?,
        }
        self.url.as_ref().map_or(Ok(()), |url| write!(f, " of {url}"))?;
        match &self.licence {
            Some(licence) => write!(f, ", licence {licence}"),
            None => f.write_str(", licence not stated"),
        }
    }
}

/// `random weights`, `not recorded`, or a file with the first digits of its SHA-256 and its provenance.
impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Start::NotRecorded => f.write_str(NOT_RECORDED),
            Start::Random => f.write_str("random weights"),
            Start::Weights(WeightsFile { file, sha256, provenance }) => {
                write!(f, "{file} (SHA-256 {}; {provenance})", sha256.digits())
            }
        }
    }
}

impl Training {
    /// The training images in one line.
    pub fn trained_on(&self) -> String {
        self.data.as_ref().map_or(NOT_RECORDED.into(), ToString::to_string)
    }

    /// Version of the program and devices in one line.
    pub fn trained_by(&self) -> String {
        let version = self
            .version
            .as_ref()
            .map_or("bcreid of unrecorded version".into(), |version| format!("bcreid {version}"));
        let devices: Vec<String> = self.devices.iter().map(ToString::to_string).collect();
        let devices = if devices.is_empty() { NOT_RECORDED.into() } else { devices.join(", then ") };
        format!("{version}, device {devices}")
    }

    /// The run in a few lines, starts of its start indented.
    pub fn lines(&self) -> Vec<String> {
        let mut lines =
            vec![format!("trained by: {}", self.trained_by()), format!("trained on: {}", self.trained_on())];
        lines.extend(self.data.as_ref().map(|data| format!("  SHA-256 of the list: {}", data.list_sha256)));
        let attributes = self.data.as_ref().and_then(|data| data.attributes.as_ref());
        lines.extend(attributes.map(|of| format!("  SHA-256 of the attributes: {}", of.sha256)));
        match &self.start {
            Start::Weights(file) => {
                lines.push(format!("started from: {}", file.file));
                lines.push(format!("  its SHA-256: {}", file.sha256));
                lines.extend(file.provenance.lines().into_iter().map(|line| format!("  {line}")));
            }
            start => lines.push(format!("started from: {start}")),
        }
        lines
    }
}

impl Provenance {
    /// The provenance in a few lines, starts of starts indented.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Provenance::NotRecorded => vec![format!("provenance: {NOT_RECORDED}")],
            Provenance::Unreadable(why) => vec![format!("provenance: cannot be read ({why})")],
            Provenance::Omitted => vec!["provenance: left out, because the chain of starts is long".into()],
            Provenance::Converted(conversion) => conversion.lines(),
            Provenance::Trained(training) => training.lines(),
        }
    }
}

impl Conversion {
    fn lines(&self) -> Vec<String> {
        let Conversion { file, sha256, format, url, licence } = self;
        let stated = [
            ("made from", file),
            ("its SHA-256", sha256),
            ("its format", format),
            ("its source", url),
            ("licence", licence),
        ];
        stated.into_iter().filter_map(|(label, text)| Some(format!("{label}: {}", text.as_ref()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DataSet, Text};
    use super::*;

    fn chain() -> Training {
        let text = |text: &str| Some(Text::new(text));
        let conversion = Conversion {
            file: text("resnet\n50.pth"),
            sha256: text(&"a".repeat(64)),
            format: text("PyTorch zip archive"),
            url: text("https://example.org/resnet50"),
            licence: text("BSD-3-Clause"),
        };
        let file = |provenance| WeightsFile {
            file: Text::new("w\u{1b}.safetensors"),
            sha256: Text::new(&"b".repeat(64)),
            provenance,
        };
        let data = || DataSet { name: Text::new("set"), layout: Text::new("list"), ..DataSet::default() };
        let first =
            Training::new(Start::Weights(file(Provenance::Converted(conversion.into()))), data(), "cpu");
        Training::new(Start::Weights(file(Provenance::Trained(first.into()))), data(), "cpu")
    }

    #[test]
    fn a_chain_in_one_line_and_in_several() {
        let version = env!("CARGO_PKG_VERSION");
        let set = "set (layout list): 0 images of 0 persons";
        assert_eq!(
            chain().start.to_string(),
            format!(
                "w\\u{{1b}}.safetensors (SHA-256 bbbbbbbbbbbb...; trained on {set}, started from \
                 w\\u{{1b}}.safetensors (SHA-256 bbbbbbbbbbbb...; made from resnet\\n50.pth of \
                 https://example.org/resnet50, licence BSD-3-Clause))"
            )
        );
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        assert_eq!(
            chain().lines(),
            [
                format!("trained by: bcreid {version}, device cpu"),
                format!("trained on: {set}"),
                "  SHA-256 of the list: ".into(),
                "started from: w\\u{1b}.safetensors".into(),
                format!("  its SHA-256: {b}"),
                format!("  trained by: bcreid {version}, device cpu"),
                format!("  trained on: {set}"),
                "    SHA-256 of the list: ".into(),
                "  started from: w\\u{1b}.safetensors".into(),
                format!("    its SHA-256: {b}"),
                "    made from: resnet\\n50.pth".into(),
                format!("    its SHA-256: {a}"),
                "    its format: PyTorch zip archive".into(),
                "    its source: https://example.org/resnet50".into(),
                "    licence: BSD-3-Clause".into(),
            ]
        );
    }

    #[test]
    fn what_is_not_recorded_is_said() {
        let none = Training::default();
        assert_eq!(
            none.lines(),
            [
                "trained by: bcreid of unrecorded version, device not recorded",
                "trained on: not recorded",
                "started from: not recorded"
            ]
        );
        assert_eq!(Provenance::NotRecorded.lines(), ["provenance: not recorded"]);
        let start = Start::Weights(WeightsFile {
            file: Text::new("a"),
            sha256: Text::new("12"),
            ..WeightsFile::default()
        });
        assert_eq!(start.to_string(), "a (SHA-256 12; provenance not recorded)");
        assert_eq!(Conversion::default().to_string(), "source not stated, licence not stated");
    }
}
