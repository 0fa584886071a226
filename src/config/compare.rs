//! In which settings two runs differ, or one from the defaults.

use super::Config;

impl Config {
    /// The first setting in which `other` differs among those that decide a run's numbers, with both values.
    /// How long a run goes on, how often it saves or logs and with how many threads it loads may change.
    pub fn difference(&self, other: &Self) -> Option<String> {
        const FREE: &[&str] = &[
            "solver.iterations",
            "run.checkpoint_every",
            "run.checkpoints_kept",
            "run.log_every",
            "data.workers",
            "data.cache_mib",
        ];
        let entries = Self::entries();
        let keys: Vec<&str> =
            entries.iter().map(|e| e.key.as_str()).filter(|key| !FREE.contains(key)).collect();
        let (key, own, theirs) = self.difference_in(other, &keys)?;
        Some(format!("{key} is {own} here and {theirs} there"))
    }

    /// The settings that decide a run's numbers, other than its seed and those in `except`, where they are not the
    /// defaults: `key = value`.
    pub fn changes(&self, except: &[&str]) -> Vec<String> {
        let entries = Self::entries();
        let decides = |key: &&str| {
            let plain = ["data.workers", "data.cache_mib"];
            !key.starts_with("run.") && !plain.contains(key) && !except.contains(key)
        };
        let keys: Vec<&str> = entries.iter().map(|e| e.key.as_str()).filter(decides).collect();
        let changes = self.differences_in(&Self::default(), &keys);
        changes.into_iter().map(|(key, own, _)| format!("{key} = {own}")).collect()
    }

    /// The first of `keys` in which `other` differs, with this one's value and the other's.
    pub fn difference_in(&self, other: &Self, keys: &[&str]) -> Option<(String, String, String)> {
        self.differences_in(other, keys).into_iter().next()
    }

    /// All settings in which `other` differs, with this one's values and the other's.
    pub fn differences(&self, other: &Self) -> Vec<(String, String, String)> {
        let entries = Self::entries();
        self.differences_in(other, &entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>())
    }

    /// All of `keys` in which `other` differs, with this one's values and the other's.
    fn differences_in(&self, other: &Self, keys: &[&str]) -> Vec<(String, String, String)> {
        let tables = [self.table(), other.table()];
        let value = |table: &toml::Table, key: &str| -> String {
            let (section, name) = key.split_once('.').expect("every key has a section");
            table.get(section).and_then(|t| t.get(name)).map_or("absent".into(), |v| v.to_string())
        };
        let difference = |key: &&str| {
            let [own, theirs] = [&tables[0], &tables[1]].map(|t| value(t, key));
            (own != theirs).then(|| (key.to_string(), own, theirs))
        };
        keys.iter().filter_map(difference).collect()
    }
}
