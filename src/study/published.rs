//! Figures of the paper's tables 1 and 2, digit by digit: single query, in percent; mAP is the trapezoid.

use crate::data::{dukemtmc, market1501};

/// A row of one of the tables.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    /// Name of the method in the paper.
    pub method: &'static str,
    /// Rank-1, rank-5, rank-10 and mAP; `-` where the paper does not state a figure.
    pub figures: [&'static str; 4],
}

/// A data set with published results.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Benchmark {
    /// Name of the layout, as in [`crate::data::Dataset::name`].
    pub id: &'static str,
    /// Name of the data set.
    pub name: &'static str,
    /// Numbers of training images, query images, and gallery images with junk.
    pub images: [usize; 3],
    /// Number of the table in the paper.
    pub table: u8,
    /// Results of other methods, as quoted by the paper.
    pub others: &'static [Published],
    /// Result of the paper's baseline.
    pub baseline: Published,
    /// Result of the paper's method.
    pub full: Published,
}

impl Benchmark {
    /// Note below a table with these figures.
    pub(super) fn note(&self) -> String {
        format!(
            "[quoted]: as stated in table {} of Zhang & Xu (2018), not measured here; -: not stated.",
            self.table
        )
    }
}

const fn row(method: &'static str, figures: [&'static str; 4]) -> Published {
    Published { method, figures }
}

/// A row with rank-1 and mAP only.
const fn rank1_and_map(method: &'static str, rank1: &'static str, map: &'static str) -> Published {
    row(method, [rank1, "-", "-", map])
}

/// Market-1501, table 1 of the paper.
pub const MARKET1501: Benchmark = Benchmark {
    id: "market1501",
    name: "Market-1501",
    images: market1501::IMAGES,
    table: 1,
    others: &[
        row("SpindleNet, Zhao et al. (2017)", ["76.90", "91.50", "94.60", "-"]),
        rank1_and_map("GAN, Zheng et al. (2017a)", "78.06", "56.23"),
        rank1_and_map("SVDNet, Sun et al. (2017)", "82.3", "62.1"),
        row("PDC, Su et al. (2017)", ["84.14", "92.73", "94.92", "63.41"]),
        row("APR, Lin et al. (2017)", ["84.29", "93.20", "95.19", "64.67"]),
        rank1_and_map("JLML, Li et al. (2017)", "85.1", "65.5"),
        row("Verif + Identif, Zheng et al. (2016b)", ["79.51", "90.91", "94.09", "59.87"]),
        row("TriNet, Hermans et al. (2017)", ["84.92", "94.21", "-", "69.14"]),
    ],
    baseline: row("baseline, the paper's", ["83.34", "93.79", "95.93", "63.20"]),
    full: row("batch-contrastive, the paper's", ["86.40", "94.45", "96.48", "67.64"]),
};

/// DukeMTMC-reID, table 2 of the paper.
pub const DUKEMTMC: Benchmark = Benchmark {
    id: "dukemtmc",
    name: "DukeMTMC-reID",
    images: dukemtmc::IMAGES,
    table: 2,
    others: &[
        rank1_and_map("Verif + Identif, Zheng et al. (2016b)", "68.90", "49.30"),
        rank1_and_map("APR, Lin et al. (2017)", "70.69", "51.88"),
        rank1_and_map("PAN, Zheng et al. (2017b)", "71.59", "51.51"),
        rank1_and_map("ACRN, Schumann and Stiefelhagen (2017)", "72.58", "51.96"),
        rank1_and_map("FMN, Ding et al. (2017)", "74.51", "56.88"),
        rank1_and_map("SVDNet, Sun et al. (2017)", "76.70", "56.80"),
    ],
    baseline: rank1_and_map("baseline, the paper's", "73.31", "53.25"),
    full: rank1_and_map("batch-contrastive, the paper's", "78.19", "58.64"),
};
