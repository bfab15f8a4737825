//! Dependencies go one way. Between packages cargo sees to it; within a package these tests do.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::support::ROOT;

/// The modules of `src/`. Each may use those in the rows below its own, and none beside it.
const FLOORS: [&[&str]; 7] = [
    &["main"],
    &["cli"],
    &["guide"],
    &["verify", "attempt", "compare", "branches", "prefetch", "keys", "doctor"],
    &["experiment"],
    &["course", "temporal"],
    &["atomic_file", "process"],
];

/// Every source file of a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The modules and items that a file names behind `prefix`, such as `crate::`: the first name of each path,
/// in `use` lines with braces as well.
fn names(text: &str, prefix: &str) -> BTreeSet<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices(prefix) {
        let rest = &text[at + prefix.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(name(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = 0;
        for (at, letter) in list.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    found.insert(name(&list[start..at]));
                    start = at + 1;
                    if letter == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
    }
    found.remove("");
    found
}

/// A file without its tests, which may use what they like.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]").next().unwrap().to_owned()
}

#[test]
fn within_src_each_module_uses_only_those_below_it() {
    let src = Path::new(ROOT).join("src");
    let floor = |module: &str| FLOORS.iter().position(|floor| floor.contains(&module));
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut arrows = 0;
    for file in files {
        let inside = file.strip_prefix(&src).unwrap();
        if inside.starts_with("bin") {
            continue;
        }
        let first = Path::new(inside.components().next().unwrap().as_os_str());
        let module = first.file_stem().unwrap().to_str().unwrap();
        let own = floor(module).unwrap_or_else(|| panic!("{module} has no place in FLOORS"));
        for used in names(&code(&file), "crate::") {
            arrows += 1;
            let Some(below) = floor(&used) else { continue };
            let inside = inside.display();
            assert!(used != module, "src/{inside} goes out to come in again: super:: does");
            assert!(below > own, "src/{inside} uses {used}, which is not below {module}");
        }
    }
    assert!(arrows > 30, "only {arrows} arrows were found");
}

#[test]
fn no_module_imports_through_the_one_above_it() {
    let mut seen = 0;
    for package in [
        "src",
        "check-worker/src",
        "cli-kit/src",
        "greeting/src",
        "judge/src",
        "kit/src",
        "live-page/src",
        "codec-server/src",
        "key-service/src",
        "recipes/src",
        "sigv4/src",
        "stack/src",
    ] {
        let root = Path::new(ROOT).join(package);
        let mut files = Vec::new();
        sources(&root, &mut files);
        for file in files {
            let folder = file.parent().unwrap();
            for used in names(&code(&file), "super::") {
                seen += 1;
                let beside = folder.join(&used);
                let is_beside = beside.with_extension("rs").is_file() || beside.is_dir();
                assert!(is_beside, "{}: {used} is no module beside it", file.display());
            }
        }
    }
    assert!(seen > 30, "only {seen} were found");
}

#[test]
fn names_are_found_in_every_form_of_use() {
    let text = "use crate::{a::{self, B}, c, d::{e, f::{G, H}}};\nlet x = crate::i::J;";
    let found: Vec<_> = names(text, "crate::").into_iter().collect();
    assert_eq!(found, ["a", "c", "d", "i"]);
}
