use crate::answer::{Layer, border, collapse};
use crate::checks::*;

/// Layers of random numbers between these sizes.
fn layers(sizes: &[usize]) -> Vec<Layer> {
    let mut numbers = Numbers::new(sizes.iter().fold(0, |seed, size| 37 * seed + *size as u64));
    let pairs = sizes.windows(2);
    pairs
        .map(|pair| Layer { weights: numbers.many(pair[1] * pair[0]), bias: numbers.many(pair[1]) })
        .collect()
}

/// The output of a layer for one row x.
fn forward(layer: &Layer, x: &[f64]) -> Vec<f64> {
    let rows = layer.weights.chunks_exact(x.len()).zip(&layer.bias);
    rows.map(|(w, b)| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + b).collect()
}

fn through_all(layers: &[Layer], x: &[f64]) -> Vec<f64> {
    layers.iter().fold(x.to_vec(), |x, layer| forward(layer, &x))
}

fn one_layer(sizes: &[usize]) -> Finding {
    let layers = layers(sizes);
    let [inputs, outputs] = [sizes[0], sizes[sizes.len() - 1]];
    let one = collapse(&layers);
    let sizes = [one.weights.len(), one.bias.len()];
    that(sizes == [outputs * inputs, outputs], || {
        format!(
            "W has {} numbers and b {}; from {inputs} inputs to {outputs} outputs they have {} and {outputs}",
            sizes[0],
            sizes[1],
            outputs * inputs
        )
    })?;
    // For x = 0 all layers give b, and for a unit vector b and a column of W.
    let b = through_all(&layers, &vec![0.0; inputs]);
    let column = |j: usize| {
        let mut x = vec![0.0; inputs];
        x[j] = 1.0;
        through_all(&layers, &x)
    };
    let columns: Vec<Vec<f64>> = (0..inputs).map(column).collect();
    let w: Vec<f64> =
        (0..outputs * inputs).map(|at| columns[at % inputs][at / inputs] - b[at / inputs]).collect();
    close("W", &one.weights, &w, 1e-9).map_err(|found| {
        format!("{found}: W is the product of all matrices, the last layer's on the left")
    })?;
    close("b", &one.bias, &b, 1e-9)
        .map_err(|found| format!("{found}: a bias goes through all layers behind its own, as x does"))
}

fn line(sizes: &[usize]) -> Finding {
    let layers = layers(sizes);
    let [p, q, r] = border(&collapse(&layers));
    let mut numbers = Numbers::new(9);
    let (mut wrong, mut opposite, mut count) = (0, 0, 0);
    while count < 1000 {
        let [u, v] = [4.0 * numbers.uniform(), 4.0 * numbers.uniform()];
        let z = through_all(&layers, &[u, v]);
        let difference = z[1] - z[0];
        if difference.abs() < 1e-6 {
            continue;
        }
        count += 1;
        let side = p * u + q * v + r;
        // Written so that NaN is wrong.
        wrong += usize::from(!(side * difference > 0.0));
        opposite += usize::from(side * difference < 0.0);
    }
    that(opposite < 1000, || "p u + q v + r is above 0 on the side of class 0".into())?;
    that(wrong == 0, || {
        format!(
            "for {wrong} of 1000 points the line and the network do not agree: the border is where both scores are \
             equal"
        )
    })
}

pub fn grade(checks: &mut Checks) {
    for sizes in [&[3, 5][..], &[1, 1, 1], &[2, 32, 32, 2], &[4, 2, 7, 3, 5]] {
        checks.check(&format!("one layer for the sizes {sizes:?}"), || one_layer(sizes));
    }
    for sizes in [&[2, 2][..], &[2, 32, 32, 2], &[2, 3, 2]] {
        checks.check(&format!("the border for the sizes {sizes:?}"), || line(sizes));
    }
}
