//! A column-major product with the reader's arguments, for many sizes.

use crate::checks::{Checks, Finding, Numbers, close, that};
use crate::lines;
use std::path::Path;

const SIZES: [usize; 5] = [1, 2, 3, 5, 17];
const FORM: &str = "RESULT TRANSPOSE_A TRANSPOSE_B M N K A LDA B LDB C LDC";

/// The number of rows, of inputs and of outputs.
#[derive(Clone, Copy)]
struct Sizes {
    r: usize,
    c: usize,
    o: usize,
}

const FIRST: Sizes = Sizes { r: 2, c: 3, o: 5 };

/// The arrays of a linear layer, by rows.
struct Arrays {
    x: Vec<f64>,
    w: Vec<f64>,
    dy: Vec<f64>,
}

/// A factor of the product.
struct Factor<'a> {
    name: &'a str,
    values: &'a [f64],
    is_transposed: bool,
    /// Elements between the beginnings of two columns.
    step: usize,
}

impl Factor<'_> {
    /// Element (i, j) of the matrix, or of the transposed one.
    fn at(&self, i: usize, j: usize) -> Result<f64, String> {
        let (i, j) = if self.is_transposed { (j, i) } else { (i, j) };
        let place = i + j * self.step;
        self.values.get(place).copied().ok_or_else(|| {
            format!(
                "element {place} of {} is read, which has {}: look at its sizes",
                self.name,
                self.values.len()
            )
        })
    }
}

pub fn grade(checks: &mut Checks, answer: &Path) {
    for result in ["dx", "dw"] {
        checks.check(result, || {
            let lines = lines::read(answer)?;
            lines::only(&lines, &["dx", "dw"])?;
            let words = lines::behind(&lines, result, FORM)?;
            // Three different sizes first, which make the clearest message.
            let mut all = vec![FIRST];
            for r in SIZES {
                for c in SIZES {
                    all.extend(SIZES.map(|o| Sizes { r, c, o }));
                }
            }
            all.into_iter().try_for_each(|sizes| {
                let Sizes { r, c, o } = sizes;
                one(result, &words, sizes).map_err(|found| format!("{found} (r = {r}, c = {c}, o = {o})"))
            })
        });
    }
}

/// One product, compared with the loops.
fn one(result: &str, words: &[&str], sizes: Sizes) -> Finding {
    let Sizes { r, c, o } = sizes;
    let mut numbers = Numbers::new((r * 10_000 + c * 100 + o) as u64);
    let arrays = Arrays { x: numbers.many(r * c), w: numbers.many(o * c), dy: numbers.many(r * o) };
    let [transpose_a, transpose_b, m, n, k, a, lda, b, ldb, out, ldc] = words[..] else {
        return Err(format!("the form is `{FORM}`"));
    };
    that(out == result, || format!("C is {out}, and this line computes {result}"))?;
    let [m, n, k] = [size(m, sizes)?, size(n, sizes)?, size(k, sizes)?];
    let a = factor(a, transpose_a, ("lda", lda), [m, k], &arrays, sizes)?;
    let b = factor(b, transpose_b, ("ldb", ldb), [k, n], &arrays, sizes)?;
    let step = size(ldc, sizes)?;
    that(step >= m, || format!("ldc is {step}, and a column of C has {m} elements: columns would overlap"))?;

    let (rows, columns) = if result == "dx" { (r, c) } else { (o, c) };
    let mut got = vec![f64::NAN; rows * columns];
    for j in 0..n {
        for i in 0..m {
            let terms =
                (0..k).map(|l| Ok(a.at(i, l)? * b.at(l, j)?)).collect::<Result<Vec<f64>, String>>()?;
            let place = i + j * step;
            let count = got.len();
            *got.get_mut(place).ok_or_else(|| {
                format!("element {place} of {result} is written, which has {count}: look at M, N and ldc")
            })? = terms.iter().sum();
        }
    }
    let Arrays { x, w, dy } = &arrays;
    let want: Vec<f64> = (0..rows * columns)
        .map(|at| {
            let (i, j) = (at / columns, at % columns);
            match result {
                "dx" => (0..o).map(|l| dy[i * o + l] * w[l * c + j]).sum::<f64>(),
                _ => (0..r).map(|l| dy[l * o + i] * x[l * c + j]).sum(),
            }
        })
        .collect();
    let Err(found) = close(result, &got, &want, 1e-9) else { return Ok(()) };
    if got.iter().any(|value| value.is_nan()) {
        return Err(format!(
            "elements of {result} are left out: M x N is {m} x {n}, and {result} has {}",
            got.len()
        ));
    }
    let turned: Vec<f64> = (0..rows * columns).map(|at| want[at % rows * columns + at / rows]).collect();
    match close(result, &got, &turned, 1e-9) {
        Ok(()) => Err(format!(
            "C is the transposed matrix of {result}: the library writes columns, and its columns are your rows; so \
             ask for the transposed product, with exchanged factors"
        )),
        Err(_) => Err(found),
    }
}

/// A factor that is `rows` x `columns` in the product.
fn factor<'a>(
    name: &'a str,
    transposed: &str,
    (step_name, step): (&str, &str),
    [rows, columns]: [usize; 2],
    arrays: &'a Arrays,
    sizes: Sizes,
) -> Result<Factor<'a>, String> {
    let values = match name {
        "x" => &arrays.x,
        "w" => &arrays.w,
        "dy" => &arrays.dy,
        _ => return Err(format!("A and B are x, w or dy, not `{name}`")),
    };
    let is_transposed = match transposed {
        "yes" => true,
        "no" => false,
        _ => return Err(format!("a factor is transposed, yes or no, not `{transposed}`")),
    };
    let (step, column) = (size(step, sizes)?, if is_transposed { columns } else { rows });
    that(step >= column, || {
        format!(
            "{step_name} is {step}, and a column of {name} would have {column} elements: the library sees your rows as \
             columns"
        )
    })?;
    Ok(Factor { name, values, is_transposed, step })
}

fn size(word: &str, Sizes { r, c, o }: Sizes) -> Result<usize, String> {
    match word {
        "r" => Ok(r),
        "c" => Ok(c),
        "o" => Ok(o),
        _ => Err(format!("a size is r, c or o, not `{word}`")),
    }
}
