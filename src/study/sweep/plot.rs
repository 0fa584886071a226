//! Plot of a sweep: a panel for each hyper-parameter, or for a grid a line for each combination; baselines are
//! horizontal lines.

use super::{Point, Sweep, Swept};
use crate::report::figure::{Axis, Figure as Drawing, Key, Mark, Panel, Series};
use crate::report::palette::{Colour, RUNS};
use crate::study::names::LAMBDA;
use crate::study::recipes::in_words;
use crate::study::{Figure, Setting, Summary};

/// A figure of a recipe, with its name.
type Measure = (&'static str, fn(&Summary) -> Figure);
/// Figures that are drawn.
const MEASURES: [Measure; 2] =
    [("rank-1", |summary| summary.rank1), ("mAP (trapezoid)", |summary| summary.map_market)];
/// Half the width of a baseline on an axis of names.
const HALF: f64 = 0.35;
/// Ratio of the largest to the smallest value above which an axis is logarithmic; the axis of lambda always is.
const A_DECADE: f64 = 10.0 * (1.0 + 1e-9);

/// Draws the plot.
///
/// # Errors
/// A sentence that says why there is no plot.
pub(super) fn drawing(sweep: &Sweep) -> Result<Drawing, String> {
    let has_baseline = sweep.points.iter().any(|point| point.is_baseline);
    let baseline = Key { name: "baseline (lambda 0)".into(), colour: Colour::Muted, mark: Mark::Dashes };
    let (panels, mut legend) = match sweep.grid && sweep.swept.len() > 1 {
        true => of_grid(sweep)?,
        false => one_at_a_time(sweep),
    };
    legend.extend(has_baseline.then_some(baseline));
    let is_shared = |series: &Series| series.mark == Mark::Dashes && series.colour == Colour::Muted;
    let shared = panels.iter().any(|panel| panel.series.iter().any(is_shared));
    let mut caption = sweep.about();
    if sweep.runs > 1 {
        caption += " Vertical lines and bands extend one standard deviation to both sides.";
    }
    if has_baseline {
        caption += " The baseline has the same settings as the points of its colour, and lambda 0.";
        caption += if shared { " Grey: the baseline of all lines." } else { "" };
    }
    Ok(Drawing {
        title: "Choice of hyper-parameters, on persons who were held out".into(),
        caption,
        legend,
        columns: panels.len().clamp(1, 3),
        panels,
    })
}

/// Panels for each hyper-parameter, with a line for each figure.
fn one_at_a_time(sweep: &Sweep) -> (Vec<Panel>, Vec<Key>) {
    let y = percent(sweep);
    let panel = |swept: &Swept| {
        let places = Places::of(swept);
        let of_key = |point: &&Point| matches!(&point.values[..], [only] if only.key == swept.key);
        let points: Vec<&Point> = sweep.points.iter().filter(of_key).collect();
        let lines = MEASURES.iter().enumerate().map(|(number, (_, measure))| {
            Line::new(sweep, Colour::Run(number), &places, swept, &points, *measure)
        });
        let lines: Vec<Line> = lines.collect();
        Panel {
            title: swept.key.clone(),
            x: places.axis.clone(),
            y: y.clone(),
            series: series(&lines, &places),
        }
    };
    let keys = MEASURES.iter().enumerate().map(|(number, (name, _))| Key {
        name: name.to_string(),
        colour: Colour::Run(number),
        mark: Mark::Line,
    });
    (sweep.swept.iter().map(panel).collect(), keys.collect())
}

/// Panels for each figure over the first key with numeric values, with a line for each combination of the other keys.
fn of_grid(sweep: &Sweep) -> Result<(Vec<Panel>, Vec<Key>), String> {
    let across = sweep
        .swept
        .iter()
        .find(|swept| numbers(swept).is_some())
        .ok_or("There is no plot: none of the settings of this grid has numbers as values.")?;
    let others = |point: &Point| -> Vec<Setting> {
        point.values.iter().filter(|setting| setting.key != across.key).cloned().collect()
    };
    let mut combinations: Vec<(Vec<Setting>, Vec<&Point>)> = Vec::new();
    for point in sweep.points.iter().filter(|point| !point.is_baseline) {
        let own = others(point);
        match combinations.iter_mut().find(|(known, _)| *known == own) {
            Some((_, points)) => points.push(point),
            None => combinations.push((own, vec![point])),
        }
    }
    if combinations.len() > RUNS {
        return Err(format!(
            "There is no plot: over {} this grid has {} lines, and a plot has at most {RUNS}.",
            across.key,
            combinations.len()
        ));
    }
    let places = Places::of(across);
    let y = percent(sweep);
    let panel = |(name, measure): &(&str, fn(&Summary) -> Figure)| {
        let lines = combinations.iter().enumerate().map(|(number, (_, points))| {
            Line::new(sweep, Colour::Run(number), &places, across, points, *measure)
        });
        let mut lines: Vec<Line> = lines.collect();
        share_baseline(&mut lines);
        Panel {
            title: name.to_string(),
            x: places.axis.clone(),
            y: y.clone(),
            series: series(&lines, &places),
        }
    };
    let keys = combinations.iter().enumerate().map(|(number, (settings, _))| Key {
        name: in_words(settings),
        colour: Colour::Run(number),
        mark: Mark::Line,
    });
    Ok((MEASURES.iter().map(panel).collect(), keys.collect()))
}

/// The points of a line and their baselines.
struct Line {
    colour: Colour,
    points: Vec<(f64, Figure)>,
    baselines: Vec<Baseline>,
    baseline_colour: Colour,
}

/// A baseline at the position of the point that is compared with it.
#[derive(Clone, PartialEq)]
struct Baseline {
    x: f64,
    name: String,
    figure: Figure,
}

impl Line {
    /// Creates a line with its points sorted by position. Points without a position are baselines and are drawn as
    /// horizontal lines.
    fn new(
        sweep: &Sweep,
        colour: Colour,
        places: &Places,
        swept: &Swept,
        points: &[&Point],
        measure: fn(&Summary) -> Figure,
    ) -> Self {
        let figure = |name: &str| measure(&sweep.achieved(name).summary);
        let mut line = Line { colour, points: Vec::new(), baselines: Vec::new(), baseline_colour: colour };
        for point in points {
            let value = point.values.iter().find(|setting| setting.key == swept.key);
            let Some(x) = value.and_then(|setting| places.x(&setting.value)) else { continue };
            line.points.push((x, figure(&point.recipe)));
            line.baselines.extend(point.baseline.iter().map(|name| Baseline {
                x,
                name: name.clone(),
                figure: figure(name),
            }));
        }
        line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
        line.baselines.sort_by(|a, b| a.x.total_cmp(&b.x));
        line
    }

    /// The baseline of all points, if they have the same one.
    fn only_baseline(&self) -> Option<&Baseline> {
        let first = self.baselines.first()?;
        self.baselines.iter().all(|other| other.name == first.name).then_some(first)
    }
}

/// Keeps a baseline that all lines share only in the first line, in a neutral colour.
fn share_baseline(lines: &mut [Line]) {
    let names: Option<Vec<&str>> =
        lines.iter().map(|line| line.only_baseline().map(|baseline| baseline.name.as_str())).collect();
    if names.is_some_and(|names| names.len() > 1 && names.iter().all(|name| *name == names[0])) {
        lines[0].baseline_colour = Colour::Muted;
        lines[1..].iter_mut().for_each(|line| line.baselines.clear());
    }
}

/// The series of a panel: bands at the back, then baselines, error bars and points.
fn series(lines: &[Line], places: &Places) -> Vec<Series> {
    let percent = |share: f64| 100.0 * share.clamp(0.0, 1.0);
    let bar = |x: f64, figure: &Figure| match figure.deviation {
        Some(d) => [figure.mean - d, figure.mean + d].map(|share| (x, percent(share))).to_vec(),
        None => Vec::new(),
    };
    let mut drawn: [Vec<Series>; 4] = Default::default();
    for line in lines {
        let mut add = |layer: usize, colour, mark, points| drawn[layer].push(Series { colour, mark, points });
        let colour = line.baseline_colour;
        let mut across = |from: f64, to: f64, figure: &Figure| {
            let mean = percent(figure.mean);
            add(1, colour, Mark::Dashes, vec![(from, mean), (to, mean)]);
            if let Some(d) = figure.deviation {
                let [low, high] = [figure.mean - d, figure.mean + d].map(percent);
                add(0, colour, Mark::Band, vec![(from, low), (to, low), (to, high), (from, high)]);
            }
        };
        match line.only_baseline() {
            Some(baseline) => across(places.axis.from, places.axis.to, &baseline.figure),
            None if places.is_named() => {
                line.baselines.iter().for_each(|b| across(b.x - HALF, b.x + HALF, &b.figure));
            }
            None => {
                let points = line.baselines.iter().map(|b| (b.x, percent(b.figure.mean))).collect();
                add(1, colour, Mark::Dashes, points);
                line.baselines.iter().for_each(|b| add(1, colour, Mark::Bar, bar(b.x, &b.figure)));
            }
        }
        line.points.iter().for_each(|(x, figure)| add(2, line.colour, Mark::Bar, bar(*x, figure)));
        let points: Vec<(f64, f64)> = line.points.iter().map(|(x, f)| (*x, percent(f.mean))).collect();
        add(3, line.colour, Mark::Points, points.clone());
        if !places.is_named() {
            add(3, line.colour, Mark::Line, points);
        }
    }
    drawn.into_iter().flatten().filter(|series| !series.points.is_empty()).collect()
}

/// Axis of percent around all values, with ends at multiples of five and a span of at least ten.
fn percent(sweep: &Sweep) -> Axis {
    let figures = sweep.recipes.iter().flat_map(|r| MEASURES.iter().map(|(_, measure)| measure(&r.summary)));
    let ends = figures.flat_map(|figure| {
        let d = figure.deviation.unwrap_or(0.0);
        [100.0 * (figure.mean - d), 100.0 * (figure.mean + d)]
    });
    let (low, high) = ends.fold((100.0f64, 0.0f64), |(low, high), end| (low.min(end), high.max(end)));
    let from = (5.0 * ((low - 1.0) / 5.0).floor()).clamp(0.0, 90.0);
    let to = (5.0 * ((high + 1.0) / 5.0).ceil()).clamp(from + 10.0, 100.0);
    Axis::between("[%]", from, to)
}

/// Positions of values on the horizontal axis.
struct Places {
    axis: Axis,
    /// Values as text, if the axis has names; empty if it has numbers.
    names: Vec<String>,
}

impl Places {
    fn of(swept: &Swept) -> Self {
        let Some(numbers) = numbers(swept) else {
            let axis = Axis::names(swept.key.clone(), swept.values.iter().cloned());
            return Places { axis, names: swept.values.clone() };
        };
        let largest = numbers.iter().copied().fold(0.0, f64::max);
        let smallest = numbers.iter().copied().fold(f64::INFINITY, f64::min);
        let axis = match swept.key == LAMBDA || (smallest > 0.0 && largest / smallest > A_DECADE) {
            true => Axis::decades(swept.key.clone(), numbers.into_iter()),
            false => Axis::up_to(swept.key.clone(), largest),
        };
        Places { axis, names: Vec::new() }
    }

    fn is_named(&self) -> bool {
        !self.names.is_empty()
    }

    /// Position of a value; `None` for a value outside the axis, such as a lambda of 0.
    fn x(&self, value: &str) -> Option<f64> {
        if self.is_named() {
            return self.names.iter().position(|name| name == value).map(|place| place as f64);
        }
        number(value).filter(|x| (self.axis.from..=self.axis.to).contains(x))
    }
}

/// Parses a value as a number; `None` below 0 and for other texts.
fn number(value: &str) -> Option<f64> {
    value.replace('_', "").parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

/// Parses all values as numbers; `None` if one of them is not a number.
fn numbers(swept: &Swept) -> Option<Vec<f64>> {
    swept.values.iter().map(|value| number(value)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{made_up, swept};
    use super::*;
    use crate::report::draw;
    use crate::report::figure::Scale;

    fn of(panel: &Panel, mark: Mark, colour: Colour) -> Vec<&Series> {
        panel.series.iter().filter(|s| s.mark == mark && s.colour == colour).collect()
    }

    #[test]
    fn lambda_is_on_a_logarithmic_axis_and_the_baseline_lies_across() {
        let rank1 = Colour::Run(0);
        for asked in [&["0", "0.5", "1", "2"][..], &["0.5", "1", "2"]] {
            let sweep = made_up(&[swept("loss.batch_contrastive.weight", asked)], false, 3);
            let drawing = drawing(&sweep).unwrap();
            let panel = &drawing.panels[0];
            assert_eq!((panel.x.scale, panel.x.from, panel.x.to), (Scale::Log, 0.1, 10.0));
            let dots = of(panel, Mark::Points, rank1)[0];
            assert_eq!(dots.points.iter().map(|p| p.0).collect::<Vec<_>>(), [0.5, 1.0, 2.0]);
            let baseline = 100.0 * sweep.achieved("lambda-0").summary.rank1.mean;
            assert_eq!(of(panel, Mark::Dashes, rank1)[0].points, [(0.1, baseline), (10.0, baseline)]);
            let band = &of(panel, Mark::Band, rank1)[0].points;
            assert!(band[0].1 < baseline && baseline < band[2].1 && band[1].0 == 10.0, "{band:?}");
            assert_eq!(of(panel, Mark::Bar, rank1).len(), 3);
            assert!(drawing.legend.iter().any(|key| key.name == "baseline (lambda 0)"));
            draw::sheet(&drawing).unwrap();
        }
        // Without a deviation there is no band, and no word of one.
        let alone = drawing(&made_up(&[swept("loss.batch_contrastive.weight", &["1"])], false, 1)).unwrap();
        assert!(of(&alone.panels[0], Mark::Band, rank1).is_empty());
        assert!(!alone.caption.contains("deviation"), "{}", alone.caption);
    }

    #[test]
    fn names_stand_side_by_side_and_are_not_joined() {
        let asked = [
            swept("loss.batch_contrastive.center_rate", &["tied", "0.5"]),
            swept("solver.batch", &["8", "16", "32"]),
        ];
        let drawing = drawing(&made_up(&asked, false, 2)).unwrap();
        let [rates, batches] = &drawing.panels[..] else { panic!("{drawing:?}") };
        assert_eq!(rates.x.names, ["tied", "0.5"]);
        assert_eq!(
            of(rates, Mark::Points, Colour::Run(1))[0].points.iter().map(|p| p.0).collect::<Vec<_>>(),
            [0.0, 1.0]
        );
        assert!(of(rates, Mark::Line, Colour::Run(0)).is_empty());
        let svg = draw::panel(rates, 2, "").unwrap();
        assert!(svg.contains(">tied<") && svg.contains(">0.5<") && !svg.contains(">1<"), "{svg}");
        // Each batch has its own baseline, and a dashed line connects the baselines.
        assert_eq!((batches.x.scale, batches.x.to), (Scale::Linear, 40.0));
        assert_eq!(of(batches, Mark::Dashes, Colour::Run(0))[0].points.len(), 3);
        assert_eq!(of(batches, Mark::Line, Colour::Run(0))[0].points.len(), 3);
    }

    #[test]
    fn a_grid_has_a_line_a_combination_and_no_plot_of_too_many() {
        let tau = |count: usize| {
            let values: Vec<String> = (1..=count).map(|i| format!("{}", i as f64 / 10.0)).collect();
            Swept { key: "loss.batch_contrastive.tau".into(), values }
        };
        let gradient = swept("loss.batch_contrastive.gradient", &["paper", "exact"]);
        let lambda = swept("loss.batch_contrastive.weight", &["0", "0.1", "1"]);
        let whole = drawing(&made_up(&[gradient.clone(), lambda.clone(), tau(4)], true, 2)).unwrap();
        assert_eq!(whole.panels.len(), 2);
        assert_eq!((whole.legend.len(), whole.legend[0].name.as_str()), (9, "gradient paper, tau 0.1"));
        let panel = &whole.panels[0];
        assert_eq!((panel.x.label.as_str(), panel.x.scale), ("loss.batch_contrastive.weight", Scale::Log));
        assert_eq!(panel.series.iter().filter(|s| s.mark == Mark::Line).count(), 8);
        // One baseline for all, in a colour of none of them.
        let dashes: Vec<&Series> = panel.series.iter().filter(|s| s.mark == Mark::Dashes).collect();
        assert_eq!((dashes.len(), dashes[0].colour), (1, Colour::Muted));
        draw::sheet(&whole).unwrap();

        let why = drawing(&made_up(&[gradient.clone(), lambda, tau(5)], true, 1)).unwrap_err();
        assert!(why.contains("10 lines"), "{why}");
        let words = made_up(&[gradient, swept("data.flip", &["true", "false"])], true, 1);
        assert!(drawing(&words).unwrap_err().contains("none of the settings"));
        assert!(words.to_string().contains("There is no plot"), "{words}");
    }
}
