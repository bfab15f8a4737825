//! `SHA256SUMS`: one line for each file of a folder, in the form that `sha256sum` and `shasum` read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display},
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
};

use anyhow::{Context, bail};
use ring::digest::{self, SHA256};

use crate::files;

/// The list's name in its folder.
pub const FILE: &str = "SHA256SUMS";

/// The sum of each file, by its path in the folder.
pub type Sums = BTreeMap<String, String>;

/// What is wrong with one file of a folder, or with the list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// There is no list: what was written was not written to its end.
    NoList,
    /// A line of the list is no sum with a name.
    NoSum(String),
    /// It is listed, and not there.
    Missing(String),
    /// It is there, and not listed.
    Additional(String),
    /// It is not what it was when the list was written.
    Changed(String),
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoList => write!(f, "{FILE} is missing: the bundle was not written to its end"),
            Self::NoSum(line) => write!(f, "{FILE} has a line that is no sum: {line:?}"),
            Self::Missing(name) => write!(f, "missing: {name}"),
            Self::Additional(name) => write!(f, "additional: {name}"),
            Self::Changed(name) => write!(f, "changed: {name}"),
        }
    }
}

/// The sum of a file.
///
/// # Errors
/// When it can't be read.
pub fn of(path: &Path) -> io::Result<String> {
    summed(&mut File::open(path)?, &mut io::sink())
}

/// Copies a file, and returns the sum of what was copied: nobody changes it in between. The copy is on
/// the disk when this returns, and not only on its way there.
///
/// # Errors
/// When one can't be read, or the other not be written.
pub fn copy(from: &Path, to: &Path) -> anyhow::Result<String> {
    let copied = || {
        let mut written = File::create(to)?;
        let sum = summed(&mut File::open(from)?, &mut written)?;
        written.sync_all()?;
        io::Result::Ok(sum)
    };
    copied().with_context(|| format!("can't copy {} to {}", from.display(), to.display()))
}

fn summed(from: &mut impl Read, to: &mut impl Write) -> io::Result<String> {
    let mut context = digest::Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(files::hex(&context.finish())),
            read => {
                context.update(&buffer[..read]);
                to.write_all(&buffer[..read])?;
            }
        }
    }
}

/// Every file below a folder that is no folder itself, but for the list: its path from there, and whether
/// it is a plain file.
///
/// # Errors
/// When a folder can't be read.
pub fn files(folder: &Path) -> anyhow::Result<BTreeMap<String, bool>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        let can_t = || format!("can't read {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(can_t)? {
            let entry = entry.with_context(can_t)?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            // Of the entry itself: a link to somewhere else is none of ours.
            let kind = entry.file_type().with_context(can_t)?;
            if kind.is_dir() {
                folders.push((entry.path(), format!("{name}/")));
            } else if name != FILE {
                found.insert(name, kind.is_file());
            }
        }
    }
    Ok(found)
}

/// Writes the list of all that the folder holds, and returns the list's own sum. Until it is written
/// whole, there is none.
///
/// # Errors
/// When a file can't be read, or the list not be written.
pub fn write(folder: &Path) -> anyhow::Result<String> {
    let mut list = String::new();
    for (name, plain) in files(folder)? {
        if !plain || name.contains(['\n', '\\']) {
            bail!("{} is nothing that a bundle holds", folder.join(name).display());
        }
        let sum = of(&folder.join(&name)).with_context(|| format!("can't read {name}"))?;
        list += &format!("{sum}  {name}\n");
    }
    let part = folder.join(format!("{FILE}.part"));
    let written = || {
        let mut file = File::create(&part)?;
        file.write_all(list.as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, folder.join(FILE))
    };
    written().with_context(|| format!("can't write {}", folder.join(FILE).display()))?;
    Ok(files::sha256(list.as_bytes()))
}

/// The list, as it stands there.
///
/// # Errors
/// Each line that is no sum; or that there is no list.
pub fn read(folder: &Path) -> Result<Sums, Vec<Fault>> {
    let list = fs::read(folder.join(FILE)).map_err(|_| vec![Fault::NoList])?;
    let list = String::from_utf8_lossy(&list);
    let (mut sums, mut faults) = (Sums::new(), Vec::new());
    for line in list.lines() {
        match line.split_once("  ") {
            Some((sum, name)) if sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit()) => {
                sums.insert(name.to_owned(), sum.to_owned());
            }
            _ => faults.push(Fault::NoSum(line.to_owned())),
        }
    }
    if faults.is_empty() { Ok(sums) } else { Err(faults) }
}

/// Whether the folder holds what is listed, all of it, and nothing else. Only what is found in the folder
/// is read, whatever the list names.
///
/// # Errors
/// Every fault. A folder that can't be read has no list.
pub fn check(folder: &Path) -> Result<Sums, Vec<Fault>> {
    let sums = read(folder)?;
    let found = files(folder).map_err(|_| vec![Fault::NoList])?;
    let mut faults = BTreeSet::new();
    for name in sums.keys().filter(|name| !found.contains_key(*name)) {
        faults.insert(Fault::Missing(name.clone()));
    }
    for (name, plain) in &found {
        match sums.get(name) {
            None => faults.insert(Fault::Additional(name.clone())),
            Some(sum) if *plain && of(&folder.join(name)).is_ok_and(|found| found == *sum) => false,
            Some(_) => faults.insert(Fault::Changed(name.clone())),
        };
    }
    if faults.is_empty() { Ok(sums) } else { Err(faults.into_iter().collect()) }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn folder() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("crates")).unwrap();
        fs::write(folder.path().join("crates/one-1.0.0.crate"), "one").unwrap();
        fs::write(folder.path().join("crates/two-2.0.0.crate"), "two").unwrap();
        fs::write(folder.path().join("README.txt"), "read me").unwrap();
        write(folder.path()).unwrap();
        folder
    }

    #[test]
    fn the_list_is_what_sha256sum_writes() {
        let folder = folder();
        let list = fs::read_to_string(folder.path().join(FILE)).unwrap();
        // echo -n one | sha256sum
        let one = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
        assert!(list.contains(&format!("{one}  crates/one-1.0.0.crate\n")), "{list}");
        assert_eq!(list.lines().count(), 3);
        assert_eq!(check(folder.path()).unwrap().len(), 3);
        // Its own sum is that of the file.
        assert_eq!(write(folder.path()).unwrap(), of(&folder.path().join(FILE)).unwrap());
    }

    #[test]
    fn what_is_changed_missing_or_additional_is_said_by_name() {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("crates/one-1.0.0.crate"), "0ne").unwrap();
        fs::remove_file(path("crates/two-2.0.0.crate")).unwrap();
        fs::write(path("crates/three-3.0.0.crate"), "three").unwrap();
        assert_eq!(
            check(folder.path()).unwrap_err(),
            [
                Fault::Missing("crates/two-2.0.0.crate".to_owned()),
                Fault::Additional("crates/three-3.0.0.crate".to_owned()),
                Fault::Changed("crates/one-1.0.0.crate".to_owned()),
            ]
        );
    }

    #[test]
    fn a_list_that_was_cut_off_is_not_believed() {
        let folder = folder();
        let list = fs::read(folder.path().join(FILE)).unwrap();
        // Everywhere, and at the ends of lines, too. Only without its last byte it says all that it said.
        for length in 0..list.len() - 1 {
            fs::write(folder.path().join(FILE), &list[..length]).unwrap();
            assert!(check(folder.path()).is_err(), "cut off after {length} bytes");
        }
        fs::remove_file(folder.path().join(FILE)).unwrap();
        assert_eq!(check(folder.path()).unwrap_err(), [Fault::NoList]);
    }

    #[test]
    fn a_link_is_no_file_of_a_bundle_and_nothing_outside_is_read() {
        let folder = folder();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("one"), "one").unwrap();
        let one = folder.path().join("crates/one-1.0.0.crate");
        fs::remove_file(&one).unwrap();
        std::os::unix::fs::symlink(outside.path().join("one"), &one).unwrap();
        let changed = Fault::Changed("crates/one-1.0.0.crate".to_owned());
        assert_eq!(check(folder.path()).unwrap_err(), [changed]);
        assert!(write(folder.path()).is_err());
    }

    #[test]
    fn a_copy_has_the_sum_of_what_was_copied() {
        let folder = folder();
        let (one, copied) = (folder.path().join("crates/one-1.0.0.crate"), folder.path().join("c"));
        assert_eq!(copy(&one, &copied).unwrap(), of(&one).unwrap());
        assert_eq!(fs::read(copied).unwrap(), b"one");
    }
}
