//! The six cameras: background scene, light, colour cast, exposure, tone curve, sharpness and noise of each.
//!
//! Casts, exposures and shadows change the colour of a garment more than the colours of many two garments differ, so
//! that colour histograms fail across cameras while shapes and patterns remain recognisable.

use super::colour::{Rgb, luma, mix};
use super::draws::{DrawOwner, Draws};
use super::scene::Scene;
use crate::tensor::philox::{Philox, RngStream};

/// The properties of a camera.
#[derive(Clone, Copy, Debug)]
pub struct Camera {
    /// Background scene of the camera.
    pub scene: Scene,
    /// Direction of the light: an angle, 0 behind the camera, positive to the right.
    pub light: f32,
    /// Probability of an occlusion of the person.
    pub occlusion: f32,
    /// Colour of the light times exposure: a factor for each channel.
    gains: Rgb,
    /// Exponent of the tone curve; above 1 darkens the middle tones.
    gamma: f32,
    /// Saturation: 0 gives grey, 1 keeps the colours.
    saturation: f32,
    /// Rotation of the hue in radians: the difference between sensors in white light.
    hue: f32,
    /// Stray light: the value of black.
    haze: f32,
    /// Standard deviation of the blur, as a fraction of the picture's width.
    blur: f32,
    /// Standard deviation of the sensor noise.
    noise: f32,
}

/// The cameras; camera `c<i + 1>` is entry `i`. The values were chosen by trial: the rank-1 of a colour histogram is
/// above chance and far below that of a small network.
pub const CAMERAS: [Camera; 6] = [
    // Late sun from the right: warm, contrasty.
    Camera {
        scene: Scene::Street,
        light: 0.7,
        occlusion: 0.12,
        gains: [1.09, 0.99, 0.85],
        gamma: 1.06,
        saturation: 1.08,
        hue: 0.04,
        haze: 0.01,
        blur: 0.006,
        noise: 0.015,
    },
    // Open shade: cold and bright, a little washed out.
    Camera {
        scene: Scene::Park,
        light: -0.2,
        occlusion: 0.25,
        gains: [0.93, 1.00, 1.12],
        gamma: 0.89,
        saturation: 0.85,
        hue: -0.11,
        haze: 0.05,
        blur: 0.010,
        noise: 0.020,
    },
    // An old camera: green, dark, soft.
    Camera {
        scene: Scene::Plaza,
        light: -0.8,
        occlusion: 0.15,
        gains: [0.85, 0.94, 0.82],
        gamma: 1.00,
        saturation: 0.93,
        hue: 0.14,
        haze: 0.03,
        blur: 0.013,
        noise: 0.025,
    },
    // Neon tubes: a touch of magenta, pale, noisy.
    Camera {
        scene: Scene::Station,
        light: 0.1,
        occlusion: 0.20,
        gains: [1.04, 0.94, 1.04],
        gamma: 0.96,
        saturation: 0.74,
        hue: -0.06,
        haze: 0.04,
        blur: 0.009,
        noise: 0.030,
    },
    // Rain: dull and hazy.
    Camera {
        scene: Scene::Crossing,
        light: 0.0,
        occlusion: 0.15,
        gains: [0.89, 0.95, 0.98],
        gamma: 0.96,
        saturation: 0.77,
        hue: 0.08,
        haze: 0.10,
        blur: 0.011,
        noise: 0.020,
    },
    // Lamps at night: dark orange.
    Camera {
        scene: Scene::Shop,
        light: -0.5,
        occlusion: 0.18,
        gains: [0.96, 0.81, 0.66],
        gamma: 1.00,
        saturation: 0.93,
        hue: -0.04,
        haze: 0.02,
        blur: 0.008,
        noise: 0.035,
    },
];

impl Camera {
    /// Converts the light of a scene, `width` pixels wide, into the camera's bytes `[height, width, 3]`.
    ///
    /// `picture` selects the random stream of the noise.
    pub fn develop(
        &self,
        scene: &[Rgb],
        width: usize,
        seed: u64,
        picture: usize,
        draws: &mut Draws,
    ) -> Vec<u8> {
        let height = scene.len() / width;
        let exposure = draws.between(0.78, 1.22);
        let gains = self.gains.map(|gain| gain * exposure * draws.about(1.0, 0.06));
        let gamma = self.gamma * draws.about(1.0, 0.12);
        let turn = hue_matrix(self.hue + draws.about(0.0, 0.08));
        // Some pictures are crossed by the edge of a shadow.
        let shadow = if draws.chance(0.35) { draws.between(0.45, 0.75) } else { 1.0 };
        let (level, slope) = (draws.between(0.2, 0.8), draws.about(0.0, 0.8));
        let above = draws.chance(0.5);
        let mut pixels: Vec<Rgb> = scene.to_vec();
        for (at, pixel) in pixels.iter_mut().enumerate() {
            let (x, y) = ((at % width) as f32 / width as f32, (at / width) as f32 / height as f32);
            let lit = if (y < level + slope * (x - 0.5)) == above { shadow } else { 1.0 };
            let seen = [0, 1, 2].map(|c| (0..3).map(|k| turn[c][k] * pixel[k]).sum::<f32>().max(0.0));
            let light = [0, 1, 2].map(|c| seen[c] * gains[c] * lit);
            let grey = luma(light);
            let colour = mix([grey; 3], light, self.saturation);
            *pixel = colour.map(|c| self.haze + (1.0 - self.haze) * c.clamp(0.0, 1.0).powf(gamma));
        }
        soften(&mut pixels, width, self.blur * draws.between(0.6, 1.5) * width as f32);
        expose(
            &pixels,
            self.noise,
            Philox::new(seed, DrawOwner::Noise as u64, picture as u64, RngStream::Synth),
        )
    }
}

/// Adds the noise and rounds to bytes. The sum of a word's four bytes is close enough to a normal distribution, and
/// one block of the generator gives four values.
fn expose(pixels: &[Rgb], noise: f32, stream: Philox) -> Vec<u8> {
    // Four uniform bytes sum to a mean of 510 and a variance of 4 (256^2 - 1) / 12.
    let strength = noise * 255.0 / (4.0 * 65535.0 / 12.0f32).sqrt();
    let mut words = [0; 4];
    let value = |(at, &value): (usize, &f32)| {
        if at % 4 == 0 {
            words = stream.block(at as u32 / 4);
        }
        let sum: u32 = words[at % 4].to_le_bytes().iter().map(|&byte| u32::from(byte)).sum();
        (value * 255.0 + strength * (sum as f32 - 510.0)).round().clamp(0.0, 255.0) as u8
    };
    pixels.as_flattened().iter().enumerate().map(value).collect()
}

/// The rotation of colours around the grey axis (Rodrigues' formula).
fn hue_matrix(angle: f32) -> [[f32; 3]; 3] {
    let (sin, cos) = angle.sin_cos();
    let (mean, cross) = ((1.0 - cos) / 3.0, sin / 3.0f32.sqrt());
    [
        [cos + mean, mean - cross, mean + cross],
        [mean + cross, cos + mean, mean - cross],
        [mean - cross, mean + cross, cos + mean],
    ]
}

/// Blurs with a Gaussian of `sigma` pixels, rows before columns; edge pixels are repeated.
fn soften(pixels: &mut Vec<Rgb>, width: usize, sigma: f32) {
    let reach = (2.5 * sigma).ceil() as usize;
    let kernel: Vec<f32> = (0..=reach).map(|i| (-0.5 * (i as f32 / sigma).powi(2)).exp()).collect();
    let total = kernel[0] + 2.0 * kernel[1..].iter().sum::<f32>();
    let height = pixels.len() / width;
    // Lines of `length` pixels, `step` apart; the next line begins `stride` further on.
    let smooth = |from: &[Rgb], (lines, stride): (usize, usize), (length, step): (usize, usize)| {
        let mut to = from.to_vec();
        for line in 0..lines {
            let at = |i: usize| from[line * stride + i * step];
            for i in 0..length {
                let mut sum = at(i).map(|c| c * kernel[0]);
                for (k, &weight) in kernel.iter().enumerate().skip(1) {
                    let (before, after) = (at(i.saturating_sub(k)), at((i + k).min(length - 1)));
                    sum = [0, 1, 2].map(|c| sum[c] + weight * (before[c] + after[c]));
                }
                to[line * stride + i * step] = sum.map(|c| c / total);
            }
        }
        to
    };
    *pixels = smooth(pixels, (height, width), (width, 1));
    *pixels = smooth(pixels, (width, 1), (height, width));
}
