//! Drawing of head, hair and hat.

use super::colour::scale;
use super::figure::{Figure, Skin, plain};
use super::person::{HairStyle, Hat};
use super::pose::Joints;

/// Half the width of a head, in body heights.
const HALF_WIDTH: f32 = 0.047;
/// Half the height of a head, in body heights.
const HALF_HEIGHT: f32 = 0.066;

/// Adds the person's head to the figure.
pub fn add(figure: &mut Figure<'_>) {
    let person = figure.person;
    let style = person.hair;
    let hair = person.hair_colour;
    let (skin, dark) = (person.skin, scale(person.skin, 0.45));
    let face: Skin = Box::new(move |u, v| {
        // v runs from 0 at the crown to 2 * HALF_HEIGHT at the chin; at the back the hair reaches further down.
        let hairline = match (style, u.abs() < 1.05) {
            (HairStyle::Bald, _) => -1.0,
            (_, true) => 0.035,
            (_, false) => 0.095,
        };
        let eyes = (0.062..0.074).contains(&v) && (0.18..0.62).contains(&u.abs());
        if v < hairline {
            hair
        } else if eyes {
            dark
        } else {
            skin
        }
    });
    let centre = [0.0, Joints::HEAD, 0.012];
    figure.blob(0.02, centre, HALF_WIDTH, HALF_HEIGHT, face);
    add_hair(figure);
    add_hat(figure);
}

fn add_hair(figure: &mut Figure<'_>) {
    let hair = figure.person.hair_colour;
    let facing = figure.view.facing();
    let head = Joints::HEAD;
    // Hair is behind the head if the person faces the camera, and in front of it otherwise.
    let behind = if facing > 0.35 { -0.02 } else { 0.03 };
    match figure.person.hair {
        HairStyle::Bald | HairStyle::Short => {}
        HairStyle::Bob => figure.blob(behind, [0.0, head - 0.005, -0.02], 0.063, 0.072, plain(hair)),
        HairStyle::Long => {
            let (from, to) = ([0.0, head + 0.01, -0.022], [0.0, head - 0.17, -0.055]);
            figure.limb(behind, (from, to), (0.058, 0.050), plain(hair));
        }
        HairStyle::Ponytail => {
            let (from, to) = ([0.0, head + 0.02, -0.055], [0.0, head - 0.14, -0.10]);
            figure.limb(behind, (from, to), (0.024, 0.013), plain(hair));
        }
        HairStyle::Bun => figure.blob(behind, [0.0, head + 0.065, -0.03], 0.030, 0.028, plain(hair)),
        HairStyle::Afro => {
            figure.blob(behind.min(0.019), [0.0, head + 0.025, -0.015], 0.078, 0.072, plain(hair))
        }
    }
    if figure.person.hair == HairStyle::Afro {
        figure.blob(0.021, [0.0, head + 0.06, 0.0], 0.064, 0.038, plain(hair));
    }
}

fn add_hat(figure: &mut Figure<'_>) {
    let Some((hat, colour)) = figure.person.hat else { return };
    let head = Joints::HEAD;
    match hat {
        Hat::Beanie => figure.blob(0.031, [0.0, head + 0.035, 0.0], 0.054, 0.046, plain(colour)),
        Hat::Cap => {
            figure.blob(0.031, [0.0, head + 0.042, 0.005], 0.052, 0.034, plain(colour));
            let near = if figure.view.facing() > -0.2 { 0.032 } else { 0.0 };
            let (from, to) = ([0.0, head + 0.026, 0.03], [0.0, head + 0.020, 0.095]);
            figure.limb(near, (from, to), (0.028, 0.012), plain(scale(colour, 0.8)));
        }
        Hat::Brim => {
            figure.blob(0.031, [0.0, head + 0.030, 0.0], 0.100, 0.016, plain(colour));
            figure.blob(0.032, [0.0, head + 0.055, 0.0], 0.050, 0.032, plain(scale(colour, 0.9)));
        }
    }
}
