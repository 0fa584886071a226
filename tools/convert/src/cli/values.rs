//! Parsers for the values of options.

use bcreid::weights::provenance::Text;

/// Parses a number above 0.
pub fn positive(text: &str) -> Result<f32, String> {
    let number = number(text)?;
    if number > 0.0 { Ok(number) } else { Err(format!("{text:?} is not above 0")) }
}

/// Parses three numbers, separated by commas.
pub fn triple(text: &str) -> Result<[f32; 3], String> {
    let parts: Vec<&str> = text.split(',').collect();
    let [a, b, c] = parts[..] else { return Err(format!("{text:?} is not three numbers between commas")) };
    let all = || Ok([number(a)?, number(b)?, number(c)?]);
    all().map_err(|what: String| format!("{text:?} is not three numbers between commas: {what}"))
}

/// Parses three numbers above 0, separated by commas.
pub fn positive_triple(text: &str) -> Result<[f32; 3], String> {
    let numbers = triple(text)?;
    if numbers.iter().all(|&number| number > 0.0) {
        Ok(numbers)
    } else {
        Err(format!("{text:?} has a number that is not above 0"))
    }
}

/// Checks a statement about the weights, which must fit into their provenance.
pub fn statement(text: &str) -> Result<Text, String> {
    match text.chars().count() {
        _ if text.trim().is_empty() => Err("the text is empty".into()),
        length if length > Text::LONGEST => {
            Err(format!("the text has {length} characters; give at most {}", Text::LONGEST))
        }
        _ => Ok(Text::new(text)),
    }
}

/// Parses a number that is neither infinite nor NaN.
fn number(text: &str) -> Result<f32, String> {
    let number = text.trim().parse().map_err(|_| format!("{text:?} is not a number"))?;
    if f32::is_finite(number) { Ok(number) } else { Err(format!("{text:?} is not a finite number")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_has_a_text_of_bounded_length() {
        assert_eq!(statement("MIT"), Ok(Text::new("MIT")));
        assert_eq!(statement(&"é".repeat(300)).unwrap().as_str().chars().count(), 300);
        assert!(statement(" ").unwrap_err().contains("empty"));
        assert!(statement(&"é".repeat(301)).unwrap_err().contains("301 characters; give at most 300"));
    }

    #[test]
    fn numbers_are_finite_and_factors_above_0() {
        assert_eq!(positive(" 0.5 "), Ok(0.5));
        assert_eq!(triple("1,-2, 3e0"), Ok([1.0, -2.0, 3.0]));
        assert_eq!(positive_triple("1,2,3"), Ok([1.0, 2.0, 3.0]));
        for text in ["", "x", "inf", "-inf", "nan", "1e39", "0", "-0", "-1", "1,2"] {
            assert!(positive(text).is_err(), "{text}");
        }
        for text in ["", "1", "1,2", "1,2,", "1,2,x", "1,2,inf", "1,nan,2", "1,2,3,4", "1,2,3e39"] {
            assert!(triple(text).is_err() && positive_triple(text).is_err(), "{text}");
        }
        for text in ["0,1,1", "1,-1,1", "1,1,-0"] {
            assert!(triple(text).is_ok() && positive_triple(text).is_err(), "{text}");
        }
    }
}
