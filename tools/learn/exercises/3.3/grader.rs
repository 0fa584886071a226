use crate::answer::graph;
use crate::checks::*;
use crate::tape::{Tape, Var, add, linear, relu};
use std::collections::BTreeMap;

/// The network of the chapter.
fn chapter() -> Tape {
    let mut tape = Tape::default();
    let mut numbers = Numbers::new(3);
    let leaves: Vec<Var> = [[4, 3], [5, 3], [1, 5], [5, 5], [1, 5]]
        .map(|[rows, columns]: [usize; 2]| tape.leaf([rows, columns], numbers.many(rows * columns)))
        .into();
    let h = linear(&mut tape, &leaves[0], &leaves[1], &leaves[2]);
    let inner = linear(&mut tape, &h, &leaves[3], &leaves[4]);
    let inner = relu(&mut tape, &inner);
    let s = add(&mut tape, &h, &inner);
    let z = linear(&mut tape, &s, &leaves[3], &leaves[4]);
    let loss = vec![z.value.iter().sum()];
    tape.record("softmax_cross_entropy", &[&z], [1, 1], loss, |_, _| ());
    tape
}

/// x + x + x ...: an input twice, and another network than that of the chapter.
fn doubled() -> Tape {
    let mut tape = Tape::default();
    let x = tape.leaf([1, 1], vec![1.0]);
    let y = add(&mut tape, &x, &x);
    let y = add(&mut tape, &y, &x);
    relu(&mut tape, &y);
    tape
}

/// Source, target and label of each line, with its count.
fn edges(text: &str) -> Result<BTreeMap<(usize, usize, String), usize>, String> {
    let mut edges = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| line.contains("->")) {
        let form = || format!("`{line}` is not of the form `VALUE -> VALUE [label=OP]`");
        let (from, rest) = line.trim_end_matches(';').split_once("->").ok_or_else(form)?;
        let (to, label) = rest.split_once('[').ok_or_else(form)?;
        let label =
            label.trim().strip_prefix("label=").and_then(|label| label.strip_suffix(']')).ok_or_else(form)?;
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| form());
        let edge = (number(from)?, number(to)?, label.trim_matches('"').to_string());
        *edges.entry(edge).or_insert(0) += 1;
    }
    Ok(edges)
}

fn compare(tape: &Tape) -> Finding {
    let got = edges(&graph(tape))?;
    let mut want = BTreeMap::new();
    for node in &tape.nodes {
        for input in &node.inputs {
            *want.entry((input.id, node.output, node.op.to_string())).or_insert(0) += 1;
        }
    }
    for ((from, to, label), count) in &got {
        that(want.contains_key(&(*from, *to, label.clone())), || {
            match want.contains_key(&(*to, *from, label.clone())) {
                true => format!(
                    "{from} -> {to} points against the forward pass: an edge leads from an input to the output"
                ),
                false => format!("the tape has no edge {from} -> {to} [label={label}]"),
            }
        })?;
        let of = want[&(*from, *to, label.clone())];
        that(*count <= of, || format!("{from} -> {to} occurs {count} times instead of {of}"))?;
    }
    for ((from, to, label), count) in &want {
        let found = got.get(&(*from, *to, label.clone())).copied().unwrap_or(0);
        that(found == *count, || {
            format!(
                "{from} -> {to} [label={label}] is missing: each input of a node has a line, {count} here, {found} \
                 found"
            )
        })?;
    }
    Ok(())
}

pub fn grade(checks: &mut Checks) {
    checks.check("the network of the chapter, 13 lines", || compare(&chapter()));
    checks.check("an input that is used twice", || compare(&doubled()));
    checks.check("the frame", || {
        let text = graph(&doubled());
        let (first, last) =
            (text.lines().next().unwrap_or_default(), text.trim_end().lines().last().unwrap_or_default());
        that(first.starts_with("digraph") && first.ends_with('{') && last == "}", || {
            "Graphviz needs the lines `digraph {` and `}` around the edges".into()
        })
    });
}
