//! Maps of features: the images of an evaluation on the plane of their two principal components, or by t-SNE, one
//! panel an evaluation.

use super::super::downsample;
use super::super::draw::plot_area;
use super::super::figure::{Axis, Figure, Key, Mark, Panel, Series};
use super::super::palette::{Colour, RUNS};
use super::super::run::Run;
use super::super::tsne;
use crate::eval::pca;
use crate::eval::run_evaluations::Evaluation;
use crate::weights::Features;
use crate::{Error, Result};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Largest number of images in a panel; of more, every k-th is shown.
const MOST: usize = 2000;

/// The images of an evaluation that its panel shows.
struct Shown<'a> {
    evaluation: &'a Evaluation,
    pids: Vec<i64>,
    /// [images, dim]
    values: Vec<f32>,
    dim: usize,
}

/// The images of an evaluation on the map.
struct Mapped<'a> {
    evaluation: &'a Evaluation,
    pids: Vec<i64>,
    points: Vec<[f64; 2]>,
    labels: [String; 2],
}

/// The figure of maps on the two principal components; `all` must be sorted by data set. The persons with the most
/// images of a data set have colours, the same in all its panels. All panels have the same scale, in both directions.
pub fn figure(runs: &[Run], all: &[&Evaluation]) -> Figure {
    let mut least = 1.0f64;
    let map = |Shown { evaluation, pids, values, dim }| {
        let projection = pca::project(&values, dim);
        least = least.min(projection.explained.iter().sum());
        let label = |number: usize| {
            let share = 100.0 * projection.explained[number];
            format!("component {} ({share:.0} % of the variance)", number + 1)
        };
        Mapped { evaluation, pids, points: projection.points, labels: [label(0), label(1)] }
    };
    let mapped: Vec<Mapped<'_>> = all.iter().map(|of| shown(of)).map(map).collect();
    let mut figure = draw(runs, &mapped);
    figure.title = "Features on their two principal components".into();
    figure.caption = caption(
        &mapped,
        "by the two directions in which their features vary most (principal components of each panel's own features)",
    );
    if least < 0.5 {
        figure.caption += " Less than half of the variance is in the plane: images that are near each other here may \
                           be far apart.";
    }
    figure
}

/// The figure of maps by t-SNE, of the same images as those of [`figure`]. `progress` gets the number of finished steps
/// and of all, from any thread.
///
/// # Errors
/// As [`tsne::check`], with the name of the evaluation.
pub fn tsne_figure(
    runs: &[Run],
    all: &[&Evaluation],
    perplexity: f64,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Figure> {
    let shown: Vec<Shown<'_>> = all.iter().map(|of| shown(of)).collect();
    for of in &shown {
        tsne::check(perplexity, of.pids.len()).map_err(|e| {
            let Evaluation { run, kept, .. } = of.evaluation;
            Error::Data(format!("{} on {}: {e}", runs[*run].name, kept.name))
        })?;
    }
    let (done, total) = (AtomicUsize::new(0), shown.len() * tsne::STEPS);
    let advance = || progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
    let map = |Shown { evaluation, pids, values, dim }| {
        let points = tsne::project(&values, dim, perplexity, &advance)?;
        Ok(Mapped { evaluation, pids, points, labels: ["t-SNE 1", "t-SNE 2"].map(String::from) })
    };
    let mapped: Vec<Mapped<'_>> = shown.into_par_iter().map(map).collect::<Result<_>>()?;
    let mut figure = draw(runs, &mapped);
    figure.title = "Features by t-SNE".into();
    figure.caption = caption(
        &mapped,
        &format!(
            "by t-SNE (perplexity {perplexity}, {} steps from the principal components of each panel's own features)",
            tsne::STEPS
        ),
    );
    figure.caption +=
        " Near images stay near; how far groups are apart, and how large a group is, means nothing.";
    Ok(figure)
}

/// The panels and the legend of a figure without its title and caption.
fn draw(runs: &[Run], mapped: &[Mapped<'_>]) -> Figure {
    let name = |of: &Mapped<'_>| of.evaluation.kept.name.clone();
    let several_sets = mapped.iter().any(|of| name(of) != name(&mapped[0]));
    let half = half_axes(mapped);
    let panel = |of: &Mapped<'_>| {
        let same_set = mapped.iter().filter(|other| name(other) == name(of));
        let persons = persons(same_set.map(|of| &of.pids[..]));
        let place = |row: usize| (of.points[row][0], of.points[row][1]);
        let of_pid = |wanted: &dyn Fn(i64) -> bool| -> Vec<(f64, f64)> {
            (0..of.pids.len()).filter(|row| wanted(of.pids[*row])).map(place).collect()
        };
        let others = Series {
            colour: Colour::Muted,
            mark: Mark::Faded,
            points: of_pid(&|pid| !persons.contains(&pid)),
        };
        let coloured = persons.iter().enumerate().map(|(number, person)| Series {
            colour: Colour::Run(number),
            mark: Mark::Points,
            points: of_pid(&|pid| pid == *person),
        });
        let run = &runs[of.evaluation.run].name;
        let axis = |number: usize| Axis::between(&of.labels[number], -half[number], half[number]);
        Panel {
            title: if several_sets { format!("{run} on {}", name(of)) } else { run.clone() },
            x: axis(0),
            y: axis(1),
            series: std::iter::once(others).chain(coloured).collect(),
        }
    };
    let named = names_of_persons(mapped);
    let person = |(number, names): (usize, &Vec<String>)| Key {
        name: format!("person {}", names.join(" or ")),
        colour: Colour::Run(number),
        mark: Mark::Points,
    };
    let others = Key { name: "all others".into(), colour: Colour::Muted, mark: Mark::Faded };
    Figure {
        title: String::new(),
        caption: String::new(),
        legend: named.iter().enumerate().map(person).chain([others]).collect(),
        panels: mapped.iter().map(panel).collect(),
        columns: 2,
    }
}

/// The names of the persons with a colour, by colour: one, or one for each set of images whose person of this colour is
/// another.
fn names_of_persons(mapped: &[Mapped<'_>]) -> Vec<Vec<String>> {
    let mut named: Vec<Vec<String>> = Vec::new();
    for of in mapped {
        let set = &of.evaluation.kept;
        let same_set = mapped.iter().filter(|other| other.evaluation.kept.name == set.name);
        for (number, pid) in persons(same_set.map(|of| &of.pids[..])).into_iter().enumerate() {
            if named.len() <= number {
                named.push(Vec::new());
            }
            let name = set.query.labels().pid(pid);
            if !named[number].iter().any(|known| *known == name) {
                named[number].push(name.into_owned());
            }
        }
    }
    named
}

/// Half the lengths of both axes: a unit is as long in both directions, and all points have room.
fn half_axes(mapped: &[Mapped<'_>]) -> [f64; 2] {
    let area = plot_area(mapped.len());
    let points = || mapped.iter().flat_map(|of| &of.points);
    let farthest = |number: usize| points().map(|point| point[number].abs()).fold(1e-6, f64::max);
    let unit = (farthest(0) / area[0]).max(farthest(1) / area[1]) * 1.05;
    area.map(|pixels| unit * pixels)
}

/// Query and gallery images without junk, at most [`MOST`].
fn shown(evaluation: &Evaluation) -> Shown<'_> {
    let (query, gallery) = (&evaluation.kept.query, &evaluation.kept.gallery);
    // Junk is no person. Query images come first, so that they are not all left out of a large set.
    let rows = |of: &Features| (0..of.len()).filter(|row| of.pids()[*row] != -1).collect::<Vec<_>>();
    let all = rows(query)
        .into_iter()
        .map(|row| (query, row))
        .chain(rows(gallery).into_iter().map(|row| (gallery, row)));
    let shown = downsample::every(&all.collect::<Vec<_>>(), MOST);
    Shown {
        evaluation,
        pids: shown.iter().map(|(of, row)| of.pids()[*row]).collect(),
        values: shown.iter().flat_map(|(of, row)| of.row(*row)).copied().collect(),
        dim: query.dim(),
    }
}

/// The persons with the most images, the lower number first of equal ones; no distractors.
fn persons<'a>(pids: impl Iterator<Item = &'a [i64]>) -> Vec<i64> {
    let mut counts = BTreeMap::<i64, usize>::new();
    pids.flatten().filter(|pid| **pid > 0).for_each(|pid| *counts.entry(*pid).or_default() += 1);
    let mut all: Vec<(i64, usize)> = counts.into_iter().collect();
    all.sort_by_key(|(pid, count)| (std::cmp::Reverse(*count), *pid));
    all.into_iter().take(RUNS).map(|(pid, _)| pid).collect()
}

/// The caption: content of the panels, and the `method`.
fn caption(mapped: &[Mapped<'_>], method: &str) -> String {
    let images = mapped.iter().map(|of| of.pids.len()).max().unwrap_or(0);
    format!(
        "Query and gallery images without junk, at most {images} images in a panel, {method}. The {RUNS} persons with \
         the most images have colours. The scale is the same in all panels and both directions."
    )
}
