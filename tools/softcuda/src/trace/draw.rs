//! The picture of a trace: the threads over time, and below it the memory that the warps access.

use std::collections::BTreeMap;

use super::svg::{Drawing, MARGIN, short, thousands};
use super::times::{Passed, State, Times};
use super::{Trace, Wait, memory};

const WIDTH: f64 = 890.0;
const LEFT: f64 = 140.0;
/// The room for the rows of all threads, where they are many.
const HEIGHT: f64 = 400.0;
/// The largest number of runs that is drawn: a row of more would have no room for one.
const MOST_RUNS: u32 = 20_000;
/// The largest number of lines that list waits.
const MOST_WAITS: usize = 12;

impl Trace {
    /// Draws the trace as an SVG file. `title` stands above it.
    pub fn svg(&self, title: &str) -> String {
        let mut drawing = Drawing::new(WIDTH);
        drawing.text(MARGIN, 30.0, "head", title);
        legend(&mut drawing, 54.0);
        let times = Times::of(self, MOST_RUNS);
        let y = threads(&mut drawing, &times, 96.0);
        let y = waits(&mut drawing, &times, self.lost, y);
        let y = memory::draw(&mut drawing, self, y + 22.0);
        drawing.finish(y, title)
    }
}

fn legend(drawing: &mut Drawing, y: f64) {
    let mut x = MARGIN;
    for (class, text) in [
        ("ink", "runs"),
        ("warp", "waits for lanes of its warp"),
        ("block", "waits at a barrier"),
        ("ready", "may run, while others do"),
        ("paper edge", "has returned"),
    ] {
        drawing.cell(x, y - 11.0, [12.0, 12.0], class);
        drawing.text(x + 18.0, y, "soft", text);
        x += 40.0 + 6.4 * text.len() as f64;
    }
}

/// A row for each thread, in groups of a warp. Returns where the next part begins.
fn threads(drawing: &mut Drawing, times: &Times, top: f64) -> f64 {
    let height = (HEIGHT / f64::from(times.threads.max(1))).clamp(0.5, 5.0);
    let row = |thread: u32| top + height * f64::from(thread) + 8.0 * f64::from(thread / 32);
    let across = (WIDTH - LEFT - MARGIN) / f64::from(times.end.max(1));
    let whole: Vec<(u32, u32, u32)> = (0..times.threads).map(|thread| (0, thread, times.end)).collect();
    drawing.bars(&whole, LEFT, [across, height], row, "ready");
    for (state, class) in [
        (State::Returned, "paper"),
        (State::Wait(Wait::Warp), "warp"),
        (State::Wait(Wait::Block), "block"),
        (State::Wait(Wait::Grid), "block"),
        (State::Run, "ink"),
    ] {
        let spans = times.spans.iter().filter(|span| span.state == state);
        let bars: Vec<(u32, u32, u32)> =
            spans.map(|span| (span.begin, span.thread, span.end - span.begin)).collect();
        drawing.bars(&bars, LEFT, [across, height], row, class);
    }
    for first in (0..times.threads).step_by(32) {
        let last = (first + 31).min(times.threads - 1);
        let middle = (row(first) + row(last) + height) / 2.0;
        // Names that would stand on one another are left out.
        if height * 32.0 >= 26.0 {
            drawing.text(MARGIN, middle, "ink", &format!("warp {}", first / 32));
            drawing.text(MARGIN, middle + 15.0, "soft", &format!("threads {first} to {last}"));
        } else if first / 32 % 4 == 0 {
            drawing.text(MARGIN, row(first) + 10.0, "soft", &format!("warp {}", first / 32));
        }
    }
    let bottom = row(times.threads.max(1) - 1) + height;
    let mut right = 0.0;
    for (number, passed) in (1..).zip(barriers(times)) {
        let x = LEFT + across * f64::from(passed.time);
        drawing.upright(x, top - 6.0, bottom + 6.0);
        if x >= right {
            drawing.text(x, top - 10.0, "soft middle", &number.to_string());
            right = x + 18.0;
        }
    }
    let of_all = if times.is_cut { "the first " } else { "" };
    let axis = format!(
        "{of_all}{} runs of a thread, one behind the other, from left to right",
        thousands(u64::from(times.end))
    );
    drawing.text(LEFT, bottom + 20.0, "soft", &axis);
    bottom + 30.0
}

fn barriers(times: &Times) -> impl Iterator<Item = &Passed> {
    times.passed.iter().filter(|passed| passed.wait != Wait::Warp)
}

/// Lists what was waited for, each place of the source once.
fn waits(drawing: &mut Drawing, times: &Times, lost: u64, mut y: f64) -> f64 {
    let mut lines: Vec<String> = Vec::new();
    let mut of_block: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (number, passed) in (1..).zip(barriers(times)) {
        of_block.entry((&passed.operation, &passed.place)).or_default().push(number);
    }
    let mut places: Vec<_> = of_block.into_iter().collect();
    places.sort_by_key(|(_, numbers)| numbers[0]);
    for ((operation, place), numbers) in places {
        let name = if numbers.len() == 1 { "barrier" } else { "barriers" };
        let shown: Vec<String> = numbers.iter().take(8).map(usize::to_string).collect();
        let more = if numbers.len() > 8 { ", ..." } else { "" };
        lines.push(format!("{name} {}{more}: {operation}, {}", shown.join(", "), short(place)));
    }
    let mut of_warps: BTreeMap<(&str, &str), BTreeMap<u32, usize>> = BTreeMap::new();
    for passed in times.passed.iter().filter(|passed| passed.wait == Wait::Warp) {
        *of_warps.entry((&passed.operation, &passed.place)).or_default().entry(passed.warp).or_insert(0) += 1;
    }
    for ((operation, place), counts) in of_warps {
        let total: usize = counts.values().sum();
        let who = match counts.len() {
            1..=4 => {
                let each: Vec<String> =
                    counts.iter().map(|(warp, count)| format!("{count} of warp {warp}")).collect();
                each.join(", ")
            }
            many => format!("{total} of {many} warps"),
        };
        lines.push(format!("{operation}, {}: {who}", short(place)));
    }
    let more = lines.len().saturating_sub(MOST_WAITS);
    lines.truncate(MOST_WAITS);
    if more > 0 {
        lines.push(format!("and {more} more places"));
    }
    if lost > 0 {
        lines.push(format!("the trace is cut: {lost} further events were not recorded"));
    }
    for line in lines {
        y += 18.0;
        drawing.text(LEFT, y, "soft", &line);
    }
    y + 16.0
}
