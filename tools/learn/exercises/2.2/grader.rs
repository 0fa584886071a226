use crate::answer::nhwc;
use crate::checks::*;

const SHAPES: [[usize; 4]; 9] = [
    [1, 1, 1, 1],
    [1, 2, 2, 2],
    [1, 3, 4, 5],
    [1, 5, 1, 3],
    [1, 1, 3, 2],
    [1, 4, 3, 1],
    [2, 2, 2, 2],
    [2, 3, 4, 5],
    [5, 3, 2, 7],
];

/// Element of the result, and of the argument, for each place.
fn reorder(values: &[f32], [images, channels, height, width]: [usize; 4], order: Order) -> Vec<f32> {
    let mut result = vec![0.0; values.len()];
    for n in 0..images {
        for c in 0..channels {
            for h in 0..height {
                for w in 0..width {
                    let first = ((n * channels + c) * height + h) * width + w;
                    let last = ((n * height + h) * width + w) * channels + c;
                    let turned = ((n * width + w) * height + h) * channels + c;
                    let (to, from) = match order {
                        Order::Right => (last, first),
                        Order::Back => (first, last),
                        Order::Turned => (turned, first),
                    };
                    result[to] = values[from];
                }
            }
        }
    }
    result
}

enum Order {
    Right,
    Back,
    Turned,
}

pub fn grade(checks: &mut Checks) {
    for shape in SHAPES {
        checks.check(&format!("shape {shape:?}"), || {
            let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(|i| i as f32).collect();
            let got = nhwc(&values, shape);
            let want = reorder(&values, shape, Order::Right);
            if got == want {
                return Ok(());
            }
            that(got.len() == values.len(), || {
                format!("{} elements instead of {}: all {} images are converted", got.len(), values.len(), shape[0])
            })?;
            that(got != reorder(&values, shape, Order::Back), || {
                "this is the way back, from NHWC to NCHW".into()
            })?;
            that(got != reorder(&values, shape, Order::Turned), || {
                "height and width are exchanged: the rows of an image stay rows".into()
            })?;
            let at = (0..got.len()).find(|&at| got[at] != want[at]).unwrap_or(0);
            let channels = shape[1];
            Err(format!(
                "element {at} of the result, channel {} of a pixel, is element {} of the argument instead of {}; in \
                 NHWC the \
                 channels of a pixel lie side by side",
                at % channels,
                got[at],
                want[at]
            ))
        });
    }
}
