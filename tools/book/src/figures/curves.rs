//! Curves of a run over its first column.

use super::Drawn;
use super::svg::{Align, Drawing};

const LEFT: f64 = 70.0;
const WIDTH: f64 = 420.0;
const TOP: f64 = 40.0;
const HEIGHT: f64 = 200.0;

/// The lines of three numbers.
fn rows(output: &[String]) -> Vec<[f64; 3]> {
    let row = |line: &String| {
        let numbers: Option<Vec<f64>> = line.split_whitespace().map(|word| word.parse().ok()).collect();
        numbers?.try_into().ok()
    };
    output.iter().filter_map(row).collect()
}

/// Draws two curves, the second and the third number of each line over the first. The vertical axis begins at 0, or has
/// powers of 10 if it is `logarithmic`.
pub fn draw(
    output: &[String],
    title: &str,
    names: [&str; 2],
    [x_name, y_name]: [&str; 2],
    logarithmic: bool,
) -> Drawn {
    let rows = rows(output);
    if rows.len() < 4 {
        return Err("fewer than four lines of three numbers".into());
    }
    let height = |value: f64| if logarithmic { value.log10() } else { value };
    let heights: Vec<[f64; 2]> = rows.iter().map(|row| [height(row[1]), height(row[2])]).collect();
    let mut most = heights.iter().flatten().copied().fold(0.0, f64::max);
    let mut least = heights.iter().flatten().copied().fold(0.0, f64::min);
    if logarithmic {
        // Whole powers, also in the middle.
        (most, least) = (most.ceil(), least.floor());
        least -= (most - least).rem_euclid(2.0);
    }
    let last = rows.last().map_or(1.0, |row| row[0]);
    let place = |x: f64, y: f64| [LEFT + WIDTH * x / last, TOP + HEIGHT * (most - y) / (most - least)];
    let mut drawing = Drawing::new(LEFT + WIDTH + 150.0, TOP + HEIGHT + 60.0, title);
    drawing.note(LEFT - 50.0, 22.0, Align::Start, y_name);
    drawing.note(LEFT + WIDTH, TOP + HEIGHT + 44.0, Align::End, x_name);
    for mark in [most, (most + least) / 2.0, least] {
        let [_, y] = place(0.0, mark);
        drawing.line([LEFT, y], [LEFT + WIDTH, y]);
        let label = if logarithmic { format!("1e{mark:.0}") } else { format!("{mark:.2}") };
        drawing.note(LEFT - 8.0, y + 4.0, Align::End, &label);
    }
    for row in &rows {
        let [x, _] = place(row[0], 0.0);
        drawing.note(x, TOP + HEIGHT + 22.0, Align::Middle, &format!("{}", row[0]));
    }
    for (curve, name) in names.into_iter().enumerate() {
        let points: Vec<[f64; 2]> =
            rows.iter().zip(&heights).map(|(row, heights)| place(row[0], heights[curve])).collect();
        let [x, y] = points[points.len() - 1];
        drawing.note(x + 10.0, y + 4.0, Align::Start, name);
        drawing.curve(&points);
    }
    Ok(drawing.finish())
}
