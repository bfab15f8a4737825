//! A checkout of the workshop, as the stack sees it: its folder, its settings, and where a run keeps its
//! files. Paths are absolute, so the current folder does not matter.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use cli_kit::{
    exit::Failure,
    root,
    settings::{self, Settings},
};

/// Where a run keeps its files, in the workshop's folder.
const FOLDER: &str = "stack";
/// Where, in that folder, data is kept for a later run.
const KEPT: &str = "kept";
/// The name of the file that Prometheus reads, which each run writes for itself.
const PROMETHEUS_CONFIG: &str = "prometheus.yml";

/// The file with the key service's keys.
const KEYS: &str = "key-service.keys";
/// Variables with the workshop's own programs, and the names that these have on `PATH`.
const PROGRAMS: [(&str, &str); 2] =
    [("STACK_CODEC_SERVER", "codec-server"), ("STACK_KEY_SERVICE", "key-service")];

/// A checkout and the settings of its stack.
#[derive(Clone, Debug)]
pub struct Checkout {
    root: PathBuf,
    data: PathBuf,
    /// Programs that cargo built, by name.
    built: BTreeMap<&'static str, PathBuf>,
    /// Ports, and what else can be chosen.
    pub settings: Settings,
}

impl Checkout {
    /// The checkout that this program is run in, with settings from the environment.
    ///
    /// # Errors
    /// When there is none, or a setting can't be read.
    pub fn find() -> Result<Self, Failure> {
        Ok(Self::new(root::require()?, Settings::from_env()?))
    }

    /// The checkout in that folder, which is an absolute path.
    pub fn new(root: PathBuf, settings: Settings) -> Self {
        let data = files(&root).join("data");
        Self { root, data, built: BTreeMap::new(), settings }
    }

    /// The workshop's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder for logs and for a run's own files. It is not a setting, because its content is removed
    /// without asking.
    pub fn folder(&self) -> PathBuf {
        files(&self.root)
    }

    /// The folder for the data of a run. It is not a setting, for the same reason.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Uses the data that earlier runs kept, and keeps this run's.
    pub fn keep_data(&mut self) {
        self.data = self.folder().join(KEPT);
        // Relative to the workshop's folder, where the services run: Temporal reads this path as a URI,
        // and a folder's name may have a #, a ? or a %.
        let database = Path::new(root::OURS).join(FOLDER).join(KEPT).join("temporal.db");
        self.settings.set(settings::TEMPORAL_DB, database.to_string_lossy());
    }

    /// Runs the program of that name from this file, and not from `PATH`.
    pub fn use_built(&mut self, name: &'static str, file: PathBuf) {
        self.built.insert(name, file);
    }

    /// Where process-compose answers: a socket, so that it needs no port.
    pub fn socket(&self) -> PathBuf {
        self.folder().join("process-compose.sock")
    }

    /// The log of a service, or of process-compose itself.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder().join(format!("{name}.log"))
    }

    /// The configuration of Prometheus for this run.
    pub fn prometheus_config(&self) -> PathBuf {
        self.folder().join(PROMETHEUS_CONFIG)
    }

    /// What `process-compose.yaml` and Grafana's files refer to: all settings, the folders, and the workshop's
    /// own programs.
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, OsString)> {
        let folders = [
            ("STACK_DATA", self.data.clone()),
            ("STACK_GRAFANA_DATA", self.data.join("grafana")),
            ("STACK_GRAFANA_FILES", self.root.join("grafana")),
            ("STACK_PROMETHEUS_CONFIG", self.prometheus_config()),
            // Beside the data of a run, because keyrings that people made outlive it.
            ("STACK_KEY_SERVICE_KEYS", self.folder().join(KEYS)),
        ];
        let programs = PROGRAMS.map(|(variable, name)| {
            (variable, self.built.get(name).cloned().unwrap_or_else(|| name.into()))
        });
        let settings = self.settings.variables().map(|(name, value)| (name, value.into()));
        let paths = folders.into_iter().chain(programs);
        settings.chain(paths.map(|(name, path)| (name, path.into_os_string())))
    }
}

fn files(root: &Path) -> PathBuf {
    root.join(root::OURS).join(FOLDER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_keeps_its_files_in_the_checkout() {
        let root = Path::new("/home/me/R&D");
        let mut checkout = Checkout::new(root.to_owned(), Settings::from_env().unwrap());
        let files = root.join(".workshop/stack");
        assert_eq!(checkout.data(), files.join("data"));
        assert_eq!(checkout.log("grafana"), files.join("grafana.log"));
        checkout.keep_data();
        checkout.use_built("codec-server", root.join("target/debug/codec-server"));
        let variables: Vec<_> = checkout.variables().collect();
        let of = |name| variables.iter().find(|(n, _)| *n == name).unwrap().1.clone();
        assert_eq!(of("STACK_DATA"), files.join("kept"));
        assert_eq!(of("STACK_TEMPORAL_DB"), ".workshop/stack/kept/temporal.db");
        assert_eq!(of("STACK_GRAFANA_FILES"), root.join("grafana"));
        assert_eq!(of("STACK_CODEC_SERVER"), root.join("target/debug/codec-server"));
        assert_eq!(of("STACK_KEY_SERVICE"), "key-service");
    }
}
