use crate::answer::input_gradient;
use crate::checks::*;
use crate::layer::{Layer, TAPS};
use crate::meter::Counts;

struct Data {
    layer: Layer,
    w: Vec<f32>,
    dy: Vec<f32>,
}

impl Data {
    fn new([height, width, c, k]: [usize; 4]) -> Self {
        let layer = Layer { height, width, c, k };
        let mut numbers = Numbers::new((height * width * c + k) as u64);
        let (w, dy) = (numbers.many_f32(k * TAPS * c), numbers.many_f32(layer.pixels() * k));
        Data { layer, w, dy }
    }

    /// L = the sum of y dy, with y from step 1 in f64.
    fn loss(&self, x: &[f32], w: &[f32]) -> f64 {
        self.layer.definition(x, w).iter().zip(&self.dy).map(|(y, dy)| y * f64::from(*dy)).sum()
    }

    /// dL/dx at one element of x. L is linear in x, so the difference quotient is exact for each step: L(1) - L(0).
    fn difference(&self, at: usize, w: &[f32]) -> f64 {
        let mut x = vec![0.0; self.layer.pixels() * self.layer.c];
        x[at] = 1.0;
        self.loss(&x, w)
    }

    fn check(&self) -> Finding {
        let Layer { width, c, k, .. } = self.layer;
        let len = self.layer.pixels() * c;
        let mut dx = vec![f32::NAN; len];
        let mut counts = Counts::default();
        input_gradient(&mut counts, &self.layer, &self.dy, &self.w, &mut dx);
        let missing =
            || "dx still has the NaN that it held before: write all of it, and do not add to it".into();
        that(dx.iter().all(|dx| !dx.is_nan()), missing)?;
        // Some elements of each pixel are enough: the channels of the first and of the last tap, corners, and others.
        let mut numbers = Numbers::new(5);
        let places: Vec<usize> =
            (0..len).step_by(c).flat_map(|pixel| [pixel, pixel + c - 1, pixel + numbers.below(c)]).collect();
        let got: Vec<f32> = places.iter().map(|&at| dx[at]).collect();
        let of = |w: &[f32]| places.iter().map(|&at| self.difference(at, w)).collect::<Vec<f64>>();
        let want = of(&self.w);
        for (i, &at) in places.iter().enumerate() {
            if (f64::from(got[i]) - want[i]).abs() <= 1e-4 {
                continue;
            }
            let turned: Vec<f32> = (0..self.w.len()).map(|at| self.w[self.turned(at)]).collect();
            if close("dx", &got, &of(&turned), 1e-4).is_ok() {
                return Err(
                    "the filters are not rotated: x[i, j] enters y[i - r + 1, j - s + 1], so dx is a \
                            convolution of dy in which tap (r, s) has the value of tap (2 - r, 2 - s)"
                        .into(),
                );
            }
            let [row, column, c_at] = [at / c / width, at / c % width, at % c];
            return Err(format!(
                "dx[{row}, {column}, {c_at}] is {}, the difference quotient is {}: is the value of filter k, tap t and \
                 channel c at [c, 8 - t, k] of the new filters?",
                short(f64::from(got[i])),
                short(want[i])
            ));
        }
        let needed = self.layer.taps_inside() * c * k;
        that(counts.0.multiplications >= needed, || {
            format!(
                "the meter counts {} multiplications, the taps inside of the image need {needed}: all of them go \
                 through the meter",
                counts.0.multiplications
            )
        })?;
        let most = self.layer.pixels() * TAPS * c * k;
        that(counts.0.multiplications <= most, || {
            format!("{} multiplications; steps 3 and 4 need at most {most}", counts.0.multiplications)
        })
    }

    /// The index of the same value in filters that are rotated.
    fn turned(&self, at: usize) -> usize {
        let c = self.layer.c;
        let [k_at, tap, c_at] = [at / c / TAPS, at / c % TAPS, at % c];
        (k_at * TAPS + TAPS - 1 - tap) * c + c_at
    }
}

pub fn grade(checks: &mut Checks) {
    for sizes in [[4, 4, 16, 32], [2, 6, 32, 16], [4, 1, 16, 48], [1, 4, 16, 16]] {
        let [height, width, c, k] = sizes;
        checks.check(&format!("{height} x {width} pixels, c = {c}, k = {k}"), || Data::new(sizes).check());
    }
}
