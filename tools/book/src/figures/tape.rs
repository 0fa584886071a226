//! The walk backwards over a tape: which operation writes which gradient, and how.

use super::Drawn;
use super::svg::{Align, Drawing};

const COLUMN: f64 = 52.0;
const ROW: f64 = 34.0;
const LEFT: f64 = 230.0;

/// A line of the run: `linear   input 0 = value 3: Overwrite`.
struct Write {
    op: String,
    input: usize,
    value: usize,
    mode: String,
}

fn parse(line: &str) -> Option<Write> {
    let (before, mode) = line.rsplit_once(": ")?;
    let (before, value) = before.split_once(" = value ")?;
    let (op, input) = before.split_once(" input ")?;
    let (op, mode) = (op.trim().to_string(), mode.trim().to_string());
    Some(Write { op, input: input.trim().parse().ok()?, value: value.trim().parse().ok()?, mode })
}

/// Draws a row for each operation of the walk, and a column for each value.
pub fn draw(output: &[String]) -> Drawn {
    let writes: Vec<Write> = output.iter().filter_map(|line| parse(line)).collect();
    let last = writes.iter().map(|write| write.value).max().ok_or("no line of the walk")?;
    // Input 0 begins the next operation.
    let rows = writes.iter().filter(|write| write.input == 0).count();
    let width = LEFT + COLUMN * (last + 1) as f64 + 20.0;
    let height = 96.0 + ROW * rows as f64;
    let mut drawing =
        Drawing::new(width, height, "Which operation writes which gradient in the walk backwards");
    drawing.note(20.0, 28.0, Align::Start, "time, downwards");
    for value in 0..=last {
        let x = LEFT + COLUMN * (value as f64 + 0.5);
        drawing.code(x, 28.0, Align::Middle, &format!("d{value}"));
        drawing.line([x, 36.0], [x, height - 50.0]);
    }
    let mut row = 0;
    for write in &writes {
        if write.input == 0 {
            row += 1;
            let y = 28.0 + ROW * row as f64;
            drawing.text(20.0, y + 5.0, Align::Start, &write.op);
        }
        let y = 28.0 + ROW * row as f64;
        let (colour, letter) = if write.mode == "Overwrite" { ("blue", "=") } else { ("orange", "+=") };
        let x = LEFT + COLUMN * write.value as f64;
        drawing.rectangle(x + 8.0, y - 11.0, COLUMN - 16.0, 22.0, colour);
        drawing.code(x + COLUMN / 2.0, y + 5.0, Align::Middle, letter);
    }
    let legend = "Blue, =: the first writer overwrites. Orange, +=: a later writer adds. Columns: gradients of values.";
    drawing.note(20.0, height - 18.0, Align::Start, legend);
    Ok(drawing.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_walk_are_read() {
        let write = parse("    linear                 input 1 = value 3: Accumulate").unwrap();
        assert_eq!(
            (write.op.as_str(), write.input, write.value, write.mode.as_str()),
            ("linear", 1, 3, "Accumulate")
        );
        assert!(parse("loss: 1.5 here, 1.5 in the library").is_none());
        assert!(draw(&["nothing".into()]).is_err());
    }
}
