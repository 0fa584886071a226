use crate::answer::to_bf16;
use crate::checks::*;

/// The lower halves of each upper half: around both ends and around the tie.
const LOWER: [u32; 10] = [0, 1, 2, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0x8002, 0xfffe, 0xffff];

const INFINITY: u32 = 0x7f80;

fn value(bf16: u32) -> f32 {
    f32::from_bits(bf16 << 16)
}

/// The value of a number of bf16 without a sign, where what lies above the largest one is 2^128.
fn size(bf16: u32) -> f64 {
    if bf16 == INFINITY { 2f64.powi(128) } else { f64::from(value(bf16)) }
}

/// The nearest number to a finite `x`, from the distances to both neighbours; and whether they are equal.
fn nearest(x: f32) -> (u32, bool) {
    let (sign, below) = ((x.to_bits() >> 16) & 0x8000, (x.to_bits() >> 16) & 0x7fff);
    let x = f64::from(x.abs());
    let (down, up) = (x - size(below), size(below + 1) - x);
    let is_tie = down == up;
    let goes_up = up < down || (is_tie && below % 2 == 1);
    (sign | (below + u32::from(goes_up)), is_tie)
}

fn one(bits: u32) -> Finding {
    let x = f32::from_bits(bits);
    let got = u32::from(to_bf16(x));
    let told = |bf16: u32| format!("{bf16:04x}, {:e}", value(bf16));
    if x.is_nan() {
        return that(value(got).is_nan(), || {
            format!(
                "{bits:08x} is NaN and becomes {:e}: the upper half alone may be that of infinity, and an addition may \
                 carry into the sign",
                value(got)
            )
        });
    }
    if x.is_infinite() {
        return that(got == bits >> 16, || format!("{x} becomes {}: infinity stays infinity", told(got)));
    }
    let (want, is_tie) = nearest(x);
    that(got == want, || {
        let toward_zero = bits >> 16;
        let why = match (is_tie, got) {
            (true, _) if got.abs_diff(want) == 1 => {
                format!("{x:e} ({bits:08x}), a tie, goes to the odd one")
            }
            (_, got) if got == toward_zero => {
                format!("{x:e} ({bits:08x}) is rounded towards 0, and the number above is nearer")
            }
            _ => format!("{x:e} ({bits:08x}) is not rounded to the nearest"),
        };
        format!("{why}: {} instead of {}", told(got), told(want))
    })
}

/// All upper halves that `is_of` accepts, with `LOWER`.
fn all(is_of: impl Fn(f32) -> bool) -> Finding {
    for upper in 0..=0xffff {
        for lower in LOWER {
            let bits = upper << 16 | lower;
            if is_of(f32::from_bits(bits)) {
                one(bits)?;
            }
        }
    }
    Ok(())
}

pub fn grade(checks: &mut Checks) {
    checks.check("numbers of both types stay", || {
        (0..=0xffffu32).filter(|upper| !value(*upper).is_nan()).try_for_each(|upper| one(upper << 16))
    });
    checks.check("normal numbers", || all(f32::is_normal));
    checks.check("zeros and subnormal numbers", || all(|x| x.is_subnormal() || x == 0.0));
    checks.check("infinities and NaN", || all(|x| !x.is_finite()));
    checks.check("100,000 random bits", || {
        let mut numbers = Numbers::new(161);
        (0..100_000).try_for_each(|_| one((numbers.below(1 << 16) << 16 | numbers.below(1 << 16)) as u32))
    });
}
