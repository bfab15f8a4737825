//! Cargo, run from a program that cargo runs.

use std::{env, process::Command};

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
