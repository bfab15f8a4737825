//! A table in docs/evidence that a test writes. It is a file by itself, so that the tests of other packages can have it.

// Each test program uses a part of this.
#![allow(dead_code)]

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The variable with which a test writes its table.
pub const UPDATE: &str = "UPDATE_EVIDENCE";
const BEGIN: &str = "<!-- the table: begin -->\n";
const END: &str = "<!-- the table: end -->";

/// Whether tables are to be written.
pub fn is_to_be_written() -> bool {
    env::var_os(UPDATE).is_some()
}

/// The table of that page.
pub fn table(page: &str) -> String {
    parts(page).1
}

/// Writes the table of that page.
pub fn write(page: &str, table: &str) {
    let (before, _, after) = parts(page);
    fs::write(path(page), format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
}

/// What precedes the table, the table, and what follows.
fn parts(page: &str) -> (String, String, String) {
    let page = fs::read_to_string(path(page)).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (table, after) = rest.split_once(END).unwrap();
    (before.to_owned(), table.to_owned(), after.to_owned())
}

fn path(page: &str) -> PathBuf {
    // Of any package of the workspace.
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/evidence").join(page)
}
