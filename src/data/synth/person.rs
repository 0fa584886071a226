//! Persons: the appearance of an identity, which is the same for all cameras.
//!
//! The colours come from a small common palette; two persons differ in the combination of garments, patterns, bag,
//! hair, hat and build.

use super::cloth::Cloth;
use super::colour::{HAIR, Rgb, SKIN, clothes, contrasting, dye};
use super::draws::Draws;

/// The style of the hair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HairStyle {
    Bald,
    Short,
    Bob,
    Long,
    Ponytail,
    Bun,
    Afro,
}

/// The kind of a hat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hat {
    Cap,
    Beanie,
    Brim,
}

/// The length of a sleeve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleeve {
    None,
    Short,
    Long,
}

/// The upper garment.
#[derive(Clone, Copy, Debug)]
pub struct Top {
    pub cloth: Cloth,
    pub sleeve: Sleeve,
    /// Plain colour of the sleeves, if it differs from the cloth.
    pub sleeve_colour: Option<Rgb>,
    /// Height of the hem above the ground, in body heights, if the top covers the lower garment.
    pub hem: Option<f32>,
    /// Colour of the shirt under an open front.
    pub open: Option<Rgb>,
    pub hood: bool,
}

/// The lower garment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cut {
    Trousers,
    Shorts,
    /// A skirt, with the height of its hem above the ground.
    Skirt {
        hem: f32,
    },
}

/// A bag.
#[derive(Clone, Copy, Debug)]
pub struct Bag {
    pub kind: BagKind,
    pub colour: Rgb,
    /// Side of the body: +1 is the person's left, -1 the right.
    pub side: f32,
    /// Size relative to the average.
    pub size: f32,
}

/// The kind of a bag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BagKind {
    Backpack,
    Messenger,
    Handbag,
    Trolley,
}

/// The appearance of a person.
#[derive(Clone, Debug)]
pub struct Person {
    /// Height relative to the average; the crop of a bounding box hides most of the difference.
    pub height: f32,
    /// Breadth relative to the average.
    pub build: f32,
    /// Height of the hip above the ground, in body heights.
    pub hip: f32,
    pub skin: Rgb,
    pub hair: HairStyle,
    pub hair_colour: Rgb,
    pub hat: Option<(Hat, Rgb)>,
    pub scarf: Option<Rgb>,
    pub top: Top,
    pub cut: Cut,
    pub legs: Cloth,
    pub shoes: Rgb,
    pub boots: bool,
    pub bag: Option<Bag>,
}

impl Person {
    /// Draws a random person.
    pub fn new(draws: &mut Draws) -> Self {
        let skin = draws.weighted(&[(SKIN[0], 4), (SKIN[1], 4), (SKIN[2], 2), (SKIN[3], 1)]);
        let hair_colour =
            draws.weighted(&[(HAIR[0], 5), (HAIR[1], 4), (HAIR[2], 2), (HAIR[3], 1), (HAIR[4], 1)]);
        let hair = draws.weighted(&[
            (HairStyle::Bald, 1),
            (HairStyle::Short, 5),
            (HairStyle::Bob, 2),
            (HairStyle::Long, 3),
            (HairStyle::Ponytail, 2),
            (HairStyle::Bun, 1),
            (HairStyle::Afro, 1),
        ]);
        let hat =
            draws.chance(0.22).then(|| (draws.pick(&[Hat::Cap, Hat::Beanie, Hat::Brim]), clothes(draws)));
        let mut legs = Cloth::lower(draws);
        let top = top(draws);
        let cut = match draws.below(10) {
            0..=5 => Cut::Trousers,
            6 | 7 => Cut::Shorts,
            _ => Cut::Skirt { hem: draws.pick(&[0.14, 0.26, 0.34]) },
        };
        // A dress is a skirt with the cloth of the top.
        if matches!(cut, Cut::Skirt { .. }) && draws.chance(0.4) {
            legs = top.cloth;
        }
        Person {
            height: draws.about(1.0, 0.06),
            build: draws.between(0.82, 1.28),
            hip: draws.about(0.50, 0.025),
            skin,
            hair,
            hair_colour: dye(hair_colour, draws),
            hat,
            scarf: draws.chance(0.12).then(|| clothes(draws)),
            top,
            cut,
            legs,
            shoes: clothes(draws),
            boots: draws.chance(0.2),
            bag: draws.chance(0.68).then(|| bag(draws)),
        }
    }
}

fn top(draws: &mut Draws) -> Top {
    let cloth = Cloth::upper(draws);
    let sleeve = draws.weighted(&[(Sleeve::None, 1), (Sleeve::Short, 4), (Sleeve::Long, 5)]);
    let contrast_sleeve = draws.chance(0.22);
    let jacket = sleeve == Sleeve::Long;
    Top {
        cloth,
        sleeve,
        sleeve_colour: contrast_sleeve.then_some(cloth.second),
        hem: (jacket && draws.chance(0.4)).then(|| draws.pick(&[0.40, 0.30, 0.22])),
        open: (jacket && draws.chance(0.35)).then(|| contrasting(cloth.first, draws)),
        hood: jacket && draws.chance(0.25),
    }
}

fn bag(draws: &mut Draws) -> Bag {
    Bag {
        kind: draws.weighted(&[
            (BagKind::Backpack, 4),
            (BagKind::Messenger, 3),
            (BagKind::Handbag, 3),
            (BagKind::Trolley, 1),
        ]),
        colour: clothes(draws),
        side: draws.pick(&[-1.0, 1.0]),
        size: draws.between(0.8, 1.25),
    }
}
