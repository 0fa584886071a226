//! Content of a drawing, independent of its rendering: panels with axes and series, a legend, a caption.

use super::palette::Colour;

/// A figure of one or several panels.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Heading.
    pub title: String,
    /// Caption, in whole sentences.
    pub caption: String,
    /// Legend of colours and marks.
    pub legend: Vec<Key>,
    /// Panels, row by row.
    pub panels: Vec<Panel>,
    /// Number of panels in a row of a sheet.
    pub columns: usize,
}

/// An entry of the legend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Name of the series.
    pub name: String,
    /// Colour of the series.
    pub colour: Colour,
    /// Mark of the series.
    pub mark: Mark,
}

/// A panel: a pair of axes with series.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Heading.
    pub title: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// Series, the first at the back.
    pub series: Vec<Series>,
}

/// An axis; `from` is below `to`, and above 0 on a logarithmic scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Quantity and unit.
    pub label: String,
    /// Lower end.
    pub from: f64,
    /// Upper end.
    pub to: f64,
    /// Scale.
    pub scale: Scale,
    /// Names of the values 0, 1, 2 and so on; empty for an axis of numbers.
    pub names: Vec<String>,
    /// Values that have a tick; empty for round numbers chosen by the drawing.
    pub ticks: Vec<f64>,
}

/// Scale of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Linear scale.
    Linear,
    /// Logarithmic scale.
    Log,
}

/// A series of points.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Colour.
    pub colour: Colour,
    /// Mark.
    pub mark: Mark,
    /// Points (x, y).
    pub points: Vec<(f64, f64)>,
}

/// Mark of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A small dot at each point.
    Dots,
    /// A line through the points.
    Line,
    /// A thin, pale line through the points: values that a dark line summarises.
    Faint,
    /// The area between the points and the axis.
    Area,
    /// A disc at each point, for few points.
    Points,
    /// A small, pale disc at each point, behind others.
    Faded,
    /// A thin line through the points: an error bar.
    Bar,
    /// A dashed line through the points: a reference.
    Dashes,
    /// The pale area inside the polygon of the points.
    Band,
    /// A cross at each point: the end of a series that left the axes.
    Cross,
}

impl Axis {
    /// An axis from 0 to a round number not below `largest`.
    pub fn up_to(label: impl Into<String>, largest: f64) -> Self {
        Axis {
            label: label.into(),
            from: 0.0,
            to: round_up(largest),
            scale: Scale::Linear,
            names: Vec::new(),
            ticks: Vec::new(),
        }
    }

    /// An axis from `from` to `to`.
    pub fn between(label: impl Into<String>, from: f64, to: f64) -> Self {
        Axis { label: label.into(), from, to, scale: Scale::Linear, names: Vec::new(), ticks: Vec::new() }
    }

    /// An axis of evenly spaced names: the first at 0, the next at 1, and so on.
    pub fn names(label: impl Into<String>, names: impl Iterator<Item = String>) -> Self {
        let names: Vec<String> = names.collect();
        let to = names.len().max(1) as f64 - 0.5;
        let ticks = (0..names.len()).map(|place| place as f64).collect();
        Axis { label: label.into(), from: -0.5, to, scale: Scale::Linear, names, ticks }
    }

    /// An axis of ranks from 1 to `last`, with a tick at 1 and at multiples of 5, 10, 20 and so on.
    pub fn ranks(label: impl Into<String>, last: usize) -> Self {
        let last = last.max(2);
        let step = [1, 2, 5, 10, 20, 50, 100].into_iter().find(|step| last / step <= 10).unwrap_or(last);
        let ticks = std::iter::once(1).chain((step..=last).step_by(step).filter(|tick| *tick > 1));
        let ticks = ticks.map(|tick| tick as f64).collect();
        Axis { ticks, ..Axis::between(label, 1.0, last as f64) }
    }

    /// A logarithmic axis of whole powers of ten around the values above 0.
    pub fn decades(label: impl Into<String>, values: impl Iterator<Item = f64>) -> Self {
        let positive = values.filter(|v| *v > 0.0 && v.is_finite());
        let (low, high) = positive.fold((f64::INFINITY, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
        // The tolerance covers rounding to f32.
        let (from, to) = match low.is_finite() {
            true => ((low.log10() + 1e-6).floor(), (high.log10() - 1e-6).ceil()),
            false => (-1.0, 0.0),
        };
        let to = if to > from { to } else { from + 1.0 };
        Axis {
            label: label.into(),
            from: 10f64.powf(from),
            to: 10f64.powf(to),
            scale: Scale::Log,
            names: Vec::new(),
            ticks: Vec::new(),
        }
    }
}

impl Panel {
    /// True if no series has a point.
    pub fn is_empty(&self) -> bool {
        self.series.iter().all(|series| series.points.is_empty())
    }
}

/// The smallest of 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8 times a power of ten that is not below `value`; 1 for values not
/// above 0.
fn round_up(value: f64) -> f64 {
    if !value.is_finite() || value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let found = steps.iter().map(|step| step * power).find(|round| *round >= value * (1.0 - 1e-9));
    found.unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, round) in [(0.0, 1.0), (0.97, 1.0), (1.0, 1.0), (1.3, 1.5), (17.2, 20.0), (0.0031, 0.004)]
        {
            assert!((round_up(value) - round).abs() < 1e-12, "{value}");
        }
        assert_eq!(round_up(f64::NAN), 1.0);
        let rates = Axis::decades("rate", [f64::from(0.01f32), f64::from(1e-4f32)].into_iter());
        assert!((rates.from - 1e-4).abs() < 1e-9 && (rates.to - 1e-2).abs() < 1e-9, "{rates:?}");
        let one = Axis::decades("rate", [0.03].into_iter());
        assert!(one.from < 0.03 && one.to > 0.03);
        assert!(Axis::decades("rate", std::iter::empty()).from > 0.0);
    }

    #[test]
    fn ranks_begin_at_a_tick() {
        assert_eq!(
            Axis::ranks("k", 50).ticks,
            [1.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0]
        );
        assert_eq!(Axis::ranks("k", 3).ticks, [1.0, 2.0, 3.0]);
        assert_eq!(Axis::ranks("k", 15).ticks, [1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0]);
        assert_eq!((Axis::ranks("k", 0).to, Axis::ranks("k", 100).ticks.len()), (2.0, 11));
    }
}
