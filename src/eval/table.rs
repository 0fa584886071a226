//! Table of the results of one or several evaluations, with their conditions below.

use super::Report;
use crate::error::printable;
use comfy_table::{CellAlignment, presets};
use std::fmt;

/// Named reports.
#[derive(Clone, Debug)]
pub struct Table<'a>(pub &'a [(String, Report)]);

/// Writes percentages; a remark that holds for all rows is written once.
impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Table(rows) = self;
        let mut table = comfy_table::Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["", "rank-1", "rank-5", "rank-10", "rank-20", "mAP", "mAP (sum)", "mINP"]);
        for (name, r) in *rows {
            let shares = [r.rank1, r.rank5, r.rank10, r.rank20, r.map_market, r.map_sum, r.minp];
            let shares = shares.map(|share| format!("{:.2}", 100.0 * share));
            table.add_row(std::iter::once(printable(name)).chain(shares));
        }
        table.column_iter_mut().skip(1).for_each(|c| c.set_cell_alignment(CellAlignment::Right));
        writeln!(f, "{table}")?;
        let lines = |report: &Report| report.lines().iter().map(|line| printable(line)).collect();
        let lines: Vec<Vec<String>> = rows.iter().map(|(_, report)| lines(report)).collect();
        writeln!(f, "Percent.")?;
        for line in lines.first().into_iter().flatten().filter(|line| lines.iter().all(|l| l.contains(line)))
        {
            writeln!(f, "{line}")?;
        }
        for ((name, _), own) in rows.iter().zip(&lines) {
            for line in own.iter().filter(|line| !lines.iter().all(|l| l.contains(line))) {
                writeln!(f, "{}: {line}", printable(name))?;
            }
        }
        Ok(())
    }
}
