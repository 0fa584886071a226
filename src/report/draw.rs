//! Drawing of figures as SVG with plotters: a panel for the page, or a whole [`sheet()`] with heading, legend and
//! caption for a file.

pub(super) mod fit;
mod legend;
mod sheet;

pub use legend::swatch;
pub use sheet::sheet;

use super::canvas::{Canvas, UNIT, escape};
use super::figure::{Axis, Mark, Panel, Scale, Series};
use super::palette::Colour;
use crate::{Error, Result};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, DefaultFormatting, KeyPointHint, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::convert::Infallible;
use std::ops::Range;

/// Height of a panel without its heading, in pixels.
const HEIGHT: f64 = 270.0;
/// Width of a panel beside others, in pixels.
const WIDTH: f64 = 400.0;
/// Width of a panel that is alone in its figure, in pixels.
const ALONE: f64 = 640.0;
/// Distances from a panel's edges to its plot area: left, top, right, bottom, in pixels.
pub const INSET: [f64; 4] = [52.0, 8.0, 20.0, 38.0];
/// Height of a panel's heading, in pixels.
const HEADING: f64 = 20.0;
/// Font size of a panel's heading, in pixels.
const PANEL_TITLE: f64 = 12.5;
/// Font size of labels, legends and captions, in pixels.
const SMALL: f64 = 11.0;

type Area<'a> = DrawingArea<Canvas<'a>, Shift>;
type Drawn = std::result::Result<(), DrawingAreaErrorKind<Infallible>>;

/// Width of a figure's panels in pixels: one alone is wider.
fn panel_width(panels: usize) -> f64 {
    if panels > 1 { WIDTH } else { ALONE }
}

/// Width and height of the plot area of a figure's panels, in pixels.
pub fn plot_area(panels: usize) -> [f64; 2] {
    let [left, top, right, bottom] = INSET;
    [panel_width(panels) - left - right, HEIGHT - top - bottom]
}

/// Draws a panel of a figure of `panels` panels, without heading, as an `svg` element for a page. It is as wide as the
/// element around it, and the page's style sets its colours. `label` is the text for screen readers.
///
/// # Errors
/// An axis of zero length, which the figures of this crate do not have.
pub fn panel(panel: &Panel, panels: usize, label: &str) -> Result<String> {
    let mut body = String::new();
    let (width, height) = (panel_width(panels), HEIGHT);
    {
        let area = Canvas::new(&mut body, width, height).into_drawing_area();
        paint(panel, &area, None).and_then(|()| area.present()).map_err(failed)?;
    }
    let class = if panels > 1 { "chart" } else { "chart alone" };
    Ok(format!(
        "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">\n{body}</svg>",
        escape(label)
    ))
}

fn failed(error: DrawingAreaErrorKind<Infallible>) -> Error {
    Error::Run(format!("the figure cannot be drawn: {error}"))
}

/// Converts pixels to the canvas's units.
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
        // Slightly wider, because rounding could put the ends, which are powers of ten, outside the axis and drop their
        // ticks.
        Scale::Log => axis.from * (1.0 - 1e-9)..axis.to * (1.0 + 1e-9),
    };
    let (x, y) = (from_to(&panel.x), from_to(&panel.y));
    if !panel.x.ticks.is_empty() {
        return paint_on(panel, area, heading, TickedAxis(x.into(), panel.x.ticks.clone()), y);
    }
    match (panel.x.scale, panel.y.scale) {
        (Scale::Linear, Scale::Linear) => paint_on(panel, area, heading, x, y),
        (Scale::Log, Scale::Linear) => paint_on(panel, area, heading, x.log_scale(), y),
        (Scale::Linear, Scale::Log) => paint_on(panel, area, heading, x, y.log_scale()),
        (Scale::Log, Scale::Log) => paint_on(panel, area, heading, x.log_scale(), y.log_scale()),
    }
}

/// A linear axis with ticks at given values.
struct TickedAxis(RangedCoordf64, Vec<f64>);

impl Ranged for TickedAxis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.0.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.1.clone()
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
    let width = f64::from(area.dim_in_pixel().0) / UNIT;
    let heading_height = if let Some(heading) = heading {
        let style = text(PANEL_TITLE, Colour::Ink).pos(Pos::new(HPos::Left, VPos::Top));
        area.draw_text(heading, &style, at(left, 0.0))?;
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
    // Neighbouring names do not overlap.
    let room = (width - left - right) / panel.x.names.len().max(1) as f64 - SMALL;
    let names = fit::all(&panel.x.names, SMALL, room);
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
        .x_label_formatter(&|v| match names.get(v.round() as usize) {
            Some(name) => name.clone(),
            None => number(*v, &panel.x),
        })
        .y_label_formatter(&|v| number(*v, &panel.y))
        .axis_desc_style(tick.clone())
        .x_desc(panel.x.label.as_str())
        .y_desc(panel.y.label.as_str())
        .draw()?;
    if panel.is_empty() {
        let middle = at((width + left - right) / 2.0, HEIGHT / 2.0);
        return area.draw_text("nothing measured", &tick.pos(Pos::new(HPos::Center, VPos::Center)), middle);
    }
    for series in &panel.series {
        let Series { colour, mark, points } = series;
        match mark {
            Mark::Dots | Mark::Points | Mark::Faded => {
                let (opacity, radius) = match mark {
                    Mark::Dots => (0.75, 1.4),
                    Mark::Faded => (0.4, 1.8),
                    _ => (1.0, 2.8),
                };
                let style = rgb(*colour).mix(opacity).filled();
                chart.draw_series(points.iter().map(|&p| Circle::new(p, units(radius), style)))?;
            }
            Mark::Cross => {
                let style = pen(*colour, 1.0, 2.0);
                chart.draw_series(points.iter().map(|&p| Cross::new(p, units(4.5), style)))?;
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

/// Label of a tick.
fn number(value: f64, axis: &Axis) -> String {
    if axis.scale == Scale::Log {
        let power = value.log10().round() as i32;
        return if (-2..=3).contains(&power) { plain(value) } else { format!("1e{power}") };
    }
    match axis.to.abs() {
        _ if value == 0.0 => plain(value),
        1e9.. => format!("{value:.1e}").replace(".0e", "e"),
        1e6.. => plain(value / 1e6) + "M",
        1e4.. => plain(value / 1e3) + "k",
        _ => plain(value),
    }
}

/// A number with at most six decimals, without trailing zeros.
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
        let svg = super::panel(&panel, 2, "rate").unwrap();
        assert!(svg.contains(">0.01<") && svg.contains(">1e-3<"), "{svg}");
    }

    #[test]
    fn ticks_are_short() {
        let axis = |to| Axis::between("", 0.0, to);
        assert_eq!(number(0.1 + 0.2, &axis(1.0)), "0.3");
        assert_eq!(number(20_000.0, &axis(50_000.0)), "20k");
        assert_eq!(number(0.0, &axis(50_000.0)), "0");
        assert_eq!(number(800.0, &axis(1000.0)), "800");
        assert_eq!(number(1.5e6, &axis(3e6)), "1.5M");
        assert_eq!(number(1.5e18, &axis(2e18)), "1.5e18");
        assert_eq!(number(4e24, &axis(5e24)), "4e24");
        let rates = Axis::decades("", [1e-5, 1.0].into_iter());
        assert_eq!([1e-5, 0.01, 1.0].map(|v| number(v, &rates)), ["1e-5", "0.01", "1"]);
    }

    /// Extreme values in a file must not lead to endless axes.
    #[test]
    fn extreme_axes_are_drawn() {
        for to in [1e-45, 1e-12, 1.0, 1e19, 5e38] {
            let points = vec![(0.0, 0.0), (to, to), (2.0 * to, -to)];
            let series = vec![Series { colour: Colour::Run(0), mark: Mark::Line, points }];
            for y in [Axis::up_to("", to), Axis::decades("", [to, 1e-45, 3.4e38].into_iter())] {
                let one = Panel { title: String::new(), x: Axis::up_to("", to), y, series: series.clone() };
                let svg = panel(&one, 1, "").unwrap();
                assert!(svg.len() < 20_000 && !svg.contains("NaN"), "{to}: {svg}");
            }
        }
    }
}
