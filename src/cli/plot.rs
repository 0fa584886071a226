//! `bcreid plot`.

use super::compute::Compute;
use crate::console::Bytes;
use crate::eval::pairs::Pairs;
use crate::eval::run_evaluations::Evaluation;
use crate::report::charts::{self, cmc::Evaluated, pairs::Counted};
use crate::report::evaluations;
use crate::report::figure::Figure;
use crate::report::run::{self, Run};
use crate::report::{self, Format};
use crate::{Error, Result, tell};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// Draw a figure of one or several runs, as SVG or PNG.
#[derive(Debug, Args)]
pub struct Plot {
    /// What to draw.
    #[arg(value_enum, value_name = "FIGURE")]
    what: What,
    /// The runs' folders; for figure1 the baseline first.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The file; its name ends in .svg or .png.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Only the evaluation of this name; may be repeated (default: all that the runs keep).
    #[arg(long, value_name = "NAME")]
    evaluation: Vec<String>,
    #[command(flatten)]
    compute: Compute,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Distances within a batch during training, the paper's figure 1.
    Figure1,
    /// Losses, learning rate and lambda.
    Curves,
    /// How often a match is among the first k images; of evaluated runs.
    Cmc,
    /// Distances of pairs of one and of two identities; of evaluated runs.
    Distances,
    /// What a threshold on the distance accepts; of evaluated runs.
    Roc,
}

impl Plot {
    pub fn run(self) -> Result<ExitCode> {
        Format::of(&self.out)?;
        if !self.evaluation.is_empty() && matches!(self.what, What::Figure1 | What::Curves) {
            return Err(Error::Run("--evaluation: this figure is of training; leave it out".into()));
        }
        super::require_parent(&self.out)?;
        let runs = run::read_all(&self.runs)?;
        let figure = match self.what {
            What::Figure1 => charts::figure1::figure(&runs)?,
            What::Curves => charts::curves::figure(&runs),
            What::Cmc => {
                let all = self.evaluations(&runs)?;
                charts::cmc::figure(&runs, &Evaluated::by_set(&all.iter().collect::<Vec<_>>()))
            }
            What::Distances => self.of_pairs(&runs, charts::pairs::histograms)?,
            What::Roc => self.of_pairs(&runs, charts::pairs::roc)?,
        };
        let bytes = report::write_figure(&figure, &self.out)?;
        super::say(format_args!("{}: {}", self.out.display(), Bytes(bytes)))?;
        Ok(ExitCode::SUCCESS)
    }

    /// The evaluations to draw; says what should be known of them.
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
        tell!("{which}");
        let count = |of: &Evaluation| Pairs::count(&of.kept.query, &of.kept.gallery, &of.protocol(), &device);
        let pairs: Vec<Pairs> = all.iter().map(count).collect::<Result<_>>()?;
        let counted = all.iter().zip(&pairs);
        let counted: Vec<Counted<'_>> =
            counted.map(|(of, pairs)| Counted { name: &of.kept.name, run: of.run, pairs }).collect();
        Ok(draw(runs, &counted))
    }
}
