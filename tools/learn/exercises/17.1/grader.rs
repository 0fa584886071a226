use crate::answer;
use crate::checks::*;

#[path = "../../../../src/tensor/philox.rs"]
mod product;

type Words = [u32; 4];
type Key = [u32; 2];

/// The known answers of the library Random123: counter, key, words.
const KNOWN: [(Words, Key, Words); 3] = [
    ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
    ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
    (
        [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
        [0xa409_3822, 0x299f_31d0],
        [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
    ),
];

const M: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const W: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// A usual mistake in the rounds.
#[derive(Clone, Copy, PartialEq)]
enum Mistake {
    NineRounds,
    ElevenRounds,
    SameKey,
    KeyFirst,
    Halves,
    Keys,
    Products,
}

const MISTAKES: [(Mistake, &str); 7] = [
    (Mistake::NineRounds, "these are the words after nine rounds; there are ten"),
    (Mistake::ElevenRounds, "these are the words after eleven rounds; there are ten"),
    (Mistake::SameKey, "the key is the same in each round: W0 and W1 are added to it after each round"),
    (Mistake::KeyFirst, "the first round uses k + W: it uses the key itself, W is added after the round"),
    (Mistake::Halves, "the high and the low halves of the products are exchanged"),
    (Mistake::Keys, "k0 and k1 are exchanged in the round"),
    (Mistake::Products, "the products are exchanged: h1 and l1, of M1 and c2, come to the places 0 and 1"),
];

fn with(mistake: Mistake, counter: Words, key: Key) -> Words {
    let (mut c, mut k) = (counter, key);
    let rounds = match mistake {
        Mistake::NineRounds => 9,
        Mistake::ElevenRounds => 11,
        _ => 10,
    };
    let next = |k: Key| [k[0].wrapping_add(W[0]), k[1].wrapping_add(W[1])];
    if mistake == Mistake::KeyFirst {
        k = next(k);
    }
    for _ in 0..rounds {
        let halves = |p: u64| match mistake {
            Mistake::Halves => (p as u32, (p >> 32) as u32),
            _ => ((p >> 32) as u32, p as u32),
        };
        let mut products = [0, 1].map(|i| halves(u64::from(M[i]) * u64::from(c[2 * i])));
        if mistake == Mistake::Products {
            products.swap(0, 1);
        }
        let [(h0, l0), (h1, l1)] = products;
        let [a, b] = if mistake == Mistake::Keys { [k[1], k[0]] } else { k };
        c = [h1 ^ c[1] ^ a, l1, h0 ^ c[3] ^ b, l0];
        if mistake != Mistake::SameKey {
            k = next(k);
        }
    }
    c
}

fn compare(counter: Words, key: Key, want: Words) -> Finding {
    let got = answer::philox(counter, key);
    that(got == want, || {
        let why = MISTAKES.iter().find(|(mistake, _)| with(*mistake, counter, key) == got);
        let why = why.map_or("compare one round with the formula of the chapter", |(_, why)| why);
        format!("counter {counter:08x?}, key {key:08x?}: {got:08x?} instead of {want:08x?}; {why}")
    })
}

fn random(numbers: &mut Numbers) -> (Words, Key) {
    let mut word = || numbers.below(1 << 32) as u32;
    let counter = [word(), word(), word(), word()];
    (counter, [word(), word()])
}

pub fn grade(checks: &mut Checks) {
    checks.check("the known answers of Random123", || {
        KNOWN.iter().rev().try_for_each(|&(counter, key, words)| compare(counter, key, words))
    });
    checks.check("the product's words of 1,000 counters and keys", || {
        let mut numbers = Numbers::new(171);
        (0..1000).try_for_each(|_| {
            let (counter, key) = random(&mut numbers);
            compare(counter, key, product::philox4x32(counter, key))
        })
    });
    checks.check("the inverse of 10,000 words", || {
        let mut numbers = Numbers::new(172);
        (0..10_000).try_for_each(|_| {
            let (counter, key) = random(&mut numbers);
            let words = product::philox4x32(counter, key);
            let got = answer::inverse(words, key);
            that(got == counter, || {
                let again = product::philox4x32(got, key);
                format!(
                    "inverse({words:08x?}) with key {key:08x?} is {got:08x?} instead of {counter:08x?}, and Philox of \
                     that is {again:08x?}: undo the last round first, with its key k + 9 W"
                )
            })
        })
    });
}
