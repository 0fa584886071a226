use crate::answer::{View, rotated, view};
use crate::checks::*;
use crate::philox::{Draws, words};

const SEED: u64 = 0x1234_5678_9abc_def0;
const BATCH: u32 = 16;

fn draws(image: u32) -> Draws {
    Draws { seed: SEED, step: image / BATCH, slot: image % BATCH }
}

fn place(image: u32) -> String {
    format!("the image at place {} of step {}", image % BATCH, image / BATCH)
}

/// The augmentations of the table, without rotation.
fn table(image: u32) -> View {
    let draws = draws(image);
    let unit = |word: u32| 0.8 + 0.4 * (draws.word(word) >> 8) as f32 / 16_777_216.0;
    View {
        flip: draws.word(0) >= 1 << 31,
        top: draws.below(1, 21) as i32 - 10,
        left: draws.below(2, 21) as i32 - 10,
        colours: [unit(4), unit(5), unit(6)],
        erase: draws.word(8) >= 1 << 31,
        quarter_turns: 0,
    }
}

/// Whose word it is; none if it is free.
fn owner(word: u32) -> Option<&'static str> {
    match word {
        0 => Some("the flip's"),
        1 | 2 => Some("the crop's"),
        4..=6 => Some("the colours'"),
        8 => Some("that of erasing"),
        12..=411 => Some("a rectangle's"),
        512.. => Some("the noise's"),
        _ => None,
    }
}

fn compare(image: u32, rotate: bool) -> Finding {
    let (got, want) = (view(&draws(image), rotate), table(image));
    let differs = |what: &str| {
        let when = if rotate { "when the rotation is switched on" } else { "without rotation" };
        Err(format!("{what} of {} has changed {when}: its word must stay its own", place(image)))
    };
    if got.flip != want.flip {
        return differs("the flip");
    }
    if (got.top, got.left) != (want.top, want.left) {
        return differs("the crop");
    }
    if got.colours.map(f32::to_bits) != want.colours.map(f32::to_bits) {
        return differs("the colour");
    }
    if got.erase != want.erase {
        return differs("erasing");
    }
    that(rotate || got.quarter_turns == 0, || {
        format!("{} is rotated although the rotation is switched off", place(image))
    })
}

/// Where pixel (y, x) of the rotated image comes from.
fn source(side: usize, quarter_turns: u32, (y, x): (usize, usize)) -> (usize, usize) {
    // One turn clockwise: row y is column y, read from the bottom.
    (0..quarter_turns).fold((y, x), |(y, x), _| (side - 1 - x, y))
}

fn turned(pixels: &[u8], side: usize, quarter_turns: u32) -> Vec<u8> {
    let places = (0..side * side).map(|at| source(side, quarter_turns, (at / side, at % side)));
    places.flat_map(|(y, x)| pixels[3 * (y * side + x)..][..3].to_vec()).collect()
}

pub fn grade(checks: &mut Checks) {
    checks.check("the other augmentations of 1,000 images stay", || {
        (0..1000).try_for_each(|image| compare(image, false))?;
        (0..1000).try_for_each(|image| compare(image, true))
    });
    checks.check("the rotation has words of its own", || {
        for image in 0..100 {
            let (_, mut asked) = words(|| view(&draws(image), true));
            let (_, others) = words(|| view(&draws(image), false));
            // The other words were asked for by the rotation.
            for word in others {
                if let Some(at) = asked.iter().position(|own| *own == word) {
                    asked.swap_remove(at);
                }
            }
            if let Some((word, owner)) = asked.iter().find_map(|word| Some((word, owner(*word)?))) {
                return Err(format!(
                    "the rotation uses word {word}, which is {owner}: the two draws then depend on each other"
                ));
            }
            that(!asked.is_empty(), || {
                "the rotation asks for no word of its own: an angle from another draw depends on that draw"
                    .into()
            })?;
        }
        Ok(())
    });
    checks.check("the angles of 4,000 images", || {
        let turns: Vec<u32> = (0..4000).map(|image| view(&draws(image), true).quarter_turns).collect();
        that(turns.iter().all(|turns| *turns < 4), || {
            format!("{} quarter turns; 0 to 3 are asked for", turns.iter().max().unwrap())
        })?;
        for angle in 0..4 {
            let share = turns.iter().filter(|turns| **turns == angle).count() as f64 / 40.0;
            that((22.0..=28.0).contains(&share), || {
                format!(
                    "{angle} quarter turns come up for {share:.1} % of the images; 22 to 28 % are asked for"
                )
            })?;
        }
        for image in (0..4000).rev() {
            let again = view(&draws(image), true).quarter_turns;
            that(again == turns[image as usize], || {
                format!("{} gets another angle when it is drawn again: a draw has no state", place(image))
            })?;
        }
        Ok(())
    });
    checks.check("pixels are turned", || {
        for side in [1, 2, 3, 8] {
            let pixels: Vec<u8> = (0..3 * side * side).map(|byte| byte as u8).collect();
            for quarter_turns in 0..4 {
                let got = rotated(&pixels, side, quarter_turns);
                let name = format!("{side} x {side} pixels, {quarter_turns} quarter turns");
                that(got.len() == pixels.len(), || {
                    format!("{name}: {} bytes instead of {}", got.len(), pixels.len())
                })?;
                let want = turned(&pixels, side, quarter_turns);
                that(got != turned(&pixels, side, 4 - quarter_turns) || got == want, || {
                    format!("{name}: it turns counter-clockwise; clockwise is asked for")
                })?;
                let at = got.iter().zip(&want).position(|(got, want)| got != want).unwrap_or(0);
                that(got == want, || {
                    format!(
                        "{name}: the pixel in row {} and column {} is {:?} instead of {:?}",
                        at / 3 / side,
                        at / 3 % side,
                        &got[at / 3 * 3..][..3],
                        &want[at / 3 * 3..][..3]
                    )
                })?;
            }
        }
        Ok(())
    });
}
