//! The choice of an algorithm, for lists of offers of all kinds.

use crate::answer::{Offer, choose};
use crate::checks::*;

/// The offers of a list: deterministic, success, workspace.
type List = &'static [(bool, bool, usize)];

const LIMIT: usize = 100;

const LISTS: [(&str, List); 6] = [
    ("no offers", &[]),
    ("only offers that are not deterministic", &[(false, true, 10), (false, true, 0)]),
    ("only offers whose status is an error", &[(true, false, 10), (true, false, 200)]),
    ("exactly the limit", &[(false, true, 0), (true, true, 100), (true, true, 1)]),
    (
        "only offers beyond the limit",
        &[(true, true, 300), (true, true, 101), (false, true, 120), (true, true, 101)],
    ),
    (
        "beyond the limit, the smallest with an error",
        &[(true, true, 300), (true, false, 150), (true, true, 200)],
    ),
];

/// The choice by the rule, and its reason.
fn rule(offers: &[Offer], limit: usize) -> (Option<usize>, &'static str) {
    let mut best: Option<usize> = None;
    for (place, offer) in offers.iter().enumerate() {
        if !offer.is_deterministic || !offer.is_success {
            continue;
        }
        if offer.workspace <= limit {
            return (
                Some(place),
                "it is the first one that is deterministic, has success and is within the limit",
            );
        }
        if best.is_none_or(|best| offer.workspace < offers[best].workspace) {
            best = Some(place);
        }
    }
    match best {
        Some(_) => {
            (best, "no usable one is within the limit, and it has the smallest workspace of the usable ones")
        }
        None => (None, "none is deterministic and has success"),
    }
}

fn one(offers: &[Offer], limit: usize) -> Finding {
    let (want, why) = rule(offers, limit);
    let given = choose(offers, limit);
    that(given == want, || {
        let words = |offer: &Offer| {
            let kind = if offer.is_deterministic { "deterministic" } else { "not deterministic" };
            format!(
                "{kind}, {}, {} bytes",
                if offer.is_success { "success" } else { "error" },
                offer.workspace
            )
        };
        let list: Vec<String> = offers.iter().map(words).collect();
        format!("{given:?} instead of {want:?}: {why}; limit {limit}, offers [{}]", list.join("; "))
    })
}

pub fn grade(checks: &mut Checks) {
    for (name, list) in LISTS {
        checks.check(name, || {
            let offer = |&(is_deterministic, is_success, workspace)| Offer {
                is_deterministic,
                is_success,
                workspace,
            };
            one(&list.iter().map(offer).collect::<Vec<_>>(), LIMIT)
        });
    }
    checks.check("500 lists of up to eight offers", || {
        let mut numbers = Numbers::new(144);
        for _ in 0..500 {
            let mut offer = || Offer {
                is_deterministic: numbers.below(3) > 0,
                is_success: numbers.below(3) > 0,
                workspace: 25 * numbers.below(9),
            };
            let offers: Vec<Offer> = (0..8).map(|_| offer()).collect();
            let (count, limit) = (numbers.below(9), 50 * numbers.below(3));
            one(&offers[..count], limit)?;
        }
        Ok(())
    });
}
