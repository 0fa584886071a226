//! Names of identities and cameras: a data set may name them instead of numbering them (`person_097`, `cam_north`).
//!
//! Everywhere else identities and cameras are numbers. The names are kept beside the numbers, in the data set and in
//! feature files, and are shown in their place.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// The names of the identities and cameras of a data set, by number; empty where the data set has numbers itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Names of identities.
    pub pids: BTreeMap<i64, String>,
    /// Names of cameras.
    pub cameras: BTreeMap<i64, String>,
}

impl Labels {
    /// The identity for a person to read: its name, or its number.
    pub fn pid(&self, pid: i64) -> Cow<'_, str> {
        shown(&self.pids, pid)
    }

    /// The camera for a person to read: its name, or its number.
    pub fn camera(&self, camid: i64) -> Cow<'_, str> {
        shown(&self.cameras, camid)
    }

    /// True without any name.
    pub fn is_empty(&self) -> bool {
        self.pids.is_empty() && self.cameras.is_empty()
    }

    /// The names of both.
    ///
    /// # Errors
    /// A number that has two names, in words.
    pub fn joined(mut self, other: &Labels) -> Result<Self, String> {
        let pairs =
            [("identity", &mut self.pids, &other.pids), ("camera", &mut self.cameras, &other.cameras)];
        for (what, own, others) in pairs {
            for (number, name) in others {
                if let Some(known) = own.insert(*number, name.clone())
                    && known != *name
                {
                    return Err(format!(
                        "{what} {number} is {known:?} in one of them and {name:?} in the other"
                    ));
                }
            }
        }
        Ok(self)
    }

    /// The first number that has another name in `other`, in words; `None` if no name contradicts.
    pub fn contradiction(&self, other: &Labels) -> Option<String> {
        let pairs = [("identity", &self.pids, &other.pids), ("camera", &self.cameras, &other.cameras)];
        pairs.into_iter().find_map(|(what, own, others)| {
            let (number, name, known) = own.iter().find_map(|(number, name)| {
                Some((number, name, others.get(number)?)).filter(|p| p.1 != p.2)
            })?;
            Some(format!("{what} {number} is {name:?} in one of them and {known:?} in the other"))
        })
    }
}

fn shown(names: &BTreeMap<i64, String>, number: i64) -> Cow<'_, str> {
    match names.get(&number) {
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(number.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pids: &[(i64, &str)]) -> Labels {
        let pids = pids.iter().map(|(number, name)| (*number, name.to_string())).collect();
        Labels { pids, cameras: BTreeMap::new() }
    }

    #[test]
    fn names_take_the_place_of_numbers() {
        let own = labels(&[(1, "ann"), (2, "bob")]);
        assert_eq!((&*own.pid(2), &*own.pid(7), &*own.camera(1)), ("bob", "7", "1"));
        let joined = own.clone().joined(&labels(&[(2, "bob"), (3, "cy")])).unwrap();
        assert_eq!(joined, labels(&[(1, "ann"), (2, "bob"), (3, "cy")]));
        assert_eq!(own.contradiction(&joined), None);
        let other = labels(&[(2, "dan")]);
        let words = "identity 2 is \"bob\" in one of them and \"dan\" in the other";
        assert_eq!(own.contradiction(&other).unwrap(), words);
        assert_eq!(own.joined(&other).unwrap_err(), words);
    }
}
