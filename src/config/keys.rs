//! Settings in TOML tables by their keys: `loss.batch_contrastive.tau` is `tau` in the table `[loss.batch_contrastive]`.

use super::Config;
use toml::{Table, Value};

/// The value of a setting.
pub(super) fn get<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((section, rest)) => get(table.get(section)?.as_table()?, rest),
    }
}

/// Removes a setting and returns its value.
pub(super) fn remove(table: &mut Table, key: &str) -> Option<Value> {
    match key.split_once('.') {
        None => table.remove(key),
        Some((section, rest)) => remove(table.get_mut(section)?.as_table_mut()?, rest),
    }
}

/// Sets a setting. A value that stands in the place of one of its sections is replaced.
pub(super) fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_string(), value);
        }
        Some((section, rest)) => {
            let own = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if !own.is_table() {
                *own = Value::Table(Table::new());
            }
            insert(own.as_table_mut().expect("a table"), rest, value);
        }
    }
}

/// A table with one setting.
pub(super) fn alone(key: &str, value: Value) -> Table {
    let mut table = Table::new();
    insert(&mut table, key, value);
    table
}

/// All settings of a table with their keys, in the table's order. Tables are sections if a known key lies in them, else values.
pub(super) fn settings(table: &Table) -> Vec<(String, &Value)> {
    fn collect<'a>(
        prefix: &str,
        table: &'a Table,
        sections: &[String],
        found: &mut Vec<(String, &'a Value)>,
    ) {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            match value.as_table() {
                Some(inner) if sections.contains(&key) => collect(&format!("{key}."), inner, sections, found),
                _ => found.push((key, value)),
            }
        }
    }
    let mut found = Vec::new();
    collect("", table, &sections(), &mut found);
    found
}

/// The sections of all settings: `loss`, `loss.batch_contrastive`, ...
pub(super) fn sections() -> Vec<String> {
    let mut sections: Vec<String> = Vec::new();
    for entry in Config::entries() {
        let ends = entry.key.match_indices('.').map(|(at, _)| at);
        for section in ends.map(|at| &entry.key[..at]) {
            if !sections.iter().any(|known| known == section) {
                sections.push(section.to_string());
            }
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_by_their_keys_at_any_depth() {
        let mut table: Table =
            toml::from_str("[loss.batch_contrastive]\ntau = 1\n[solver]\nlr = { a = 2 }\n[x.y]\nz = 3\n")
                .unwrap();
        let mut keys: Vec<String> = settings(&table).into_iter().map(|(key, _)| key).collect();
        keys.sort();
        assert_eq!(keys, ["loss.batch_contrastive.tau", "solver.lr", "x"]);
        assert_eq!(get(&table, "loss.batch_contrastive.tau"), Some(&Value::Integer(1)));
        assert_eq!(get(&table, "loss.batch_contrastive.tau.more"), None);
        assert_eq!(remove(&mut table, "loss.batch_contrastive.tau"), Some(Value::Integer(1)));
        assert_eq!(get(&table, "loss.batch_contrastive.tau"), None);
        assert_eq!(remove(&mut table, "a.b"), None);
        insert(&mut table, "x.y.z.w", Value::Integer(4));
        assert_eq!(get(&table, "x.y.z.w"), Some(&Value::Integer(4)));
    }
}
