use crate::answer::keeps_mode;
use crate::checks::*;
use bcreid::autograd::{Backward, Sinks, Tape, Var};
use bcreid::tensor::Tensor;

/// An operation on each element: its derivative at x, and whether it keeps the write mode.
struct Elementwise {
    name: &'static str,
    x: Tensor,
    derivative: fn(f32) -> f32,
    keeps_mode: bool,
}

impl Backward for Elementwise {
    fn op(&self) -> &'static str {
        self.name
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> bcreid::Result<()> {
        sinks.add(0, |dx, mode| {
            let values = self.x.f32().iter().zip(dy.f32()).map(|(x, dy)| (self.derivative)(*x) * dy);
            match self.keeps_mode {
                true => mode.store(dx.f32_mut(), values),
                false => dx.f32_mut().iter_mut().zip(values).for_each(|(dx, value)| *dx = value),
            }
            Ok(())
        })
    }
}

type Function = fn(f32) -> f32;

/// Name, function and derivative.
const OPS: [(&str, Function, Function); 5] = [
    ("square", |x| x * x, |x| 2.0 * x),
    ("negate", |x| -x, |_| -1.0),
    ("shift", |x| x + 3.0, |_| 1.0),
    ("cube", |x| x * x * x, |x| 3.0 * x * x),
    ("sine", f32::sin, f32::cos),
];

fn op(
    which: (&'static str, Function, Function),
    keeps_mode: bool,
) -> impl Fn(&mut Tape<'_>, Var) -> bcreid::Result<Var> {
    let (name, function, derivative) = which;
    move |tape: &mut Tape<'_>, x: Var| {
        let y: Vec<f32> = x.value.f32().iter().map(|x| function(*x)).collect();
        let y = Tensor::from_f32(&tape.device(), x.shape(), &y)?;
        let inputs = [x.handle()];
        Ok(tape.record(y, &inputs, |_| Elementwise { name, x: x.value, derivative, keeps_mode }))
    }
}

pub fn grade(checks: &mut Checks) {
    checks.check("right operations pass your test", || {
        for which in OPS {
            let verdict = keeps_mode(&op(which, true)).map_err(|error| error.to_string())?;
            that(verdict, || {
                format!(
                    "your test says that the right `{}` loses a gradient: two uses have the sum of both \
                         gradients",
                    which.0
                )
            })?;
        }
        Ok(())
    });
    for which in OPS {
        checks.check(&format!("`{}` that overwrites is found", which.0), || {
            let verdict = keeps_mode(&op(which, false)).map_err(|error| error.to_string())?;
            that(!verdict, || {
                format!(
                    "your test does not notice that `{}` overwrites: is its input used twice, and is the gradient that \
                     the first writer leaves large enough to be missed?",
                    which.0
                )
            })
        });
    }
}
