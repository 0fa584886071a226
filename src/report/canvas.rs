//! SVG backend for plotters with a resolution of a tenth of a pixel and all dots of one colour in one path.
//!
//! The backend of plotters rounds to whole pixels and writes a hundred bytes a dot; figure 1 has thousands of dots.

use crate::error::is_visible;
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontTransform,
};
use std::convert::Infallible;
use std::fmt::Write;

/// Units of a backend coordinate in a pixel.
pub const UNIT: f64 = 10.0;
/// Font family of all drawings; PNG files use the first font.
pub const FONT: &str = "DejaVu Sans, Verdana, sans-serif";
/// Widths of the printable ASCII characters of DejaVu Sans from the space on, in thousandths of the font size.
const WIDTHS: [u16; 95] = [
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636, 636, 636,
    636, 636, 636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632, 575, 775, 752, 295,
    295, 656, 557, 863, 748, 787, 603, 787, 695, 635, 611, 732, 684, 989, 685, 611, 685, 390, 337, 390, 838,
    500, 500, 613, 635, 550, 635, 615, 352, 635, 634, 278, 278, 579, 278, 974, 634, 612, 635, 635, 411, 521,
    392, 634, 592, 818, 592, 592, 525, 636, 337, 636, 838,
];
/// Width of other characters: many of them, such as Chinese ones, are as wide as high.
const WIDE: u16 = 1000;
/// Width of the letters of Latin, Greek and Cyrillic, of combining marks and of dashes.
const LETTER: u16 = 640;

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// Canvas that writes the elements of a drawing, without the enclosing `svg` element.
pub struct Canvas<'a> {
    svg: &'a mut String,
    size: (u32, u32),
    /// Style of the dots in the path that is not closed yet.
    dots: Option<String>,
}

impl<'a> Canvas<'a> {
    /// Creates a canvas of `width` by `height` pixels.
    pub fn new(svg: &'a mut String, width: f64, height: f64) -> Self {
        Canvas { svg, size: ((width * UNIT) as u32, (height * UNIT) as u32), dots: None }
    }

    fn end_dots(&mut self) {
        if self.dots.take().is_some() {
            self.svg.push_str("\"/>\n");
        }
    }

    fn element(&mut self, element: &str) {
        self.end_dots();
        self.svg.push_str(element);
        self.svg.push('\n');
    }

    fn shape<S: BackendStyle>(&mut self, data: &str, style: &S, filled: bool) {
        if style.color().alpha > 0.0 {
            let paint = if filled { fill(style.color()) } else { stroke(style) };
            self.element(&format!("<path d=\"{data}\" {paint}/>"));
        }
    }
}

/// Width of a text of DejaVu Sans in pixels, for a font size in pixels; approximate for characters outside ASCII.
pub fn text_width(text: &str, size: f64) -> f64 {
    let width = |c: char| match c {
        ' '..='~' => WIDTHS[c as usize - ' ' as usize],
        '\u{a0}'..='\u{52f}' => LETTER,
        '\u{2010}'..='\u{2019}' => LETTER,
        _ => WIDE,
    };
    text.chars().map(|c| f64::from(width(c)) / 1000.0 * size).sum()
}

/// Escapes a text for an element or an attribute of SVG and HTML. Characters that XML does not allow, and invisible
/// ones, which could turn the direction of writing, become U+FFFD.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if !is_visible(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Converts units to pixels with at most one decimal.
fn pixels(units: f64) -> String {
    let tenths = units.round() as i64;
    if tenths % 10 == 0 { (tenths / 10).to_string() } else { format!("{:.1}", tenths as f64 / UNIT) }
}

fn point((x, y): BackendCoord) -> String {
    format!("{} {}", pixels(f64::from(x)), pixels(f64::from(y)))
}

fn path(points: impl IntoIterator<Item = BackendCoord>) -> String {
    let mut data = String::new();
    for at in points {
        data.push(if data.is_empty() { 'M' } else { 'L' });
        data.push_str(&point(at));
    }
    data
}

fn colour(color: BackendColor) -> String {
    super::palette::hex(color.rgb.into())
}

fn opacity(name: &str, color: BackendColor) -> String {
    if color.alpha < 1.0 { format!(" {name}=\"{:.2}\"", color.alpha) } else { String::new() }
}

fn fill(color: BackendColor) -> String {
    format!("fill=\"{}\"{}", colour(color), opacity("fill-opacity", color))
}

fn stroke<S: BackendStyle>(style: &S) -> String {
    let color = style.color();
    format!(
        "fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\"{}",
        colour(color),
        pixels(f64::from(style.stroke_width())),
        opacity("stroke-opacity", color)
    )
}

impl DrawingBackend for Canvas<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        self.end_dots();
        Ok(())
    }

    fn draw_pixel(&mut self, at: BackendCoord, color: BackendColor) -> Drawn {
        self.draw_circle(at, (UNIT / 2.0) as u32, &color, true)
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        style: &S,
        filled: bool,
    ) -> Drawn {
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
        self.shape(&(path(corners) + "Z"), style, filled);
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        points: I,
        style: &S,
    ) -> Drawn {
        self.shape(&path(points), style, false);
        Ok(())
    }

    /// Draws a circle; a filled circle is a line of zero length with round ends.
    fn draw_circle<S: BackendStyle>(
        &mut self,
        center: BackendCoord,
        radius: u32,
        style: &S,
        filled: bool,
    ) -> Drawn {
        if !filled {
            let (x, y) = center;
            let (r, across) = (pixels(f64::from(radius)), pixels(f64::from(2 * radius)));
            let left = point((x - radius as i32, y));
            self.shape(&format!("M{left}a{r} {r} 0 1 0 {across} 0a{r} {r} 0 1 0 -{across} 0"), style, false);
            return Ok(());
        }
        let color = style.color();
        if color.alpha == 0.0 {
            return Ok(());
        }
        let paint = format!(
            "fill=\"none\" stroke-linecap=\"round\" stroke=\"{}\" stroke-width=\"{}\"{}",
            colour(color),
            pixels(f64::from(2 * radius)),
            opacity("stroke-opacity", color)
        );
        if self.dots.as_ref() != Some(&paint) {
            self.end_dots();
            let _ = write!(self.svg, "<path {paint} d=\"");
            self.dots = Some(paint);
        }
        let _ = write!(self.svg, "M{}h0", point(center));
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        points: I,
        style: &S,
    ) -> Drawn {
        self.shape(&(path(points) + "Z"), style, true);
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: BackendCoord) -> Drawn {
        if style.color().alpha == 0.0 || text.is_empty() {
            return Ok(());
        }
        let anchor = match style.anchor().h_pos {
            HPos::Left => "",
            HPos::Center => " text-anchor=\"middle\"",
            HPos::Right => " text-anchor=\"end\"",
        };
        // Distance from a line's top, middle or bottom to its base line.
        let down = style.size()
            * match style.anchor().v_pos {
                VPos::Top => 0.76,
                VPos::Center => 0.36,
                VPos::Bottom => -0.12,
            };
        let (x, y) = (f64::from(at.0), f64::from(at.1));
        let turned = match style.transform() {
            FontTransform::None => None,
            FontTransform::Rotate90 => Some(90),
            FontTransform::Rotate180 => Some(180),
            FontTransform::Rotate270 => Some(270),
        };
        let place = match turned {
            None => format!("x=\"{}\" y=\"{}\"", pixels(x), pixels(y + down)),
            Some(angle) => {
                let (x, y) = (pixels(x), pixels(y));
                format!("transform=\"translate({x} {y}) rotate({angle})\" y=\"{}\"", pixels(down))
            }
        };
        let size = pixels(style.size());
        let element = format!(
            "<text {place}{anchor} font-size=\"{size}\" {}>{}</text>",
            fill(style.color()),
            escape(text)
        );
        self.element(&element);
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        Ok((text_width(text, style.size()).round() as u32, style.size().round() as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plotters::style::{BLACK, Color};

    #[test]
    fn dots_of_one_style_share_a_path() {
        let mut svg = String::new();
        let mut canvas = Canvas::new(&mut svg, 10.0, 10.0);
        for x in [10, 25, 1003] {
            canvas.draw_circle((x, 5), 15, &BLACK, true).unwrap();
        }
        canvas.draw_circle((0, 0), 15, &BLACK.mix(0.5), true).unwrap();
        canvas.draw_line((0, 0), (10, 10), &BLACK).unwrap();
        canvas.draw_circle((0, 0), 15, &BLACK, true).unwrap();
        canvas.present().unwrap();
        assert_eq!(svg.matches("<path").count(), 4);
        assert_eq!(svg.matches("/>").count(), 4);
        assert!(svg.contains("M1 0.5h0M2.5 0.5h0M100.3 0.5h0\"/>"), "{svg}");
    }

    #[test]
    fn characters_that_xml_does_not_allow_are_replaced() {
        assert_eq!(escape("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
        assert_eq!(escape("\u{fffe}\u{202e}e\u{301}"), "\u{fffd}\u{fffd}e\u{301}");
        assert_eq!(escape("a\u{0}\n\u{1b}[31m\u{ffff}b"), "a\u{fffd}\u{fffd}\u{fffd}[31m\u{fffd}b");
    }
}
