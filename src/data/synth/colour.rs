//! Colours, and the palettes of clothes, skin and hair.
//!
//! The palette of clothes is small on purpose: many identities share the colours of their clothes, so that a colour
//! alone identifies no person.

use super::draws::Draws;

/// Red, green and blue reflectance in [0, 1].
pub type Rgb = [f32; 3];

/// Colours of clothes: black, charcoal, white, navy, mid blue, red, olive, beige.
pub const CLOTHES: [Rgb; 8] = [
    [0.08, 0.08, 0.09],
    [0.30, 0.30, 0.32],
    [0.86, 0.86, 0.84],
    [0.11, 0.14, 0.32],
    [0.26, 0.42, 0.68],
    [0.66, 0.14, 0.15],
    [0.29, 0.37, 0.20],
    [0.72, 0.61, 0.44],
];

/// Colours of skin, from light to dark.
pub const SKIN: [Rgb; 4] = [[0.90, 0.73, 0.62], [0.80, 0.60, 0.46], [0.60, 0.42, 0.30], [0.38, 0.25, 0.18]];

/// Colours of hair: black, brown, blond, red, grey.
pub const HAIR: [Rgb; 5] =
    [[0.07, 0.06, 0.06], [0.27, 0.17, 0.10], [0.78, 0.62, 0.34], [0.52, 0.22, 0.10], [0.62, 0.62, 0.62]];

/// The colour with every channel multiplied by `by`.
pub fn scale(colour: Rgb, by: f32) -> Rgb {
    colour.map(|c| c * by)
}

/// Linear interpolation from `a` (at 0) to `b` (at 1).
pub fn mix(a: Rgb, b: Rgb, at: f32) -> Rgb {
    [0, 1, 2].map(|c| a[c] + (b[c] - a[c]) * at)
}

/// The brightness of a colour (the luma of ITU-R BT.601).
pub fn luma(colour: Rgb) -> f32 {
    0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
}

/// A random colour close to the given one.
pub fn dye(colour: Rgb, draws: &mut Draws) -> Rgb {
    colour.map(|c| (c * draws.about(1.0, 0.06) + draws.about(0.0, 0.015)).clamp(0.02, 0.95))
}

/// A random colour of clothes.
pub fn clothes(draws: &mut Draws) -> Rgb {
    let colour = draws.pick(&CLOTHES);
    dye(colour, draws)
}

/// A random colour of clothes that is clearly brighter or darker than `beside`, so that a pattern of both is visible
/// from every camera.
pub fn contrasting(beside: Rgb, draws: &mut Draws) -> Rgb {
    let first = draws.below(CLOTHES.len());
    let apart = |c: &Rgb| (luma(*c) - luma(beside)).abs();
    let colour = (0..CLOTHES.len())
        .map(|i| CLOTHES[(first + i) % CLOTHES.len()])
        .find(|c| apart(c) > 0.22)
        .unwrap_or(CLOTHES[2]);
    dye(colour, draws)
}
