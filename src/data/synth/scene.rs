//! Background scenes, drawn at another position in every picture.

use super::canvas::{Canvas, ellipse};
use super::colour::{CLOTHES, Rgb, dye, mix, scale};
use super::draws::Draws;

/// A background scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// Asphalt and a house front with windows.
    Street,
    /// Grass, a path and trees.
    Park,
    /// Paving and a brick wall.
    Plaza,
    /// Tiles and a dark floor, indoors.
    Station,
    /// A zebra crossing.
    Crossing,
    /// A shop window under an awning.
    Shop,
}

impl Scene {
    /// All scenes.
    pub const ALL: [Scene; 6] =
        [Scene::Street, Scene::Park, Scene::Plaza, Scene::Station, Scene::Crossing, Scene::Shop];
}

/// Fills the canvas with a scene.
pub fn draw(canvas: &mut Canvas, scene: Scene, draws: &mut Draws) {
    let (w, h) = (canvas.width(), canvas.height());
    let horizon = h * draws.between(0.32, 0.62);
    let shift = draws.between(0.0, w);
    let cell = h * draws.between(0.06, 0.11);
    // The colours of wall and floor vary from picture to picture.
    let tint = [0, 1, 2].map(|_| draws.about(1.0, 0.08));
    let (wall, floor) = (draws.between(0.7, 1.25), draws.between(0.8, 1.2));
    let surface = |canvas: &mut Canvas, from: f32, to: f32, colour: Rgb| {
        let by = if from == 0.0 { wall } else { floor };
        surface(canvas, from, to, [0, 1, 2].map(|c| colour[c] * tint[c] * by));
    };
    match scene {
        Scene::Street => {
            surface(canvas, 0.0, horizon, [0.62, 0.58, 0.52]);
            surface(canvas, horizon, h, [0.42, 0.42, 0.43]);
            let (wide, tall) = (w * 0.34, h * 0.16);
            for row in 0..4 {
                for column in -1..4 {
                    let x = column as f32 * wide * 1.5 + shift * 0.7 - wide;
                    let y = row as f32 * tall * 1.5 + 0.03 * h;
                    if y + tall < horizon {
                        canvas.rectangle((x, y), (x + wide, y + tall), [0.25, 0.29, 0.34]);
                    }
                }
            }
            if draws.chance(0.45) {
                car(canvas, (draws.between(-0.3, 1.3) * w, horizon + 0.04 * h), h * 0.17, draws);
            }
        }
        Scene::Park => {
            surface(canvas, 0.0, horizon, [0.34, 0.44, 0.26]);
            surface(canvas, horizon, h, [0.42, 0.53, 0.28]);
            for _ in 0..draws.below(4) {
                let x = draws.between(0.0, w);
                canvas.rectangle((x, 0.0), (x + w * 0.09, horizon + 0.04 * h), [0.28, 0.21, 0.15]);
                crown(canvas, (x, h * 0.08), w * 0.35, [0.20, 0.33, 0.15]);
            }
            let y = draws.between(horizon, h);
            canvas.rectangle((0.0, y), (w, y + 0.16 * h), [0.66, 0.60, 0.50]);
        }
        Scene::Plaza => {
            surface(canvas, 0.0, horizon, [0.50, 0.29, 0.22]);
            surface(canvas, horizon, h, [0.66, 0.64, 0.60]);
            let joint = [0.62, 0.56, 0.52];
            let mut y = shift % cell;
            while y < horizon {
                canvas.rectangle((0.0, y), (w, y + 0.006 * h), joint);
                y += cell * 0.5;
            }
            let mut x = -(shift % (2.0 * cell));
            while x < w {
                canvas.rectangle((x, horizon), (x + 0.006 * h, h), [0.5, 0.49, 0.47]);
                x += 2.0 * cell;
            }
        }
        Scene::Station => {
            surface(canvas, 0.0, horizon, [0.76, 0.78, 0.78]);
            surface(canvas, horizon, h, [0.24, 0.24, 0.26]);
            let mut x = -(shift % cell);
            while x < w {
                canvas.rectangle((x, 0.0), (x + 0.005 * h, horizon), [0.6, 0.62, 0.62]);
                x += cell;
            }
            if draws.chance(0.6) {
                let (x, paint) = (draws.between(-0.3, 0.9) * w, draws.pick(&CLOTHES));
                let paint = dye(paint, draws);
                canvas.rectangle((x, 0.07 * h), (x + 0.5 * w, horizon * 0.75), paint);
                canvas.rectangle(
                    (x + 0.08 * w, 0.12 * h),
                    (x + 0.42 * w, horizon * 0.45),
                    mix(paint, [0.9; 3], 0.6),
                );
            }
        }
        Scene::Crossing => {
            surface(canvas, 0.0, horizon, [0.55, 0.60, 0.66]);
            surface(canvas, horizon, h, [0.28, 0.28, 0.29]);
            let mut y = horizon + shift % cell;
            while y < h {
                canvas.rectangle((0.0, y), (w, y + cell * 0.55), [0.78, 0.78, 0.76]);
                y += cell * 1.3;
            }
            if draws.chance(0.6) {
                car(canvas, (draws.between(-0.3, 1.3) * w, horizon), h * 0.2, draws);
            }
        }
        Scene::Shop => {
            surface(canvas, 0.0, horizon, [0.35, 0.38, 0.40]);
            surface(canvas, horizon, h, [0.55, 0.50, 0.46]);
            for _ in 0..draws.below(5) + 2 {
                let (x, y) = (draws.between(-0.1, 1.0) * w, draws.between(0.1, 0.9) * horizon);
                let goods = draws.pick(&CLOTHES);
                let goods = dye(goods, draws);
                let size = (draws.between(0.1, 0.3) * w, draws.between(0.05, 0.15) * h);
                canvas.rectangle((x, y), (x + size.0, (y + size.1).min(horizon)), goods);
            }
            canvas.rectangle((0.0, 0.0), (w, 0.09 * h), [0.60, 0.22, 0.18]);
        }
    }
}

/// Fills the rows between two heights, lighter towards the upper edge and with a fine grain.
fn surface(canvas: &mut Canvas, from: f32, to: f32, colour: Rgb) {
    let w = canvas.width();
    let corners = [(0.0, from), (w, from), (w, to), (0.0, to)];
    canvas.paint(super::canvas::polygon(&corners), |x, y| {
        let down = (y - from) / (to - from).max(1.0);
        scale(colour, 1.08 - 0.16 * down + 0.10 * (grain(x, y) - 0.5))
    });
}

/// A hash of a pixel's position in [0, 1): the texture of plaster, asphalt, grass.
pub fn grain(x: f32, y: f32) -> f32 {
    let word = ((x as u32) / 2).wrapping_mul(0x9E37_79B1) ^ ((y as u32) / 2).wrapping_mul(0x85EB_CA77);
    let word = (word ^ (word >> 15)).wrapping_mul(0x2C1B_3C6D);
    crate::tensor::philox::unit(word ^ (word >> 13))
}

fn car(canvas: &mut Canvas, at: (f32, f32), tall: f32, draws: &mut Draws) {
    let paint = draws.pick(&CLOTHES);
    let paint = dye(paint, draws);
    let long = tall * 2.3;
    canvas.paint(super::canvas::pouch((at.0, at.1 - tall * 0.62), long * 0.30, tall * 0.36), |_, _| {
        [0.2, 0.24, 0.28]
    });
    canvas.paint(super::canvas::pouch((at.0, at.1 - tall * 0.32), long * 0.5, tall * 0.25), |_, _| paint);
    for side in [-0.3, 0.3] {
        canvas.paint(ellipse((at.0 + side * long, at.1 - tall * 0.1), tall * 0.16, tall * 0.16), |_, _| {
            [0.06; 3]
        });
    }
}

/// Draws the crown of a tree or a bush.
pub fn crown(canvas: &mut Canvas, centre: (f32, f32), radius: f32, colour: Rgb) {
    canvas.paint(ellipse(centre, radius, radius), |x, y| scale(colour, 0.7 + 0.6 * grain(x, y)));
}
