use crate::answer::run;
use crate::checks::*;
use crate::layer::{Layer, TAPS};
use crate::meter::Counts;

/// Multiplications that the chapter's layer may cost.
const MOST: usize = 1_800_000;

/// The multiplications of a run whose result is right.
fn right(layer: &Layer) -> Result<usize, String> {
    let mut numbers = Numbers::new((layer.height * layer.c + layer.k) as u64);
    let (x, w) = (numbers.many_f32(layer.pixels() * layer.c), numbers.many_f32(layer.k * TAPS * layer.c));
    let mut y = vec![f32::NAN; layer.pixels() * layer.k];
    let mut counts = Counts::default();
    run(&mut counts, layer, &x, &w, &mut y);
    let want = layer.definition(&x, &w);
    if let Some(at) = y.iter().position(|y| y.is_nan()) {
        let [row, column] = [at / layer.k / layer.width, at / layer.k % layer.width];
        return Err(format!("y[{row}, {column}, {}] is not computed, or NaN", at % layer.k));
    }
    let largest = want.iter().fold(0.0f64, |most, y| most.max(y.abs()));
    let error = |at: usize| (f64::from(y[at]) - want[at]).abs() / largest;
    let worst = (0..y.len()).max_by(|&a, &b| error(a).total_cmp(&error(b))).unwrap_or(0);
    if error(worst) > 1e-4 {
        // Which outputs of a tile are wrong tells which row of a matrix is.
        let is_wrong = |row: usize, column: usize| {
            (0..y.len()).any(|at| {
                let [i, j] = [at / layer.k / layer.width % 4, at / layer.k % layer.width % 4];
                [i, j] == [row, column] && error(at) > 1e-4
            })
        };
        let wrong = (0..16).filter(|at| is_wrong(at / 4, at % 4)).count();
        let [row, column] = [worst / layer.k / layer.width, worst / layer.k % layer.width];
        return Err(format!(
            "y[{row}, {column}, {}] is {} instead of {}; of the 16 outputs of a tile, {wrong} are wrong (all of them: \
             look at the transforms of filter and input, some: at that of the output)",
            worst % layer.k,
            short(f64::from(y[worst])),
            short(want[worst])
        ));
    }
    Ok(counts.0.multiplications)
}

pub fn grade(checks: &mut Checks) {
    for [height, width, c, k] in [[16, 8, 64, 64], [8, 8, 8, 32], [4, 16, 24, 16]] {
        let layer = Layer { height, width, c, k };
        checks.check(&format!("{height} x {width} pixels, c = {c}, k = {k}"), || right(&layer).map(|_| ()));
    }
    checks.check("multiplications for 16 x 8 pixels", || {
        let layer = Layer { height: 16, width: 8, c: 64, k: 64 };
        let count = right(&layer)?;
        // 36 for each tile of 16 pixels, channel and filter.
        let products = 36 * layer.pixels() / 16 * layer.c * layer.k;
        that(count >= products, || {
            format!(
                "the meter counts {count} multiplications, the 36 products of matrices need {products}: all of them go \
                 through the meter"
            )
        })?;
        that(count > products, || {
            format!("the meter counts {count} multiplications, as many as the products: the transforms multiply too")
        })?;
        that(count <= MOST, || {
            format!(
                "the meter counts {count} multiplications, {MOST} are allowed: {products} for the products of \
                 matrices, the rest for the transforms, those of the filters once for all tiles"
            )
        })
    });
}
