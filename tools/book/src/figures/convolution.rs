//! Multiplications and bytes of the five steps of a convolution, as bars.

use super::Drawn;
use super::svg::{Align, Drawing};

const LEFT: f64 = 130.0;
/// The length of the longest bar of each kind.
const LENGTH: f64 = 400.0;
const HEIGHT: f64 = 16.0;
const STEP: f64 = 52.0;

/// A line of the run: the name of a step, its multiplications and its bytes.
fn step(line: &str) -> Option<(&str, [f64; 2])> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    Some((name, [words.next()?.parse().ok()?, words.next()?.parse().ok()?]))
}

/// Draws two bars for each step.
pub fn draw(output: &[String]) -> Drawn {
    let steps: Vec<(&str, [f64; 2])> = output.iter().filter_map(|line| step(line)).collect();
    if steps.len() != 5 {
        return Err(format!("{} steps with two numbers, expected 5", steps.len()).into());
    }
    let most = [0, 1].map(|kind| steps.iter().map(|(_, numbers)| numbers[kind]).fold(0.0, f64::max));
    let height = 60.0 + STEP * steps.len() as f64;
    let mut drawing =
        Drawing::new(LEFT + LENGTH + 130.0, height, "Multiplications and bytes of the five steps");
    for (i, (colour, what)) in [("blue", "multiplications"), ("orange", "bytes")].into_iter().enumerate() {
        let x = LEFT + 170.0 * i as f64;
        drawing.rectangle(x, 16.0, 14.0, 14.0, colour);
        drawing.note(x + 22.0, 28.0, Align::Start, what);
    }
    for (i, (name, numbers)) in steps.iter().enumerate() {
        let y = 50.0 + STEP * i as f64;
        drawing.code(LEFT - 12.0, y + 20.0, Align::End, name);
        for (kind, colour) in ["blue", "orange"].into_iter().enumerate() {
            let (y, length) = (y + (HEIGHT + 2.0) * kind as f64, LENGTH * numbers[kind] / most[kind]);
            drawing.rectangle(LEFT, y, length, HEIGHT, colour);
            let text = format!("{:.1} million", numbers[kind] / 1e6);
            drawing.note(LEFT + length + 8.0, y + 12.0, Align::Start, &text);
        }
    }
    Ok(drawing.finish())
}
