//! The stages of a training step, from the table in the documentation of the library.

use super::Drawn;
use super::svg::{Align, Drawing};

const TABLE: &str = "//! | stage | function | result |";
const ROW: f64 = 44.0;
const WIDTH: f64 = 820.0;

/// Draws the table that begins with [`TABLE`] in `source`.
pub fn draw(source: &str) -> Drawn {
    let rows = source.lines().skip_while(|line| !line.starts_with(TABLE)).skip(2);
    let rows: Vec<Vec<String>> = rows.take_while(|line| line.starts_with("//! |")).map(columns).collect();
    if rows.len() < 5 || rows.iter().any(|row| row.len() != 5) {
        return Err(format!("src/lib.rs has no table of stages that begins with {TABLE}").into());
    }
    let height = 50.0 + ROW * rows.len() as f64;
    let mut drawing = Drawing::new(WIDTH, height, "The stages of a training step, from top to bottom");
    for (x, title) in [(20.0, "stage"), (220.0, "function"), (540.0, "memory on a GPU")] {
        drawing.note(x, 26.0, Align::Start, title);
    }
    for (i, row) in rows.iter().enumerate() {
        let y = 38.0 + ROW * i as f64;
        let colour = if row[0] == "gradient" { "orange" } else { "blue" };
        drawing.rectangle(12.0, y, 180.0, ROW - 14.0, colour);
        drawing.text(20.0, y + 20.0, Align::Start, &row[0]);
        drawing.code(220.0, y + 20.0, Align::Start, &row[1]);
        let memory = row[3].split([',', ';', '(']).next().unwrap_or_default().trim();
        drawing.text(540.0, y + 20.0, Align::Start, memory);
        if i + 1 < rows.len() {
            drawing.arrow([102.0, y + ROW - 14.0], [102.0, y + ROW - 1.0]);
        }
    }
    Ok(drawing.finish())
}

/// The cells of a row. Of a list of functions the first is taken, without the brackets of a link.
fn columns(line: &str) -> Vec<String> {
    let cells = line.trim_start_matches("//! |").trim_end_matches('|').split('|');
    let plain = |cell: &str| cell.replace(['`', '[', ']'], "");
    let mut cells: Vec<String> = cells.map(|cell| plain(cell).trim().to_string()).collect();
    if let Some(function) = cells.get_mut(1) {
        *function = function.split([',', '\'']).next().unwrap_or_default().to_string();
    }
    cells
}
