use crate::answer::fold;
use crate::checks::*;

/// A convolution of an image [height, width, c] with k filters of 3 x 3, and the normalisation behind it.
struct Network {
    /// Its sizes: pixels, c and k.
    sizes: [usize; 3],
    /// The unfolded image [pixels, depth].
    image: Vec<f32>,
    w: Vec<f32>,
    bias: Option<Vec<f32>>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    mean: Vec<f32>,
    var: Vec<f32>,
}

impl Network {
    fn new([height, width, c, k]: [usize; 4], has_bias: bool) -> Self {
        let mut numbers = Numbers::new((height * 1000 + width * 100 + c * 10 + k) as u64);
        let x = numbers.many_f32(height * width * c);
        let mut image = Vec::new();
        for at in 0..height * width * 9 {
            let (pixel, tap) = (at / 9, at % 9);
            let [row, column] =
                [pixel / width + tap / 3, pixel % width + tap % 3].map(|at| at.wrapping_sub(1));
            match row < height && column < width {
                true => image.extend_from_slice(&x[(row * width + column) * c..][..c]),
                false => image.extend(std::iter::repeat_n(0.0, c)),
            }
        }
        Network {
            sizes: [height * width, c, k],
            image,
            w: numbers.many_f32(k * 9 * c),
            bias: has_bias.then(|| numbers.many_f32(k)),
            gamma: numbers.many_f32(k),
            beta: numbers.many_f32(k),
            mean: numbers.many_f32(k),
            // From a channel that is nearly constant, where eps counts, to a variance of 4.
            var: (0..k)
                .map(|k_at| if k_at % 3 == 0 { 1e-6 } else { (2.0 + 2.0 * numbers.uniform()) as f32 })
                .collect(),
        }
    }

    /// The convolution in f64.
    fn convolved(&self, w: &[f32], bias: impl Fn(usize) -> f64) -> Vec<f64> {
        let [pixels, c, k] = self.sizes;
        let one = |at: usize| {
            let (x, w) = (&self.image[at / k * 9 * c..][..9 * c], &w[at % k * 9 * c..][..9 * c]);
            x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>() + bias(at % k)
        };
        (0..pixels * k).map(one).collect()
    }

    /// Convolution and normalisation in f64.
    fn outputs(&self) -> Vec<f64> {
        let k = self.sizes[2];
        let bias = |k: usize| self.bias.as_ref().map_or(0.0, |bias| f64::from(bias[k]));
        let [gamma, beta, mean, var] = [&self.gamma, &self.beta, &self.mean, &self.var];
        let normalise = |(at, y): (usize, f64)| {
            let at = at % k;
            let distance = y - f64::from(mean[at]);
            f64::from(gamma[at]) * distance / (f64::from(var[at]) + 1e-5).sqrt() + f64::from(beta[at])
        };
        self.convolved(&self.w, bias).into_iter().enumerate().map(normalise).collect()
    }

    fn check(&self) -> Finding {
        let [pixels, c, k] = self.sizes;
        let (w, bias) = fold(&self.w, self.bias.as_deref(), &self.gamma, &self.beta, &self.mean, &self.var);
        that(w.len() == self.w.len() && bias.len() == k, || {
            format!("{} weights and {} biases instead of {} and {k}", w.len(), bias.len(), self.w.len())
        })?;
        let want = self.outputs();
        let folded = self.convolved(&w, |k| f64::from(bias[k]));
        // A filter at a time: one whose variance is small has far larger outputs than the others.
        let largest: Vec<f64> = (0..k)
            .map(|k_at| want.iter().skip(k_at).step_by(k).fold(0.0, |most: f64, y| most.max(y.abs())))
            .collect();
        for at in 0..pixels * k {
            let filter = at % k;
            let near = 1e-5 * largest[filter];
            // Written so that NaN is not near.
            if (folded[at] - want[at]).abs() <= near {
                continue;
            }
            // A difference by the same number at all pixels is the bias.
            let difference = |pixel: usize| folded[pixel * k + filter] - want[pixel * k + filter];
            let is_bias = (0..pixels).all(|pixel| (difference(pixel) - difference(0)).abs() <= near);
            let part = if is_bias { "bias" } else { "filter" };
            return Err(format!(
                "c = {c}: y of filter {filter} at pixel {} is {} instead of {}: look at its {part}; its running \
                 variance is {}",
                at / k,
                short(folded[at]),
                short(want[at]),
                self.var[filter]
            ));
        }
        Ok(())
    }
}

pub fn grade(checks: &mut Checks) {
    for sizes in [[4, 3, 5, 7], [2, 2, 8, 4], [3, 3, 1, 16]] {
        for has_bias in [false, true] {
            let [height, width, c, k] = sizes;
            let with = if has_bias { "a" } else { "no" };
            checks.check(&format!("{height} x {width} pixels, {c} to {k} channels, {with} bias"), || {
                Network::new(sizes, has_bias).check()
            });
        }
    }
}
