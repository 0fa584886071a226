//! The CSV list beside a `.npy`: `path,pid,camid`, one line a row, in the rows' order.
//!
//! An unknown path or camid is empty. Where the data set names identities or cameras, the columns `pid_name` and
//! `camid_name` follow. A list that is read may lack all columns but `pid`, may have other columns, and may have them
//! in any order.

use crate::data::Labels;
use crate::data::list::{Header, LARGEST, fault, line, reader, require_records};
use crate::files::{self, write_atomically};
use crate::weights::Features;
use crate::{Error, Result};
use std::io;
use std::path::Path;

/// Identities, cameras and paths of the rows.
#[derive(Debug)]
pub struct Rows {
    /// Identity of each row; -1 is junk.
    pub pids: Vec<i64>,
    /// Camera of each row; -1 is unknown.
    pub camids: Vec<i64>,
    /// Path of each row; empty if no row has one.
    pub paths: Vec<String>,
    /// Names of identities and cameras.
    pub labels: Labels,
}

/// Writes the list; `before` runs when all of the list is on the disk, before it is moved into place.
pub fn write(features: &Features, file: &Path, before: impl FnOnce() -> Result<()>) -> Result<()> {
    let mut done = Ok(());
    let written = write_atomically(file, |writer| {
        let mut writer = csv::Writer::from_writer(writer);
        let labels = features.labels();
        let names = match labels.is_empty() {
            true => &[][..],
            false => &["pid_name", "camid_name"],
        };
        writer.write_record(["path", "pid", "camid"].iter().chain(names))?;
        for (row, (pid, &camid_number)) in features.pids().iter().zip(features.camids()).enumerate() {
            let path = features.paths().get(row).map_or("", String::as_str);
            let camid = if camid_number == -1 { String::new() } else { camid_number.to_string() };
            let pid_name = labels.pids.get(pid).map_or("", String::as_str);
            let camid_name = labels.cameras.get(&camid_number).map_or("", String::as_str);
            let fields = [path, &pid.to_string(), &camid, pid_name, camid_name];
            writer.write_record(&fields[..3 + names.len()])?;
        }
        writer.flush()?;
        done = before();
        done.as_ref().map_err(|e| io::Error::other(e.to_string()))?;
        Ok(())
    });
    done.and(written)
}

/// Reads a list.
pub fn read(file: &Path) -> Result<Rows> {
    let text = files::read(file, LARGEST).map_err(|e| match e.is_missing_file() {
        true => Error::Data(format!(
            "{}: no such file; a .npy needs a .csv of the same name beside it that lists path,pid,camid of its rows",
            file.display()
        )),
        false => e,
    })?;
    // Spreadsheet programs write a byte order mark first.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    require_records(file, text)?;
    let mut reader = reader(text, csv::Trim::Headers, &["pid"]);
    let header = Header::of(&mut reader, file, text)?;
    let Some(pid) = header.column("pid")? else {
        return Err(header.error("the header must be path,pid,camid (path and camid may be left out)"));
    };
    let (path, camid) = (header.column("path")?, header.column("camid")?);
    let (pid_name, camid_name) = (header.column("pid_name")?, header.column("camid_name")?);
    let mut rows =
        Rows { pids: Vec::new(), camids: Vec::new(), paths: Vec::new(), labels: Labels::default() };
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| fault(file, text, &e))? {
        let number = |column: usize, name: &str| {
            record[column].trim().parse::<i64>().map_err(|_| {
                let line = line(text, record.position());
                let found = &record[column];
                let remedy = format!(
                    "number them, and give the names in the column {name}_name beside it (path,pid,camid,pid_name,camid_name)"
                );
                Error::Data(format!(
                    "{} line {line}: {name} {found:?} is not a whole number; {remedy}",
                    file.display()
                ))
            })
        };
        rows.pids.push(number(pid, "pid")?);
        let camid = camid.filter(|&c| !record[c].trim().is_empty());
        rows.camids.push(camid.map_or(Ok(-1), |c| number(c, "camid"))?);
        let Labels { pids, cameras } = &mut rows.labels;
        let numbered = [(pid_name, pids, rows.pids.last()), (camid_name, cameras, rows.camids.last())];
        for (column, names, number) in numbered {
            let name = column.map(|column| record[column].trim()).filter(|name| !name.is_empty());
            if let (Some(name), Some(number)) = (name, number)
                && *names.entry(*number).or_insert_with(|| name.to_string()) != name
            {
                let (line, known) = (line(text, record.position()), &names[number]);
                return Err(Error::Data(format!(
                    "{} line {line}: {number} is called {name:?} here and {known:?} before; give one name",
                    file.display()
                )));
            }
        }
        rows.paths.push(path.map_or(String::new(), |c| record[c].to_string()));
    }
    if rows.paths.iter().all(String::is_empty) {
        rows.paths.clear();
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_whose_array_fails_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f.csv");
        std::fs::write(&file, "old").unwrap();
        let features = Features::new(vec![1.0], 1, vec![7], vec![2], Vec::new()).unwrap();
        let error = write(&features, &file, || Err(Error::Data("no array".into()))).unwrap_err();
        assert_eq!(error.to_string(), "no array");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "old");
        write(&features, &file, || Ok(())).unwrap();
        assert_eq!(read(&file).unwrap().pids, [7]);
    }
}
