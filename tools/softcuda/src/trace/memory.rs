//! The lower part of the picture: for each array, which of its pieces each access of a warp touches.

use super::accesses::WarpAccess;
use super::svg::{Drawing, MARGIN, short, thousands};
use super::{AccessKind, Array, Trace};

/// Memory is moved in lines of so many bytes.
const LINE: u64 = 128;
/// The columns of the picture.
const CELLS: f64 = 385.0;
const COUNTS: f64 = 725.0;
const CELL: f64 = 10.0;
/// The largest number of cells in a row, and of rows, that are drawn for an array.
const MOST_CELLS: u64 = 128;
const MOST_ROWS: usize = 16;
/// The longest text left of the cells.
const LETTERS: usize = 54;

/// Draws the arrays of a trace, the first one below `y`; returns where the drawing ends.
pub fn draw(drawing: &mut Drawing, trace: &Trace, mut y: f64) -> f64 {
    let accesses = trace.warp_accesses();
    for (number, array) in trace.arrays.iter().enumerate() {
        let own: Vec<&WarpAccess> = accesses.iter().filter(|access| access.array == number).collect();
        y = draw_array(drawing, array, &own, y) + 14.0;
    }
    y + 6.0
}

/// The bytes of a cell: a sector of global memory, or a word of shared memory.
fn cell_bytes(array: &Array) -> u64 {
    if array.is_shared { 4 } else { 32 }
}

fn draw_array(drawing: &mut Drawing, array: &Array, accesses: &[&WarpAccess], mut y: f64) -> f64 {
    let size = cell_bytes(array);
    let what = if array.is_shared {
        "shared memory, each cell is a word of 4 bytes"
    } else {
        "global memory, each cell is a sector of 32 bytes"
    };
    drawing.named(MARGIN, y, &array.name, &format!("{} bytes of {what}", thousands(array.bytes)));

    let mut lines: Vec<u64> = accesses.iter().flat_map(|access| access.pieces(LINE).into_keys()).collect();
    lines.sort_unstable();
    lines.dedup();
    let most = (MOST_CELLS / (LINE / size)) as usize;
    let hidden = lines.len().saturating_sub(most);
    lines.truncate(most);
    let columns = Columns::new(&lines, (LINE / size) as usize);
    y += 18.0;
    columns.name_lines(drawing, y);
    if hidden > 0 {
        drawing.text(COUNTS, y, "soft", &format!("and {hidden} more lines"));
    }
    for access in accesses.iter().take(MOST_ROWS) {
        y += 17.0;
        drawing.text(MARGIN, y, "soft", &label(access));
        let touched = access.pieces(size);
        for (column, x) in columns.cells() {
            let class = match touched.get(&column) {
                None => "empty",
                Some(&bytes) if bytes < size => "part",
                Some(_) => "full",
            };
            drawing.cell(x, y - 10.0, [columns.width - (columns.width * 0.15).min(1.0), 12.0], class);
        }
        drawing.text(COUNTS, y, "soft", &counts(access, array));
    }
    let more = accesses.len().saturating_sub(MOST_ROWS);
    if more > 0 {
        y += 17.0;
        drawing.text(MARGIN, y, "soft", &format!("and {more} more accesses of a warp"));
    }
    y + 14.0
}

/// Who, what, and where in the source.
fn label(access: &WarpAccess) -> String {
    let what = match access.kind {
        AccessKind::Read => "reads",
        AccessKind::Write => "writes",
        AccessKind::Atomic => "updates",
    };
    let who = format!("warp {} {what}", access.warp);
    let Some(inner) = access.places.first() else { return who };
    // A function of a header that is called from a line of the kernel's file.
    let outer = access.places.iter().find(|place| place.contains(".cu:"));
    match outer {
        Some(outer) if outer != inner => {
            let both = format!("{who}, {} from {}", short(inner), short(outer));
            if both.len() <= LETTERS { both } else { format!("{who}, {}", short(outer)) }
        }
        _ => format!("{who}, {}", short(inner)),
    }
}

fn counts(access: &WarpAccess, array: &Array) -> String {
    let pieces = access.pieces(cell_bytes(array)).len();
    let plural = if pieces == 1 { "" } else { "s" };
    if array.is_shared {
        format!("{pieces} word{plural}")
    } else {
        format!("{pieces} sector{plural}, {} bytes", thousands(access.bytes()))
    }
}

/// Where the cells of the touched lines stand.
struct Columns<'l> {
    lines: &'l [u64],
    cells_of_line: usize,
    width: f64,
}

impl<'l> Columns<'l> {
    const GAP: f64 = 2.0;

    fn new(lines: &'l [u64], cells_of_line: usize) -> Self {
        let room = COUNTS - CELLS - 12.0 - Self::GAP * lines.len() as f64;
        let width = (room / (lines.len().max(1) * cells_of_line) as f64).min(CELL);
        Columns { lines, cells_of_line, width }
    }

    fn line_width(&self) -> f64 {
        self.width * self.cells_of_line as f64 + Self::GAP
    }

    /// The number in the array, and the place, of each cell.
    fn cells(&self) -> impl Iterator<Item = (u64, f64)> {
        self.lines.iter().enumerate().flat_map(move |(index, line)| {
            let x = CELLS + self.line_width() * index as f64;
            let first = line * self.cells_of_line as u64;
            (0..self.cells_of_line).map(move |cell| (first + cell as u64, x + self.width * cell as f64))
        })
    }

    /// Numbers above the lines, where they have room.
    fn name_lines(&self, drawing: &mut Drawing, y: f64) {
        let step = (38.0 / self.line_width()).ceil().max(1.0) as usize;
        for (index, line) in self.lines.iter().enumerate().step_by(step) {
            let name = if index == 0 { format!("line {line}") } else { line.to_string() };
            drawing.text(CELLS + self.line_width() * index as f64, y, "soft", &name);
        }
    }
}
