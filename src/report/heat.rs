//! Heat maps over pictures: where a network responds to an image, see [`crate::eval::activation`].

use crate::data::decode::Rgb;
use crate::eval::activation::Heat;

/// Share of the heat in a blended pixel.
const OPACITY: f32 = 0.6;
/// Colours from the lowest to the highest value, evenly spaced: dark purple to pale yellow. Lightness grows steadily,
/// so that the order is also seen without colours (after matplotlib's inferno, CC0).
const COLOURS: [[f32; 3]; 6] = [
    [0.0, 0.0, 4.0],
    [66.0, 10.0, 104.0],
    [147.0, 38.0, 103.0],
    [221.0, 81.0, 58.0],
    [252.0, 165.0, 10.0],
    [252.0, 255.0, 164.0],
];

/// The colour of a value from 0 to 1.
fn colour(value: f32) -> [f32; 3] {
    let place = value.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f32;
    let (low, share) = ((place as usize).min(COLOURS.len() - 2), place);
    let share = share - low as f32;
    [0, 1, 2].map(|c| COLOURS[low][c] + share * (COLOURS[low + 1][c] - COLOURS[low][c]))
}

/// The picture in grey with the heat over it, enlarged bilinearly to the picture's size. The largest value of the heat
/// has the brightest colour.
pub fn over(picture: &Rgb, heat: &Heat) -> Rgb {
    let largest = heat.values.iter().copied().fold(0.0, f32::max);
    let scale = if largest > 0.0 { 1.0 / largest } else { 0.0 };
    let mut pixels = Vec::with_capacity(picture.pixels.len());
    for (at, rgb) in picture.pixels.chunks_exact(3).enumerate() {
        let (x, y) = (at % picture.width, at / picture.width);
        let share = |place: usize, of: usize| (place as f32 + 0.5) / of as f32;
        let value = heat.at(share(x, picture.width), share(y, picture.height)) * scale;
        let grey = 0.299 * f32::from(rgb[0]) + 0.587 * f32::from(rgb[1]) + 0.114 * f32::from(rgb[2]);
        pixels.extend(colour(value).map(|c| (OPACITY * c + (1.0 - OPACITY) * grey).round() as u8));
    }
    Rgb { width: picture.width, height: picture.height, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_place_is_the_brightest() {
        let picture = Rgb { width: 8, height: 16, pixels: vec![100; 8 * 16 * 3] };
        let mut values = vec![0.0; 8];
        values[5] = 3.0;
        let shown = over(&picture, &Heat { height: 4, width: 2, values });
        assert_eq!((shown.width, shown.height, shown.pixels.len()), (8, 16, 8 * 16 * 3));
        let light = |x: usize, y: usize| -> u32 {
            shown.pixels[(y * 8 + x) * 3..][..3].iter().map(|c| u32::from(*c)).sum()
        };
        // Cell 5 is in row 2, column 1: centre (6, 10).
        let brightest = (0..128).max_by_key(|at| light(at % 8, at / 8)).unwrap();
        assert!((brightest % 8) >= 5 && (9..=10).contains(&(brightest / 8)), "{brightest}");
        // 60 % of the darkest colour and 40 % of the grey.
        assert_eq!(light(0, 0), 40 + 40 + 42);
    }

    #[test]
    fn colours_grow_lighter_throughout() {
        let light =
            |value: f32| colour(value).iter().zip([0.299, 0.587, 0.114]).map(|(c, w)| c * w).sum::<f32>();
        assert!((0..100).all(|i| light(i as f32 / 100.0) < light((i + 1) as f32 / 100.0)));
        assert_eq!((colour(-1.0), colour(2.0)), (COLOURS[0], COLOURS[5]));
    }

    #[test]
    fn no_heat_is_no_division_by_zero() {
        let picture = Rgb { width: 1, height: 1, pixels: vec![0; 3] };
        assert_eq!(over(&picture, &Heat { height: 1, width: 1, values: vec![0.0] }).pixels, [0, 0, 2]);
    }
}
