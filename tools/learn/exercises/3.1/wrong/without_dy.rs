// Expect: da is b, the derivative alone
use crate::tape::{Tape, Var};

/// y = a b, element by element. da = b dy, db = a dy.
pub fn mul(tape: &mut Tape, a: &Var, b: &Var) -> Var {
    let y = a.value.iter().zip(b.value.iter()).map(|(a, b)| a * b).collect();
    let (saved_a, saved_b) = (a.value.clone(), b.value.clone());
    tape.record("mul", &[a, b], a.shape, y, move |dy, sinks| {
        sinks.add(0, dy.iter().zip(saved_b.iter()).map(|(_, b)| *b));
        sinks.add(1, dy.iter().zip(saved_a.iter()).map(|(_, a)| *a));
    })
}
