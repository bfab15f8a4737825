//! The crates that `Cargo.lock` names: where cargo keeps them, and the index that they need in a folder of
//! their own.
//!
//! Such a folder is what cargo calls a local registry: the `.crate` files as they were downloaded, and
//! one line about each in `index/`. It is an eighth of what `cargo vendor` writes, in 900 files instead of
//! tens of thousands, which matters on a USB stick; and cargo itself holds each crate against the sum in
//! `Cargo.lock`.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::json;
use stack::root;

use crate::exercise;

/// Where an installed bundle has its crates, in `.workshop/`.
pub const FOLDER: &str = "crates";

/// A crate from the registry.
#[derive(Clone, Debug)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its name and version, as files and folders are called.
    pub file: String,
    /// The sum of its `.crate` file, from `Cargo.lock`.
    pub sum: String,
    /// The folder into which cargo has unpacked it.
    pub unpacked: PathBuf,
    /// Its line in an index.
    line: String,
}

/// All that cargo knows of the workspace, after a fetch.
pub struct Workspace {
    /// The crates of `Cargo.lock`.
    pub crates: Vec<Crate>,
    /// Where cargo puts what it builds.
    pub target: PathBuf,
}

impl Crate {
    /// Where it goes in an index: `1/a`, `2/ab`, `3/a/abc`, `ab/cd/abcd`.
    pub fn index_file(&self) -> String {
        let name = self.name.to_lowercase();
        match name.as_str() {
            short if short.len() <= 2 => format!("{}/{name}", name.len()),
            short if short.len() == 3 => format!("3/{}/{name}", &short[..1]),
            long => format!("{}/{}/{name}", &long[..2], &long[2..4]),
        }
    }

    /// The `.crate` file: in cargo's cache, or where an earlier bundle put it.
    ///
    /// # Errors
    /// When it is in neither, as with vendored crates.
    pub fn archive(&self, root: &Path) -> anyhow::Result<PathBuf> {
        let archive = format!("{}.crate", self.file);
        // …/registry/src/NAME/CRATE has its archive in …/registry/cache/NAME.
        let cached = self.unpacked.parent().and_then(|source| {
            let registry = source.parent()?.parent()?;
            Some(registry.join("cache").join(source.file_name()?).join(&archive))
        });
        let installed = root.join(root::OURS).join(FOLDER).join(&archive);
        cached.into_iter().chain([installed]).find(|path| path.is_file()).with_context(|| {
            format!(
                "cargo has {} without its archive, {archive}. A `[source]` of your own that names \
                 vendored crates does that: leave it out while the bundle is written",
                self.file
            )
        })
    }
}

/// The index of these crates: each file's path in it, and its text.
pub fn index(crates: &[Crate]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::<_, String>::new();
    for known in crates {
        let text = files.entry(known.index_file()).or_default();
        text.push_str(&known.line);
        text.push('\n');
    }
    files
}

/// What is said of a package by `cargo metadata`.
#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
    features: BTreeMap<String, Vec<String>>,
    links: Option<String>,
    rust_version: Option<String>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    req: String,
    kind: Option<String>,
    rename: Option<String>,
    optional: bool,
    uses_default_features: bool,
    features: Vec<String>,
    target: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

/// Asks cargo, which may not use the network for it.
///
/// # Errors
/// When a crate is not there: it has to be fetched first.
pub async fn ask(root: &Path) -> anyhow::Result<Workspace> {
    let flags = ["metadata", "--format-version", "1", "--all-features", "--locked", "--offline"];
    let Some(said) = exercise::cargo(root, flags).await? else {
        bail!("cargo does not have all crates: its words are above");
    };
    let metadata: Metadata = serde_json::from_slice(&said).context("reading what cargo says")?;
    let lock = root.join("Cargo.lock");
    let lock =
        fs::read_to_string(&lock).with_context(|| format!("can't read {}", lock.display()))?;
    let mut sums = locked(&lock);
    let mut crates = Vec::new();
    for package in metadata.packages.iter().filter(|package| package.source.is_some()) {
        let file = format!("{}-{}", package.name, package.version);
        let sum = sums.remove(&file).with_context(|| {
            format!("Cargo.lock has no sum of {file}, so it is not from the registry")
        })?;
        let unpacked = package.manifest_path.parent().unwrap_or(root).to_owned();
        let line = index_line(package, &sum);
        crates.push(Crate { name: package.name.clone(), file, sum, unpacked, line });
    }
    // What no feature brings in would not be in the bundle, and cargo might ask for it.
    if let Some(left) = sums.keys().next() {
        bail!("Cargo.lock names {left}, and cargo says nothing of it");
    }
    Ok(Workspace { crates, target: metadata.target_directory })
}

/// The sums in `Cargo.lock`, by name and version. Cargo writes it, one value a line.
fn locked(lock: &str) -> HashMap<String, String> {
    let value = |package: &str, key: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))?;
        Some(line.trim_matches('"').to_owned())
    };
    let packages = lock.split("[[package]]").skip(1);
    let sums = packages.filter_map(|package| {
        let file = format!("{}-{}", value(package, "name")?, value(package, "version")?);
        Some((file, value(package, "checksum")?))
    });
    sums.collect()
}

/// A crate's line, as cargo's reference has it under "index format". What only its own tests need belongs
/// to it: a feature may name it (syn's does), and cargo takes the line for invalid if it is not there.
fn index_line(package: &Package, sum: &str) -> String {
    let dependencies = package.dependencies.iter().map(|needed| {
        json!({
            "name": needed.rename.as_ref().unwrap_or(&needed.name),
            "package": needed.rename.is_some().then_some(&needed.name),
            "req": needed.req,
            "features": needed.features,
            "optional": needed.optional,
            "default_features": needed.uses_default_features,
            "target": needed.target,
            "kind": needed.kind.as_deref().unwrap_or("normal"),
        })
    });
    json!({
        "name": package.name,
        "vers": package.version,
        "deps": dependencies.collect::<Vec<_>>(),
        "cksum": sum,
        "features": {},
        // Where the newer forms `dep:NAME` and `NAME?/FEATURE` may stand, as well as all others.
        "features2": package.features,
        "v": 2,
        "yanked": false,
        "links": package.links,
        "rust_version": package.rust_version,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_read_from_the_lock_file() {
        let lock = "version = 4\n\n[[package]]\nname = \"ours\"\nversion = \"0.1.0\"\n\n[[package]]\n\
                    name = \"ring\"\nversion = \"0.17.14\"\nsource = \"registry+x\"\n\
                    checksum = \"a46\"\ndependencies = [\n \"cc\",\n]\n";
        let sums = locked(lock);
        assert_eq!(sums.len(), 1);
        assert_eq!(sums["ring-0.17.14"], "a46");
    }

    #[test]
    fn an_index_has_its_files_where_cargo_looks() {
        for (name, file) in [
            ("a", "1/a"),
            ("cc", "2/cc"),
            ("log", "3/l/log"),
            ("ring", "ri/ng/ring"),
            ("Inflector", "in/fl/inflector"),
        ] {
            let known = Crate {
                name: name.to_owned(),
                file: format!("{name}-1.0.0"),
                sum: String::new(),
                unpacked: PathBuf::new(),
                line: "{}".to_owned(),
            };
            assert_eq!(known.index_file(), file);
        }
    }
}
