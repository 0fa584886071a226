use crate::answer::run;
use crate::checks::*;
use crate::layer::{Layer, TAPS};
use crate::meter::{Cost, Counts};

/// Image and filters of a layer.
fn data(layer: &Layer) -> (Vec<f32>, Vec<f32>) {
    let mut numbers = Numbers::new((layer.height * 100 + layer.width) as u64);
    (numbers.many_f32(layer.pixels() * layer.c), numbers.many_f32(layer.k * TAPS * layer.c))
}

/// The counts of a run whose result is right.
fn right(layer: &Layer) -> Result<Cost, String> {
    let (x, w) = data(layer);
    // Elements that are not computed stay NaN.
    let mut y = vec![f32::NAN; layer.pixels() * layer.k];
    let mut counts = Counts::default();
    run(&mut counts, layer, &x, &w, &mut y);
    let want = layer.definition(&x, &w);
    let (k, pixels) = (layer.k, layer.pixels());
    if let Some(at) = y.iter().position(|y| y.is_nan()) {
        let last = if at / k >= pixels / 6 * 6 { "; the last tile has fewer than six pixels" } else { "" };
        return Err(format!("pixel {} of {pixels}, filter {}, is not computed{last}", at / k, at % k));
    }
    let name = |found| format!("y [pixel, filter] as one list: {found}");
    // The sums have up to 576 terms between -1 and 1.
    close("y", &y, &want, 1e-4).map_err(name)?;
    Ok(counts.0)
}

pub fn grade(checks: &mut Checks) {
    for [height, width, c, k] in [[16, 8, 64, 64], [5, 7, 5, 32], [1, 1, 3, 16], [3, 4, 2, 48]] {
        let layer = Layer { height, width, c, k };
        checks.check(&format!("{height} x {width} pixels, {c} channels, {k} filters"), || {
            right(&layer).map(|_| ())
        });
    }
    checks.check("bytes for 16 x 8 pixels", || {
        let layer = Layer { height: 16, width: 8, c: 64, k: 64 };
        let Cost { multiplications, bytes } = right(&layer)?;
        let needed = layer.taps_inside() * layer.c * layer.k;
        that(multiplications >= needed, || {
            format!(
                "the meter counts {multiplications} multiplications, the taps inside of the image need {needed}: all \
                 of them go through the meter"
            )
        })?;
        // A value of w is used at most 6 times, a value of x 16 times; each sum is stored once.
        let least = 4 * (needed / 6 + needed / 16 + layer.pixels() * layer.k);
        that(bytes >= least, || {
            format!(
                "the meter counts {bytes} bytes, and a tile of 6 x 16 cannot move fewer than {least}: all loads go \
                 through the meter, and a larger tile does not fit into the registers"
            )
        })?;
        that(bytes < 5_000_000, || {
            format!(
                "the meter counts {bytes} bytes, fewer than 5000000 are asked for: with six rows, each loaded value \
                 of w is used six times"
            )
        })
    });
}
