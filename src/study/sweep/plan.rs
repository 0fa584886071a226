//! Plan of a sweep: the recipes that follow from the settings and the swept values, and their baselines.

use crate::config::{self, Config};
use crate::study::names::{LAMBDA, START};
use crate::study::recipes::{Recipes, is_of_the_loss, name_of, without_loss};
use crate::study::start::Start;
use crate::study::{Recipe, Setting};
use crate::{Error, Result};
use serde::Serialize;
use std::collections::BTreeSet;

/// Settings without effect on results.
const NOT_VARIED: [&str; 2] = ["data.workers", "data.cache_mib"];
/// Largest number of points of a sweep.
const MOST_POINTS: usize = 1000;

/// A swept setting, or the start, with its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Key of the setting, or [`START`].
    pub key: String,
    /// Values as text, or names of the starts.
    pub values: Vec<String>,
}

impl Swept {
    /// Parses `section.key=A,B,...`. A comma inside brackets or quotes does not end a value.
    ///
    /// # Errors
    /// A text of another form; a setting without effect on results.
    pub fn parse(text: &str) -> Result<Self> {
        let fault = |what: &str| Error::Config(format!("--vary {text}: {what}"));
        let (key, values) = text
            .split_once('=')
            .ok_or_else(|| fault("write it as section.key=A,B,..., for example --vary solver.batch=16,32"))?;
        let key = config::current_name(key.trim());
        if key.starts_with("run.") || NOT_VARIED.contains(&key.as_str()) {
            return Err(fault(match key.as_str() {
                "run.seed" => "the seed cannot be varied; --runs N trains with N consecutive seeds",
                _ => "this setting does not change the result of a run; vary another one",
            }));
        }
        Ok(Swept { key, values: split(values) })
    }
}

/// Splits a text at commas outside brackets and quotes, and trims the parts.
fn split(text: &str) -> Vec<String> {
    let (mut depth, mut quote, mut parts) = (0usize, None, vec![String::new()]);
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().expect("there is always one").push(c);
    }
    parts.iter().map(|part| part.trim().to_string()).collect()
}

/// A planned point: its varied settings and its recipe.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Planned {
    /// Varied settings, in the order of the sweep.
    pub values: Vec<Setting>,
    /// Index of the recipe in [`Plan::recipes`].
    pub recipe: usize,
    /// Index of the recipe with the same settings and lambda 0, if it is run and is another one.
    pub baseline: Option<usize>,
}

/// Plan of a sweep.
#[derive(Debug)]
pub(super) struct Plan {
    /// Distinct recipes; several points may share one.
    pub recipes: Vec<Recipe>,
    /// Points, each baseline before the first point that is compared with it.
    pub points: Vec<Planned>,
}

impl Plan {
    /// Plans each value with the first start and the other settings unchanged, or, with `grid`, all combinations. With
    /// `baselines`, each point gets the recipe with lambda 0 too.
    ///
    /// # Errors
    /// A key that is given twice or has no values; values that are invalid, equal, or without effect; too many
    /// combinations.
    pub fn new(starts: &[Start], swept: &[Swept], grid: bool, baselines: bool) -> Result<Self> {
        let mut keys = BTreeSet::new();
        if let Some(twice) = swept.iter().find(|swept| !keys.insert(swept.key.as_str())) {
            return Err(Error::Config(format!("{} is varied twice; give all its values at once", twice.key)));
        }
        let mut plan = Plan { recipes: Vec::new(), points: Vec::new() };
        let mut recipes = Recipes::default();
        let mut asked: Vec<(Vec<Setting>, usize)> = Vec::new();
        for values in combinations(swept, grid)? {
            let ResolvedPoint { values, start, config } = resolve_point(starts, values)?;
            let recipe = recipes.find_or_add(start, config, || name_of(&values, &starts[start]));
            if let Some((other, _)) = asked.iter().find(|(_, known)| *known == recipe) {
                match same(other, &values, grid) {
                    Same::Point => continue,
                    Same::Recipe => {}
                    Same::Fault(fault) => return Err(Error::Config(fault)),
                }
            }
            asked.push((values, recipe));
        }
        let places: BTreeSet<usize> = asked.iter().map(|(_, recipe)| *recipe).collect();
        let mut shown = BTreeSet::new();
        for (values, recipe) in asked {
            let Recipe { start, ref config, .. } = recipes.0[recipe];
            let mut baseline = None;
            if config.loss.batch_contrastive.weight != 0.0 {
                let twin = without_loss(config, &starts[start].config);
                let others = values.iter().filter(|value| !is_of_the_loss(&value.key));
                let lambda = Setting { key: LAMBDA.into(), value: "0".into() };
                let twins: Vec<Setting> = std::iter::once(lambda).chain(others.cloned()).collect();
                baseline = match baselines {
                    true => Some(recipes.find_or_add(start, twin, || name_of(&twins, &starts[start]))),
                    false => recipes.find(start, &twin),
                };
                if let Some(recipe) = baseline.filter(|twin| !places.contains(twin) && shown.insert(*twin)) {
                    plan.points.push(Planned { values: twins, recipe, baseline: None });
                }
            }
            plan.points.push(Planned { values, recipe, baseline });
        }
        plan.recipes = recipes.0;
        Ok(plan)
    }
}

/// Reason why two points have one recipe.
enum Same {
    /// Both are one point: where lambda is 0, the other settings of the loss have no effect.
    Point,
    /// Both points are kept, because different keys lead to one recipe, for example by their default values.
    Recipe,
    /// One value is given in two spellings.
    Fault(String),
}

fn same(one: &[Setting], other: &[Setting], grid: bool) -> Same {
    if one == other {
        return Same::Point;
    }
    let twin = |setting: &&Setting| other.iter().any(|o| o.key == setting.key && o.value != setting.value);
    match one.iter().find(twin) {
        Some(Setting { key, value }) => {
            let twin = other.iter().find(|o| o.key == *key).map_or("", |o| o.value.as_str());
            Same::Fault(format!("{key}: {value} and {twin} are the same; give it once"))
        }
        None if grid => Same::Point,
        None => Same::Recipe,
    }
}

/// All combinations of the values, or each value alone.
fn combinations(swept: &[Swept], grid: bool) -> Result<Vec<Vec<Setting>>> {
    if let Some(empty) = swept.iter().find(|swept| swept.values.is_empty()) {
        return Err(Error::Config(format!("{}: give at least one value", empty.key)));
    }
    for Swept { key, values } in swept {
        if values.iter().any(String::is_empty) {
            return Err(Error::Config(format!(
                "{key}: a value is empty; give a value before and after every comma"
            )));
        }
        let twice = values.iter().enumerate().find(|(place, value)| values[..*place].contains(value));
        if let Some((_, value)) = twice {
            return Err(Error::Config(format!("{key}: {value} and {value} are the same; give it once")));
        }
    }
    let count = match grid {
        true => swept.iter().try_fold(1usize, |count, swept| count.checked_mul(swept.values.len())),
        false => Some(swept.iter().map(|swept| swept.values.len()).sum()),
    };
    if count.is_none_or(|count| count > MOST_POINTS) {
        return Err(Error::Config(format!(
            "the sweep has more than {MOST_POINTS} recipes; give fewer values, or leave --grid out"
        )));
    }
    let settings = |swept: &Swept| -> Vec<Setting> {
        let setting = |value: &String| Setting { key: swept.key.clone(), value: value.clone() };
        swept.values.iter().map(setting).collect()
    };
    if !grid {
        return Ok(swept.iter().flat_map(settings).map(|setting| vec![setting]).collect());
    }
    Ok(swept.iter().fold(vec![Vec::new()], |all, swept| {
        let longer = |short: &Vec<Setting>| -> Vec<Vec<Setting>> {
            settings(swept).into_iter().map(|s| [short.clone(), vec![s]].concat()).collect()
        };
        all.iter().flat_map(longer).collect()
    }))
}

/// A point with its start and its resolved settings.
struct ResolvedPoint {
    values: Vec<Setting>,
    start: usize,
    config: Config,
}

/// Finds the start and applies the settings. Values without effect, because lambda is 0, are dropped where lambda is
/// varied too.
fn resolve_point(starts: &[Start], values: Vec<Setting>) -> Result<ResolvedPoint> {
    let named = values.iter().find(|value| value.key == START);
    let start = match named {
        None => 0,
        Some(Setting { value, .. }) => starts
            .iter()
            .position(|start| start.label() == value)
            .ok_or_else(|| Error::Config(format!("there is no start {value}; give it with --start")))?,
    };
    let base = &starts[start].config;
    let settings = values.iter().filter(|value| value.key != START);
    let settings: Vec<String> = settings.map(|Setting { key, value }| format!("{key}={value}")).collect();
    let config = Config::resolve_text(&base.to_toml(), &settings)?;
    if config.loss.batch_contrastive.weight != 0.0 {
        return Ok(ResolvedPoint { values, start, config });
    }
    let idle = |value: &Setting| is_of_the_loss(&value.key) && value.key != LAMBDA;
    if let Some(Setting { key, .. }) = values.iter().find(|v| idle(v))
        && !values.iter().any(|value| value.key == LAMBDA)
    {
        return Err(Error::Config(format!(
            "{key} changes nothing where {LAMBDA} is 0; give a {LAMBDA} above 0, or leave {key} out"
        )));
    }
    let config = without_loss(&config, base);
    Ok(ResolvedPoint { values: values.into_iter().filter(|value| !idle(value)).collect(), start, config })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::recipes::in_words;

    fn start(name: Option<&str>, settings: &[&str]) -> Start {
        let settings: Vec<String> = settings.iter().map(|setting| setting.to_string()).collect();
        Start { name: name.map(String::from), ..Start::only(None, &[], &settings).unwrap() }
    }

    fn swept(key: &str, values: &[&str]) -> Swept {
        Swept { key: key.into(), values: values.iter().map(|value| value.to_string()).collect() }
    }

    fn names(plan: &Plan) -> Vec<&str> {
        plan.recipes.iter().map(|recipe| recipe.name.as_str()).collect()
    }

    /// Each point as its values and its baseline's name.
    fn points(plan: &Plan) -> Vec<(String, Option<&str>)> {
        let name = |place: usize| plan.recipes[place].name.as_str();
        plan.points.iter().map(|point| (in_words(&point.values), point.baseline.map(name))).collect()
    }

    #[test]
    fn values_alone_share_recipes_and_one_baseline() {
        let only = [start(None, &[])];
        let asked = [
            swept("loss.batch_contrastive.weight", &["0.1", "1"]),
            swept("loss.batch_contrastive.center_rate", &["tied", "0.5"]),
        ];
        let plan = Plan::new(&only, &asked, false, true).unwrap();
        // The center rate of 0.5 and the lambda of 1 are the defaults: one recipe.
        assert_eq!(names(&plan), ["lambda-0.1", "lambda-1", "center_rate-tied", "lambda-0"]);
        let zero = Some("lambda-0");
        let lines = [
            ("lambda 0", None),
            ("lambda 0.1", zero),
            ("lambda 1", zero),
            ("center_rate tied", zero),
            ("center_rate 0.5", zero),
        ];
        assert_eq!(points(&plan), lines.map(|(values, baseline)| (values.to_string(), baseline)));
        let zero = &plan.recipes[3].config;
        assert_eq!(*zero, Config::resolve(None, &["loss.batch_contrastive.weight=0".into()]).unwrap());
        // A baseline that is asked for is a point of its own, and is compared with without a run for it.
        let asked = [swept("loss.batch_contrastive.weight", &["0.0", "1"])];
        let plan = Plan::new(&only, &asked, false, false).unwrap();
        assert_eq!(points(&plan), [("lambda 0.0".into(), None), ("lambda 1".into(), Some("lambda-0"))]);
        assert_eq!(names(&Plan::new(&only, &asked[..1], false, true).unwrap()), ["lambda-0", "lambda-1"]);
        // Another batch has another baseline.
        let plan = Plan::new(&only, &[swept("solver.batch", &["8"])], false, true).unwrap();
        assert_eq!(names(&plan), ["solver.batch-8", "lambda-0+solver.batch-8"]);
        assert_eq!(plan.recipes[1].config.solver.batch, 8);
        assert_eq!(
            names(&Plan::new(&only, &[swept("solver.batch", &["8"])], false, false).unwrap()).len(),
            1
        );
    }

    #[test]
    fn a_grid_has_every_combination_and_one_baseline_for_what_lambda_0_does_not_use() {
        let only = [start(None, &[])];
        let asked = [
            swept("solver.batch", &["8", "16"]),
            swept("loss.batch_contrastive.tau", &["0.3", "1"]),
            swept("loss.batch_contrastive.weight", &["0", "1"]),
        ];
        let plan = Plan::new(&only, &asked, true, true).unwrap();
        // In names the loss comes first, however the options stand.
        assert_eq!(
            names(&plan),
            [
                "lambda-0+solver.batch-8",
                "lambda-1+tau-0.3+solver.batch-8",
                "lambda-1+tau-1+solver.batch-8",
                "lambda-0+solver.batch-16",
                "lambda-1+tau-0.3+solver.batch-16",
                "lambda-1+tau-1+solver.batch-16"
            ]
        );
        assert_eq!(plan.points.len(), 6);
        let last = points(&plan).pop().unwrap();
        assert_eq!(last, ("solver.batch 16, tau 1, lambda 1".into(), Some("lambda-0+solver.batch-16")));
        assert_eq!(
            plan.recipes[3].config.loss.batch_contrastive.tau,
            Config::default().loss.batch_contrastive.tau
        );
        let many: Vec<String> = (1..=40).map(|value| value.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let asked = [swept("loss.batch_contrastive.weight", &many), swept("solver.batch", &many)];
        assert!(Plan::new(&only, &asked, true, true).unwrap_err().to_string().contains("more than 1000"));
    }

    #[test]
    fn starts_keep_their_recipes_apart() {
        let starts = [start(Some("random"), &[]), start(Some("caffe"), &["model.wiring=caffe"])];
        let asked = [swept("loss.batch_contrastive.weight", &["1"]), swept(START, &["random", "caffe"])];
        let plan = Plan::new(&starts, &asked, false, true).unwrap();
        assert_eq!(
            names(&plan),
            ["lambda-1+start-random", "start-caffe", "lambda-0+start-random", "lambda-0+start-caffe"]
        );
        assert_eq!(plan.recipes.iter().map(|recipe| recipe.start).collect::<Vec<_>>(), [0, 1, 0, 1]);
        assert_eq!(plan.recipes[3].config.model, starts[1].config.model);
        // Lambda is varied from the first start; that one and lambda 1 are one recipe.
        assert_eq!(points(&plan)[2], ("start random".into(), Some("lambda-0+start-random")));
    }

    #[test]
    fn what_cannot_be_swept() {
        let only = [start(None, &[])];
        let without = [start(None, &["loss.batch_contrastive.weight=0"])];
        let error = |starts: &[Start], asked: &[Swept], grid| {
            Plan::new(starts, asked, grid, true).unwrap_err().to_string()
        };
        let lambda = |values: &[&str]| swept("loss.batch_contrastive.weight", values);
        for grid in [false, true] {
            assert!(error(&only, &[lambda(&["1", "1.0"])], grid).contains("1 and 1.0 are the same"));
            assert!(error(&only, &[lambda(&["1", "1"])], grid).contains("1 and 1 are the same"));
            assert!(error(&only, &[lambda(&["0", "0.0"])], grid).contains("0 and 0.0 are the same"));
            assert!(
                error(&only, &[lambda(&["1", ""])], grid)
                    .contains("loss.batch_contrastive.weight: a value is empty")
            );
            assert!(error(&only, &[lambda(&["1"]), lambda(&["2"])], grid).contains("varied twice"));
            assert!(
                error(&only, &[swept("loss.tua", &["1"])], grid)
                    .contains("did you mean loss.batch_contrastive.tau")
            );
            assert!(
                error(&without, &[swept("loss.batch_contrastive.tau", &["1"])], grid)
                    .contains("loss.batch_contrastive.tau changes nothing")
            );
        }
        for (text, words) in [
            ("solver.batch", "write it as"),
            ("run.seed=1,2", "--runs"),
            ("run.log_every=1,2", "does not change the result of a run"),
            ("data.workers=1,2", "does not change the result of a run"),
        ] {
            let error = Swept::parse(text).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("--vary"), "{error}");
        }
    }

    #[test]
    fn a_list_is_one_value() {
        let lists = Swept::parse("solver.lr_milestones = [8, 10], [9],[]").unwrap();
        assert_eq!(lists, swept("solver.lr_milestones", &["[8, 10]", "[9]", "[]"]));
        assert_eq!(Swept::parse("data.sampler=\"pk\", random").unwrap().values, ["\"pk\"", "random"]);
        assert_eq!(Swept::parse("model.width=8,").unwrap().values, ["8", ""]);
        let plan = Plan::new(&[start(None, &[])], &[lists], false, false).unwrap();
        let names = names(&plan);
        assert!(names[0].starts_with("solver.lr_milestones-_8_10_-"), "{names:?}");
    }
}
