use crate::answer::{Tape, Var};
use crate::checks::*;
use std::cell::Cell;
use std::rc::Rc;

/// Counts the elements of gradients that are computed, by the letter of the input.
#[derive(Clone, Default)]
struct Counter(Rc<Cell<usize>>);

/// y = a b, element by element. `counts` says which of both gradients the counter counts.
fn mul(tape: &mut Tape, a: &Var, b: &Var, counter: &Counter, counts: [bool; 2]) -> Var {
    let y = a.value.iter().zip(b.value.iter()).map(|(a, b)| a * b).collect();
    let (saved_a, saved_b, counter) = (a.value.clone(), b.value.clone(), counter.clone());
    tape.record(&[a, b], a.shape, y, move |dy, sinks| {
        for (input, saved) in [&saved_b, &saved_a].into_iter().enumerate() {
            let values = dy.iter().zip(saved.iter()).map(|(dy, other)| {
                if counts[input] {
                    counter.0.set(counter.0.get() + 1);
                }
                dy * other
            });
            sinks.add(input, values);
        }
    })
}

/// y = ((c d) a) (c b) with constants c and d: four products, of which one has constants alone. Returns the number of
/// nodes, the counted elements, and the gradients of a and b.
fn network(with_constants: bool) -> Result<(usize, usize, [Vec<f64>; 2]), String> {
    let mut numbers = Numbers::new(32);
    let shape = [2, 3];
    let mut tape = Tape::default();
    let counter = Counter::default();
    let [a, b] = std::array::from_fn(|_| tape.leaf(shape, numbers.many(6)));
    let [c, d]: [Var; 2] = std::array::from_fn(|_| match with_constants {
        true => tape.constant(shape, numbers.many(6)),
        false => tape.leaf(shape, numbers.many(6)),
    });
    let first = mul(&mut tape, &c, &d, &counter, [true, true]);
    let left = mul(&mut tape, &first, &a, &counter, [true, false]);
    let right = mul(&mut tape, &c, &b, &counter, [true, false]);
    let y = mul(&mut tape, &left, &right, &counter, [false, false]);
    let nodes = tape.nodes.len();
    let mut grads = tape.backward(&y, numbers.many(6));
    let da = grads[a.id].take().ok_or("the leaf a has no gradient")?;
    let db = grads[b.id].take().ok_or("the leaf b has no gradient")?;
    Ok((nodes, counter.0.get(), [da, db]))
}

pub fn grade(checks: &mut Checks) {
    checks.check("the gradients of the leaves", || {
        let (_, _, with) = network(true)?;
        let (_, _, without) = network(false)?;
        close("da", &with[0], &without[0], 1e-12)?;
        close("db", &with[1], &without[1], 1e-12)
    });
    checks.check("the nodes", || {
        let (nodes, ..) = network(true)?;
        that(nodes == 3, || {
            format!("{nodes} nodes instead of 3: an operation of constants alone records nothing, any other one does")
        })
    });
    checks.check("the gradients of constants", || {
        let (_, computed, _) = network(true)?;
        that(computed == 0, || {
            format!("{computed} elements of gradients of constants are computed: `Sinks::add` must not ask for its \
                     values")
        })?;
        let (shape, mut tape) = ([1, 2], Tape::default());
        let (a, c) = (tape.leaf(shape, vec![1.0, 2.0]), tape.constant(shape, vec![3.0, 4.0]));
        let y = mul(&mut tape, &a, &c, &Counter::default(), [false, false]);
        let (number, grads) = (c.id, tape.backward(&y, vec![1.0, 1.0]));
        that(grads.get(number).is_none_or(Option::is_none), || {
            "a constant input has a gradient after the walk: nobody needs it, so nothing is stored".into()
        })
    });
    checks.check("a network of constants", || {
        let mut tape = Tape::default();
        let c = tape.constant([1, 2], vec![1.0, 2.0]);
        let y = mul(&mut tape, &c, &c, &Counter::default(), [true, true]);
        close("y", &y.value, &[1.0, 4.0], 1e-12)?;
        let y = mul(&mut tape, &y, &c, &Counter::default(), [true, true]);
        that(tape.nodes.is_empty(), || {
            format!("{} nodes: the output of constants is a constant too", tape.nodes.len())
        })?;
        close("y", &y.value, &[1.0, 8.0], 1e-12)
    });
}
