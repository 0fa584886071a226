//! Colours of all drawings: for light background, and for the page's dark mode.

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
    (Colour::Run(0), "run-0", [0x3a, 0x6e, 0xa5], [0x79, 0xad, 0xe0]),
    (Colour::Run(1), "run-1", [0xb8, 0x3b, 0x2e], [0xf0, 0x85, 0x78]),
    (Colour::Run(2), "run-2", [0x6b, 0x8e, 0x23], [0xa9, 0xc9, 0x5f]),
    (Colour::Run(3), "run-3", [0x7b, 0x4f, 0xa0], [0xb9, 0x93, 0xdb]),
    (Colour::Run(4), "run-4", [0xc2, 0x87, 0x00], [0xe8, 0xb7, 0x42]),
    (Colour::Run(5), "run-5", [0x00, 0x84, 0x8a], [0x4b, 0xc4, 0xc9]),
    (Colour::Run(6), "run-6", [0xb0, 0x3a, 0x7e], [0xe8, 0x82, 0xbd]),
    (Colour::Run(7), "run-7", [0x6d, 0x57, 0x4a], [0xb9, 0xa3, 0x95]),
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
}
