//! Attributes of persons in CSV, for [`crate::model::attributes`]: hair, sleeves, the colour of trousers.
//!
//! The first line is a header: `identity` and one column for each attribute, in any order. Each other line has a person
//! of the data set, by number or by name as the data set has it, and the person's value of each attribute, a number or
//! a word. Fields are separated as in image lists ([`super::list`]). Persons who are not in the training set may be
//! among them.

use super::labelled::{self, composed};
use super::list::{self, Header};
use super::{Classes, Labels};
use crate::console::counted;
use crate::error::excerpt;
use crate::files::{self, MIB, hex};
use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// The column of the persons.
const IDENTITY: &str = "identity";
/// Largest file that is read, in bytes.
const LARGEST: u64 = 16 * MIB;
/// Most attributes of a file, and most values of an attribute.
const MOST: usize = 256;
/// Most characters of a text of the file that an error quotes.
const SHOWN: usize = 40;

/// The attributes of the identities of a training set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The name of the file, without its folder.
    pub file: String,
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// The names of the attributes, in the order of the columns.
    pub names: Vec<String>,
    /// The values of each attribute in the file: whole numbers in ascending order, otherwise texts in that of their
    /// characters. The position of a value is its class.
    pub values: Vec<Vec<String>>,
    /// The class of each attribute's value, identity by identity in the order of [`Classes`].
    pub table: Vec<i32>,
}

impl Attributes {
    /// Reads the attributes of the identities `classes`, whose names are in `labels`.
    ///
    /// # Errors
    /// An error that names the file, and the line if one is at fault: a file of more than 16 MiB, a header without
    /// `identity` or without attributes, more than 256 attributes, two columns of one name or one without a name; a
    /// line with another number of fields, an empty field, a value of more than 200 bytes; a person with two lines; an
    /// identity of the training set without a line; an attribute with one value alone or more than 256.
    pub fn read(file: &Path, classes: &Classes, labels: &Labels) -> Result<Self> {
        let bytes = files::read(file, LARGEST)?;
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        list::require_records(file, text)?;
        let mut reader = list::reader(text, csv::Trim::All, &[IDENTITY]);
        let header = Header::of(&mut reader, file, text)?;
        let Some(identity) = header.column(IDENTITY)? else {
            return Err(header.error("write the header identity,ATTRIBUTE,ATTRIBUTE,..."));
        };
        let columns = attribute_columns(&header, identity)?;
        let people = People::of(classes, labels);
        let mut lines: HashMap<Person, Line> = HashMap::new();
        let mut values: Vec<BTreeSet<String>> = vec![BTreeSet::new(); columns.len()];
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(|e| list::fault(file, text, &e))? {
            let number = list::line(text, record.position());
            let error = |what: String| Err(Error::Data(format!("{} line {number}: {what}", file.display())));
            let who = composed(&record[identity]);
            if who.is_empty() {
                return error("no identity; give its number or its name".into());
            }
            let mut own = Vec::with_capacity(columns.len());
            for ((column, name), values) in columns.iter().zip(&mut values) {
                let value = composed(&record[*column]);
                if value.is_empty() || value.len() > labelled::LONGEST {
                    let length = counted(value.len(), "byte");
                    let name = excerpt(name, SHOWN);
                    return error(format!(
                        "the {name} of identity {} has {length}; give a number or a word of at most {} bytes",
                        excerpt(&who, SHOWN),
                        labelled::LONGEST
                    ));
                }
                values.insert(value.clone());
                if values.len() > MOST {
                    let name = excerpt(name, SHOWN);
                    return error(format!(
                        "the column {name} has its value number {} here, and an attribute has at most {MOST}; leave out \
                         what is no attribute",
                        values.len()
                    ));
                }
                own.push(value);
            }
            let person = people.person(&who);
            if let Some(earlier) = lines.insert(person, Line { number, values: own }) {
                return error(format!(
                    "identity {} has line {} already; write one line for each identity",
                    excerpt(&who, SHOWN),
                    earlier.number
                ));
            }
        }
        let numbered = values.into_iter().map(classes_of_values).collect::<Vec<_>>();
        if let Some(((_, name), (values, _))) =
            columns.iter().zip(&numbered).find(|(_, (values, _))| values.len() < 2)
        {
            return Err(Error::Data(format!(
                "{}: the column {} has {}, which tells nobody apart; leave the column out",
                file.display(),
                excerpt(name, SHOWN),
                match values.first() {
                    Some(only) => format!("the value {} in all lines", excerpt(only, SHOWN)),
                    None => "no value".into(),
                }
            )));
        }
        let table = people.table(file, classes, labels, &lines, &numbered)?;
        let name = file.file_name().unwrap_or_default();
        Ok(Attributes {
            file: name.to_string_lossy().into_owned(),
            sha256: hex(&Sha256::digest(&bytes)),
            names: columns.into_iter().map(|(_, name)| name).collect(),
            values: numbered.into_iter().map(|(values, _)| values).collect(),
            table,
        })
    }

    /// The number of values of each attribute.
    pub fn sizes(&self) -> Vec<usize> {
        self.values.iter().map(Vec::len).collect()
    }
}

/// The columns of the attributes with their names.
fn attribute_columns(header: &Header<'_>, identity: usize) -> Result<Vec<(usize, String)>> {
    let columns: Vec<(usize, String)> =
        header.fields().enumerate().filter(|(column, _)| *column != identity).collect();
    if columns.is_empty() {
        return Err(header.error("no attribute; write a column for each beside identity"));
    }
    if columns.len() > MOST {
        let what = format!("{} columns beside identity; at most {MOST} attributes are read", columns.len());
        return Err(header.error(&what));
    }
    for (_, name) in &columns {
        if name.is_empty() {
            return Err(header.error("a column has no name; name each attribute"));
        }
        header.column(name)?;
    }
    Ok(columns)
}

/// The values of a column with the class of each.
type Numbered = (Vec<String>, BTreeMap<String, i32>);

fn classes_of_values(values: BTreeSet<String>) -> Numbered {
    let number = |value: &String| value.parse::<i64>();
    let mut distinct: Vec<String> = values.into_iter().collect();
    let mut class_of = BTreeMap::new();
    if distinct.iter().all(|value| number(value).is_ok()) {
        // 7 and 007 are one number.
        distinct.sort_by_key(|value| number(value).unwrap_or_default());
        let mut kept: Vec<String> = Vec::new();
        for value in distinct {
            if kept.last().map(number) != Some(number(&value)) {
                kept.push(value.clone());
            }
            class_of.insert(value, kept.len() as i32 - 1);
        }
        return (kept, class_of);
    }
    class_of.extend(distinct.iter().cloned().zip(0..));
    (distinct, class_of)
}

/// A line of a person.
struct Line {
    number: usize,
    values: Vec<String>,
}

/// A person of the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Person {
    /// An identity of the training set.
    Known(i64),
    /// Another number, or another text.
    Other(String),
}

/// The identities of the training set by their names.
struct People<'a> {
    names: HashMap<&'a str, i64>,
    numbers: BTreeSet<i64>,
}

impl<'a> People<'a> {
    fn of(classes: &Classes, labels: &'a Labels) -> Self {
        let (mut names, mut numbers) = (HashMap::new(), BTreeSet::new());
        for &pid in classes.pids() {
            match labels.pids.get(&pid) {
                Some(name) => drop(names.insert(name.as_str(), pid)),
                None => drop(numbers.insert(pid)),
            }
        }
        People { names, numbers }
    }

    fn person(&self, who: &str) -> Person {
        let number = who.parse::<i64>().ok();
        let known = number.filter(|number| self.numbers.contains(number));
        match self.names.get(who).copied().or(known) {
            Some(pid) => Person::Known(pid),
            None => Person::Other(number.map_or(who.into(), |number| number.to_string())),
        }
    }

    /// The classes of the values, identity by identity.
    fn table(
        &self,
        file: &Path,
        classes: &Classes,
        labels: &Labels,
        lines: &HashMap<Person, Line>,
        numbered: &[Numbered],
    ) -> Result<Vec<i32>> {
        let missing: Vec<i64> =
            classes.pids().iter().copied().filter(|pid| !lines.contains_key(&Person::Known(*pid))).collect();
        if let Some(first) = missing.first() {
            return Err(Error::Data(format!(
                "{}: no line of identity {} ({} of the {} of the training set are missing); add one for each, or give \
                 the file of this data set",
                file.display(),
                excerpt(&labels.pid(*first), SHOWN),
                missing.len(),
                classes.len()
            )));
        }
        let own = classes.pids().iter().filter_map(|pid| lines.get(&Person::Known(*pid)));
        let of_line = own.flat_map(|line| line.values.iter().zip(numbered));
        Ok(of_line.filter_map(|(value, (_, class_of))| class_of.get(value).copied()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sample;
    use super::*;

    fn classes(pids: &[i64]) -> Classes {
        let sample = |&pid: &i64| Sample { path: "a.jpg".into(), pid, camid: None };
        Classes::new(&pids.iter().map(sample).collect::<Vec<_>>()).unwrap()
    }

    fn read_as(text: &[u8], pids: &[i64], labels: &Labels) -> Result<Attributes> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("some.csv");
        std::fs::write(&file, text).unwrap();
        Attributes::read(&file, &classes(pids), labels)
    }

    fn error(text: impl AsRef<[u8]>) -> String {
        let error = read_as(text.as_ref(), &[2, 7], &Labels::default()).unwrap_err().to_string();
        assert!(error.contains("some.csv"), "{error}");
        error
    }

    #[test]
    fn values_are_numbered_and_identities_found_by_number() {
        // A byte order mark, Windows line ends, another case and order, an identity of the test part, a blank line.
        let text = "\u{feff}age;Identity;hat\r\n10;0007;no\r\n2;2;yes\r\n\r\n02;99;maybe\r\n";
        let read = read_as(text.as_bytes(), &[2, 7], &Labels::default()).unwrap();
        assert_eq!(
            (read.file.as_str(), &read.names[..]),
            ("some.csv", &["age".to_string(), "hat".into()][..])
        );
        assert_eq!(read.values, [vec!["02", "10"], vec!["maybe", "no", "yes"]]);
        assert_eq!((read.sizes(), &read.table[..]), (vec![2, 3], &[0, 2, 1, 1][..]));
        assert_eq!(read.sha256, hex(&Sha256::digest(text)));
    }

    #[test]
    fn identities_are_found_by_name() {
        let names = [(1, "ann".to_string()), (2, "2".into()), (3, "zo\u{eb}".into())];
        let labels = Labels { pids: names.into(), cameras: BTreeMap::new() };
        // The last name has its accent as a character of its own.
        let text = "identity,hat\nzoe\u{308},b\n2,a\nann,b\nbob,c\n";
        let read = read_as(text.as_bytes(), &[1, 2, 3], &labels).unwrap();
        assert_eq!(read.table, [1, 0, 1]);
        // A number is none of these persons.
        let text = "identity,hat\nzo\u{eb},b\n2,a\n1,b\n";
        let error = read_as(text.as_bytes(), &[1, 2, 3], &labels).unwrap_err().to_string();
        assert!(error.contains("no line of identity ann (1 of the 3"), "{error}");
    }

    #[test]
    fn faults_name_the_line_and_what_to_do() {
        let long = "x".repeat(201);
        let many: String = (0..300).map(|i| format!("{i},{i}\n")).collect();
        let columns: String = (0..257).map(|i| format!(",a{i}")).collect();
        for (text, words) in [
            ("", vec!["write the header identity"]),
            ("pid,hat\n2,a\n7,b\n", vec!["line 1", "found \"pid,hat\"", "write the header identity"]),
            ("identity\n2\n7\n", vec!["no attribute"]),
            ("identity,hat,Hat\n2,a,b\n7,b,a\n", vec!["two columns are called hat"]),
            ("identity,hat,IDENTITY\n2,a,b\n7,b,a\n", vec!["two columns are called identity"]),
            ("identity,hat,\n2,a,b\n7,b,a\n", vec!["a column has no name"]),
            ("identity,hat\n2,a\n7\n", vec!["line 3", "1 field"]),
            ("identity,hat\n2,a\n7;b\n", vec!["line 3", "separated by semicolons"]),
            ("identity,hat\n2,\n7,b\n", vec!["line 2: the hat of identity 2 has 0 bytes"]),
            ("identity,hat\n,a\n7,b\n", vec!["line 2: no identity"]),
            ("identity,hat\n2,a\n7,b\n02,a\n", vec!["line 4: identity 02 has line 2 already"]),
            ("identity,hat\n2,a\n7,b\nx,a\nx,b\n", vec!["line 5: identity x has line 4 already"]),
            ("identity,hat\n2,a\n8,b\n", vec!["no line of identity 7 (1 of the 2"]),
            ("identity,hat\n", vec!["the column hat has no value"]),
            (
                "identity,hat,bag\n2,a,y\n7,b,y\n",
                vec!["the column bag has the value y in all lines", "leave the"],
            ),
            ("identity,bag\n2,1\n7,01\n", vec!["the column bag has the value"]),
            (&format!("identity,hat\n2,{long}\n7,b\n"), vec!["line 2", "201 bytes"]),
            (&format!("identity,hat\n{many}"), vec!["line 258", "value number 257", "at most 256"]),
            (&format!("identity{columns}\n"), vec!["257 columns", "at most 256"]),
            ("identity,hat\n2,\"a\n7,b\n", vec!["some.csv"]),
        ] {
            let error = error(text);
            assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused_within_bounds() {
        assert!(error([0u8; 100_000]).contains("longer than"));
        assert!(error(b"identity,hat\n2,\xff\n7,b\n").contains("UTF-8"));
        let endless = "identity,hat\n2,\"".to_string() + &"a\n".repeat(20_000);
        assert!(error(&endless).contains("quotation mark"));
        let folder = tempfile::tempdir().unwrap();
        let absent = Attributes::read(&folder.path().join("none.csv"), &classes(&[1, 2]), &Labels::default());
        assert!(absent.unwrap_err().to_string().contains("none.csv"));
        let file = folder.path().join("large.csv");
        std::fs::File::create(&file).unwrap().set_len(17 << 20).unwrap();
        let large = Attributes::read(&file, &classes(&[1, 2]), &Labels::default());
        assert!(large.unwrap_err().to_string().contains("larger than 16 MiB"));
        // An escape sequence of a terminal in a value is not repeated as it is.
        assert!(!error("identity,hat\n2,\u{1b}[2J\n7,\u{1b}[2J\n").contains('\u{1b}'));
    }
}
