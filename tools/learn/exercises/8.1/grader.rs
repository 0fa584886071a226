use crate::answer::AvgPool;
use crate::checks::*;

type Shape = [usize; 4];

/// Calls `f` with the index of an element of x [n, h, w, c] and that of an element of y, for all elements of each window.
fn pairs(kernel: usize, stride: usize, [n, h, w, c]: Shape, mut f: impl FnMut(usize, usize)) {
    let [oh, ow] = [h, w].map(|side| (side - kernel) / stride + 1);
    for out in 0..n * oh * ow * c {
        let [image, i, j, channel] = [out / c / ow / oh, out / c / ow % oh, out / c % ow, out % c];
        for at in 0..kernel * kernel {
            let [row, column] = [i * stride + at / kernel, j * stride + at % kernel];
            f(((image * h + row) * w + column) * c + channel, out);
        }
    }
}

fn outputs(kernel: usize, stride: usize, [n, h, w, c]: Shape) -> usize {
    n * c * [h, w].map(|side| (side - kernel) / stride + 1).iter().product::<usize>()
}

fn forward(kernel: usize, stride: usize, shape: Shape) -> Finding {
    let x = Numbers::new(81).many_f32(shape.iter().product());
    let mut y = vec![0.0; outputs(kernel, stride, shape)];
    let share = 1.0 / (kernel * kernel) as f64;
    pairs(kernel, stride, shape, |from, to| y[to] += share * f64::from(x[from]));
    close("y", &AvgPool { kernel, stride }.forward(&x, shape), &y, 1e-5)
}

fn backward(kernel: usize, stride: usize, shape: Shape) -> Finding {
    let dy = Numbers::new(82).many_f32(outputs(kernel, stride, shape));
    let len = shape.iter().product();
    let mut want = vec![0.0; len];
    let mut covering = vec![0; len];
    let share = 1.0 / (kernel * kernel) as f64;
    pairs(kernel, stride, shape, |to, from| {
        want[to] += share * f64::from(dy[from]);
        covering[to] += 1;
    });
    let mut dx = vec![f32::NAN; len];
    let mut stores = vec![0; len];
    AvgPool { kernel, stride }.backward(&dy, shape, |at, value| {
        assert!(at < len, "store({at}, ..), and x has {len} elements");
        dx[at] = value;
        stores[at] += 1;
    });
    if let Some(at) = stores.iter().position(|count| *count != 1) {
        let why = match (stores[at], covering[at]) {
            (0, 0) => "no window covers it, and its gradient is 0, which must be stored too",
            (0, _) => "each element has a gradient",
            _ => "gather: sum over the windows that cover a pixel, then store the sum",
        };
        return Err(format!("element {at} of dx is stored {} times: {why}", stores[at]));
    }
    close("dx", &dx, &want, 1e-5).map_err(|found| {
        let at = dx.iter().zip(&want).position(|(dx, want)| !((f64::from(*dx) - want).abs() <= 1e-5));
        let count = at.map_or(0, |at| covering[at]);
        format!(
            "{found}; {count} windows cover this pixel, and each gives it 1/{} of its dy",
            kernel * kernel
        )
    })
}

pub fn grade(checks: &mut Checks) {
    for (kernel, stride, shape) in [
        (2, 2, [2, 4, 6, 3]),
        (3, 2, [1, 7, 5, 2]),
        (3, 2, [1, 8, 6, 1]),
        (3, 1, [2, 5, 4, 1]),
        (2, 3, [1, 6, 8, 4]),
        (1, 1, [1, 1, 1, 1]),
        (4, 4, [1, 4, 4, 5]),
    ] {
        let name = format!("windows of {kernel} with stride {stride}, x {shape:?}");
        checks.check(&format!("y, {name}"), || forward(kernel, stride, shape));
        checks.check(&format!("dx, {name}"), || backward(kernel, stride, shape));
    }
}
