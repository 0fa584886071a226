// Expect: has changed when the rotation is switched on
//! The augmentations of an image, and a new one: rotation.
//!
//! | words | draw |
//! |---|---|
//! | 0 | the flip |
//! | 1, 2 | top and left of the crop |
//! | 4 to 6 | factors of brightness, contrast and saturation |
//! | 8 | whether to erase |
//! | 9 | the rotation |
//! | 12 to 411 | area, aspect, top and left of at most 100 rectangles |
//! | 512 and above | noise of the pixels |

use crate::philox::Draws;

/// The random choices of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    pub flip: bool,
    pub top: i32,
    pub left: i32,
    /// Brightness, contrast and saturation.
    pub colours: [f32; 3],
    pub erase: bool,
    /// 0 to 3, clockwise; 0 without rotation.
    pub quarter_turns: u32,
}

/// The view of an image. `rotate` switches the rotation on.
pub fn view(draws: &Draws, rotate: bool) -> View {
    // The words are taken in the order of the draws.
    let next = if rotate { 1 } else { 0 };
    let quarter_turns = if rotate { draws.below(0, 4) } else { 0 };
    let shift = |word: u32| draws.below(word, 21) as i32 - 10;
    let factor = |word: u32| 0.8 + 0.4 * (draws.word(word) >> 8) as f32 / 16_777_216.0;
    View {
        flip: draws.below(next, 2) == 1,
        top: shift(1 + next),
        left: shift(2 + next),
        colours: [factor(4 + next), factor(5 + next), factor(6 + next)],
        erase: draws.below(8 + next, 2) == 1,
        quarter_turns,
    }
}

/// An image of `side` x `side` pixels by rows, three bytes each, after so many quarter turns clockwise.
pub fn rotated(pixels: &[u8], side: usize, quarter_turns: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(pixels.len());
    let last = side.saturating_sub(1);
    for y in 0..side {
        for x in 0..side {
            // Where this pixel comes from: after one turn the left column, read upwards, is the top row.
            let (row, column) = match quarter_turns % 4 {
                0 => (y, x),
                1 => (last - x, y),
                2 => (last - y, last - x),
                _ => (x, last - y),
            };
            out.extend_from_slice(&pixels[3 * (row * side + column)..][..3]);
        }
    }
    out
}
