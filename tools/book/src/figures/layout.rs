//! Where the elements of an activation lie in memory: NHWC and NCHW.

use super::Drawn;
use super::svg::{Align, Drawing};

/// Height, width and channels of the image of the figure.
const SIZES: [usize; 3] = [2, 3, 2];
const CELL: f64 = 62.0;
const COLOURS: [&str; 2] = ["blue", "orange"];

/// The step in memory from an element to the next one of each of h, w and c.
fn strides(order: [usize; 3]) -> [usize; 3] {
    let mut strides = [0; 3];
    let mut step = 1;
    for axis in order.into_iter().rev() {
        strides[axis] = step;
        step *= SIZES[axis];
    }
    strides
}

/// Draws the elements of one image in the order of memory, for both layouts.
pub fn draw() -> Drawn {
    let count: usize = SIZES.iter().product();
    let mut drawing = Drawing::new(
        40.0 + CELL * count as f64,
        250.0,
        "The twelve elements of an image of two rows, three columns and two channels, in the order of memory",
    );
    for (row, (name, order)) in [("NHWC", [0, 1, 2]), ("NCHW", [2, 0, 1])].into_iter().enumerate() {
        let strides = strides(order);
        let y = 20.0 + 115.0 * row as f64;
        let title = format!(
            "{name}: strides of h, w, c = {}, {}, {}; element (h, w, c) lies at {} h + {} w + {} c",
            strides[0], strides[1], strides[2], strides[0], strides[1], strides[2]
        );
        drawing.text(20.0, y + 10.0, Align::Start, &title);
        for h in 0..SIZES[0] {
            for w in 0..SIZES[1] {
                for (c, colour) in COLOURS.into_iter().enumerate() {
                    let at = h * strides[0] + w * strides[1] + c * strides[2];
                    let x = 20.0 + CELL * at as f64;
                    drawing.rectangle(x, y + 22.0, CELL, 40.0, colour);
                    drawing.code(x + CELL / 2.0, y + 47.0, Align::Middle, &format!("{h},{w},{c}"));
                    drawing.note(x + CELL / 2.0, y + 80.0, Align::Middle, &at.to_string());
                }
            }
        }
    }
    drawing.note(
        20.0,
        242.0,
        Align::Start,
        "Blue: channel 0. Orange: channel 1. The number below a cell is its offset.",
    );
    Ok(drawing.finish())
}
