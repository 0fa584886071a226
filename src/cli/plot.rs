//! `bcreid plot`: figures of runs.

use super::compute::Compute;
use super::counter::Counter;
use super::output;
use crate::console::Bytes;
use crate::eval::pairs::Pairs;
use crate::eval::run_evaluations::Evaluation;
use crate::report::charts::{self, cmc::Evaluated, pairs::Counted};
use crate::report::evaluations;
use crate::report::figure::Figure;
use crate::report::run::{self, Run};
use crate::report::{self, Format, tsne};
use crate::{Error, Result, detail, tell};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// Draw a figure of one or several runs, as SVG or PNG.
#[derive(Debug, Args)]
pub struct Plot {
    /// The figure to draw.
    #[arg(value_enum, value_name = "FIGURE")]
    what: FigureKind,
    /// The run folders; for figure1 the baseline first.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The file to write; its name ends in .svg or .png.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Overwrite the file if it exists.
    #[arg(long)]
    force: bool,
    /// Only the evaluation of this name; may be repeated (default: all stored evaluations).
    #[arg(long, value_name = "NAME")]
    evaluation: Vec<String>,
    /// For map: pca (principal components), or tsne (t-SNE, which keeps near images near) [default: pca].
    #[arg(long, value_name = "pca|tsne", value_enum)]
    method: Option<Method>,
    /// For --method tsne: about how many images count as near, at most a third of them [default: 30].
    #[arg(long, value_name = "P")]
    perplexity: Option<f64>,
    #[command(flatten)]
    compute: Compute,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FigureKind {
    /// Distances within a batch during training, the paper's figure 1.
    Figure1,
    /// Losses, learning rate and lambda during training.
    Curves,
    /// CMC curves of evaluated runs.
    Cmc,
    /// Distances of positive and negative pairs, of evaluated runs.
    Distances,
    /// ROC curves of the pair distances, of evaluated runs.
    Roc,
    /// Features in two dimensions, of evaluated runs.
    Map,
}

/// How features of many dimensions are drawn in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Method {
    Pca,
    Tsne,
}

impl Plot {
    pub fn run(mut self) -> Result<ExitCode> {
        Format::of(&self.out)?;
        if !self.evaluation.is_empty() && matches!(self.what, FigureKind::Figure1 | FigureKind::Curves) {
            return Err(Error::Run("--evaluation: this figure shows the training; leave it out".into()));
        }
        if self.method.is_some() && !matches!(self.what, FigureKind::Map) {
            return Err(Error::Run("--method: only a map has one; leave it out".into()));
        }
        if self.perplexity.is_some() && self.method != Some(Method::Tsne) {
            return Err(Error::Run(
                "--perplexity: it is one of t-SNE; add --method tsne, or leave it out".into(),
            ));
        }
        self.out = output::prepare(&self.out, self.force)?;
        let runs = run::read_all(&self.runs)?;
        let figure = match self.what {
            FigureKind::Figure1 => charts::figure1::figure(&runs)?,
            FigureKind::Curves => charts::curves::figure(&runs),
            FigureKind::Cmc => {
                let all = self.evaluations(&runs)?;
                charts::cmc::figure(&runs, &Evaluated::by_set(&all.iter().collect::<Vec<_>>()))
            }
            FigureKind::Distances => self.of_pairs(&runs, charts::pairs::histograms)?,
            FigureKind::Map => {
                let all = self.evaluations(&runs)?;
                let all: Vec<&Evaluation> = all.iter().collect();
                match self.method {
                    Some(Method::Tsne) => {
                        let bar = Counter::new("t-SNE");
                        let advance = |done, total| bar.advance(done, total);
                        let perplexity = self.perplexity.unwrap_or(tsne::PERPLEXITY);
                        charts::map::tsne_figure(&runs, &all, perplexity, &advance)?
                    }
                    Some(Method::Pca) | None => charts::map::figure(&runs, &all),
                }
            }
            FigureKind::Roc => self.of_pairs(&runs, charts::pairs::roc)?,
        };
        let bytes = report::write_figure(&figure, &self.out)?;
        super::say(format_args!("{}: {}", self.out.display(), Bytes(bytes)))?;
        Ok(ExitCode::SUCCESS)
    }

    /// The evaluations to draw; prints their notes.
    fn evaluations(&self, runs: &[Run]) -> Result<Vec<Evaluation>> {
        let all = evaluations::require_all(runs, &self.evaluation)?;
        for Evaluation { run, kept, note } in &all {
            note.iter().for_each(|note| tell!("{} on {}: {note}", runs[*run].name, kept.name));
        }
        Ok(all)
    }

    fn of_pairs(&self, runs: &[Run], draw: fn(&[Run], &[Counted<'_>]) -> Figure) -> Result<Figure> {
        let all = self.evaluations(runs)?;
        let (device, which) = self.compute.choose()?;
        detail!("{which}");
        let count = |of: &Evaluation| Pairs::count(&of.kept.query, &of.kept.gallery, &of.protocol(), &device);
        let pairs: Vec<Pairs> = all.iter().map(count).collect::<Result<_>>()?;
        let counted = all.iter().zip(&pairs);
        let counted: Vec<Counted<'_>> = counted.map(|(of, pairs)| Counted::new(of, pairs)).collect();
        Ok(draw(runs, &counted))
    }
}
