//! Colours of all drawings: for light background, and for the page's dark mode.
//!
//! The colours of runs were searched for: they differ for people without red or green cones too, most of all the first
//! ones, and stand out from the background at a contrast of 3 or more (5 in dark mode).

/// A colour, named by its use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Text and axes.
    Ink,
    /// Secondary text.
    Muted,
    /// Grid lines behind the data.
    Grid,
    /// Background.
    Paper,
    /// Pairs of one identity: blue, as in the paper's figure 1.
    Intra,
    /// Pairs of different identities: green, as in the paper's figure 1.
    Inter,
    /// The nearest pair of different identities: orange, as in the paper's figure 1.
    InterMin,
    /// The run with this index.
    Run(usize),
}

/// Number of run colours, and so the largest number of runs that are compared.
pub const RUNS: usize = 8;

/// All colours: name in the page's style sheet, RGB in light mode, RGB in dark mode.
pub const ALL: [(Colour, &str, [u8; 3], [u8; 3]); 7 + RUNS] = [
    (Colour::Ink, "ink", [0x20, 0x24, 0x29], [0xe3, 0xe6, 0xea]),
    (Colour::Muted, "muted", [0x5a, 0x62, 0x6c], [0x9f, 0xa8, 0xb3]),
    (Colour::Grid, "grid", [0xdd, 0xe0, 0xe4], [0x38, 0x3e, 0x46]),
    (Colour::Paper, "paper", [0xff, 0xff, 0xff], [0x16, 0x19, 0x1d]),
    (Colour::Intra, "intra", [0x2b, 0x6c, 0xb0], [0x6f, 0xb1, 0xf2]),
    (Colour::Inter, "inter", [0x2f, 0x8f, 0x4e], [0x63, 0xc1, 0x83]),
    (Colour::InterMin, "inter-min", [0xdd, 0x6b, 0x00], [0xff, 0xa2, 0x4d]),
    (Colour::Run(0), "run-0", [0x44, 0x89, 0xff], [0x71, 0x82, 0xf4]),
    (Colour::Run(1), "run-1", [0x84, 0x44, 0x00], [0xff, 0xd6, 0x95]),
    (Colour::Run(2), "run-2", [0x5f, 0x21, 0x7d], [0xb3, 0x78, 0xae]),
    (Colour::Run(3), "run-3", [0x9d, 0x94, 0x2c], [0xbe, 0xc3, 0x2b]),
    (Colour::Run(4), "run-4", [0xbc, 0x3a, 0x80], [0xe2, 0x61, 0x78]),
    (Colour::Run(5), "run-5", [0x14, 0x46, 0x29], [0x72, 0xfb, 0xdb]),
    (Colour::Run(6), "run-6", [0xca, 0x81, 0x80], [0xce, 0x73, 0x42]),
    (Colour::Run(7), "run-7", [0x31, 0x9b, 0xd3], [0x57, 0xd5, 0xff]),
];

impl Colour {
    /// Red, green and blue in light mode.
    ///
    /// # Panics
    /// For a run index of [`RUNS`] or more.
    pub fn rgb(self) -> [u8; 3] {
        let found = ALL.iter().find(|(colour, ..)| *colour == self);
        found.expect("at most RUNS runs are drawn").2
    }
}

/// Formats a colour as `#rrggbb`.
pub fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Style rules for dark mode: they replace the colours of every drawing inside `.chart`, and define a class `.key-NAME`
/// for each colour.
pub fn dark_rules() -> String {
    let rules = ALL.iter().map(|(_, name, light, dark)| {
        let (light, dark) = (hex(*light), hex(*dark));
        format!(
            ".chart [fill=\"{light}\"]{{fill:{dark}}}.chart \
             [stroke=\"{light}\"]{{stroke:{dark}}}.key-{name}{{color:{dark}}}\n"
        )
    });
    rules.collect()
}

/// Style rules for light mode: the classes `.key-NAME`.
pub fn light_rules() -> String {
    ALL.iter().map(|(_, name, light, _)| format!(".key-{name}{{color:{}}}\n", hex(*light))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules of dark mode find a colour by its value in light mode, so values must differ.
    #[test]
    fn no_two_colours_are_the_same() {
        for (i, one) in ALL.iter().enumerate() {
            assert!(ALL[i + 1..].iter().all(|other| other.2 != one.2 && other.3 != one.3), "{}", one.1);
        }
        (0..RUNS).for_each(|run| assert_ne!(Colour::Run(run).rgb(), [0, 0, 0]));
    }

    fn linear([r, g, b]: [u8; 3]) -> [f64; 3] {
        [r, g, b].map(|c| match f64::from(c) / 255.0 {
            c if c <= 0.04045 => c / 12.92,
            c => ((c + 0.055) / 1.055).powf(2.4),
        })
    }

    fn multiply(matrix: &[[f64; 3]; 3], v: [f64; 3]) -> [f64; 3] {
        matrix.map(|row| row.iter().zip(v).map(|(a, b)| a * b).sum())
    }

    /// sRGB to XYZ (D65).
    const XYZ: [[f64; 3]; 3] = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ];
    /// Normal sight, and sight without red or green cones (Machado et al. 2009, severity 1).
    const SIGHTS: [[[f64; 3]; 3]; 3] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ];

    /// CIELAB of a colour as it is seen.
    fn lab(rgb: [u8; 3], sight: &[[f64; 3]; 3]) -> [f64; 3] {
        let seen = multiply(sight, linear(rgb)).map(|c| c.clamp(0.0, 1.0));
        let [x, y, z] = multiply(&XYZ, seen);
        let [x, y, z] = [x / 0.95047, y, z / 1.08883].map(|v| match v {
            v if v > 0.008856 => v.cbrt(),
            v => 7.787 * v + 16.0 / 116.0,
        });
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    #[test]
    fn runs_differ_for_every_sight_and_stand_out() {
        let runs: Vec<_> = (0..RUNS).filter_map(|run| ALL.iter().find(|c| c.0 == Colour::Run(run))).collect();
        let luminance = |rgb: [u8; 3]| multiply(&XYZ, linear(rgb))[1];
        let paper = ALL.iter().find(|c| c.0 == Colour::Paper).unwrap();
        for (mode, least) in [(0, 3.0), (1, 5.0)] {
            let of = |c: &(Colour, &str, [u8; 3], [u8; 3])| if mode == 0 { c.2 } else { c.3 };
            for (i, one) in runs.iter().enumerate() {
                let [a, b] = [luminance(of(one)), luminance(of(paper))];
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(contrast >= least, "{} in mode {mode}: contrast {contrast:.2}", one.1);
                for other in &runs[..i] {
                    for sight in &SIGHTS {
                        let (a, b) = (lab(of(one), sight), lab(of(other), sight));
                        let apart = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                        assert!(apart > 23.0, "{} and {} in mode {mode}: {apart:.1}", one.1, other.1);
                    }
                }
            }
        }
    }
}
