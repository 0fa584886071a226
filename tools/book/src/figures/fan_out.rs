//! A value that two operations use, and the two gradients that come back.

use super::Drawn;
use super::svg::{Align, Drawing};

/// The gradient that a line of the run states: `accumulate: dx = [12, -4], expected [12, -4]`.
fn gradient<'o>(output: &'o [String], rule: &str) -> Result<&'o str, String> {
    let lines = output.iter().filter_map(|line| line.trim().strip_prefix(rule)?.strip_prefix(": dx = "));
    let found =
        lines.filter_map(|rest| rest.split_once("],")).map(|(numbers, _)| numbers.trim_start_matches('['));
    found.into_iter().next().ok_or_else(|| format!("no line that begins with {rule}: dx ="))
}

/// Draws x, its two users, and the sum of their gradients with each rule.
pub fn draw(output: &[String]) -> Drawn {
    let (right, wrong) = (gradient(output, "accumulate")?, gradient(output, "overwrite")?);
    let mut drawing =
        Drawing::new(640.0, 250.0, "x is used by two operations, so its gradient is a sum of two");
    let node = |drawing: &mut Drawing, x: f64, y: f64, colour: &str, text: &str| {
        drawing.rectangle(x, y, 110.0, 36.0, colour);
        drawing.code(x + 55.0, y + 23.0, Align::Middle, text);
    };
    node(&mut drawing, 30.0, 90.0, "box", "x");
    node(&mut drawing, 250.0, 40.0, "blue", "square");
    node(&mut drawing, 250.0, 140.0, "blue", "square");
    node(&mut drawing, 470.0, 40.0, "box", "y1");
    node(&mut drawing, 470.0, 140.0, "box", "y2");
    for (y, from) in [(58.0, 102.0), (158.0, 114.0)] {
        drawing.arrow([140.0, from], [248.0, y]);
        drawing.arrow([360.0, y], [468.0, y]);
    }
    drawing.note(415.0, 32.0, Align::Middle, "forward: to the right");
    drawing.note(415.0, 118.0, Align::Middle, "backward: to the left, 2 x dy of each");
    drawing.text(
        30.0,
        212.0,
        Align::Start,
        &format!("The second writer adds: dx = [{right}], the sum over both uses."),
    );
    drawing.text(
        30.0,
        236.0,
        Align::Start,
        &format!("The second writer overwrites: dx = [{wrong}], one use is lost."),
    );
    Ok(drawing.finish())
}
