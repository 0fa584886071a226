//! Drawing of bags and their straps.

use super::canvas::{limb, pouch};
use super::cloth::turn;
use super::colour::{Rgb, scale};
use super::figure::{Figure, Part, plain};
use super::person::{Bag, BagKind};
use super::pose::{Joints, Point};
use std::f32::consts::{FRAC_PI_2, PI};

/// The colour of a bag's strap at an angle around the trunk and a length below the shoulders; none beside the strap.
pub fn strap(bag: Option<Bag>) -> impl Fn(f32, f32) -> Option<Rgb> {
    move |u, v| {
        let bag = bag?;
        let covered = match bag.kind {
            BagKind::Backpack => v < 0.2 && (u.abs() - 0.68).abs() < 0.2,
            BagKind::Messenger => {
                // The strap runs from the opposite shoulder across front and back to the hip beside the bag.
                let towards_bag = if u.abs() < FRAC_PI_2 { u } else { turn(PI - u) } * bag.side;
                (v - 0.15 - 0.11 * towards_bag).abs() < 0.020
            }
            BagKind::Handbag | BagKind::Trolley => false,
        };
        covered.then(|| scale(bag.colour, 0.8))
    }
}

/// Adds the person's bag to the figure.
pub fn add(figure: &mut Figure<'_>) {
    let Some(bag) = figure.person.bag else { return };
    let (build, hip, view) = (figure.person.build, figure.person.hip, figure.view);
    let hand = figure.joints.wrists[usize::from(bag.side > 0.0)];
    match bag.kind {
        BagKind::Backpack => {
            let centre = [0.0, Joints::SHOULDER - 0.14, -0.115];
            let (wide, deep, tall) = (0.085 * bag.size, 0.055 * bag.size, 0.125 * bag.size);
            add_box(figure, centre, (wide, deep, tall), bag.colour);
            // The pocket distinguishes a backpack from a square print on the back.
            let pocket = [0.0, Joints::SHOULDER - 0.19, -0.165];
            if view.facing() < 0.3 {
                let half = (wide * 0.7, deep * 0.4, tall * 0.35);
                let near = view.nearness(pocket) + 1e-3;
                add_box_at(figure, near, pocket, half, scale(bag.colour, 0.75));
            }
        }
        BagKind::Messenger => {
            let centre = [bag.side * 0.145 * build.sqrt(), hip + 0.02, -0.02];
            add_box(figure, centre, (0.030, 0.090 * bag.size, 0.062 * bag.size), bag.colour);
        }
        BagKind::Handbag => {
            let centre = [hand[0] + bag.side * 0.01, hand[1] - 0.10 * bag.size, hand[2]];
            figure.limb(view.nearness(centre), (hand, centre), (0.010, 0.030), plain(scale(bag.colour, 0.6)));
            add_box(figure, centre, (0.040, 0.085 * bag.size, 0.065 * bag.size), bag.colour);
        }
        BagKind::Trolley => {
            let centre = [bag.side * 0.17, 0.14, -0.16];
            let near = view.nearness(centre);
            let outline = limb(view.spot(hand), view.spot(centre), view.pixels(0.008), view.pixels(0.008));
            let wrap = view.wrap(hand, centre, view.pixels(0.008));
            figure.parts.push(Part { nearness: near, outline, wrap, skin: plain([0.25; 3]) });
            add_box(figure, centre, (0.085 * bag.size, 0.055, 0.125 * bag.size), bag.colour);
        }
    }
}

/// Adds a box with these half-sizes (wide, deep, tall) at the nearness of its centre.
fn add_box(figure: &mut Figure<'_>, centre: Point, half: (f32, f32, f32), colour: Rgb) {
    let near = figure.view.nearness(centre);
    add_box_at(figure, near, centre, half, colour);
}

fn add_box_at(figure: &mut Figure<'_>, nearness: f32, centre: Point, half: (f32, f32, f32), colour: Rgb) {
    let view = figure.view;
    let width = view.half_width(half.0, half.1);
    let outline = pouch(view.spot(centre), width, view.pixels(half.2));
    let top = [centre[0], centre[1] + half.2, centre[2]];
    let wrap = view.wrap(top, centre, width);
    // The upper part is a darker flap.
    let flap = half.2 * 0.7;
    let skin = Box::new(move |_: f32, v: f32| if v < flap { scale(colour, 0.88) } else { colour });
    figure.parts.push(Part { nearness, outline, wrap, skin });
}
