//! The figures of the book. Each is drawn from data: from the sources, from the arithmetic of the chapter, or from the
//! output of a run that the chapter shows and a test compares; one from a run on the simulated GPU.

mod block;
mod convolution;
mod curves;
mod fan_out;
mod layout;
mod spirals;
mod step;
mod step_size;
mod svg;
mod tape;
mod timeline;

use crate::page::Page;
use crate::{pages_folder, repository};
use std::error::Error;

/// A figure.
pub struct Figure {
    /// The file name without `.svg`.
    pub name: &'static str,
    /// The content of the file.
    pub svg: String,
}

type Drawn = Result<String, Box<dyn Error>>;

/// All figures.
///
/// # Errors
/// A source that cannot be read, or does not have the form that a figure is drawn from.
pub fn all() -> Result<Vec<Figure>, Box<dyn Error>> {
    let figure = |name, svg: Drawn| {
        svg.map(|svg| Figure { name, svg }).map_err(|error| format!("the figure {name}: {error}").into())
    };
    [
        figure("step", step::draw(&std::fs::read_to_string(repository().join("src/lib.rs"))?)),
        figure("layout", layout::draw()),
        figure("tape", tape::draw(&output("03-tape.md", "tape")?)),
        figure("fan-out", fan_out::draw(&output("04-fan-out.md", "book fan-out")?)),
        figure("step-size", step_size::draw(&output("05-gradient-check.md", "book step-size")?)),
        figure("timeline", timeline::draw(&output("15-memory-streams.md", "book timeline")?)),
        figure("spirals", spirals::draw(&output("06-mlp.md", "mlp")?)),
        figure("convolution", convolution::draw(&output("07-convolution.md", "book convolution")?)),
        figure("block", block::draw()),
        figure("shortcuts", shortcuts(&output("09-resnet.md", "book shortcuts")?)),
        figure("optimisers", optimisers(&output("10-optimisers.md", "book optimisers")?)),
    ]
    .into_iter()
    .collect()
}

fn shortcuts(output: &[String]) -> Drawn {
    let title = "The size of the gradient of the input by the number of layers";
    let names = ["without shortcuts", "with shortcuts"];
    curves::draw(output, title, names, ["layers", "gradient of the input"], true)
}

fn optimisers(output: &[String]) -> Drawn {
    let title = "The length of each step before and after the learning rate drops";
    curves::draw(output, title, ["PyTorch", "Caffe"], ["step", "length of the step"], false)
}

/// The output of a run that a page shows.
fn output(page: &str, command: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let lines = Page::read(pages_folder().join(page))?.output_of(command);
    if lines.is_empty() { Err(format!("{page} shows no output of {command}").into()) } else { Ok(lines) }
}
