use crate::answer::mul;
use crate::checks::*;
use crate::tape::{Tape, add, relu};

const SHAPES: [[usize; 2]; 4] = [[1, 1], [1, 7], [5, 1], [3, 4]];

/// The numbers of a, b and dy.
fn inputs([rows, columns]: [usize; 2]) -> [Vec<f64>; 3] {
    let mut numbers = Numbers::new((10 * rows + columns) as u64);
    std::array::from_fn(|_| numbers.many(rows * columns))
}

fn product(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

pub fn grade(checks: &mut Checks) {
    checks.check("forward", || {
        for shape in SHAPES {
            let [a, b, _] = inputs(shape);
            let mut tape = Tape::default();
            let (x, y) = (tape.leaf(shape, a.clone()), tape.leaf(shape, b.clone()));
            let product_of = mul(&mut tape, &x, &y);
            close("y", &product_of.value, &product(&a, &b), 1e-12)?;
            that(product_of.shape == shape, || {
                format!("the shape of y is {:?} instead of {shape:?}", product_of.shape)
            })?;
            that(tape.nodes.len() == 1, || {
                format!("the tape has {} nodes instead of one", tape.nodes.len())
            })?;
        }
        Ok(())
    });
    checks.check("backward", || {
        for shape in SHAPES {
            let [a, b, dy] = inputs(shape);
            let mut tape = Tape::default();
            let (x, y) = (tape.leaf(shape, a.clone()), tape.leaf(shape, b.clone()));
            let z = mul(&mut tape, &x, &y);
            let mut grads = tape.backward(&z, dy.clone());
            let da = grads[x.id].take().ok_or("the tape has no gradient of a")?;
            let db = grads[y.id].take().ok_or("the tape has no gradient of b")?;
            that(da != product(&a, &dy) || a == b, || {
                "da is the product of a and dy: the derivative of a b by a is b".into()
            })?;
            that(da != b || b == product(&b, &dy), || {
                "da is b, the derivative alone: the chain rule multiplies it with dy".into()
            })?;
            close("da", &da, &product(&b, &dy), 1e-12)?;
            close("db", &db, &product(&a, &dy), 1e-12)?;
        }
        Ok(())
    });
    checks.check("mul(a, a)", || {
        let shape = [3, 4];
        let [a, _, dy] = inputs(shape);
        let mut tape = Tape::default();
        let x = tape.leaf(shape, a.clone());
        let y = mul(&mut tape, &x, &x);
        let grads = tape.backward(&y, dy.clone());
        let got = grads[x.id].clone().ok_or("the tape has no gradient of a")?;
        let want: Vec<f64> = product(&a, &dy).iter().map(|value| 2.0 * value).collect();
        close("da", &got, &want, 1e-12).map_err(|found| {
            format!("{found}; mul(a, a) has the gradient 2 a dy: both inputs give their part")
        })
    });
    checks.check("inside of a network", || {
        let shape = [2, 3];
        let [a, b, dy] = inputs(shape);
        let mut tape = Tape::default();
        let (x, y) = (tape.leaf(shape, a.clone()), tape.leaf(shape, b.clone()));
        // z = relu(a b) + a
        let z = mul(&mut tape, &x, &y);
        let z = relu(&mut tape, &z);
        let z = add(&mut tape, &z, &x);
        let grads = tape.backward(&z, dy.clone());
        let want: Vec<f64> =
            (0..6).map(|i| dy[i] + if a[i] * b[i] > 0.0 { b[i] * dy[i] } else { 0.0 }).collect();
        close("da", grads[x.id].as_deref().ok_or("the tape has no gradient of a")?, &want, 1e-12)
    });
}
