use crate::answer::linear_backward;
use crate::checks::*;

const SIZES: [usize; 5] = [1, 2, 3, 5, 17];

/// dx, dw and db in f64.
fn gradients(x: &[f32], w: &[f32], dy: &[f32], [m, c, k]: [usize; 3]) -> [Vec<f64>; 3] {
    let at = |values: &[f32], i: usize| f64::from(values[i]);
    let dx = |i: usize, l: usize| (0..k).map(|j| at(dy, i * k + j) * at(w, j * c + l)).sum();
    let dw = |j: usize, l: usize| (0..m).map(|i| at(dy, i * k + j) * at(x, i * c + l)).sum();
    let db = |j: usize| (0..m).map(|i| at(dy, i * k + j)).sum();
    [
        (0..m * c).map(|at| dx(at / c, at % c)).collect(),
        (0..k * c).map(|at| dw(at / c, at % c)).collect(),
        (0..k).map(db).collect(),
    ]
}

fn one(sizes: [usize; 3]) -> Finding {
    let [m, c, k] = sizes;
    let mut numbers = Numbers::new((m * 10_000 + c * 100 + k) as u64);
    let (x, w, dy) = (numbers.many_f32(m * c), numbers.many_f32(k * c), numbers.many_f32(m * k));
    let (dx, dw, db) = linear_backward(&x, &w, &dy, sizes);
    let [want_dx, want_dw, want_db] = gradients(&x, &w, &dy, sizes);
    let named = |found: String| format!("c = {c}, k = {k}: {found}");
    close("dx", &dx, &want_dx, 1e-5)
        .map_err(|found| named(format!("{found}; dx_il = sum_j dy_ij W_jl, and W_jl is w[j * c + l]")))?;
    if let Err(found) = close("dw", &dw, &want_dw, 1e-5) {
        let turned: Vec<f64> = (0..c * k).map(|at| want_dw[at % k * c + at / k]).collect();
        return Err(named(match close("dw", &dw, &turned, 1e-5) {
            Ok(()) => "dw is the transposed matrix: W has k rows of c numbers".into(),
            Err(_) => format!("{found}; dW_jl = sum_i dy_ij x_il"),
        }));
    }
    if let Err(found) = close("db", &db, &want_db, 1e-5) {
        let mean: Vec<f64> = want_db.iter().map(|db| db / m as f64).collect();
        return Err(named(match close("db", &db, &mean, 1e-5) {
            Ok(()) => {
                "db is the mean of the rows of dy: the gradient is their sum, a mean belongs to the loss"
                    .into()
            }
            Err(_) => format!("{found}; db_j = sum_i dy_ij"),
        }));
    }
    Ok(())
}

pub fn grade(checks: &mut Checks) {
    for m in SIZES {
        checks.check(&format!("m = {m}"), || {
            SIZES.iter().try_for_each(|&c| SIZES.iter().try_for_each(|&k| one([m, c, k])))
        });
    }
}
