use crate::answer::softmax;
use crate::checks::*;
use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::tensor::Tensor;

const SIZES: [[usize; 2]; 5] = [[1, 1], [1, 5], [3, 1], [4, 7], [17, 33]];

fn in_f64(x: &[f64], columns: usize) -> Vec<f64> {
    let row = |row: &[f64]| {
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let exp: Vec<f64> = row.iter().map(|x| (x - largest).exp()).collect();
        let sum: f64 = exp.iter().sum();
        exp.into_iter().map(move |e| e / sum)
    };
    x.chunks_exact(columns).flat_map(row).collect()
}

/// Output, and the gradient of x with so many uses of it, each with the seed dy.
fn run(x: &[f32], shape: [usize; 2], dy: &[f32], uses: usize) -> bcreid::Result<(Vec<f32>, Vec<f32>)> {
    let device = Device::cpu();
    let values = StepValues::new(&device, 0)?;
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &values);
    let leaf = tape.leaf(Tensor::from_f32(&device, shape, x)?);
    let (mut y, mut seeds) = (Vec::new(), Vec::new());
    for _ in 0..uses {
        let output = softmax(&mut tape, leaf.clone())?;
        y = output.value.to_host_f32()?;
        seeds.push((output, Tensor::from_f32(&device, shape, dy)?));
    }
    let mut gradients = tape.backward(seeds)?;
    let dx = gradients.take(&leaf).map_or_else(|| Ok(Vec::new()), |dx| dx.to_host_f32())?;
    Ok((y, dx))
}

/// Logits around a place, and seeds.
fn inputs([rows, columns]: [usize; 2], around: f64) -> (Vec<f32>, Vec<f32>) {
    let mut numbers = Numbers::new((1000 * rows + columns) as u64);
    let x = (0..rows * columns).map(|_| (around + 3.0 * numbers.uniform()) as f32).collect();
    (x, numbers.many_f32(rows * columns))
}

fn forward(shape: [usize; 2], around: f64) -> Finding {
    let ([rows, columns], (x, dy)) = (shape, inputs(shape, around));
    let (y, _) = run(&x, shape, &dy, 1).map_err(|error| error.to_string())?;
    let named = |found: String| format!("[{rows}, {columns}], logits near {around}: {found}");
    that(y.iter().all(|y| y.is_finite()), || {
        named(
            "an output is not finite: exp overflows, or a sum is 0: subtract the largest logit of the row"
                .into(),
        )
    })?;
    let exact: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    close("y", &y, &in_f64(&exact, columns), 1e-5).map_err(named)?;
    for (row, of) in y.chunks_exact(columns).enumerate() {
        let sum: f64 = of.iter().map(|y| f64::from(*y)).sum();
        that((sum - 1.0).abs() < 1e-5, || named(format!("row {row} has the sum {sum}; it is 1")))?;
    }
    Ok(())
}

fn gradient(shape: [usize; 2], around: f64) -> Finding {
    let ([rows, columns], (x, dy)) = (shape, inputs(shape, around));
    let (_, dx) = run(&x, shape, &dy, 1).map_err(|error| error.to_string())?;
    let named = |found: String| format!("[{rows}, {columns}], logits near {around}: {found}");
    // Central differences of sum dy y, in f64.
    let exact: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    let loss = |at: usize, delta: f64| {
        let row = at / columns * columns..(at / columns + 1) * columns;
        let mut moved = exact[row.clone()].to_vec();
        moved[at % columns] += delta;
        in_f64(&moved, columns).iter().zip(&dy[row]).map(|(y, dy)| y * f64::from(*dy)).sum::<f64>()
    };
    let want: Vec<f64> = (0..x.len()).map(|at| (loss(at, 1e-5) - loss(at, -1e-5)) / 2e-5).collect();
    that(!dx.is_empty(), || {
        named("x has no gradient: record the operation with the handle of x as its input".into())
    })?;
    close("dx", &dx, &want, 1e-5).map_err(|found| {
        let own: Vec<f64> =
            in_f64(&exact, columns).iter().zip(&dy).map(|(y, dy)| y * (1.0 - y) * f64::from(*dy)).collect();
        named(match close("dx", &dx, &own, 1e-5) {
            Ok(()) => "dx is y (1 - y) dy: each output of a row depends on all logits of the row".into(),
            Err(_) => found,
        })
    })
}

pub fn grade(checks: &mut Checks) {
    for around in [0.0, 100.0, -200.0] {
        checks.check(&format!("rows have the sum 1, logits near {around}"), || {
            SIZES.iter().try_for_each(|shape| forward(*shape, around))
        });
        checks.check(&format!("finite differences, logits near {around}"), || {
            SIZES.iter().try_for_each(|shape| gradient(*shape, around))
        });
    }
    checks.check("an input that is used twice", || {
        for shape in SIZES {
            let (x, dy) = inputs(shape, 0.0);
            let of = |uses| run(&x, shape, &dy, uses).map_err(|error| error.to_string());
            let (once, twice) = (of(1)?.1, of(2)?.1);
            that(once.len() == x.len(), || format!("{} gradients for {} inputs", once.len(), x.len()))?;
            let want: Vec<f64> = once.iter().map(|dx| 2.0 * f64::from(*dx)).collect();
            close("dx", &twice, &want, 1e-6).map_err(|found| {
                format!("a second use of the input must add its gradient to the first: {found}")
            })?;
        }
        Ok(())
    });
    checks.check("anything but a matrix is an error", || {
        let device = Device::cpu();
        let error = |error: bcreid::Error| error.to_string();
        let values = StepValues::new(&device, 0).map_err(error)?;
        let mut params = Params::none(&device);
        let mut tape = Tape::new(&mut params, &values);
        for tensor in [Tensor::zeros(&device, [6]), Tensor::zeros(&device, [2, 3, 4])] {
            let x = tape.constant(tensor.map_err(error)?);
            let shape = x.shape();
            that(softmax(&mut tape, x).is_err(), || {
                format!("a tensor of shape {shape} is accepted; return an error")
            })?;
        }
        Ok(())
    });
}
