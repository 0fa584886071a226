//! The classes that a trained network gives to the places of the plane.

use super::Drawn;
use super::svg::Drawing;

/// A character is twice as high as wide.
const CELL: [f64; 2] = [9.0, 18.0];

/// Draws a cell for each character of the lines that consist of `.` and `#`.
pub fn draw(output: &[String]) -> Drawn {
    let rows = output.iter().map(|line| line.trim());
    let rows: Vec<&str> =
        rows.filter(|row| !row.is_empty() && row.chars().all(|c| c == '.' || c == '#')).collect();
    let width = rows.first().ok_or("no map of the plane")?.len();
    if rows.iter().any(|row| row.len() != width) {
        return Err("the rows of the map differ in length".into());
    }
    let size = [24.0 + CELL[0] * width as f64, 24.0 + CELL[1] * rows.len() as f64];
    let mut drawing =
        Drawing::new(size[0], size[1], "The class that the trained network gives to each place");
    for (y, row) in rows.iter().enumerate() {
        for (x, class) in row.chars().enumerate() {
            let colour = if class == '.' { "blue" } else { "orange" };
            drawing.cell(12.0 + CELL[0] * x as f64, 12.0 + CELL[1] * y as f64, CELL, colour);
        }
    }
    Ok(drawing.finish())
}
