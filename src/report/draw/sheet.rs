//! A figure as a stand-alone SVG file: heading, legend, panels and caption.

use super::super::canvas::{Canvas, FONT, escape, text_width};
use super::super::figure::{Figure, Series};
use super::super::palette::Colour;
use super::legend::{draw_sample, flow};
use super::{
    Drawn, HEADING, HEIGHT, INSET, PANEL_TITLE, SMALL, at, failed, fit, paint, panel_width, rgb, text,
};
use crate::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Space around and between the panels, in pixels.
const MARGIN: f64 = 20.0;
/// Font size of the figure's heading, in pixels.
const TITLE: f64 = 16.0;
/// Line spacing of small text, in pixels.
const LINE: f64 = 16.0;

/// Draws a whole figure as an SVG file.
///
/// # Errors
/// As [`super::panel`].
pub fn sheet(figure: &Figure) -> Result<String> {
    let columns = figure.columns.clamp(1, figure.panels.len().max(1));
    let rows = figure.panels.len().div_ceil(columns);
    let (panel_width, panel_height) = (panel_width(figure.panels.len()), HEIGHT + HEADING);
    let inner = columns as f64 * (panel_width + MARGIN) - MARGIN;
    let width = inner + 2.0 * MARGIN;
    let keys = flow(&figure.legend, inner);
    let legend_lines = keys.iter().map(|(_, line, ..)| line + 1).max().unwrap_or(0);
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
            let title = fit::one(&figure.title, TITLE, inner);
            area.draw_text(&title, &text(TITLE, Colour::Ink).pos(top_left), at(MARGIN, MARGIN))?;
            for (x, line, key, name) in &keys {
                let y = above + *line as f64 * LINE + LINE / 2.0;
                let sample = Series {
                    colour: key.colour,
                    mark: key.mark,
                    points: vec![(MARGIN + x, y), (MARGIN + x + 16.0, y)],
                };
                draw_sample(&area, &sample)?;
                let place = at(MARGIN + x + 22.0, y);
                let middle = text(SMALL, Colour::Ink).pos(Pos::new(HPos::Left, VPos::Center));
                area.draw_text(name, &middle, place)?;
            }
            let headings: Vec<String> = figure.panels.iter().map(|panel| panel.title.clone()).collect();
            let headings = fit::all(&headings, PANEL_TITLE, panel_width - INSET[0]);
            for (index, (panel, heading)) in figure.panels.iter().zip(&headings).enumerate() {
                let (row, column) = (index / columns, index % columns);
                let (x, y) = at(
                    MARGIN + column as f64 * (panel_width + MARGIN),
                    panels_from + row as f64 * (panel_height + MARGIN),
                );
                let (w, h) = at(panel_width, panel_height);
                paint(panel, &area.clone().shrink((x, y), (w, h)), Some(heading))?;
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
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} \
         {height}\" font-family=\"{FONT}\" role=\"img\">\n<title>{}</title>\n{body}</svg>\n",
        escape(&figure.title)
    ))
}

/// Breaks a text into lines of at most `width` pixels; a longer word has its own line.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two three", 60.0, 10.0), ["one two", "three"]);
        assert_eq!(wrap("unbreakable word", 30.0, 10.0), ["unbreakable", "word"]);
        assert!(wrap("", 30.0, 10.0).is_empty());
    }
}
