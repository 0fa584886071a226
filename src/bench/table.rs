//! The results of a benchmark as tables.

use super::model::{EventCost, Row, StepWork};
use super::report::{BatchNormTimes, Passes, Report};
use crate::config::Config;
use crate::console::Bytes;
use comfy_table::{CellAlignment, Table, presets};
use std::fmt;

/// Writes a table of the steps and a table of their parts.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { solver, input, .. } = &self.config;
        let device = match self.threads {
            Some(threads) => format!("the CPU, {threads} threads (what counts are times of a GPU)"),
            None => self.device.clone(),
        };
        writeln!(
            f,
            "Training steps on {device}, {}{}: {} x {}, batch {}, {} classes; median of {}",
            self.precision,
            if self.batchnorm_by == "own" { "" } else { ", batch norm by cudnn" },
            input.height,
            input.width,
            solver.batch,
            self.classes,
            self.steps
        )?;
        let mut table = ruled(&["", "ms a step", "fastest", "images/s", "launches"]);
        for (name, times) in [("plain", Some(&self.plain)), ("graph", self.graph.as_ref())] {
            let Some(times) = times else { continue };
            table.add_row([
                name.to_string(),
                format!("{:.3}", times.median_ms),
                format!("{:.3}", times.fastest_ms),
                format!("{:.0}", times.images_per_second),
                times.launches.map_or(String::new(), |n| n.to_string()),
            ]);
        }
        writeln!(f, "{}", aligned(table))?;
        write!(f, "{}", aligned(self.part_table()))?;
        if let Some(work) = &self.work {
            write!(f, "\n{}", work_table(work))?;
            if let Some(EventCost { event_us, .. }) = work.events {
                write!(
                    f,
                    "\nmeasured: on {device}, one stream, from the end of the work before to its own end; events took \
                     {event_us:.2} us a launch, taken off"
                )?;
            }
        }
        if let Some(batchnorm) = &self.batchnorm {
            write!(f, "\n{}", aligned(batchnorm_table(batchnorm)))?;
        }
        if let Some(peak) = self.peak_bytes {
            write!(f, "\nPeak memory: {}", Bytes(peak))?;
        }
        if let Some(held) = self.held_bytes {
            write!(f, " in use, {} held", Bytes(held))?;
        }
        match (self.streams, self.waiting_bytes) {
            (Some(1), _) => write!(f, "\nOne stream")?,
            (Some(streams), Some(waiting)) => {
                let waiting = Bytes(waiting);
                write!(
                    f,
                    "\n{streams} streams; at most {waiting} of freed memory could not be reused yet, as the second one used it"
                )?;
            }
            _ => {}
        }
        self.notes.iter().try_for_each(|note| write!(f, "\nNote: {note}"))
    }
}

impl Report {
    /// The parts and their sum, in percent of a step of the same kind.
    fn part_table(&self) -> Table {
        let (title, step) = match &self.graph {
            Some(graph) if self.parts_captured => ("part of a step, as a graph of its own", graph),
            _ => ("part of a plain step", &self.plain),
        };
        let mut table = ruled(&[title, "ms", "%"]);
        let sum = self.parts.named().map(|(_, ms)| ms).sum();
        for (name, ms) in self.parts.named().chain([("sum of the parts", sum)]) {
            table.add_row([
                name.to_string(),
                format!("{ms:.3}"),
                format!("{:.1}", 100.0 * ms / step.median_ms),
            ]);
        }
        table
    }
}

/// The kinds that take most of the measured or modelled time; the others are one row.
fn work_table(work: &StepWork) -> Table {
    const KINDS: usize = 12;
    let is_counted = work.kinds.iter().any(|row| row.asked_bytes.is_some());
    let is_measured = work.events.is_some();
    let mut header = vec!["work of a step", "launches", "MB", "GFLOP", "model of an H100, us"];
    if is_counted {
        header.push("MB asked");
    }
    if is_measured {
        header.push("measured, us");
    }
    let mut table = ruled(&header);
    let mut add = |row: &Row| {
        let mut cells = vec![
            row.name.clone(),
            row.work.launches.to_string(),
            format!("{:.1}", row.work.bytes as f64 * 1e-6),
            format!("{:.2}", row.work.flops as f64 * 1e-9),
            format!("{:.1}", row.model_us),
        ];
        if is_counted {
            cells.push(row.asked_bytes.map_or(String::new(), |bytes| format!("{:.1}", bytes as f64 * 1e-6)));
        }
        if is_measured {
            cells.push(row.measured_us.map_or(String::new(), |us| format!("{us:.1}")));
        }
        table.add_row(cells);
    };
    let mut kinds = work.kinds.clone();
    let time = |row: &Row| row.measured_us.unwrap_or(row.model_us);
    kinds.sort_by(|a, b| time(b).total_cmp(&time(a)));
    let (most, rest) = kinds.split_at(kinds.len().min(KINDS));
    most.iter().for_each(&mut add);
    if !rest.is_empty() {
        let mut others = Row { name: format!("{} other kinds", rest.len()), ..rest[0].clone() };
        for row in &rest[1..] {
            others.work += row.work;
            others.model_us += row.model_us;
            // Unknown, if one is.
            others.asked_bytes = others.asked_bytes.zip(row.asked_bytes).map(|(a, b)| a + b);
            others.measured_us = others.measured_us.zip(row.measured_us).map(|(a, b)| a + b);
        }
        add(&others);
    }
    add(&work.total);
    aligned(table)
}

/// A row for each kind of layer, and the sums over all layers of a step.
fn batchnorm_table(kinds: &[BatchNormTimes]) -> Table {
    let mut table = ruled(&[
        "batch norm, us a layer",
        "layers",
        "own forward",
        "backward",
        "cudnn forward",
        "backward",
        "faster",
    ]);
    let row = |name: String, layers: usize, own: Passes, cudnn: Passes| {
        let faster = if own.total_us() <= cudnn.total_us() { "own" } else { "cudnn" };
        let us = |value: f64| format!("{value:.1}");
        [
            name,
            layers.to_string(),
            us(own.forward_us),
            us(own.backward_us),
            us(cudnn.forward_us),
            us(cudnn.backward_us),
            faster.to_string(),
        ]
    };
    for BatchNormTimes { shape, residual, layers, own, cudnn, .. } in kinds {
        let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
        let name = format!("{}{}", sizes.join(" x "), if *residual { ", residual" } else { "" });
        table.add_row(row(name, *layers, *own, *cudnn));
    }
    let sum = |passes: fn(&BatchNormTimes) -> Passes| {
        let each = |pass: fn(Passes) -> f64| kinds.iter().map(|of| of.layers as f64 * pass(passes(of))).sum();
        Passes { forward_us: each(|of| of.forward_us), backward_us: each(|of| of.backward_us) }
    };
    let layers = kinds.iter().map(|of| of.layers).sum();
    table.add_row(row("all layers of a step".into(), layers, sum(|of| of.own), sum(|of| of.cudnn)));
    table
}

fn ruled(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(header);
    table
}

fn aligned(mut table: Table) -> Table {
    table.column_iter_mut().skip(1).for_each(|c| c.set_cell_alignment(CellAlignment::Right));
    table
}
