//! Drawing of a person: parts are listed with their nearness, then painted from the farthest to the nearest.

use super::canvas::Canvas;
use super::cloth::{Cloth, Pattern};
use super::colour::{Rgb, scale};
use super::figure::{Figure, Skin, plain};
use super::person::{Cut, Person, Sleeve};
use super::pose::{Joints, Place, Pose, View};
use super::{bag, head};

/// Draws a person on the canvas.
pub fn draw(canvas: &mut Canvas, person: &Person, pose: &Pose, mut place: Place) {
    place.unit *= person.height;
    let joints = Joints::new(person, pose);
    place.ground += joints.float() * place.unit;
    let view = View::new(place, pose.yaw);
    let mut figure = Figure { person, joints, view, parts: Vec::with_capacity(24) };
    figure.legs();
    figure.torso();
    figure.arms();
    head::add(&mut figure);
    bag::add(&mut figure);
    figure.parts.sort_by(|a, b| a.nearness.total_cmp(&b.nearness));
    for part in figure.parts {
        canvas.paint(part.outline, |x, y| part.wrap.shade(x, y, &part.skin));
    }
}

impl<'a> Figure<'a> {
    fn legs(&mut self) {
        let person = self.person;
        let build = person.build;
        let bare: Rgb = person.skin;
        for i in 0..2 {
            let (hip, knee, ankle) = (self.joints.hips[i], self.joints.knees[i], self.joints.ankles[i]);
            // The nearer leg covers the other; both stay behind skirt and torso.
            let near = -0.08 + 0.1 * self.view.nearness([hip[0], 0.0, knee[2] * 0.2]);
            let thigh = 0.055 * build.sqrt();
            let (upper, lower): (Skin, Skin) = match person.cut {
                Cut::Trousers => (wear(&person.legs, 0.0), wear(&person.legs, 0.23)),
                Cut::Shorts => (wear(&person.legs, 0.0), plain(bare)),
                Cut::Skirt { .. } => (plain(bare), plain(bare)),
            };
            let loose = if person.cut == Cut::Trousers { 1.0 } else { 0.8 };
            self.limb(near, (knee, ankle), (0.037 * loose, 0.026 * loose), lower);
            self.limb(near + 1e-3, (hip, knee), (thigh, 0.040), upper);
            let toe = [ankle[0], ankle[1] - 0.018, ankle[2] + 0.075];
            let heel = [ankle[0], ankle[1] - 0.015, ankle[2] - 0.012];
            self.limb(near + 2e-3, (heel, toe), (0.022, 0.017), plain(person.shoes));
            if person.boots {
                let top = [0, 1, 2].map(|c| ankle[c] + 0.55 * (knee[c] - ankle[c]));
                self.limb(near + 2e-3, (top, ankle), (0.036, 0.028), plain(person.shoes));
            }
        }
        // The seat closes the gap between the thighs.
        let seat =
            if matches!(person.cut, Cut::Skirt { .. }) { plain(bare) } else { wear(&person.legs, -0.08) };
        let (sideways, deep) = (0.098 * build, 0.075 * build);
        let hip = person.hip;
        let rings = [
            (hip + 0.10, sideways * 0.85, deep * 0.9),
            (hip, sideways, deep),
            (hip - 0.05, sideways * 0.9, deep),
        ];
        self.trunk(-0.06, &rings, seat);
        if let Cut::Skirt { hem } = person.cut {
            let flare = 0.10 * build + (hip - hem) * 0.16;
            let rings = [
                (hip + 0.12, 0.085 * build, 0.07 * build),
                (hip, sideways, deep),
                (hem, flare, flare * 0.85),
            ];
            self.trunk(-0.04, &rings, wear(&person.legs, 0.12));
        }
    }

    fn torso(&mut self) {
        let person = self.person;
        let (build, hip, top) = (person.build, person.hip, &person.top);
        let shoulder = Joints::SHOULDER;
        let neck = [0.0, shoulder + 0.045, 0.0];
        self.limb(-0.01, (neck, [0.0, shoulder - 0.01, 0.0]), (0.03, 0.034), plain(person.skin));
        let mut rings = vec![
            (shoulder + 0.025, 0.040, 0.040),
            (shoulder + 0.005, 0.095 * build, 0.050 * build),
            (shoulder - 0.025, 0.122 * build, 0.066 * build),
            (shoulder - 0.12, 0.112 * build, 0.078 * build),
            (hip + 0.11, 0.092 * build, 0.074 * build),
            (hip + 0.01, 0.102 * build, 0.080 * build),
        ];
        if let Some(hem) = top.hem {
            rings.push((hem, 0.10 * build + (hip - hem) * 0.14, 0.085 * build + (hip - hem) * 0.12));
        }
        let straps = bag::strap(person.bag);
        let skin: Skin = Box::new(move |u, v| {
            if let Some(colour) = straps(u, v) {
                return colour;
            }
            match top.open {
                // An open coat shows a wedge of the clothes under it, and none below the hip.
                Some(shirt) if u.abs() < 0.34 && v < shoulder - hip + 0.03 => shirt,
                _ => top.cloth.at(u, v),
            }
        });
        self.trunk(0.0, &rings, skin);
        if top.hood {
            self.blob(
                0.04 * -self.view.facing(),
                [0.0, shoulder + 0.03, -0.04],
                0.065,
                0.04,
                plain(scale(top.cloth.first, 0.85)),
            );
        }
        if let Some(scarf) = person.scarf {
            self.blob(0.015, [0.0, shoulder + 0.035, 0.01], 0.058, 0.028, plain(scarf));
            let end = [0.035, shoulder - 0.11, 0.075];
            let near = 0.016 * self.view.facing().signum();
            self.limb(near, ([0.025, shoulder + 0.02, 0.06], end), (0.018, 0.018), plain(scarf));
        }
    }

    fn arms(&mut self) {
        let person = self.person;
        let top = &person.top;
        for i in 0..2 {
            let (shoulder, elbow, wrist) =
                (self.joints.shoulders[i], self.joints.elbows[i], self.joints.wrists[i]);
            let near = 0.012 + self.view.nearness(shoulder);
            let bulk = person.build.sqrt() * if top.sleeve == Sleeve::Long { 1.1 } else { 0.95 };
            let sleeve = |from: f32| -> Skin<'a> {
                match top.sleeve_colour {
                    Some(colour) => plain(colour),
                    None if goes_on_sleeves(&top.cloth) => wear(&top.cloth, from),
                    None => plain(top.cloth.first),
                }
            };
            let (upper, lower) = match top.sleeve {
                Sleeve::None => (plain(person.skin), plain(person.skin)),
                Sleeve::Short => (sleeve(0.02), plain(person.skin)),
                Sleeve::Long => (sleeve(0.02), sleeve(0.18)),
            };
            self.blob(near, wrist, 0.024, 0.028, plain(person.skin));
            self.limb(near + 1e-3, (elbow, wrist), (0.029 * bulk, 0.023 * bulk), lower);
            self.limb(near + 2e-3, (shoulder, elbow), (0.038 * bulk, 0.031 * bulk), upper);
        }
    }
}

/// Patterns that continue around an arm; a print or a sash stays on the trunk.
fn goes_on_sleeves(cloth: &Cloth) -> bool {
    matches!(
        cloth.pattern,
        Pattern::Hoops { .. } | Pattern::Stripes { .. } | Pattern::Checks { .. } | Pattern::Dots { .. }
    )
}

/// Cloth whose pattern begins `from` body heights above the part's upper end.
fn wear(cloth: &Cloth, from: f32) -> Skin<'_> {
    Box::new(move |u, v| cloth.at(u, v + from))
}
