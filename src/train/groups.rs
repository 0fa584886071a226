//! Groups of parameters by their names: factors on the learning rate and the weight decay, and frozen parameters.

use super::rounds::{self, Position, Stage};
use crate::autograd::{Param, Params};
use crate::config::{Config, Factors, pattern};
use crate::model::Model;
use crate::{Error, Result};

/// Number of names that an error suggests.
const SUGGESTED: usize = 3;

/// Gives the parameters the factors of the settings, and freezes those that are frozen in step `first`. A parameter has
/// the product of the factors of all patterns that match its name, and of the factor that the network declares for it
/// (`solver.head_rate`).
///
/// # Errors
/// [`Error::Config`] for a pattern that matches no parameter; the nearest names are named. If no parameter is left to
/// be trained, in `first` or in a restraint or relaxation ([`super::rounds`]).
pub fn apply(config: &Config, model: &Model, params: &mut Params, first: u64) -> Result<()> {
    let solver = &config.solver;
    multiply("solver.lr_factors", &solver.lr_factors, params, |param| &mut param.lr_mult)?;
    multiply("solver.decay_factors", &solver.decay_factors, params, |param| &mut param.decay_mult)?;
    require_matches("solver.freeze", &solver.freeze, params)?;
    if !solver.svd_lr.is_empty() {
        require_matches("solver.svd_freeze", &solver.svd_freeze, params)?;
        freeze(config, model, params, solver.svd_start)?;
        freeze(config, model, params, solver.svd_start + solver.svd_restraint)?;
    }
    freeze(config, model, params, first)
}

/// Freezes the parameters that are frozen in step `number`, and no others: those of `solver.freeze`, for the whole run
/// or for its first `solver.freeze_iterations`, and those of the stage ([`super::rounds`]).
///
/// # Errors
/// If no parameter is left to be trained.
pub fn freeze(config: &Config, model: &Model, params: &mut Params, number: u64) -> Result<()> {
    let solver = &config.solver;
    let position = Position::of(solver, number);
    let decomposed = rounds::layer(model).map(|layer| params.get(layer).name.clone());
    let in_stage = |name: &str| match position.stage {
        Stage::Plain => false,
        Stage::Restraint => decomposed.as_deref() == Some(name),
        Stage::Relaxation => is_chosen(&solver.svd_freeze, name),
    };
    let is_due = solver.freeze_iterations == 0 || number < solver.freeze_iterations;
    for param in params.params_mut() {
        let is_listed = is_chosen(&solver.freeze, &param.name);
        param.frozen = is_listed && is_due || in_stage(&param.name);
        let first = position.first.max(if is_listed { solver.freeze_iterations } else { 0 });
        param.first_step = u32::try_from(first).unwrap_or(u32::MAX);
    }
    if params.params().iter().any(Param::is_updated) {
        return Ok(());
    }
    let (also, key) = match position.stage {
        Stage::Plain => ("", ""),
        Stage::Restraint => (" in a restraint, which freezes the last layer of the embedding", ""),
        Stage::Relaxation => (" in a relaxation", ", solver.svd_freeze"),
    };
    Err(Error::Config(format!(
        "solver.freeze{key} and solver.lr_factors leave no parameter to be trained{also}; take some out, for example with \
         \"!fc.*\" behind \"*\""
    )))
}

/// Whether the parameters that are frozen in step `number` may be others than in the step before.
pub fn is_boundary(config: &Config, number: u64) -> bool {
    let solver = &config.solver;
    let is_end_of_freeze = number > 0 && number == solver.freeze_iterations && !solver.freeze.is_empty();
    is_end_of_freeze || Position::begins(solver, number)
}

/// Whether the last of the patterns that match `name` chooses it: one that begins with ! takes it out.
fn is_chosen(patterns: &[String], name: &str) -> bool {
    let last = patterns.iter().rfind(|pattern| pattern::matches(without_mark(pattern), name));
    last.is_some_and(|pattern| !pattern.starts_with('!'))
}

fn without_mark(pattern: &str) -> &str {
    pattern.strip_prefix('!').unwrap_or(pattern)
}

fn require_matches(key: &str, patterns: &[String], params: &Params) -> Result<()> {
    patterns.iter().try_for_each(|pattern| require_match(key, without_mark(pattern), params))
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

    fn params(settings: &[&str]) -> Result<Params> {
        let small = ["model.arch=slim", "model.width=8", "model.depths=[1, 1, 1, 1]"];
        let all: Vec<String> = small.iter().chain(settings).map(|setting| setting.to_string()).collect();
        let config = Config::resolve_text("", &all).unwrap();
        let (model, mut params) = Model::new(&config, 3, &Device::cpu()).unwrap();
        apply(&config, &model, &mut params, 5)?;
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
    fn each_stage_freezes_its_own() {
        let rounds = |more: &'static str| {
            let start = format!("solver.svd_start={more}");
            frozen(&[
                "model.embedding=[16, 12]",
                "model.embedding_bias=false",
                "solver.svd_lr=[1e-3]",
                "solver.svd_restraint=2",
                r#"solver.svd_freeze=["conv1.*", "*.bn?.*", "!layer4.*"]"#,
                r#"solver.freeze=["bn1.*"]"#,
                "solver.iterations=9",
                "solver.lr_milestones=[]",
                &start,
            ])
        };
        // `frozen` is of step 5.
        assert_eq!(rounds("6"), ["bn1.weight", "bn1.bias"]);
        for start in ["5", "4"] {
            assert_eq!(rounds(start), ["bn1.weight", "bn1.bias", "embedding.3.weight"], "{start}");
        }
        let relaxed = rounds("3");
        for name in ["conv1.weight", "bn1.bias", "layer3.0.bn2.weight"] {
            assert!(relaxed.contains(&name.into()), "{name}: {relaxed:?}");
        }
        assert!(relaxed.iter().all(|name| !name.starts_with("layer4.") && !name.starts_with("embedding.")));
    }

    /// The optimiser counts from the first step of a stage, or from the end of the frozen iterations if it is later.
    #[test]
    fn each_stage_counts_anew() {
        let params = params(&[
            "model.embedding=[12]",
            "model.embedding_bias=false",
            "solver.svd_lr=[1e-3]",
            "solver.svd_start=4",
            r#"solver.freeze=["bn1.*"]"#,
            "solver.freeze_iterations=7",
        ])
        .unwrap();
        let of = |name: &str| params.params().iter().find(|param| param.name == name).unwrap().first_step;
        assert_eq!((of("conv1.weight"), of("bn1.weight")), (4, 7));
    }

    #[test]
    fn a_stage_that_trains_nothing_is_an_error_before_the_first_step() {
        let rounds = ["model.embedding=[12]", "model.embedding_bias=false", "solver.svd_lr=[1e-3]"];
        let error = |more: &[&str]| params(&[&rounds, more].concat()).unwrap_err().to_string();
        let said = error(&[r#"solver.freeze=["*", "!embedding.*"]"#]);
        assert!(said.contains("no parameter to be trained in a restraint"), "{said}");
        let said = error(&[r#"solver.svd_freeze=["*"]"#]);
        assert!(said.contains("no parameter to be trained in a relaxation"), "{said}");
        let said = error(&[r#"solver.svd_freeze=["res2*"]"#]);
        assert!(said.contains("solver.svd_freeze: \"res2*\" matches no parameter"), "{said}");
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
