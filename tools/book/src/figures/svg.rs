//! An SVG drawing with its own background, in the colours of the reader's system, light or dark. So it can be read on
//! pages of both kinds.

use std::fmt::Write;

/// Colours by name, light and dark.
const COLOURS: [(&str, &str, &str); 8] = [
    ("paper", "#ffffff", "#161b22"),
    ("ink", "#1f2328", "#e6edf3"),
    ("soft", "#59636e", "#9198a1"),
    ("box", "#f0f3f6", "#262c36"),
    ("blue", "#b6d7ff", "#1f4b85"),
    ("orange", "#ffd8a8", "#7a4a0c"),
    ("green", "#b7e4c0", "#1d5c2f"),
    ("red", "#ffc1bd", "#8a2a24"),
];

/// A drawing. Coordinates are pixels, from the upper left corner.
pub struct Drawing {
    width: f64,
    height: f64,
    title: String,
    body: String,
}

/// The place of a text relative to its coordinates.
#[derive(Clone, Copy)]
pub enum Align {
    /// The text begins there.
    Start,
    /// The text is centred there.
    Middle,
    /// The text ends there.
    End,
}

impl Drawing {
    /// An empty drawing. `title` describes it to those who do not see it.
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        Drawing { width, height, title: title.into(), body: String::new() }
    }

    /// A rectangle filled with a colour, with a thin border.
    pub fn rectangle(&mut self, x: f64, y: f64, width: f64, height: f64, colour: &str) {
        self.push(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="3" class="{colour} border"/>"#
        ));
    }

    /// A filled square without a border.
    pub fn cell(&mut self, x: f64, y: f64, size: [f64; 2], colour: &str) {
        let [width, height] = size;
        self.push(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" class="{colour}"/>"#
        ));
    }

    /// A text whose baseline is at y.
    pub fn text(&mut self, x: f64, y: f64, align: Align, text: &str) {
        self.styled(x, y, align, "ink", text);
    }

    /// A text in small, softer letters.
    pub fn note(&mut self, x: f64, y: f64, align: Align, text: &str) {
        self.styled(x, y, align, "soft small", text);
    }

    /// A text in small letters that are as dark as others, to be read on a colour.
    pub fn small(&mut self, x: f64, y: f64, align: Align, text: &str) {
        self.styled(x, y, align, "ink small", text);
    }

    /// A text in the letters of code.
    pub fn code(&mut self, x: f64, y: f64, align: Align, text: &str) {
        self.styled(x, y, align, "ink code", text);
    }

    fn styled(&mut self, x: f64, y: f64, align: Align, class: &str, text: &str) {
        let anchor = match align {
            Align::Start => "start",
            Align::Middle => "middle",
            Align::End => "end",
        };
        let text = escaped(text);
        self.push(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" class="{class}">{text}</text>"#
        ));
    }

    /// A straight line.
    pub fn line(&mut self, from: [f64; 2], to: [f64; 2]) {
        self.segment(from, to, "line");
    }

    /// A straight line with an arrow head at its end.
    pub fn arrow(&mut self, from: [f64; 2], to: [f64; 2]) {
        self.segment(from, to, "line arrow");
    }

    fn segment(&mut self, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], class: &str) {
        self.push(format_args!(
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" class="{class}"/>"#
        ));
    }

    /// A line through points, and a dot at each.
    pub fn curve(&mut self, points: &[[f64; 2]]) {
        let list: Vec<String> = points.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
        self.push(format_args!(r#"<polyline points="{}" class="line"/>"#, list.join(" ")));
        for [x, y] in points {
            self.push(format_args!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="3.5" class="dot"/>"#));
        }
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.body, "{element}").expect("a string takes everything");
    }

    /// The file.
    pub fn finish(self) -> String {
        let Drawing { width, height, title, body } = self;
        let variables =
            |which: fn(&(&str, &str, &str)) -> String| COLOURS.iter().map(which).collect::<String>();
        let light = variables(|(name, light, _)| format!("--{name}:{light};"));
        let dark = variables(|(name, _, dark)| format!("--{name}:{dark};"));
        let fills: String =
            COLOURS.iter().map(|(name, ..)| format!(".{name}{{fill:var(--{name})}}\n")).collect();
        let title = escaped(&title);
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">
<title>{title}</title>
<style>
:root{{{light}}}
@media (prefers-color-scheme: dark){{:root{{{dark}}}}}
{fills}text{{font:14px system-ui,sans-serif}}
text.small{{font-size:12px}}
text.code{{font:13px ui-monospace,monospace}}
.border{{stroke:var(--soft);stroke-width:1}}
.line{{stroke:var(--soft);stroke-width:1.5;fill:none}}
.arrow{{marker-end:url(#head)}}
.dot{{fill:var(--ink)}}
</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" class="soft"/></marker></defs>
<rect width="{width}" height="{height}" rx="6" class="paper"/>
{body}</svg>
"#
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_both_schemes_have_every_colour() {
        let mut drawing = Drawing::new(10.0, 20.0, "a < b");
        drawing.code(1.0, 2.0, Align::End, "x & y");
        let svg = drawing.finish();
        assert!(svg.contains("<title>a &lt; b</title>") && svg.contains(">x &amp; y</text>"), "{svg}");
        let (light, dark) = svg.split_once("@media (prefers-color-scheme: dark)").unwrap();
        for (name, of_light, of_dark) in COLOURS {
            assert!(
                light.contains(&format!("--{name}:{of_light};"))
                    && dark.contains(&format!("--{name}:{of_dark};"))
            );
        }
    }
}
