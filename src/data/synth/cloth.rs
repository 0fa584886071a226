//! Cloth: two colours and a pattern, as a function of the position on the body.

use super::colour::{Rgb, clothes, contrasting};
use super::draws::Draws;

/// The pattern of the second colour on the first. Lengths are in body heights, angles in radians around the body.
#[derive(Clone, Copy, Debug)]
pub enum Pattern {
    /// The first colour only.
    Plain,
    /// Rings around the body, one in each `period`; `share` of the period has the second colour.
    Hoops { period: f32, share: f32 },
    /// Stripes down the body, one in each `period` (an angle).
    Stripes { period: f32, share: f32 },
    /// A grid of lines around and down the body.
    Checks { period: f32 },
    /// Staggered dots.
    Dots { period: f32 },
    /// The second colour from `from` downwards.
    Lower { from: f32 },
    /// One half of the body, left or right.
    Half,
    /// One broad ring.
    Band { from: f32, height: f32 },
    /// A print on the chest (`facing` 0) or the back (`facing` pi).
    Print { facing: f32, half_angle: f32, from: f32, height: f32, round: bool },
    /// A sash from one shoulder to the other hip.
    Sash { slope: f32, half_width: f32 },
    /// A seam down each side.
    Piping { half_angle: f32 },
}

/// A piece of cloth.
#[derive(Clone, Copy, Debug)]
pub struct Cloth {
    /// The main colour.
    pub first: Rgb,
    /// The pattern's colour.
    pub second: Rgb,
    /// The pattern.
    pub pattern: Pattern,
}

impl Cloth {
    /// Cloth for the upper body, mostly patterned.
    pub fn upper(draws: &mut Draws) -> Self {
        let first = clothes(draws);
        let second = contrasting(first, draws);
        let pattern = match draws.below(14) {
            0..=2 => Pattern::Plain,
            3 | 4 => Pattern::Hoops { period: draws.between(0.055, 0.11), share: draws.between(0.3, 0.6) },
            5 => Pattern::Stripes { period: draws.between(0.45, 0.8), share: draws.between(0.3, 0.5) },
            6 => Pattern::Checks { period: draws.between(0.07, 0.11) },
            7 => Pattern::Dots { period: draws.between(0.06, 0.09) },
            8 => Pattern::Lower { from: draws.between(0.10, 0.18) },
            9 => Pattern::Half,
            10 => Pattern::Band { from: draws.between(0.04, 0.15), height: draws.between(0.04, 0.08) },
            11 | 12 => Pattern::Print {
                facing: draws.pick(&[0.0, 0.0, std::f32::consts::PI]),
                half_angle: draws.between(0.35, 0.7),
                from: draws.between(0.05, 0.09),
                height: draws.between(0.06, 0.11),
                round: draws.chance(0.5),
            },
            _ => Pattern::Sash { slope: draws.pick(&[-0.1, 0.1]), half_width: draws.between(0.025, 0.045) },
        };
        Cloth { first, second, pattern }
    }

    /// Cloth for the legs, mostly plain.
    pub fn lower(draws: &mut Draws) -> Self {
        let first = clothes(draws);
        let second = contrasting(first, draws);
        let pattern = match draws.below(12) {
            0 => Pattern::Checks { period: draws.between(0.07, 0.10) },
            1 => Pattern::Hoops { period: draws.between(0.08, 0.12), share: draws.between(0.3, 0.5) },
            2 => Pattern::Piping { half_angle: draws.between(0.3, 0.45) },
            3 => Pattern::Lower { from: draws.between(0.12, 0.3) },
            4 => Pattern::Stripes { period: draws.between(0.6, 0.9), share: 0.4 },
            _ => Pattern::Plain,
        };
        Cloth { first, second, pattern }
    }

    /// The colour at angle `u` around the body (0 in front, positive to its left) and `v` body heights below the
    /// cloth's upper end.
    pub fn at(&self, u: f32, v: f32) -> Rgb {
        let inside = match self.pattern {
            Pattern::Plain => false,
            Pattern::Hoops { period, share } => (v / period).rem_euclid(1.0) < share,
            Pattern::Stripes { period, share } => (u / period).rem_euclid(1.0) < share,
            Pattern::Checks { period } => {
                (v / period).rem_euclid(1.0) < 0.35 || (u * 0.12 / period).rem_euclid(1.0) < 0.35
            }
            Pattern::Dots { period } => {
                let row = (v / period).floor();
                let across = (u * 0.12 / period + 0.5 * row).rem_euclid(1.0) - 0.5;
                let down = (v / period).rem_euclid(1.0) - 0.5;
                across * across + down * down < 0.1
            }
            Pattern::Lower { from } => v > from,
            Pattern::Half => u > 0.0,
            Pattern::Band { from, height } => (from..from + height).contains(&v),
            Pattern::Print { facing, half_angle, from, height, round } => {
                let across = turn(u - facing) / half_angle;
                let down = (v - from) / height * 2.0 - 1.0;
                if round { across * across + down * down < 1.0 } else { across.abs().max(down.abs()) < 1.0 }
            }
            Pattern::Sash { slope, half_width } => {
                // The folded angle makes the sash a closed loop around front and back.
                let folded = if u.abs() > std::f32::consts::FRAC_PI_2 {
                    u.signum() * std::f32::consts::PI - u
                } else {
                    u
                };
                (v - 0.14 - slope * folded).abs() < half_width
            }
            Pattern::Piping { half_angle } => (u.abs() - std::f32::consts::FRAC_PI_2).abs() < half_angle,
        };
        if inside { self.second } else { self.first }
    }
}

/// The angle, reduced to [-pi, pi).
pub fn turn(angle: f32) -> f32 {
    use std::f32::consts::{PI, TAU};
    (angle + PI).rem_euclid(TAU) - PI
}
