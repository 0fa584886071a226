//! The error of a finite difference by its step, on logarithmic axes.

use super::Drawn;
use super::svg::{Align, Drawing};

const SIDE: f64 = 46.0;
const LEFT: f64 = 80.0;
const TOP: f64 = 40.0;

/// Draws a point for each line of two numbers: step and error.
pub fn draw(output: &[String]) -> Drawn {
    let pair = |line: &String| {
        let mut words = line.split_whitespace();
        let pair = [words.next()?.parse::<f64>().ok()?, words.next()?.parse::<f64>().ok()?];
        (words.next().is_none() && pair.iter().all(|number| *number > 0.0)).then(|| pair.map(f64::log10))
    };
    let points: Vec<[f64; 2]> = output.iter().filter_map(pair).collect();
    if points.len() < 3 {
        return Err("fewer than three lines of two numbers".into());
    }
    let range = |axis: usize| {
        let values = points.iter().map(|point| point[axis]);
        let least = values.clone().fold(f64::INFINITY, f64::min).floor();
        (least as i32, values.fold(f64::NEG_INFINITY, f64::max).ceil() as i32)
    };
    let ((x0, x1), (y0, y1)) = (range(0), range(1));
    let (width, height) = (LEFT + SIDE * f64::from(x1 - x0) + 40.0, TOP + SIDE * f64::from(y1 - y0) + 60.0);
    let mut drawing = Drawing::new(width, height, "The error of a central difference in f32, by its step");
    let bottom = height - 60.0;
    let place = |x: f64, y: f64| [LEFT + SIDE * (x - f64::from(x0)), bottom - SIDE * (y - f64::from(y0))];
    for x in x0..=x1 {
        let [at, _] = place(f64::from(x), 0.0);
        drawing.line([at, TOP], [at, bottom]);
        drawing.note(at, bottom + 18.0, Align::Middle, &format!("1e{x}"));
    }
    for y in y0..=y1 {
        let [_, at] = place(0.0, f64::from(y));
        drawing.line([LEFT, at], [width - 40.0, at]);
        drawing.note(LEFT - 8.0, at + 4.0, Align::End, &format!("1e{y}"));
    }
    drawing.note(LEFT - 60.0, 22.0, Align::Start, "error of the difference");
    drawing.note(width - 40.0, height - 18.0, Align::End, "step");
    drawing.curve(&points.iter().map(|[x, y]| place(*x, *y)).collect::<Vec<_>>());
    Ok(drawing.finish())
}
