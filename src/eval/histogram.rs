//! Colour histograms in horizontal stripes: the classical baseline of re-identification, without shape and without
//! learning.
//!
//! A picture is cut into six stripes, roughly head, chest, waist, thighs, shins and feet. Each stripe has a joint
//! histogram of hue and saturation, in which a pixel is weighted by its brightness, and a histogram of value (HSV,
//! Smith 1978). Hue votes are shared between the two nearest bins, and a column's weight falls with its distance from
//! the middle, where the person is. Square roots and a division by the length make the Euclidean distance of two
//! descriptors their Hellinger distance.

/// Number of horizontal stripes.
const STRIPES: usize = 6;
/// Bins of hue, which is cyclic.
const HUES: usize = 12;
/// Bins of saturation.
const SATURATIONS: usize = 4;
/// Bins of value.
const VALUES: usize = 12;
/// Standard deviation of the columns' Gaussian weight, in parts of the width.
const SPREAD: f32 = 0.18;
/// Length of a stripe's histograms together.
const STRIPE: usize = HUES * SATURATIONS + VALUES;

/// Length of a descriptor.
pub const LENGTH: usize = STRIPES * STRIPE;

/// Computes the descriptor of a picture `rgb`, `[height, width, 3]` bytes: [`LENGTH`] non-negative numbers of Euclidean
/// length 1. A picture without pixels gives zeros; a picture less than six pixels high leaves some stripes empty.
///
/// # Panics
/// If `rgb` does not have `height * width * 3` bytes.
pub fn histogram(rgb: &[u8], height: usize, width: usize) -> Vec<f32> {
    assert_eq!(rgb.len(), height * width * 3, "histogram: [{height}, {width}, 3] and the bytes disagree");
    let mut bins = vec![0.0; LENGTH];
    for (at, pixel) in rgb.chunks_exact(3).enumerate() {
        let stripe = at / width * STRIPES / height;
        let (hs, v) = bins[stripe * STRIPE..][..STRIPE].split_at_mut(HUES * SATURATIONS);
        let across = (at % width) as f32 / width as f32 - 0.5 + 0.5 / width as f32;
        let weight = (-0.5 * (across / SPREAD).powi(2)).exp();
        let [hue, saturation, value] = hsv([pixel[0], pixel[1], pixel[2]]);
        let row = bin(saturation, SATURATIONS) * HUES;
        let place = hue * HUES as f32;
        let (low, share) = (place.floor(), place.fract());
        // The hue of a dark pixel is noise, so its vote is weighted by the pixel's brightness.
        hs[row + low as usize % HUES] += weight * value * (1.0 - share);
        hs[row + (low as usize + 1) % HUES] += weight * value * share;
        v[bin(value, VALUES)] += weight;
    }
    bins.iter_mut().for_each(|b| *b = b.sqrt());
    let length = bins.iter().map(|&b| f64::from(b) * f64::from(b)).sum::<f64>().sqrt() as f32;
    if length > 0.0 {
        bins.iter_mut().for_each(|b| *b /= length);
    }
    bins
}

fn bin(value: f32, bins: usize) -> usize {
    ((value * bins as f32) as usize).min(bins - 1)
}

/// Hue (as a share of the circle, 0 for greys), saturation and value, in [0, 1].
fn hsv(rgb: [u8; 3]) -> [f32; 3] {
    let [r, g, b] = rgb.map(|c| f32::from(c) / 255.0);
    let value = r.max(g).max(b);
    let chroma = value - r.min(g).min(b);
    if chroma == 0.0 {
        return [0.0, 0.0, value];
    }
    let sixth = if value == r {
        ((g - b) / chroma).rem_euclid(6.0)
    } else if value == g {
        (b - r) / chroma + 2.0
    } else {
        (r - g) / chroma + 4.0
    };
    [sixth / 6.0, chroma / value, value]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painted(height: usize, width: usize, colour: impl Fn(usize, usize) -> [u8; 3]) -> Vec<u8> {
        (0..height * width).flat_map(|at| colour(at / width, at % width)).collect()
    }

    fn distance(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
    }

    #[test]
    fn hsv_of_known_colours() {
        assert_eq!(hsv([255, 0, 0]), [0.0, 1.0, 1.0]);
        assert_eq!(hsv([0, 255, 0]), [1.0 / 3.0, 1.0, 1.0]);
        assert_eq!(hsv([0, 0, 255]), [2.0 / 3.0, 1.0, 1.0]);
        assert_eq!(hsv([51, 51, 51]), [0.0, 0.0, 0.2]);
        // Between red and blue: five sixths of the circle.
        assert_eq!(hsv([255, 0, 255]), [5.0 / 6.0, 1.0, 1.0]);
    }

    #[test]
    fn a_descriptor_has_length_one() {
        let picture = painted(37, 11, |y, x| [(y * 7) as u8, (x * 20) as u8, (y * x) as u8]);
        let h = histogram(&picture, 37, 11);
        assert_eq!(h.len(), LENGTH);
        assert!((h.iter().map(|b| b * b).sum::<f32>() - 1.0).abs() < 1e-5);
    }

    #[test]
    fn a_mirror_changes_nothing_and_turning_upside_down_does() {
        let colour = |y: usize, x: usize| if y < 30 { [200, (x * 9) as u8, 30] } else { [20, 40, 160] };
        let picture = histogram(&painted(60, 20, colour), 60, 20);
        let mirrored = histogram(&painted(60, 20, |y, x| colour(y, 19 - x)), 60, 20);
        let upside_down = histogram(&painted(60, 20, |y, x| colour(59 - y, x)), 60, 20);
        assert!(distance(&picture, &mirrored) < 1e-4);
        assert!(distance(&picture, &upside_down) > 0.5);
    }

    #[test]
    fn near_hues_are_nearer_than_far_ones() {
        let one = |colour| histogram(&painted(12, 6, |_, _| colour), 12, 6);
        let (red, orange, blue) = (one([220, 20, 20]), one([220, 70, 20]), one([20, 20, 220]));
        assert!(distance(&red, &orange) < distance(&red, &blue));
    }

    #[test]
    fn tiny_pictures() {
        assert_eq!(histogram(&[], 0, 0), vec![0.0; LENGTH]);
        let one = histogram(&[9, 9, 9], 1, 1);
        assert!((one.iter().map(|b| b * b).sum::<f32>() - 1.0).abs() < 1e-5);
    }
}
