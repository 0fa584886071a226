//! Objects that occlude persons, and objects of the distractors.

use super::canvas::{Canvas, ellipse, limb, pouch};
use super::colour::{CLOTHES, Rgb, dye, scale};
use super::draws::Draws;
use super::scene::crown;

/// An object other than a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    Pole,
    Bin,
    Bush,
    Bicycle,
    Sign,
    Hydrant,
}

impl Thing {
    /// Objects of the distractors.
    pub const DISTRACTORS: [Thing; 6] =
        [Thing::Pole, Thing::Bin, Thing::Bush, Thing::Bicycle, Thing::Sign, Thing::Hydrant];
    /// Objects that hide the lower part or one side of a person.
    pub const OCCLUDERS: [Thing; 4] = [Thing::Pole, Thing::Bin, Thing::Bush, Thing::Bicycle];

    /// Draws the object on the ground at (x, ground), `tall` pixels high.
    pub fn draw(self, canvas: &mut Canvas, (x, ground): (f32, f32), tall: f32, draws: &mut Draws) {
        let paint = draws.pick(&CLOTHES);
        let paint = dye(paint, draws);
        let metal: Rgb = [0.4, 0.41, 0.42];
        match self {
            Thing::Pole => {
                let half = tall * draws.between(0.02, 0.05);
                canvas.paint(limb((x, ground - 2.0 * tall), (x, ground), half, half), |at, _| {
                    scale(metal, 1.0 - 0.4 * ((at - x) / half).abs())
                });
            }
            Thing::Bin => {
                let half = (tall * 0.19, tall * 0.2);
                canvas.paint(pouch((x, ground - half.1), half.0, half.1), |at, _| {
                    scale(paint, 1.0 - 0.35 * ((at - x) / half.0).abs())
                });
                canvas.paint(ellipse((x, ground - 2.0 * half.1), half.0, tall * 0.04), |_, _| {
                    scale(paint, 0.6)
                });
            }
            Thing::Bush => {
                for _ in 0..5 {
                    let at = (x + draws.about(0.0, 0.2) * tall, ground - draws.between(0.0, 0.2) * tall);
                    crown(canvas, at, tall * draws.between(0.08, 0.16), [0.22, 0.36, 0.17]);
                }
            }
            Thing::Bicycle => {
                let (r, line) = (tall * 0.17, tall * 0.012);
                let hubs = [(x - 0.26 * tall, ground - r), (x + 0.26 * tall, ground - r)];
                for hub in hubs {
                    for i in 0..20 {
                        let at = |i: usize| {
                            let (sin, cos) = (i as f32 * std::f32::consts::TAU / 20.0).sin_cos();
                            (hub.0 + r * cos, hub.1 + r * sin)
                        };
                        canvas.paint(limb(at(i), at(i + 1), line, line), |_, _| [0.1; 3]);
                    }
                }
                let (saddle, bar) =
                    ((x - 0.1 * tall, ground - 0.45 * tall), (x + 0.2 * tall, ground - 0.48 * tall));
                let pedal = (x, ground - r);
                for (a, b) in
                    [(hubs[0], saddle), (saddle, bar), (bar, hubs[1]), (saddle, pedal), (pedal, bar)]
                {
                    canvas.paint(limb(a, b, line * 1.3, line * 1.3), |_, _| paint);
                }
            }
            Thing::Sign => {
                let half = tall * 0.015;
                canvas.paint(limb((x, ground - 0.9 * tall), (x, ground), half, half), |_, _| metal);
                let centre = (x, ground - 0.82 * tall);
                canvas.paint(ellipse(centre, tall * 0.13, tall * 0.13), |_, _| paint);
                canvas.paint(ellipse(centre, tall * 0.09, tall * 0.09), |_, _| [0.85; 3]);
            }
            Thing::Hydrant => {
                canvas
                    .paint(limb((x, ground - 0.4 * tall), (x, ground), tall * 0.08, tall * 0.09), |_, _| {
                        paint
                    });
                let (left, right) =
                    ((x - 0.11 * tall, ground - 0.3 * tall), (x + 0.11 * tall, ground - 0.3 * tall));
                canvas.paint(limb(left, right, tall * 0.04, tall * 0.04), |_, _| scale(paint, 0.8));
            }
        }
    }
}
