//! The bytes of a residual block's gradients under three rules, counted by a walk over its operations.

use crate::checks::{Checks, that};
use crate::lines;
use std::path::Path;

/// The walk backwards through y = x + relu(batchnorm(x)): the inputs of each operation. Each has one output, whose
/// gradient it reads once. x is written first by the sum.
const WALK: [&[&str]; 3] = [&["x", "r"], &["b"], &["x"]];

#[derive(Clone, Copy, PartialEq)]
enum Rule {
    Clearing,
    Sums,
    Mode,
}

/// Read and written, in multiples of n.
fn count(rule: Rule) -> (u64, u64) {
    let (mut read, mut written) = (0, 0);
    if rule == Rule::Clearing {
        written += 3; // the gradients of x, b and r
    }
    let mut seen = Vec::new();
    for (operation, inputs) in WALK.iter().enumerate() {
        read += 1; // the gradient of the output
        for &input in *inputs {
            let is_first = !seen.contains(&input);
            seen.push(input);
            // The sum gives its gradient away to r instead of copying it.
            if rule == Rule::Mode && operation == 0 && input == "r" {
                continue;
            }
            let adds = rule == Rule::Clearing || (rule == Rule::Mode && !is_first);
            read += u64::from(adds);
            written += 1;
            if rule == Rule::Sums && !is_first {
                // One more operation reads both copies and writes their sum.
                read += 2;
                written += 1;
            }
        }
    }
    (read, written)
}

pub fn grade(checks: &mut Checks, answer: &Path) {
    let rules = [
        (
            "clearing",
            Rule::Clearing,
            "each buffer is cleared, and each operation reads a buffer before it adds to it",
        ),
        (
            "sums",
            Rule::Sums,
            "x has two uses, so two copies of its gradient are written, read, and added by one more operation",
        ),
        (
            "mode",
            Rule::Mode,
            "the sum gives its gradient to one input without a copy, and only the second writer of dx reads it",
        ),
    ];
    for (name, rule, why) in rules {
        checks.check(&format!("the rule {name}"), || {
            let lines = lines::read(answer)?;
            lines::only(&lines, &["clearing", "sums", "mode"])?;
            let given = lines::numbers(&lines, name, "RULE READ WRITTEN")?;
            let (read, written) = count(rule);
            that(given[0] == read, || {
                format!("{name}: {} n read, the walk counts {read} n: {why}", given[0])
            })?;
            that(given[1] == written, || {
                format!("{name}: {} n written, the walk counts {written} n: {why}", given[1])
            })
        });
    }
}
