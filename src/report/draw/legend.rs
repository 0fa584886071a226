//! Legends: samples of marks for pages and sheets, and their places on a sheet.

use super::super::canvas::{UNIT, text_width};
use super::super::figure::{Key, Mark, Series};
use super::{Area, Drawn, SMALL, at, fit, pen, rgb};
use plotters::prelude::*;

/// Largest width of a legend's name, in pixels.
const NAME: f64 = 300.0;

/// The sample of a mark for a legend in a page, as SVG in the colour of the surrounding text.
pub fn swatch(mark: Mark) -> &'static str {
    match mark {
        Mark::Faded => {
            "<svg class=\"swatch\" viewBox=\"0 0 16 8\" aria-hidden=\"true\"><path d=\"M3 5h0M8 3h0M13 5h0\" \
             stroke=\"currentColor\" stroke-opacity=\"0.4\" stroke-width=\"3\" stroke-linecap=\"round\"/></svg>"
        }
        Mark::Dots | Mark::Points => {
            "<svg class=\"swatch\" viewBox=\"0 0 16 8\" aria-hidden=\"true\"><path d=\"M3 5h0M8 3h0M13 5h0\" \
             stroke=\"currentColor\" stroke-width=\"3\" stroke-linecap=\"round\"/></svg>"
        }
        Mark::Dashes => {
            "<svg class=\"swatch\" viewBox=\"0 0 16 8\" aria-hidden=\"true\"><path d=\"M0 4h6M10 4h6\" \
             stroke=\"currentColor\" stroke-width=\"2\"/></svg>"
        }
        Mark::Line | Mark::Faint | Mark::Bar => {
            "<svg class=\"swatch\" viewBox=\"0 0 16 8\" aria-hidden=\"true\"><path d=\"M0 4h16\" \
             stroke=\"currentColor\" stroke-width=\"2\"/></svg>"
        }
        Mark::Cross => {
            "<svg class=\"swatch\" viewBox=\"0 0 16 8\" aria-hidden=\"true\"><path d=\"M5 1l6 6M5 7l6 -6\" \
             stroke=\"currentColor\" stroke-width=\"2\"/></svg>"
        }
        Mark::Area | Mark::Band => {
            "<svg class=\"swatch\" viewBox=\"0 0 16 8\" aria-hidden=\"true\"><path d=\"M0 0h16v8H0z\" \
             fill=\"currentColor\" fill-opacity=\"0.5\"/></svg>"
        }
    }
}

/// Draws the sample of a mark on a sheet, between the two points of `sample`.
pub(super) fn draw_sample(area: &Area<'_>, sample: &Series) -> Drawn {
    let (from, to) = (sample.points[0], sample.points[1]);
    match sample.mark {
        Mark::Dots | Mark::Points | Mark::Faded => {
            let opacity = if sample.mark == Mark::Faded { 0.4 } else { 1.0 };
            let style = rgb(sample.colour).mix(opacity).filled();
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
        Mark::Cross => {
            let middle = at(from.0 + 8.0, from.1);
            area.draw(&Cross::new(middle, (3.5 * UNIT) as i32, pen(sample.colour, 1.0, 2.0)))
        }
        Mark::Area | Mark::Band => {
            let corners = [at(from.0, from.1 - 4.0), at(to.0, to.1 + 4.0)];
            area.draw(&Rectangle::new(corners, rgb(sample.colour).mix(0.5).filled()))
        }
    }
}

/// Places the keys of a legend in lines of `width` pixels: x in pixels, the line, the key, and its name as drawn.
pub(super) fn flow(keys: &[Key], width: f64) -> Vec<(f64, usize, &Key, String)> {
    let names: Vec<String> = keys.iter().map(|key| key.name.clone()).collect();
    let (mut x, mut line) = (0.0, 0);
    let mut places = Vec::with_capacity(keys.len());
    for (key, name) in keys.iter().zip(fit::all(&names, SMALL, NAME)) {
        let own = 22.0 + text_width(&name, SMALL) + 18.0;
        if x > 0.0 && x + own > width {
            (x, line) = (0.0, line + 1);
        }
        places.push((x, line, key, name));
        x += own;
    }
    places
}
