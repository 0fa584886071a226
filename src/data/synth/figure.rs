//! The figure of a person as a list of parts: each an outline, its nearness and its colours.

use super::canvas::{Spot, ellipse, limb, polygon};
use super::colour::Rgb;
use super::person::Person;
use super::pose::{Joints, Point, View, Wrap};
use tiny_skia::Path;

/// The colour at an angle around a part and a length along it.
pub type Skin<'a> = Box<dyn Fn(f32, f32) -> Rgb + 'a>;

/// One part of a figure.
pub struct Part<'a> {
    /// Parts with a higher number cover the others.
    pub nearness: f32,
    /// Its outline on the canvas.
    pub outline: Option<Path>,
    /// The cylinder that stands for its surface.
    pub wrap: Wrap,
    /// The colours of its surface.
    pub skin: Skin<'a>,
}

/// The state of the drawing that body parts share.
pub struct Figure<'a> {
    pub person: &'a Person,
    pub joints: Joints,
    pub view: View,
    pub parts: Vec<Part<'a>>,
}

impl<'a> Figure<'a> {
    /// A tapering limb between two points; radii in body heights.
    pub fn limb(&mut self, nearness: f32, (a, b): (Point, Point), radii: (f32, f32), skin: Skin<'a>) {
        let view = self.view;
        let outline = limb(view.spot(a), view.spot(b), view.pixels(radii.0), view.pixels(radii.1));
        let wrap = view.wrap(a, b, view.pixels(radii.0.max(radii.1)));
        self.parts.push(Part { nearness, outline, wrap, skin });
    }

    /// An ellipsoid around a point; half-axes in body heights.
    pub fn blob(&mut self, nearness: f32, centre: Point, across: f32, down: f32, skin: Skin<'a>) {
        let view = self.view;
        let outline = ellipse(view.spot(centre), view.pixels(across), view.pixels(down));
        let top = [centre[0], centre[1] + down, centre[2]];
        let wrap = view.wrap(top, centre, view.pixels(across));
        self.parts.push(Part { nearness, outline, wrap, skin });
    }

    /// A body of revolution given by (height, sideways, deep) from the top down, squeezed by the yaw.
    pub fn trunk(&mut self, nearness: f32, rings: &[(f32, f32, f32)], skin: Skin<'a>) {
        let view = self.view;
        let edge = |ring: &(f32, f32, f32), side: f32| -> Spot {
            let (x, y) = view.spot([0.0, ring.0, 0.0]);
            (x + side * view.half_width(ring.1, ring.2), y)
        };
        let right = rings.iter().map(|ring| edge(ring, 1.0));
        let left = rings.iter().rev().map(|ring| edge(ring, -1.0));
        let outline = polygon(&right.chain(left).collect::<Vec<_>>());
        let widest = rings.iter().map(|ring| view.half_width(ring.1, ring.2)).fold(0.0, f32::max);
        let (top, bottom) = (rings[0].0, rings[rings.len() - 1].0);
        let wrap = view.wrap([0.0, top, 0.0], [0.0, bottom, 0.0], widest);
        self.parts.push(Part { nearness, outline, wrap, skin });
    }
}

/// A surface of one colour.
pub fn plain<'a>(colour: Rgb) -> Skin<'a> {
    Box::new(move |_, _| colour)
}
