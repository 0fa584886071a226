//! Differences between the settings of two runs, or between a run's settings and the defaults.

use super::{Config, EvalOn, Schedule, keys};

impl Config {
    /// The first setting that differs from `other`'s and that changes the numbers of a run, with both values. The
    /// number of iterations (with a schedule that does not depend on it), the intervals of checkpoints, evaluations and log,
    /// the patience, and the threads of the loader may differ.
    pub fn difference(&self, other: &Self) -> Option<String> {
        const FREE: &[&str] = &[
            "solver.iterations",
            "run.checkpoint_every",
            "run.checkpoints_kept",
            "run.log_every",
            "run.eval_every",
            "run.patience",
            "data.workers",
            "data.cache_mib",
            // The file may lie elsewhere; its content is compared.
            "data.attributes",
        ];
        let entries = Self::entries();
        let is_fixed = |key: &&str| {
            let by_schedule = *key == "solver.iterations" && self.solver.schedule != Schedule::Steps;
            // Held-out identities are not trained on.
            let by_images = *key == "run.eval_every" && self.holds_out() != other.holds_out();
            by_schedule || by_images || !FREE.contains(key)
        };
        let keys: Vec<&str> = entries.iter().map(|e| e.key.as_str()).filter(is_fixed).collect();
        let (key, own, theirs) = self.difference_in(other, &keys)?;
        Some(format!("{key} is {own} here and {theirs} there"))
    }

    /// Whether identities of the training part are held out for evaluations during training.
    pub fn holds_out(&self) -> bool {
        self.run.eval_every > 0 && self.run.eval_on == EvalOn::HeldOut
    }

    /// The settings that change the numbers of a run and are not the defaults, as `key = value`. The seed and the keys
    /// in `except` are left out.
    pub fn changes(&self, except: &[&str]) -> Vec<String> {
        let entries = Self::entries();
        let decides = |key: &&str| {
            let plain = ["data.workers", "data.cache_mib"];
            let is_plain = key.starts_with("run.") && !(*key == "run.eval_every" && self.holds_out());
            !is_plain && !plain.contains(key) && !except.contains(key)
        };
        let keys: Vec<&str> = entries.iter().map(|e| e.key.as_str()).filter(decides).collect();
        let changes = self.differences_among(&Self::default(), &keys);
        changes.into_iter().map(|(key, own, _)| format!("{key} = {own}")).collect()
    }

    /// The first of `keys` whose values differ: the key, the value of `self`, the value of `other`.
    pub fn difference_in(&self, other: &Self, keys: &[&str]) -> Option<(String, String, String)> {
        self.differences_among(other, keys).into_iter().next()
    }

    /// All settings whose values differ: the key, the value of `self`, the value of `other`.
    pub fn differences(&self, other: &Self) -> Vec<(String, String, String)> {
        let entries = Self::entries();
        self.differences_among(other, &entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>())
    }

    /// The differing settings among `keys`: the key, the value of `self`, the value of `other`.
    pub(super) fn differences_among(&self, other: &Self, keys: &[&str]) -> Vec<(String, String, String)> {
        let tables = [self.table(), other.table()];
        let difference = |key: &&str| {
            let [own, theirs] = [&tables[0], &tables[1]].map(|table| value_in(table, key));
            (own != theirs).then(|| (key.to_string(), own, theirs))
        };
        keys.iter().filter_map(difference).collect()
    }

    /// The value of the setting `key`; `None` if there is no such key, or it is absent.
    pub fn value(&self, key: &str) -> Option<toml::Value> {
        keys::get(&self.table(), key).cloned()
    }

    /// The value of the setting `key` as TOML, or `absent`.
    pub(super) fn shown_value(&self, key: &str) -> String {
        value_in(&self.table(), key)
    }
}

fn value_in(table: &toml::Table, key: &str) -> String {
    keys::get(table, key).map_or("absent".into(), |value| value.to_string())
}
