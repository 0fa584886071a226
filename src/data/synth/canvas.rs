//! The drawing surface: float RGB pixels, filled through anti-aliased outlines.
//!
//! tiny-skia computes the coverage of each outline; the colour of a covered pixel is a function of its position, so
//! that the pattern of a cloth follows the body under it.

use super::colour::{Rgb, mix};
use tiny_skia::{FillRule, Mask, Path, PathBuilder, Transform};

/// A point on the canvas: pixels from the left and from the top.
pub type Spot = (f32, f32);

/// A drawing surface.
pub struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<Rgb>,
    coverage: Mask,
}

impl Canvas {
    /// A black canvas, at least one pixel wide and high.
    pub fn new(width: usize, height: usize) -> Self {
        let coverage = Mask::new(width as u32, height as u32).expect("a canvas has pixels");
        Canvas { width, height, pixels: vec![[0.0; 3]; width * height], coverage }
    }

    /// The width in pixels.
    pub fn width(&self) -> f32 {
        self.width as f32
    }

    /// The height in pixels.
    pub fn height(&self) -> f32 {
        self.height as f32
    }

    /// Fills an outline; `colour` is called with the centre of every covered pixel. A missing outline or one without
    /// area leaves the canvas unchanged.
    pub fn paint(&mut self, outline: Option<Path>, colour: impl Fn(f32, f32) -> Rgb) {
        let Some(outline) = outline else { return };
        let bounds = outline.bounds();
        let columns = clip(bounds.left(), bounds.right(), self.width);
        let rows = clip(bounds.top(), bounds.bottom(), self.height);
        if columns.is_empty() || rows.is_empty() {
            return;
        }
        self.coverage.clear();
        self.coverage.fill_path(&outline, FillRule::Winding, true, Transform::identity());
        for y in rows {
            for x in columns.clone() {
                let at = y * self.width + x;
                let cover = self.coverage.data()[at];
                if cover > 0 {
                    let new = colour(x as f32 + 0.5, y as f32 + 0.5);
                    self.pixels[at] = mix(self.pixels[at], new, f32::from(cover) / 255.0);
                }
            }
        }
    }

    /// Fills the rectangle between two corners.
    pub fn rectangle(&mut self, from: Spot, to: Spot, colour: Rgb) {
        self.paint(polygon(&[from, (to.0, from.1), to, (from.0, to.1)]), |_, _| colour);
    }

    /// The downsampled pixels, row by row, each the mean of a `by` x `by` square of the canvas.
    pub fn shrink(&self, by: usize) -> Vec<Rgb> {
        let (width, height) = (self.width / by, self.height / by);
        let share = 1.0 / (by * by) as f32;
        let mut small = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let mut sum = [0.0; 3];
                for row in 0..by {
                    let from = (y * by + row) * self.width + x * by;
                    for pixel in &self.pixels[from..from + by] {
                        sum = [0, 1, 2].map(|c| sum[c] + pixel[c]);
                    }
                }
                small.push(sum.map(|c| c * share));
            }
        }
        small
    }
}

fn clip(low: f32, high: f32, end: usize) -> std::ops::Range<usize> {
    // A cast from float saturates, so that positions left of the canvas become 0.
    (low.floor() as usize).min(end)..(high.ceil() as usize).min(end)
}

/// A polygon with these corners.
pub fn polygon(corners: &[Spot]) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (i, &(x, y)) in corners.iter().enumerate() {
        if i == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
    }
    path.close();
    path.finish()
}

/// An ellipse with these half-axes.
pub fn ellipse(centre: Spot, across: f32, down: f32) -> Option<Path> {
    let corner = |i: usize| {
        let (sin, cos) = (i as f32 * (std::f32::consts::TAU / 24.0)).sin_cos();
        (centre.0 + across * cos, centre.1 + down * sin)
    };
    polygon(&std::array::from_fn::<Spot, 24, _>(corner))
}

/// A limb: the convex hull of two discs, with radius `at_a` at `a` and `at_b` at `b`.
pub fn limb(a: Spot, b: Spot, at_a: f32, at_b: f32) -> Option<Path> {
    let corner = |i: usize| {
        let (sin, cos) = (i as f32 * (std::f32::consts::TAU / 24.0)).sin_cos();
        let reach = |c: Spot, r: f32| c.0 * cos + c.1 * sin + r;
        let (centre, radius) = if reach(a, at_a) >= reach(b, at_b) { (a, at_a) } else { (b, at_b) };
        (centre.0 + radius * cos, centre.1 + radius * sin)
    };
    polygon(&std::array::from_fn::<Spot, 24, _>(corner))
}

/// An upright box with rounded corners.
pub fn pouch(centre: Spot, half_width: f32, half_height: f32) -> Option<Path> {
    let corner = |i: usize| {
        let (sin, cos) = (i as f32 * (std::f32::consts::TAU / 32.0)).sin_cos();
        // A superellipse of degree 5.
        let bulge = |t: f32| t.signum() * t.abs().powf(0.4);
        (centre.0 + half_width * bulge(cos), centre.1 + half_height * bulge(sin))
    };
    polygon(&std::array::from_fn::<Spot, 32, _>(corner))
}
