//! A step in two streams, as the run of chapter 15 prints it.

use super::Drawn;
use super::svg::{Align, Drawing};

const UNIT: f64 = 10.0;
const LEFT: f64 = 60.0;
const HEIGHT: f64 = 34.0;
/// The upper edges of the two streams.
const ROWS: [(&str, f64, &str); 2] = [("main", 50.0, "blue"), ("side", 130.0, "green")];

struct Piece {
    row: usize,
    name: String,
    begin: f64,
    end: f64,
}

/// Draws a rectangle for each line `STREAM NAME BEGIN END`. Arrows show which work waits for the other stream.
pub fn draw(output: &[String]) -> Drawn {
    let pieces: Vec<Piece> = output.iter().filter_map(|line| piece(line)).collect();
    let last = pieces.iter().map(|piece| piece.end).fold(0.0, f64::max);
    if pieces.len() < 5 || last == 0.0 {
        return Err("fewer than five lines of a stream, a name, a begin and an end".into());
    }
    let width = LEFT + UNIT * last + 20.0;
    let mut drawing =
        Drawing::new(width, 230.0, "The pieces of work of a step in two streams, from left to right");
    let at = |time: f64| LEFT + UNIT * time;
    for (name, y, _) in ROWS {
        drawing.text(12.0, y + 22.0, Align::Start, name);
    }
    for Piece { row, name, begin, end } in &pieces {
        let (_, y, colour) = ROWS[*row];
        let (x, wide) = (at(*begin), UNIT * (end - begin));
        if wide == 0.0 {
            drawing.note(x, 24.0, Align::Middle, name);
            drawing.arrow([x, ROWS[1].1], [x, y + HEIGHT + 1.0]);
            continue;
        }
        let is_update = name.starts_with("sgd");
        drawing.rectangle(x, y, wide, HEIGHT, if is_update { "orange" } else { colour });
        if *row == 1 {
            drawing.arrow([x, ROWS[0].1 + HEIGHT], [x, y - 1.0]);
        }
        // Small letters are about 6.5 wide; a name that does not fit stands outside.
        let inside = 6.5 * name.len() as f64 + 6.0 <= wide;
        let below = if *row == 0 { y - 6.0 } else { y + HEIGHT + 14.0 };
        drawing.small(x + wide / 2.0, if inside { y + 21.0 } else { below }, Align::Middle, name);
    }
    for tick in (0..=last as usize).step_by(10) {
        let x = at(tick as f64);
        drawing.line([x, 196.0], [x, 202.0]);
        drawing.note(x, 218.0, Align::Middle, &tick.to_string());
    }
    drawing.line([LEFT, 196.0], [at(last), 196.0]);
    Ok(drawing.finish())
}

fn piece(line: &str) -> Option<Piece> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [stream, name, begin, end] = words[..] else { return None };
    let row = ROWS.iter().position(|(own, ..)| *own == stream)?;
    Some(Piece { row, name: name.into(), begin: begin.parse().ok()?, end: end.parse().ok()? })
}
