//! The settings of a run: each has a meaning, a unit, a default and the source of the default.
//!
//! The defaults are the paper's recipe where it states one (section 3.2); what it does not state is marked "ours". A
//! run reads a TOML file and `--set section.key=value` on top of it; `bcreid config` prints this table.

mod check;
mod compare;
mod describe;
mod keys;
mod old_names;
pub mod pattern;
mod recipe;
mod resolve;
mod settings;
mod synonyms;
mod unknown_key;
mod unused;
mod wrong_type;

pub use old_names::current as current_name;
pub use recipe::{BuiltInRecipe, RECIPES, title_of};
pub use resolve::stored_settings;
pub use settings::*;
pub use unknown_key::advice_for_flag;

use crate::Result;
use crate::data::ImageInput;
use crate::error::excerpt;
use resolve::Layer;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// All settings of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The network.
    pub model: Model,
    /// Size and normalisation of the images.
    pub input: Input,
    /// The terms of the loss.
    pub loss: Loss,
    /// The optimiser and its schedule.
    pub solver: Solver,
    /// Images and batches.
    pub data: Data,
    /// Seed, checkpoints and log of the run.
    pub run: Run,
}

impl Config {
    /// The defaults, then the TOML file, then each `section.key=value`, in this order; checked.
    ///
    /// # Errors
    /// An unreadable file; a key that does not exist (the nearest one is named); a value of the wrong type
    /// or out of range.
    pub fn resolve(file: Option<&Path>, settings: &[String]) -> Result<Self> {
        let files: Vec<PathBuf> = file.map(Path::to_path_buf).into_iter().collect();
        Self::resolve_for(None, &files, settings)
    }

    /// As [`Config::resolve`], with several files, each a path or the name of a recipe of [`RECIPES`]; a later file
    /// replaces values of earlier ones. Settings that belong to a network's weights (its kind, wiring and input
    /// convention) come from `weights` unless a file or a setting gives them.
    ///
    /// # Errors
    /// As [`Config::resolve`].
    pub fn resolve_for(weights: Option<&Config>, files: &[PathBuf], settings: &[String]) -> Result<Self> {
        let layers = files.iter().map(|file| recipe::layer(file)).collect::<Result<Vec<_>>>()?;
        let base = weights.map(Config::network_table).unwrap_or_default();
        Self::resolve_over(base, &layers, settings)
    }

    /// The defaults, then a TOML text, then each `section.key=value`, in this order; checked.
    ///
    /// # Errors
    /// As [`Config::resolve`].
    pub fn resolve_text(text: &str, settings: &[String]) -> Result<Self> {
        Self::resolve_over(toml::Table::new(), &[Layer::text(text)], settings)
    }

    /// The settings in a run folder or checkpoint. All settings are stored there, so an absent one did not exist yet
    /// and has its value of that time: before `loss.batch_contrastive.reduction` the loss was a sum.
    ///
    /// # Errors
    /// As [`Config::resolve`].
    pub fn from_toml(text: &str) -> Result<Self> {
        let before = keys::alone("loss.batch_contrastive.reduction", "sum".into());
        Self::resolve_over(before, &[Layer::text(text)], &[])
    }

    /// The input convention of the network.
    pub fn image_input(&self) -> ImageInput {
        let Input { height, width, channels, scale, mean, std } = self.input;
        ImageInput { height, width, channels, scale, mean, std }
    }

    /// Height and width of decoded training images: those of the input, or larger ones that are cropped.
    pub fn stored_size(&self) -> [usize; 2] {
        self.data.resize.unwrap_or([self.input.height, self.input.width])
    }

    /// Every setting as TOML.
    ///
    /// # Panics
    /// Never: every setting has a TOML form.
    pub fn to_toml(&self) -> String {
        self.table().to_string()
    }

    /// The settings that belong to a network's weights, as TOML.
    pub fn network_toml(&self) -> String {
        self.network_table().to_string()
    }

    /// Kind, wiring, pooling, embedding, neck and input convention of the network: weights have no use without them.
    fn network_table(&self) -> toml::Table {
        const MODEL: &[&str] =
            &["arch", "width", "stem", "depths", "wiring", "last_stride", "ibn", "pooling", "neck"];
        const EMBEDDING: &[&str] = &["embedding", "embedding_batchnorm", "embedding_relu", "embedding_bias"];
        const INPUT: &[&str] = &["channels", "scale", "mean", "std"];
        let mut table = self.table();
        table.retain(|section, _| ["model", "input"].contains(&section));
        // Files from before these settings have none of these layers; equal networks keep equal fingerprints.
        let embedding = if self.model.embedding.is_empty() { &[] } else { EMBEDDING };
        for (section, keys) in [("model", [MODEL, embedding].concat()), ("input", INPUT.to_vec())] {
            if let Some(section) = table.get_mut(section).and_then(toml::Value::as_table_mut) {
                section.retain(|key, _| keys.contains(&key));
            }
        }
        if self.model.neck == NeckKind::None {
            keys::remove(&mut table, "model.neck");
        }
        if !self.model.ibn {
            keys::remove(&mut table, "model.ibn");
        }
        if self.model.pooling == Pooling::Average {
            keys::remove(&mut table, "model.pooling");
        }
        table
    }

    /// Every setting as a TOML value, numbers in their shortest decimal form.
    fn table(&self) -> toml::Table {
        fn shorten(value: &mut toml::Value) {
            match value {
                toml::Value::Float(number) => {
                    // Settings are f32; 0.1 widened to f64 would be written as 0.10000000149011612.
                    *number = (*number as f32).to_string().parse().unwrap_or(*number);
                }
                toml::Value::Array(values) => values.iter_mut().for_each(shorten),
                toml::Value::Table(table) => table.iter_mut().for_each(|(_, value)| shorten(value)),
                _ => {}
            }
        }
        let mut table = toml::Table::try_from(self).expect("every setting has a TOML form");
        table.iter_mut().for_each(|(_, value)| shorten(value));
        table
    }

    /// Every setting as TOML, each under a comment with its meaning, unit and the source of its default.
    /// Settings that are absent stand commented out.
    pub fn to_commented_toml(&self) -> String {
        let plain = self.table();
        let mut text = String::new();
        let mut section = "";
        let entries = Self::entries();
        for entry in &entries {
            let (own, name) = entry.key.rsplit_once('.').expect("every key has a section");
            if own != section {
                text += &format!("{}[{own}]\n", if section.is_empty() { "" } else { "\n" });
                section = own;
            }
            text += &format!("# {} [{}; {}]\n", entry.text, entry.unit, entry.source);
            text += &match keys::get(&plain, &entry.key) {
                Some(value) => format!("{name} = {value}\n"),
                None => format!("# {name} =\n"),
            };
        }
        text
    }

    /// The table of all settings, in the order of the file.
    pub fn entries() -> Vec<Entry> {
        [
            Model::entries(),
            Input::entries(),
            Loss::entries(),
            Solver::entries(),
            Data::entries(),
            Run::entries(),
        ]
        .concat()
    }
}

/// A text from elsewhere as one line, shortened.
fn one_line(text: &str) -> String {
    /// Most characters that a message quotes.
    const QUOTED: usize = 200;
    // A parser's message has several lines. Of a long text only the start is joined.
    let start: String = text.chars().take(4 * QUOTED).collect();
    excerpt(&start.split_whitespace().collect::<Vec<_>>().join(" "), QUOTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(settings: &[&str]) -> Result<Config> {
        Config::resolve(None, &settings.iter().map(|s| s.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn the_default_is_the_papers_recipe() {
        let c = Config::default();
        assert_eq!((c.solver.iterations, c.solver.batch, c.solver.lr), (50_000, 16, 0.01));
        assert_eq!(c.solver.lr_milestones, [20_000, 40_000]);
        assert_eq!((c.loss.batch_contrastive.weight, c.model.dropout), (1.0, 0.9));
        assert_eq!((c.input.height, c.input.width), (256, 128));
        assert_eq!((c.model.arch, c.loss.batch_contrastive.gradient), (Arch::Resnet50, Gradient::Paper));
        assert_eq!(c.broken_rule(), None);
    }

    #[test]
    fn settings_override_and_survive_the_round_trip() {
        let c = set(&[
            "loss.batch_contrastive.weight=0",
            "model.arch=slim",
            "loss.batch_contrastive.center_rate=tied",
            "model.width=24",
        ])
        .unwrap();
        assert_eq!(
            (c.loss.batch_contrastive.weight, c.model.arch, c.model.width),
            (0.0, Arch::Slim, Some(24))
        );
        assert_eq!(c.loss.batch_contrastive.center_rate, CenterRate::Tied);
        assert_eq!(Config::from_toml(&c.to_toml()).unwrap(), c);
        let text = Config::default().to_toml();
        assert_eq!(Config::from_toml(&text).unwrap(), Config::default());
        assert!(text.contains("lr = 0.01\n") && text.contains("mean = [0.485, 0.456, 0.406]"), "{text}");
        assert_eq!(Config::from_toml(&c.to_commented_toml()).unwrap(), c);
    }

    #[test]
    fn old_names_are_read_from_files_and_settings() {
        let new =
            set(&["solver.lr=0.5", "solver.lr_milestones=[3]", "solver.lr_gamma=0.2", "solver.lr_warmup=7"])
                .unwrap();
        let old =
            ["solver.rate=0.5", "solver.rate_drops=[3]", "solver.rate_factor=0.2", "solver.rate_warmup=7"];
        assert_eq!(set(&old).unwrap(), new);
        let file = "[solver]\nrate = 0.5\nrate_drops = [3]\nrate_factor = 0.2\nrate_warmup = 7\n";
        assert_eq!(Config::resolve_text(file, &[]).unwrap(), new);
        let stored = Config::from_toml(&(file.to_string() + "[loss]\nreduction = \"sum\"\n")).unwrap();
        assert_eq!(stored.solver, new.solver);
        let loss =
            set(&["loss.batch_contrastive.weight=0.5", "loss.batch_contrastive.tau=2", "solver.batch=4"])
                .unwrap();
        assert_eq!(set(&["loss.lambda=0.5", "loss.tau=2", "solver.batch=4"]).unwrap(), loss);
        let old = "[loss]\nlambda = 0.5\ntau = 2\n[solver]\nbatch = 4\n";
        assert_eq!(Config::resolve_text(old, &[]).unwrap(), loss);
        let shown = stored_settings(old).unwrap();
        assert!(shown.contains(&("loss.batch_contrastive.tau".into(), "2".into())), "{shown:?}");
        // Nothing is overwritten, and nothing behind a line break is lost.
        let error =
            Config::resolve_text("[loss]\nlambda = 1\nbatch_contrastive = 3\n", &[]).unwrap_err().to_string();
        assert!(error.contains("there is no key loss.batch_contrastive;"), "{error}");
        let two_lines = "solver.lr=0.1\nsolver.batch=64".to_string();
        assert!(
            Config::resolve_text("", &[two_lines]).unwrap_err().to_string().contains("solver.lr is a number")
        );
        // A setting replaces the file's under either name.
        let settings = ["solver.lr=0.25".to_string()];
        assert_eq!(Config::resolve_text(file, &settings).unwrap().solver.lr, 0.25);
        let error = Config::resolve_text("[solver]\nrate = 1\nlr = 1\n", &[]).unwrap_err().to_string();
        assert!(error.contains("solver.rate is the old name of solver.lr, and both are given"), "{error}");
        assert!(
            new.to_toml().contains("lr_gamma = 0.2") && !new.to_toml().contains("rate_"),
            "{}",
            new.to_toml()
        );
    }

    #[test]
    fn ill_typed_and_out_of_range_values_name_the_key() {
        for (wrong, key) in [
            ("loss.batch_contrastive.weight=much", "loss.batch_contrastive.weight"),
            ("solver.batch=-4", "solver.batch"),
            ("model.arch=resnet49", "model.arch"),
            ("model.dropout=1.0", "model.dropout"),
            ("loss.batch_contrastive.center_rate=loose", "loss.batch_contrastive.center_rate"),
            ("input.mean=[1, 2]", "input.mean"),
            ("solver.lr=nan", "solver.lr"),
            ("data.crop=true", "data.crop"),
            ("data.pk_images=0", "data.pk_images"),
            ("solver.lr_milestones=[5, 5]", "solver.lr_milestones"),
        ] {
            let mut settings = vec![wrong];
            match key {
                "data.crop" => settings.push("data.pad=0"),
                "data.pk_images" => settings.push("data.sampler=pk"),
                _ => {}
            }
            let error = set(&settings).unwrap_err().to_string();
            assert!(error.contains(key) && !error.contains('\n'), "{wrong}: {error}");
        }
    }

    #[test]
    fn weights_bring_their_network_along_and_nothing_else() {
        let weights = set(&[
            "model.arch=resnet18",
            "model.wiring=caffe",
            "input.channels=bgr",
            "input.scale=1",
            "input.height=64",
            "solver.lr=0.5",
        ])
        .unwrap();
        let resolved =
            Config::resolve_for(Some(&weights), &[], &["model.last_stride=1".to_string()]).unwrap();
        let (model, input) = (&resolved.model, &resolved.input);
        assert_eq!((model.arch, model.wiring, model.last_stride), (Arch::Resnet18, Wiring::Caffe, 1));
        assert_eq!((input.channels, input.scale, input.height), (Channels::Bgr, 1.0, 256));
        assert_eq!(resolved.solver, Solver::default());
        assert_eq!(Config::from_toml(&weights.network_toml()).unwrap().model, weights.model);
        let own = Config::resolve_for(Some(&weights), &[], &["model.wiring=torchvision".into()]).unwrap();
        assert_eq!(own.model.wiring, Wiring::Torchvision);
    }

    #[test]
    fn a_difference_names_the_setting_and_some_may_differ() {
        let base = Config::default();
        assert_eq!(base.difference(&set(&["run.log_every=7", "solver.iterations=9"]).unwrap()), None);
        let other = set(&["loss.batch_contrastive.tau=0.7", "data.workers=2"]).unwrap();
        let difference = base.difference(&other).unwrap();
        assert!(difference.contains("loss.batch_contrastive.tau is 0.3 here"), "{difference}");
        assert!(base.difference(&set(&["model.width=8"]).unwrap()).unwrap().contains("absent here and 8"));
    }

    #[test]
    fn what_others_wrote_stays_on_one_line() {
        for text in ["[loss]\nlambda = \"a\\nb\\u001b[2J\"", "[\"lo\\n\\u001bss\"]\nx = 1"] {
            let error = Config::from_toml(text).unwrap_err().to_string();
            assert!(!error.contains(char::is_control) && error.contains("\\u{1b}"), "{error}");
        }
    }

    #[test]
    fn changes_are_what_is_not_the_default() {
        assert!(Config::default().changes(&[]).is_empty());
        let changed =
            set(&["solver.iterations=9", "run.seed=3", "data.workers=2", "model.arch=slim"]).unwrap();
        assert_eq!(changed.changes(&[]), ["model.arch = \"slim\"", "solver.iterations = 9"]);
        assert_eq!(changed.changes(&["model.arch"]), ["solver.iterations = 9"]);
    }

    #[test]
    fn stored_settings_older_than_the_reduction_are_of_sums() {
        let mean = set(&["loss.batch_contrastive.reduction=mean"]).unwrap();
        assert_eq!(Config::from_toml(&mean.to_toml()).unwrap(), mean);
        let older = mean.to_toml().replace("reduction = \"mean\"\n", "");
        assert_eq!(Config::from_toml(&older).unwrap().loss.batch_contrastive.reduction, Reduction::Sum);
        assert_eq!(Config::from_toml("").unwrap().loss.batch_contrastive.reduction, Reduction::Sum);
    }

    #[test]
    fn a_fault_in_the_file_names_its_line() {
        let error = Config::from_toml("[loss]\nlambda = 1\ntau = = 3\n").unwrap_err().to_string();
        assert!(error.contains("line 3"), "{error}");
    }
}
