use crate::answer::{derivative, value};
use crate::checks::*;
use bcreid::autograd::{Backward, Sinks, Tape, Var};
use bcreid::device::Device;
use bcreid::tensor::Tensor;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[path = "../../../../tests/ops/gradient_check.rs"]
mod checker;

struct OfAnswer {
    x: Tensor,
}

impl Backward for OfAnswer {
    fn op(&self) -> &'static str {
        "of_answer"
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> bcreid::Result<()> {
        sinks.add(0, |dx, mode| {
            let values =
                self.x.f32().iter().zip(dy.f32()).map(|(x, dy)| derivative(f64::from(*x)) as f32 * dy);
            mode.store(dx.f32_mut(), values);
            Ok(())
        })
    }
}

fn op(tape: &mut Tape<'_>, vars: &[Var]) -> bcreid::Result<Var> {
    let x = vars[0].clone();
    let y: Vec<f32> = x.value.f32().iter().map(|x| value(f64::from(*x)) as f32).collect();
    let y = Tensor::from_f32(&tape.device(), x.shape(), &y)?;
    let inputs = [x.handle()];
    Ok(tape.record(y, &inputs, |_| OfAnswer { x: x.value }))
}

pub fn grade(checks: &mut Checks) {
    checks.check("the product's checker accepts the gradient", || {
        // An open hole is told by its own panic.
        derivative(value(0.5));
        let input = checker::Input::noise([8], 1);
        let run = || checker::Check::default().run(&Device::cpu(), &[input], op);
        catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
            let message = payload.downcast_ref::<String>().cloned().unwrap_or_default();
            format!("the product's checker finds your error: {message}; its inputs lie in -1 to 1: be wrong elsewhere")
        })
    });
    checks.check("the gradient is wrong", || {
        let (mut numbers, step) = (Numbers::new(52), 1e-6);
        let points = numbers.many(1000).into_iter().map(|x| 8.0 * x);
        let is_wrong = |x: &f64| {
            let numeric = (value(x + step) - value(x - step)) / (2.0 * step);
            !((numeric - derivative(*x)).abs() <= 0.1)
        };
        let wrong = points.filter(is_wrong).count();
        that(wrong >= 10, || {
            format!(
                "your gradient is right at nearly all points: {wrong} of 1,000 points between -8 and 8 differ by \
                 more than 0.1, \
                 10 are asked for"
            )
        })
    });
}
