//! Several data sets in one training: their identities are other persons, whatever their numbers.

use super::{Dataset, Labels, Sample};
use crate::{Error, Result};
use std::path::PathBuf;

impl Dataset {
    /// The training parts of several data sets as one. The first keeps its pids; those of each other are shifted behind all
    /// earlier ones, and named `FOLDER/PID`. Cameras likewise. One data set is returned as it is.
    ///
    /// # Errors
    /// No data set; one without training images; a folder that is given twice, or lies in another.
    pub fn join(sets: Vec<Dataset>) -> Result<Dataset> {
        let whole = |set: &Dataset| set.root.canonicalize().unwrap_or_else(|_| set.root.clone());
        let roots: Vec<PathBuf> = sets.iter().map(whole).collect();
        for (index, own) in roots.iter().enumerate() {
            if roots[..index].iter().any(|other| own.starts_with(other) || other.starts_with(own)) {
                return Err(Error::Data(format!(
                    "{}: the data set is given twice, or holds another one that is given; leave one out",
                    sets[index].root.display()
                )));
            }
            sets[index].require_train()?;
        }
        let mut sets = sets.into_iter();
        let Some(mut all) = sets.next() else {
            return Err(Error::Data("no data set; give at least one".into()));
        };
        for set in sets {
            (all.query, all.gallery, all.tracklets) = (Vec::new(), Vec::new(), None);
            all.name = format!("{}+{}", all.name, set.name);
            let first = Sample {
                path: PathBuf::new(),
                pid: after(&all, |s| Some(s.pid))?,
                camid: Some(after(&all, |s| s.camid)?),
            };
            append(&mut all, set, &first)?;
        }
        Ok(all)
    }
}

/// The number behind all of a kind.
fn after(set: &Dataset, number: impl Fn(&Sample) -> Option<i64>) -> Result<i64> {
    let largest = set.train.iter().filter_map(number).max().unwrap_or(0);
    largest.checked_add(1).ok_or_else(|| too_large(set))
}

/// Appends the training images of `set`, whose identity 0 and camera 0 become those of `first`.
fn append(all: &mut Dataset, set: Dataset, first: &Sample) -> Result<()> {
    let folder = set.root.canonicalize().unwrap_or_else(|_| set.root.clone());
    let folder = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Labels { pids, cameras } = &mut all.labels;
    for sample in &set.train {
        // Junk is refused when classes are numbered.
        let shifted = |own: i64, first: i64| if own < 0 { Some(own) } else { own.checked_add(first) };
        let pid = shifted(sample.pid, first.pid).ok_or_else(|| too_large(&set))?;
        pids.entry(pid).or_insert_with(|| format!("{folder}/{}", set.labels.pid(sample.pid)));
        let camid = match sample.camid {
            None => None,
            Some(own) => {
                let camid = shifted(own, first.camid.unwrap_or(0)).ok_or_else(|| too_large(&set))?;
                cameras.entry(camid).or_insert_with(|| format!("{folder}/{}", set.labels.camera(own)));
                Some(camid)
            }
        };
        all.train.push(Sample { path: sample.path.clone(), pid, camid });
    }
    all.notes.extend(set.notes);
    Ok(())
}

fn too_large(set: &Dataset) -> Error {
    Error::Data(format!(
        "{}: a pid or camid is too large to be joined with others; number anew",
        set.root.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(root: &str, images: &[(i64, Option<i64>)]) -> Dataset {
        let image =
            |(pid, camid): &(i64, Option<i64>)| Sample { path: root.into(), pid: *pid, camid: *camid };
        let (train, name) = (images.iter().map(image).collect(), "list".to_string());
        Dataset { name, root: root.into(), train, ..Dataset::default() }
    }

    #[test]
    fn equal_numbers_of_two_data_sets_are_two_identities() {
        let (a, b) = (set("/x/a", &[(7, Some(1)), (3, Some(2))]), set("/x/b", &[(7, None), (0, Some(1))]));
        let alone = Dataset::join(vec![a.clone()]).unwrap();
        assert_eq!((&alone.train, alone.labels.is_empty()), (&a.train, true));
        let both = Dataset::join(vec![a.clone(), b.clone(), set("/x/c", &[(1, None)])]).unwrap();
        let numbers: Vec<_> = both.train.iter().map(|s| (s.pid, s.camid)).collect();
        assert_eq!(numbers, [(7, Some(1)), (3, Some(2)), (15, None), (8, Some(4)), (17, None)]);
        assert_eq!(
            (&*both.labels.pid(7), &*both.labels.pid(15), &*both.labels.camera(4)),
            ("7", "b/7", "b/1")
        );
        let error = Dataset::join(vec![a.clone(), b, a.clone()]).unwrap_err().to_string();
        assert!(error.contains("/x/a: the data set is given twice"), "{error}");
        assert!(Dataset::join(vec![set("/x", &[(1, None)]), a.clone()]).is_err());
        assert!(
            Dataset::join(vec![a.clone(), set("/y", &[])])
                .unwrap_err()
                .to_string()
                .contains("no training images")
        );
        let large = set("/z", &[(i64::MAX, None)]);
        assert!(Dataset::join(vec![a, large]).unwrap_err().to_string().contains("too large"));
    }
}
