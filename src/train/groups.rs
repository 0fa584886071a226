//! Groups of parameters by their names: factors on the learning rate and the weight decay, and frozen parameters.

use crate::autograd::{Param, Params};
use crate::config::{Config, Factors, pattern};
use crate::{Error, Result};

/// Number of names that an error suggests.
const SUGGESTED: usize = 3;

/// Gives the parameters the factors of the settings, and freezes those that are frozen in step `first`. A parameter has the product of the factors of
/// all patterns that match its name, and of the factor that the network declares for it (`solver.head_rate`).
///
/// # Errors
/// [`Error::Config`] for a pattern that matches no parameter; the nearest names are named. If no parameter is left to
/// be trained.
pub fn apply(config: &Config, params: &mut Params, first: u64) -> Result<()> {
    let solver = &config.solver;
    multiply("solver.lr_factors", &solver.lr_factors, params, |param| &mut param.lr_mult)?;
    multiply("solver.decay_factors", &solver.decay_factors, params, |param| &mut param.decay_mult)?;
    freeze(config, params, first)
}

/// Freezes the parameters of `solver.freeze`, for the whole run or for its first `solver.freeze_iterations`.
fn freeze(config: &Config, params: &mut Params, first: u64) -> Result<()> {
    let (patterns, iterations) = (&config.solver.freeze, config.solver.freeze_iterations);
    let parts = |pattern: &'_ str| match pattern.strip_prefix('!') {
        Some(rest) => (rest.to_string(), false),
        None => (pattern.to_string(), true),
    };
    let patterns: Vec<(String, bool)> = patterns.iter().map(|pattern| parts(pattern)).collect();
    patterns.iter().try_for_each(|(pattern, _)| require_match("solver.freeze", pattern, params))?;
    let first_step = u32::try_from(iterations).unwrap_or(u32::MAX);
    for param in params.params_mut() {
        let last = patterns.iter().rfind(|(pattern, _)| pattern::matches(pattern, &param.name));
        if last.is_some_and(|(_, freezes)| *freezes) {
            param.frozen = iterations == 0 || first < iterations;
            param.first_step = first_step;
        }
    }
    match params.params().iter().any(Param::is_updated) {
        false => Err(Error::Config(
            "solver.freeze and solver.lr_factors leave no parameter to be trained; take some out, for example with \
             \"!fc.*\" behind \"*\""
                .into(),
        )),
        true => Ok(()),
    }
}

/// Whether frozen parameters are trained from step `number` on.
pub fn is_end_of_freeze(config: &Config, number: u64) -> bool {
    let solver = &config.solver;
    number > 0 && number == solver.freeze_iterations && !solver.freeze.is_empty()
}

/// Frees all frozen parameters.
pub fn unfreeze(params: &mut Params) {
    params.params_mut().iter_mut().for_each(|param| param.frozen = false);
}

fn multiply(
    key: &str,
    factors: &Factors,
    params: &mut Params,
    of: impl Fn(&mut Param) -> &mut f32,
) -> Result<()> {
    for (pattern, factor) in factors {
        require_match(key, pattern, params)?;
        let matching = params.params_mut().iter_mut().filter(|param| pattern::matches(pattern, &param.name));
        matching.for_each(|param| *of(param) *= factor);
    }
    Ok(())
}

/// Checks that a pattern of the setting `key` matches a parameter.
fn require_match(key: &str, pattern: &str, params: &Params) -> Result<()> {
    let names = || params.params().iter().map(|param| param.name.as_str());
    if names().any(|name| pattern::matches(pattern, name)) {
        return Ok(());
    }
    let mut near: Vec<(f64, &str)> = names()
        .map(|name| (strsim::jaro_winkler(pattern.trim_end_matches(['*', '.']), name), name))
        .collect();
    near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let near: Vec<&str> = near.into_iter().take(SUGGESTED).map(|(_, name)| name).collect();
    Err(Error::Config(format!(
        "{key}: {pattern:?} matches no parameter of the network; the nearest names are {} (* stands for any characters, ? \
         for one)",
        near.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::model::Model;

    fn params(settings: &[&str]) -> Result<Params> {
        let small = ["model.arch=slim", "model.width=8", "model.depths=[1, 1, 1, 1]"];
        let all: Vec<String> = small.iter().chain(settings).map(|setting| setting.to_string()).collect();
        let config = Config::resolve_text("", &all).unwrap();
        let (_, mut params) = Model::new(&config, 3, &Device::cpu()).unwrap();
        apply(&config, &mut params, 5)?;
        Ok(params)
    }

    fn frozen(settings: &[&str]) -> Vec<String> {
        let params = params(settings).unwrap();
        params.params().iter().filter(|param| param.frozen).map(|param| param.name.clone()).collect()
    }

    #[test]
    fn the_last_matching_pattern_decides_what_is_frozen() {
        assert!(frozen(&[]).is_empty());
        assert_eq!(
            frozen(&[r#"solver.freeze=["conv1.*", "bn1.*"]"#]),
            ["conv1.weight", "bn1.weight", "bn1.bias"]
        );
        let all_but = frozen(&[r#"solver.freeze=["*", "!fc.*", "fc.bias"]"#]);
        assert!(all_but.len() > 20 && !all_but.contains(&"fc.weight".into()));
        assert!(all_but.contains(&"fc.bias".into()));
        // `params` are those of step 5.
        for (iterations, is_frozen) in [(0, true), (5, false), (6, true)] {
            let setting = format!("solver.freeze_iterations={iterations}");
            let names = frozen(&[r#"solver.freeze=["conv1.*"]"#, &setting]);
            assert_eq!(!names.is_empty(), is_frozen, "{iterations}");
        }
        let error = params(&[r#"solver.freeze=["*"]"#]).unwrap_err().to_string();
        assert!(error.contains("leave no parameter to be trained"), "{error}");
        let error = params(&[r#"solver.freeze=["*", "!classifier.*"]"#]).unwrap_err().to_string();
        assert!(error.contains("\"classifier.*\" matches no parameter"), "{error}");
    }

    #[test]
    fn the_factors_of_all_matching_patterns_multiply() {
        let params = params(&[
            "solver.head_rate=4",
            r#"solver.lr_factors={ "layer1.*" = 0.5, "*.bias" = 2, "fc.*" = 0.25, "conv1.weight" = 0 }"#,
            r#"solver.decay_factors={ "*.bias" = 0, "layer?.0.bn*" = 0.5 }"#,
        ])
        .unwrap();
        let of = |name: &str| {
            let param = params.params().iter().find(|param| param.name == name).unwrap();
            (param.lr_mult, param.decay_mult)
        };
        assert_eq!(of("conv1.weight"), (0.0, 1.0));
        assert_eq!(of("bn1.weight"), (1.0, 1.0));
        assert_eq!(of("layer1.0.conv1.weight"), (0.5, 1.0));
        assert_eq!(of("layer1.0.bn1.bias"), (1.0, 0.0));
        assert_eq!(of("layer2.0.bn1.weight"), (1.0, 0.5));
        assert_eq!((of("fc.weight"), of("fc.bias")), ((1.0, 1.0), (2.0, 0.0)));
    }

    #[test]
    fn a_pattern_without_a_parameter_names_near_ones() {
        let error = params(&[r#"solver.lr_factors={ "layr1.0.conv1.weight" = 1 }"#]).unwrap_err().to_string();
        assert!(error.contains("\"layr1.0.conv1.weight\" matches no parameter"), "{error}");
        assert!(error.contains("names are layer1.0.conv1.weight, "), "{error}");
        let error = params(&[r#"solver.decay_factors={ "layer5.*" = 1 }"#]).unwrap_err().to_string();
        assert!(error.contains("solver.decay_factors") && error.contains("layer"), "{error}");
    }
}
