//! The page's own files, and uPlot: embedded, so that the page needs nothing but this program.

/// A file that the server answers with.
pub struct Asset {
    /// Where it is found.
    pub path: &'static str,
    /// Its type.
    pub kind: &'static str,
    /// Its text.
    pub text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! asset {
    ($path:literal, $kind:expr, $file:literal) => {
        Asset { path: $path, kind: $kind, text: include_str!($file) }
    };
}

/// All of them.
pub const ASSETS: [Asset; 12] = [
    asset!("/", HTML, "page/index.html"),
    asset!("/icon.svg", "image/svg+xml", "page/icon.svg"),
    asset!("/page.css", CSS, "page/page.css"),
    asset!("/page.js", SCRIPT, "page/page.js"),
    asset!("/connection.js", SCRIPT, "page/connection.js"),
    asset!("/runs.js", SCRIPT, "page/runs.js"),
    asset!("/cards.js", SCRIPT, "page/cards.js"),
    asset!("/timeline.js", SCRIPT, "page/timeline.js"),
    asset!("/charts.js", SCRIPT, "page/charts.js"),
    asset!("/words.js", SCRIPT, "page/words.js"),
    asset!("/uplot.css", CSS, "../vendor/uplot/uPlot.min.css"),
    asset!("/uplot.js", SCRIPT, "../vendor/uplot/uPlot.iife.min.js"),
];

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use ring::digest::{SHA256, digest};

    use super::*;

    #[test]
    fn the_vendored_files_are_those_that_were_checked() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor/uplot");
        let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
        let listed: Vec<_> = sums.lines().map(|line| line.split_once("  ").unwrap()).collect();
        assert_eq!(listed.len(), fs::read_dir(&folder).unwrap().count() - 1, "one is not listed");
        for (sum, name) in listed {
            let bytes = fs::read(folder.join(name)).unwrap();
            let digest = digest(&SHA256, &bytes);
            let found: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found, sum, "{name} is not the file that was checked");
        }
    }

    #[test]
    fn the_page_names_only_files_that_are_served() {
        let served: Vec<_> = ASSETS.iter().map(|asset| asset.path).collect();
        let mut named = 0;
        for asset in ASSETS.iter().filter(|asset| !asset.path.starts_with("/uplot")) {
            let words = asset.text.split(['"', '\'', '(', ')']);
            for word in words.filter(|word| word.ends_with(".js") || word.ends_with(".css")) {
                let path = word.trim_start_matches('.');
                assert!(served.contains(&path), "{} names {word}", asset.path);
                named += 1;
            }
        }
        assert!(named > 8, "only {named} were found");
    }
}
