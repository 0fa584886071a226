//! What a grader is made of: named checks, comparisons of numbers, and numbers to compute with.
//!
//! This file needs the standard library alone: `rust.rs` compiles it together with the grader and the answer of an
//! exercise in Rust. Graders of other exercises are modules of this crate and use it as it is.

use std::any::Any;
use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::path::Path;
use std::process;

/// What a check found: nothing, or what is wrong.
pub type Finding = Result<(), String>;

/// The checks of one answer. Each result is written at once, so that those before an abrupt end are known.
pub struct Checks {
    results: File,
}

thread_local! {
    /// Message and place of the last panic.
    static LAST_PANIC: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

impl Checks {
    /// Writes the results to the file `results`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn new(results: &Path) -> std::io::Result<Self> {
        panic::set_hook(Box::new(note_panic));
        Ok(Checks { results: File::create(results)? })
    }

    /// Runs a check. A panic in it is a finding that names the place. The grader ends at an open hole.
    pub fn check(&mut self, name: &str, body: impl FnOnce() -> Finding) {
        self.line("check", name);
        match panic::catch_unwind(AssertUnwindSafe(body)) {
            Ok(Ok(())) => self.line("pass", ""),
            Ok(Err(finding)) => self.line("fail", &finding),
            Err(payload) => {
                let (message, place) = LAST_PANIC
                    .with(|last| last.borrow_mut().take())
                    .unwrap_or_else(|| (text(&*payload), String::new()));
                match message.strip_prefix("not yet implemented") {
                    Some(hole) => {
                        self.line("fail", &format!("the hole is still open{hole}, at {place}"));
                        self.end();
                        process::exit(0);
                    }
                    None => self.line("fail", &format!("panic: {message}, at {place}")),
                }
            }
        }
    }

    /// Says that this machine lacks what a check needs, and what to do.
    #[allow(dead_code)]
    pub fn leave_out(&mut self, name: &str, why: &str) {
        self.line("check", name);
        self.line("left", why);
    }

    /// Says that the grader came to its end.
    pub fn end(&mut self) {
        self.line("end", "");
    }

    fn line(&mut self, word: &str, text: &str) {
        let text = text.replace('\\', "\\\\").replace('\n', "\\n");
        // A disk that is full: the tool then misses the end.
        let _ = writeln!(self.results, "{word} {text}");
    }
}

/// The main function of a program that grades an answer in Rust: its argument is the file of the results.
#[allow(dead_code)]
pub fn main(grade: fn(&mut Checks)) {
    let results = std::env::args_os().nth(1).expect("the file of the results");
    let mut checks = Checks::new(Path::new(&results)).expect("the results can be written");
    grade(&mut checks);
    checks.end();
}

fn note_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
    LAST_PANIC.with(|last| *last.borrow_mut() = Some((text(info.payload()), place)));
}

fn text(payload: &(dyn Any + Send)) -> String {
    let message = payload.downcast_ref::<&str>().map(|text| text.to_string());
    message
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".into())
}

/// A finding, unless the condition holds.
#[allow(dead_code)]
pub fn that(condition: bool, message: impl FnOnce() -> String) -> Finding {
    if condition { Ok(()) } else { Err(message()) }
}

/// Compares numbers: |got - want| <= tolerance max(1, |want|). NaN equals NaN, an infinity itself. `name` is that of
/// the array in the finding.
#[allow(dead_code)]
pub fn close<T: Copy + Into<f64>>(name: &str, got: &[T], want: &[f64], tolerance: f64) -> Finding {
    if got.len() != want.len() {
        return Err(format!("{name} has {} elements instead of {}", got.len(), want.len()));
    }
    for (at, (&got, &want)) in got.iter().zip(want).enumerate() {
        let got: f64 = got.into();
        let equal = got == want || (got.is_nan() && want.is_nan());
        // An infinite number is near nothing but itself; a NaN is near nothing.
        let near = want.is_finite() && (got - want).abs() <= tolerance * want.abs().max(1.0);
        if !equal && !near {
            return Err(format!("{name}[{at}] is {} instead of {}", short(got), short(want)));
        }
    }
    Ok(())
}

/// A number with at most seven digits.
pub fn short(number: f64) -> String {
    let plain = format!("{}", number as f32);
    if plain.len() > 12 { format!("{number:.6e}") } else { plain }
}

/// Numbers that look random and are the same in each run (a linear congruential generator, its upper bits).
#[allow(dead_code)]
pub struct Numbers(u64);

#[allow(dead_code)]
impl Numbers {
    /// Starts with a seed.
    pub fn new(seed: u64) -> Self {
        let mut numbers =
            Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678_9abc_def1));
        numbers.next();
        numbers
    }

    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// A number in [-1, 1).
    pub fn uniform(&mut self) -> f64 {
        f64::from(self.next()) / f64::from(1u32 << 31) - 1.0
    }

    /// A whole number in 0..bound.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() as usize * bound) >> 32
    }

    /// Numbers in [-1, 1).
    pub fn many(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.uniform()).collect()
    }

    /// Numbers in [-1, 1), as `f32`.
    pub fn many_f32(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.uniform() as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_names_the_element() {
        assert_eq!(
            close("y", &[1.0f32, f32::NAN, f32::INFINITY], &[1.0, f64::NAN, f64::INFINITY], 0.0),
            Ok(())
        );
        assert_eq!(close("y", &[1.0, 2.5], &[1.0, 2.0], 1e-3), Err("y[1] is 2.5 instead of 2".into()));
        assert_eq!(close("y", &[1.0], &[1.0, 2.0], 1e-3), Err("y has 1 elements instead of 2".into()));
        assert!(close("y", &[f64::NAN], &[0.0], 1e9).is_err());
        assert!(close("y", &[0.0], &[f64::NAN], 1e9).is_err());
        assert!(close("y", &[1e30], &[f64::INFINITY], 1.0).is_err());
    }

    #[test]
    fn numbers_fill_their_range() {
        let mut numbers = Numbers::new(1);
        let values = numbers.many(1000);
        assert!(values.iter().all(|x| (-1.0..1.0).contains(x)));
        assert!((values.iter().sum::<f64>() / 1000.0).abs() < 0.1);
        assert!((0..1000).map(|_| numbers.below(10)).collect::<std::collections::BTreeSet<_>>().len() == 10);
    }
}
