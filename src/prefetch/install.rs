//! Uses a bundle: the same as its `install.sh`, for a laptop that has the workshop built.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use stack::root;

use super::{
    bundle::{self, text},
    crates, say,
    sums::{self, Sums},
};
use crate::{exit::Failure, files};

/// So many faults are told one by one.
const TOLD: usize = 20;

/// Checks every file of the bundle, then installs it into the workshop's folder.
///
/// # Errors
/// When a file is changed, missing or additional, or the bundle is another workshop's: then none of it is
/// used. When something can't be written.
pub fn install(root: &Path, bundle: &Path) -> anyhow::Result<()> {
    say(format!("checking every file of {}", bundle.display()));
    let sums = sums::check(bundle).map_err(|faults| {
        let told: String =
            faults.iter().take(TOLD).map(|fault| format!("\n  {fault}")).collect();
        let more = match faults.len().saturating_sub(TOLD) {
            0 => String::new(),
            more => format!("\n  and {more} more"),
        };
        Failure::environment(format!(
            "the bundle in {} is damaged, and nothing of it was used:{told}{more}\nCopy it from the \
             stick again, or take another stick",
            bundle.display()
        ))
    })?;
    let lock = |folder: &Path| fs::read(folder.join(bundle::LOCK)).ok();
    if lock(bundle).is_none() || lock(bundle) != lock(root) {
        return Err(Failure::environment(format!(
            "the bundle belongs to another version of the workshop: its Cargo.lock is not yours. \
             Nothing of it was used. Clone the bundle's: git clone \
             {}/workshop.bundle unblock",
            bundle.display()
        ))
        .into());
    }
    // Read before anything is written: it may be one that can't be added to.
    let settings = Settings::read(root)?;
    let ours = root.join(root::OURS);

    say("copying the crates to .workshop/crates");
    let part = ours.join(format!("{}.part", crates::FOLDER));
    remove(&part)?;
    let prefix = format!("{}/", bundle::CRATES);
    for name in sums.keys().filter(|name| name.starts_with(&prefix)) {
        copy(&sums, bundle, name, &part.join(&name[prefix.len()..]))?;
    }
    let whole = ours.join(crates::FOLDER);
    remove(&whole)?;
    fs::rename(&part, &whole).with_context(|| format!("can't write {}", whole.display()))?;

    let name = bundle::cli();
    if sums.contains_key(&name) {
        say("copying the Temporal CLI to .workshop/bin/temporal");
        let (part, whole) = (ours.join("bin/temporal.part"), ours.join("bin/temporal"));
        copy(&sums, bundle, &name, &part)?;
        // A stick has no such permissions.
        let runs = fs::set_permissions(&part, fs::Permissions::from_mode(0o755));
        runs.and_then(|()| fs::rename(&part, &whole))
            .with_context(|| format!("can't write {}", whole.display()))?;
    } else {
        say(format!(
            "the bundle has no {name}, the Temporal CLI for this system: get it as \
             https://docs.temporal.io/cli tells"
        ));
    }
    settings.point_at_the_crates()?;
    say("cargo looks for crates in .workshop/crates now (.cargo/config.toml)");
    Ok(())
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("can't remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn copy(sums: &Sums, bundle: &Path, name: &str, to: &Path) -> anyhow::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    }
    // It was right a moment ago. A stick may fail while it is read, or be pulled out.
    if sums.get(name) != Some(&sums::copy(&bundle.join(name), to)?) {
        return Err(Failure::environment(format!(
            "{name} did not arrive as it is in the bundle: try again, or take another stick"
        ))
        .into());
    }
    Ok(())
}

/// Cargo's settings in the workshop's folder. Not in cargo's home: other projects are none of ours.
struct Settings {
    path: PathBuf,
    text: String,
}

impl Settings {
    fn read(root: &Path) -> anyhow::Result<Self> {
        let path = root.join(".cargo/config.toml");
        let text =
            fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
        let settings = Self { path, text };
        if !settings.point_already() && settings.text.lines().any(|l| l.starts_with("[source.")) {
            return Err(Failure::environment(format!(
                "{} names a source of crates already, and nothing of the bundle was used: take its \
                 [source.…] out first",
                settings.path.display()
            ))
            .into());
        }
        Ok(settings)
    }

    fn point_already(&self) -> bool {
        let mark = text::SETTINGS.lines().next();
        self.text.lines().any(|line| Some(line) == mark)
    }

    fn point_at_the_crates(&self) -> anyhow::Result<()> {
        if self.point_already() {
            return Ok(());
        }
        let text = format!("{}\n{}", self.text, text::SETTINGS);
        files::replace(&self.path, text.as_bytes(), None)
            .with_context(|| format!("can't write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workshop and a bundle for it, as small as they can be.
    fn workshop_and_bundle() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (root, from) = (folder.path().join("workshop"), folder.path().join("bundle"));
        fs::create_dir_all(root.join(".cargo")).unwrap();
        fs::write(root.join(".cargo/config.toml"), "[alias]\n").unwrap();
        let cli = from.join(bundle::cli());
        fs::create_dir_all(cli.parent().unwrap()).unwrap();
        fs::write(cli, "the CLI").unwrap();
        fs::create_dir_all(from.join("crates/index/3/o")).unwrap();
        fs::write(from.join("crates/index/3/o/one"), "{}\n").unwrap();
        fs::write(from.join("crates/one-1.0.0.crate"), "one").unwrap();
        for folder in [&root, &from] {
            fs::write(folder.join("Cargo.lock"), "version = 4\n").unwrap();
        }
        sums::write(&from).unwrap();
        (folder, root, from)
    }

    #[test]
    fn crates_cli_and_settings_are_put_in_place_once() {
        let (_folder, root, bundle) = workshop_and_bundle();
        for _ in 0..2 {
            install(&root, &bundle).unwrap();
            let ours = root.join(".workshop");
            assert_eq!(fs::read(ours.join("crates/one-1.0.0.crate")).unwrap(), b"one");
            assert_eq!(fs::read(ours.join("crates/index/3/o/one")).unwrap(), b"{}\n");
            let cli = fs::metadata(ours.join("bin/temporal")).unwrap();
            assert_eq!(cli.permissions().mode() & 0o777, 0o755);
            let settings = fs::read_to_string(root.join(".cargo/config.toml")).unwrap();
            assert_eq!(settings, format!("[alias]\n\n{}", text::SETTINGS));
        }
    }

    #[test]
    fn of_a_damaged_bundle_nothing_is_used() {
        let (_folder, root, bundle) = workshop_and_bundle();
        fs::write(bundle.join("crates/one-1.0.0.crate"), "0ne").unwrap();
        let error = install(&root, &bundle).unwrap_err().to_string();
        assert!(error.contains("changed: crates/one-1.0.0.crate"), "{error}");
        assert!(!root.join(".workshop").exists());
        assert_eq!(fs::read_to_string(root.join(".cargo/config.toml")).unwrap(), "[alias]\n");
    }

    #[test]
    fn a_bundle_of_another_version_or_settings_of_ones_own_are_no_ground_to_begin() {
        let (_folder, root, bundle) = workshop_and_bundle();
        fs::write(root.join("Cargo.lock"), "version = 3\n").unwrap();
        let error = install(&root, &bundle).unwrap_err().to_string();
        assert!(error.contains("another version of the workshop"), "{error}");
        fs::write(root.join("Cargo.lock"), "version = 4\n").unwrap();
        fs::write(root.join(".cargo/config.toml"), "[source.crates-io]\n").unwrap();
        let error = install(&root, &bundle).unwrap_err().to_string();
        assert!(error.contains("names a source of crates already"), "{error}");
        assert!(!root.join(".workshop").exists());
    }
}
