//! Cargo, run from a program that cargo runs.

use std::{env, process::Command};

/// Takes from a command what cargo sets for a program that it runs. The build script of ring watches some
/// of it, and would have half of the SDK built anew.
pub fn without_cargos_variables(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let named = name.to_string_lossy();
        if named.starts_with("CARGO_PKG_") || named.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
}
