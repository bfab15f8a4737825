//! Cargo, run from a program that cargo runs.

use std::{env, process::Command};

/// The flags that build in the same profile as this program, so that one folder has all programs.
pub const PROFILE: &[&str] = if cfg!(debug_assertions) { &[] } else { &["--release"] };

/// The cargo that runs this program, else the one on `PATH`, without the variables that it sets for programs it
/// runs.
pub fn command() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    without_cargos_variables(&mut cargo);
    cargo
}

/// Removes from a command the variables that cargo sets for programs it runs. The build script of ring
/// watches some of them, so half of the SDK would be built again.
pub fn without_cargos_variables(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let named = name.to_string_lossy();
        if named.starts_with("CARGO_PKG_") || named.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
}
