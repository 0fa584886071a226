//! Figures to SVG, through plotters: one panel for the page, or a whole sheet with heading, legend and caption for a file.

use super::canvas::{Canvas, FONT, UNIT, escape, text_width};
use super::figure::{Axis, Figure, Key, Mark, Panel, Scale, Series};
use super::palette::Colour;
use crate::{Error, Result};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, DefaultFormatting, KeyPointHint, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::convert::Infallible;
use std::ops::Range;

/// A panel's size in pixels.
pub const PANEL: [f64; 2] = [400.0, 270.0];
/// From a panel's edges to the rectangle of its data: left, top, right, bottom. A panel with a heading is `HEADING` higher.
pub const INSET: [f64; 4] = [52.0, 8.0, 20.0, 38.0];
const HEADING: f64 = 20.0;
/// Around and between the panels of a sheet.
const MARGIN: f64 = 20.0;
/// Sizes of letters.
const TITLE: f64 = 16.0;
const PANEL_TITLE: f64 = 12.5;
const SMALL: f64 = 11.0;
/// From a line of small letters to the next.
const LINE: f64 = 16.0;
/// Letters of a legend's name, at most.
const NAME: usize = 48;

type Area<'a> = DrawingArea<Canvas<'a>, Shift>;
type Drawn = std::result::Result<(), DrawingAreaErrorKind<Infallible>>;

/// A panel without heading, as an element of a page: it takes its place's width, and its colours from the page's style.
/// `label` is what a screen reader says.
///
/// # Errors
/// None that a figure of this crate causes: its axes have a length.
pub fn panel(panel: &Panel, label: &str) -> Result<String> {
    let mut body = String::new();
    let [width, height] = PANEL;
    {
        let area = Canvas::new(&mut body, width, height).into_drawing_area();
        paint(panel, &area, None).and_then(|()| area.present()).map_err(failed)?;
    }
    Ok(format!(
        "<svg class=\"chart\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">\n{body}</svg>",
        escape(label)
    ))
}

/// The whole figure as a file of its own.
///
/// # Errors
/// As [`panel`].
pub fn sheet(figure: &Figure) -> Result<String> {
    let columns = figure.columns.clamp(1, figure.panels.len().max(1));
    let rows = figure.panels.len().div_ceil(columns);
    let [panel_width, panel_height] = [PANEL[0], PANEL[1] + HEADING];
    let inner = (columns as f64 * (panel_width + MARGIN) - MARGIN).max(560.0);
    let width = inner + 2.0 * MARGIN;
    let keys = flow(&figure.legend, inner);
    let legend_lines = keys.iter().map(|(_, line, _)| line + 1).max().unwrap_or(0);
    let caption = wrap(&figure.caption, inner, SMALL);
    let above = MARGIN + TITLE + 12.0;
    let panels_from = above + legend_lines as f64 * LINE + 8.0;
    let below = panels_from + rows as f64 * (panel_height + MARGIN);
    let height = (below + caption.len() as f64 * LINE + MARGIN - 6.0).ceil();

    let mut body = String::new();
    {
        let area = Canvas::new(&mut body, width, height).into_drawing_area();
        let draw = || -> Drawn {
            area.fill(&rgb(Colour::Paper))?;
            let top_left = Pos::new(HPos::Left, VPos::Top);
            let title = shortened(&figure.title, (inner / (0.6 * TITLE)) as usize);
            area.draw_text(&title, &text(TITLE, Colour::Ink).pos(top_left), at(MARGIN, MARGIN))?;
            for (x, line, key) in &keys {
                let y = above + *line as f64 * LINE + LINE / 2.0;
                let sample = Series {
                    colour: key.colour,
                    mark: key.mark,
                    points: vec![(MARGIN + x, y), (MARGIN + x + 16.0, y)],
                };
                draw_sample(&area, &sample)?;
                let place = at(MARGIN + x + 22.0, y);
                let middle = text(SMALL, Colour::Ink).pos(Pos::new(HPos::Left, VPos::Center));
                area.draw_text(&shortened(&key.name, NAME), &middle, place)?;
            }
            for (index, panel) in figure.panels.iter().enumerate() {
                let (row, column) = (index / columns, index % columns);
                let (x, y) = at(
                    MARGIN + column as f64 * (panel_width + MARGIN),
                    panels_from + row as f64 * (panel_height + MARGIN),
                );
                let (w, h) = at(panel_width, panel_height);
                paint(panel, &area.clone().shrink((x, y), (w, h)), Some(&panel.title))?;
            }
            for (index, line) in caption.iter().enumerate() {
                let place = at(MARGIN, below + index as f64 * LINE);
                area.draw_text(line, &text(SMALL, Colour::Muted).pos(top_left), place)?;
            }
            area.present()
        };
        draw().map_err(failed)?;
    }
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"{FONT}\" role=\"img\">\n<title>{}</title>\n{body}</svg>\n",
        escape(&figure.title)
    ))
}

/// A swatch for a legend in a page; its colour is that of the text around it.
pub fn swatch(mark: Mark) -> &'static str {
    match mark {
        Mark::Dots | Mark::Points => {
            "<svg class=\"swatch\" viewBox=\"0 0 16 8\" aria-hidden=\"true\"><path d=\"M3 5h0M8 3h0M13 5h0\" \
             stroke=\"currentColor\" stroke-width=\"3\" stroke-linecap=\"round\"/></svg>"
        }
        Mark::Dashes => {
            "<svg class=\"swatch\" viewBox=\"0 0 16 8\" aria-hidden=\"true\"><path d=\"M0 4h6M10 4h6\" \
             stroke=\"currentColor\" stroke-width=\"2\"/></svg>"
        }
        Mark::Line | Mark::Faint | Mark::Bar => {
            "<svg class=\"swatch\" viewBox=\"0 0 16 8\" aria-hidden=\"true\"><path d=\"M0 4h16\" stroke=\"currentColor\" \
             stroke-width=\"2\"/></svg>"
        }
        Mark::Area | Mark::Band => {
            "<svg class=\"swatch\" viewBox=\"0 0 16 8\" aria-hidden=\"true\"><path d=\"M0 0h16v8H0z\" \
             fill=\"currentColor\" fill-opacity=\"0.5\"/></svg>"
        }
    }
}

fn failed(error: DrawingAreaErrorKind<Infallible>) -> Error {
    Error::Run(format!("the figure cannot be drawn: {error}"))
}

/// Pixels to a canvas's units.
fn at(x: f64, y: f64) -> (i32, i32) {
    ((x * UNIT).round() as i32, (y * UNIT).round() as i32)
}

fn rgb(colour: Colour) -> RGBColor {
    let [r, g, b] = colour.rgb();
    RGBColor(r, g, b)
}

fn text(size: f64, colour: Colour) -> TextStyle<'static> {
    let font = FontDesc::new(FontFamily::SansSerif, size * UNIT, FontStyle::Normal);
    TextStyle { color: rgb(colour).to_backend_color(), ..TextStyle::from(font) }
}

fn pen(colour: Colour, opacity: f64, width: f64) -> ShapeStyle {
    rgb(colour).mix(opacity).stroke_width((width * UNIT) as u32)
}

fn paint(panel: &Panel, area: &Area<'_>, heading: Option<&str>) -> Drawn {
    let from_to = |axis: &Axis| match axis.scale {
        Scale::Linear => axis.from..axis.to,
        // A hair wider: rounding would take the ends, which are powers of ten, for outside, and they would have no tick.
        Scale::Log => axis.from * (1.0 - 1e-9)..axis.to * (1.0 + 1e-9),
    };
    let (x, y) = (from_to(&panel.x), from_to(&panel.y));
    if !panel.x.names.is_empty() {
        return paint_on(panel, area, heading, Named(x.into(), panel.x.names.len()), y);
    }
    match (panel.x.scale, panel.y.scale) {
        (Scale::Linear, Scale::Linear) => paint_on(panel, area, heading, x, y),
        (Scale::Log, Scale::Linear) => paint_on(panel, area, heading, x.log_scale(), y),
        (Scale::Linear, Scale::Log) => paint_on(panel, area, heading, x, y.log_scale()),
        (Scale::Log, Scale::Log) => paint_on(panel, area, heading, x.log_scale(), y.log_scale()),
    }
}

/// A linear axis with ticks at the places of so many names, and nowhere else.
struct Named(RangedCoordf64, usize);

impl Ranged for Named {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.0.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        (0..self.1).map(|place| place as f64).collect()
    }

    fn range(&self) -> Range<f64> {
        self.0.range()
    }
}

fn paint_on<X, Y>(panel: &Panel, area: &Area<'_>, heading: Option<&str>, x: X, y: Y) -> Drawn
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let [left, top, right, bottom] = INSET;
    let heading_height = if let Some(heading) = heading {
        let most = ((PANEL[0] - left) / (0.6 * PANEL_TITLE)) as usize;
        let style = text(PANEL_TITLE, Colour::Ink).pos(Pos::new(HPos::Left, VPos::Top));
        area.draw_text(&shortened(heading, most), &style, at(left, 0.0))?;
        HEADING
    } else {
        0.0
    };
    let units = |pixels: f64| (pixels * UNIT) as i32;
    let mut chart = ChartBuilder::on(area)
        .margin_top(units(top + heading_height))
        .margin_right(units(right))
        .x_label_area_size(units(bottom))
        .y_label_area_size(units(left))
        .build_cartesian_2d(x, y)?;
    let tick = text(SMALL, Colour::Muted);
    // What fits beside each other.
    let letters = ((PANEL[0] - left - right) / (0.6 * SMALL)) as usize / panel.x.names.len().max(1);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .max_light_lines(0)
        .bold_line_style(pen(Colour::Grid, 1.0, 1.0))
        .axis_style(pen(Colour::Muted, 1.0, 1.0))
        .set_all_tick_mark_size(units(3.0))
        .x_labels(8)
        .y_labels(7)
        .x_label_style(tick.clone())
        .y_label_style(tick.clone())
        .x_label_formatter(&|v| match panel.x.names.get(v.round() as usize) {
            Some(name) => shortened(name, letters),
            None => number(*v, &panel.x),
        })
        .y_label_formatter(&|v| number(*v, &panel.y))
        .axis_desc_style(tick.clone())
        .x_desc(panel.x.label.as_str())
        .y_desc(panel.y.label.as_str())
        .draw()?;
    if panel.is_empty() {
        let middle = at((PANEL[0] + left - right) / 2.0, PANEL[1] / 2.0);
        return area.draw_text("nothing measured", &tick.pos(Pos::new(HPos::Center, VPos::Center)), middle);
    }
    for series in &panel.series {
        let Series { colour, mark, points } = series;
        match mark {
            Mark::Dots | Mark::Points => {
                let (opacity, radius) = if *mark == Mark::Dots { (0.75, 1.4) } else { (1.0, 2.8) };
                let style = rgb(*colour).mix(opacity).filled();
                chart.draw_series(points.iter().map(|&p| Circle::new(p, units(radius), style)))?;
            }
            Mark::Line | Mark::Faint | Mark::Bar => {
                let (opacity, width) = match mark {
                    Mark::Line => (1.0, 1.8),
                    Mark::Bar => (0.7, 1.2),
                    _ => (0.35, 1.0),
                };
                let style = pen(*colour, opacity, width);
                chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
            }
            Mark::Dashes => {
                let (dash, gap) = (units(6.0), units(4.0));
                let points = points.iter().copied();
                chart.draw_series(DashedLineSeries::new(points, dash, gap, pen(*colour, 0.8, 1.4)))?;
            }
            Mark::Band => {
                chart.draw_series([Polygon::new(points.clone(), rgb(*colour).mix(0.12).filled())])?;
            }
            Mark::Area => {
                let floor = panel.y.from;
                let ends = [points.last(), points.first()].into_iter().flatten().map(|&(x, _)| (x, floor));
                let outline: Vec<_> = points.iter().copied().chain(ends).collect();
                chart.draw_series([Polygon::new(outline, rgb(*colour).mix(0.25).filled())])?;
                chart.draw_series(LineSeries::new(points.iter().copied(), pen(*colour, 1.0, 1.2)))?;
            }
        }
    }
    Ok(())
}

/// A legend's sample between two points on a sheet.
fn draw_sample(area: &Area<'_>, sample: &Series) -> Drawn {
    let (from, to) = (sample.points[0], sample.points[1]);
    match sample.mark {
        Mark::Dots | Mark::Points => {
            let style = rgb(sample.colour).filled();
            [(3.0, 1.0), (8.0, -1.5), (13.0, 1.0)].iter().try_for_each(|(dx, dy)| {
                area.draw(&Circle::new(at(from.0 + dx, from.1 + dy), (1.6 * UNIT) as i32, style))
            })
        }
        Mark::Line | Mark::Faint | Mark::Bar => {
            let ends = vec![at(from.0, from.1), at(to.0, to.1)];
            area.draw(&PathElement::new(ends, pen(sample.colour, 1.0, 2.0)))
        }
        Mark::Dashes => [(0.0, 6.0), (10.0, 16.0)].iter().try_for_each(|(start, end)| {
            let ends = vec![at(from.0 + start, from.1), at(from.0 + end, from.1)];
            area.draw(&PathElement::new(ends, pen(sample.colour, 1.0, 2.0)))
        }),
        Mark::Area | Mark::Band => {
            let corners = [at(from.0, from.1 - 4.0), at(to.0, to.1 + 4.0)];
            area.draw(&Rectangle::new(corners, rgb(sample.colour).mix(0.5).filled()))
        }
    }
}

/// Where the keys of a legend go: x in pixels and the line.
fn flow(keys: &[Key], width: f64) -> Vec<(f64, usize, &Key)> {
    let (mut x, mut line) = (0.0, 0);
    let mut places = Vec::with_capacity(keys.len());
    for key in keys {
        let own = 22.0 + text_width(&shortened(&key.name, NAME), SMALL) + 18.0;
        if x > 0.0 && x + own > width {
            (x, line) = (0.0, line + 1);
        }
        places.push((x, line, key));
        x += own;
    }
    places
}

/// A text in lines of at most `width` pixels; a longer word has its own line.
fn wrap(text: &str, width: f64, size: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if text_width(line, size) + text_width(word, size) + size <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines
}

/// At most `most` letters, the cut marked.
pub fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// A tick's label.
fn number(value: f64, axis: &Axis) -> String {
    if axis.scale == Scale::Log {
        let power = value.log10().round() as i32;
        return if (-2..=3).contains(&power) { plain(value) } else { format!("1e{power}") };
    }
    if axis.to.abs() >= 10_000.0 && value != 0.0 { plain(value / 1000.0) + "k" } else { plain(value) }
}

/// Six digits behind the point without the zeros at the end.
fn plain(value: f64) -> String {
    let digits = format!("{value:.6}");
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    if digits == "-0" { "0".into() } else { digits.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logarithmic_axis_has_a_tick_at_each_end() {
        let rates = [1e-3, 1e-2];
        let panel = Panel {
            title: "rate".into(),
            x: Axis::between("step", 0.0, 1.0),
            y: Axis::decades("", rates.into_iter()),
            series: vec![Series {
                colour: Colour::Ink,
                mark: Mark::Line,
                points: vec![(0.0, rates[1]), (1.0, rates[0])],
            }],
        };
        let svg = super::panel(&panel, "rate").unwrap();
        assert!(svg.contains(">0.01<") && svg.contains(">1e-3<"), "{svg}");
    }

    #[test]
    fn ticks_are_short() {
        let axis = |to| Axis::between("", 0.0, to);
        assert_eq!(number(0.1 + 0.2, &axis(1.0)), "0.3");
        assert_eq!(number(20_000.0, &axis(50_000.0)), "20k");
        assert_eq!(number(0.0, &axis(50_000.0)), "0");
        assert_eq!(number(800.0, &axis(1000.0)), "800");
        let rates = Axis::decades("", [1e-5, 1.0].into_iter());
        assert_eq!([1e-5, 0.01, 1.0].map(|v| number(v, &rates)), ["1e-5", "0.01", "1"]);
    }

    /// Whatever a file may hold, an axis ends.
    #[test]
    fn extreme_axes_are_drawn() {
        for to in [1e-45, 1e-12, 1.0, 1e19, 5e38] {
            let points = vec![(0.0, 0.0), (to, to), (2.0 * to, -to)];
            let series = vec![Series { colour: Colour::Run(0), mark: Mark::Line, points }];
            for y in [Axis::up_to("", to), Axis::decades("", [to, 1e-45, 3.4e38].into_iter())] {
                let one = Panel { title: String::new(), x: Axis::up_to("", to), y, series: series.clone() };
                let svg = panel(&one, "").unwrap();
                assert!(svg.len() < 20_000 && !svg.contains("NaN"), "{to}: {svg}");
            }
        }
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two three", 10.0 * 0.6 * 10.0, 10.0), ["one two", "three"]);
        assert_eq!(wrap("unbreakable word", 30.0, 10.0), ["unbreakable", "word"]);
        assert!(wrap("", 30.0, 10.0).is_empty());
        assert_eq!(shortened("ünïcödé", 4), "ünï…");
    }
}
