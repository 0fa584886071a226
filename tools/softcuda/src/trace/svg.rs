//! An SVG drawing with its own background, in the colours of the reader's system, light or dark.

use std::fmt::Write;

pub const MARGIN: f64 = 20.0;

/// Colours by name, light and dark. No two that stand side by side differ in red and green alone.
const COLOURS: [(&str, &str, &str); 9] = [
    ("paper", "#ffffff", "#161b22"),
    ("ink", "#1f2328", "#e6edf3"),
    ("soft", "#59636e", "#9198a1"),
    ("ready", "#e4e8ec", "#30363d"),
    ("warp", "#ffb86b", "#a5630f"),
    ("block", "#8ec2ff", "#1f5fae"),
    ("empty", "#eef1f4", "#262c36"),
    ("part", "#a6dbb1", "#1f5f31"),
    ("full", "#1f8a3b", "#46c063"),
];

/// A drawing of a fixed width, to which rows are added at the bottom.
pub struct Drawing {
    width: f64,
    body: String,
}

impl Drawing {
    pub fn new(width: f64) -> Drawing {
        Drawing { width, body: String::new() }
    }

    pub fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let text = escaped(text);
        self.push(format_args!(r#"<text x="{}" y="{}" class="{class}">{text}</text>"#, number(x), number(y)));
    }

    /// A name, and softer text behind it.
    pub fn named(&mut self, x: f64, y: f64, name: &str, text: &str) {
        let (name, text) = (escaped(name), escaped(text));
        self.push(format_args!(
            r#"<text x="{}" y="{}"><tspan class="head">{name}</tspan><tspan class="soft" dx="8">{text}</tspan></text>"#,
            number(x),
            number(y)
        ));
    }

    pub fn cell(&mut self, x: f64, y: f64, size: [f64; 2], class: &str) {
        let [x, y, width, height] = [x, y, size[0], size[1]].map(number);
        self.push(format_args!(
            r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" class="{class}"/>"#
        ));
    }

    /// A line from top to bottom.
    pub fn upright(&mut self, x: f64, top: f64, bottom: f64) {
        let [x, top, bottom] = [x, top, bottom].map(number);
        self.push(format_args!(r#"<path d="M{x} {top}V{bottom}" class="line"/>"#));
    }

    /// Rectangles of one colour, each one high, given as column, row and width. They are many, so they become one path.
    /// A row `y` begins at `rows(y)`.
    pub fn bars(
        &mut self,
        bars: &[(u32, u32, u32)],
        x: f64,
        scale: [f64; 2],
        rows: impl Fn(u32) -> f64,
        class: &str,
    ) {
        if bars.is_empty() {
            return;
        }
        let mut path = String::new();
        for &(begin, row, width) in bars {
            let top = number(rows(row) / scale[1]);
            let _ = write!(path, "M{begin} {top}h{width}v1h-{width}z");
        }
        let [x, across, down] = [x, scale[0], scale[1]].map(|value| (value * 1e4).round() / 1e4);
        self.push(format_args!(
            r#"<path transform="translate({x} 0) scale({across} {down})" d="{path}" class="{class}"/>"#
        ));
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.body, "{element}");
    }

    /// The file. `title` describes the drawing to those who do not see it.
    pub fn finish(self, height: f64, title: &str) -> String {
        let variables =
            |which: fn(&(&str, &str, &str)) -> String| COLOURS.iter().map(which).collect::<String>();
        let light = variables(|(name, light, _)| format!("--{name}:{light};"));
        let dark = variables(|(name, _, dark)| format!("--{name}:{dark};"));
        let fills: String =
            COLOURS.iter().map(|(name, ..)| format!(".{name}{{fill:var(--{name})}}\n")).collect();
        let (width, height, title) = (self.width, height.ceil(), escaped(title));
        let body = self.body;
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">
<title>{title}</title>
<style>
:root{{{light}}}
@media (prefers-color-scheme: dark){{:root{{{dark}}}}}
{fills}text{{font:14px system-ui,sans-serif}}
text.soft,tspan.soft{{font-size:12px}}
.head{{font-weight:600;fill:var(--ink)}}
text.middle{{text-anchor:middle}}
.edge{{stroke:var(--soft);stroke-width:1}}
.line{{stroke:var(--ink);stroke-width:1;fill:none}}
</style>
<rect width="{width}" height="{height}" rx="6" class="paper"/>
{body}</svg>
"#
        )
    }
}

/// A coordinate with at most one digit behind the point.
fn number(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A place in the source without its folders.
pub fn short(place: &str) -> &str {
    place.rsplit('/').next().unwrap_or(place)
}

/// 2048 as `2,048`.
pub fn thousands(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", thousands(number / 1000), number % 1000),
    }
}
