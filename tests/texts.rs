//! Every link of every text leads somewhere: to a file that is there, to a heading that is there. Links to
//! other sites are not followed: a test needs no network.

// A test that can't go on fails where it is.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// What a text has: its links, and the names of its headings.
#[derive(Default)]
struct Text {
    links: Vec<String>,
    anchors: BTreeSet<String>,
}

impl Text {
    fn read(path: &Path) -> Self {
        let markdown = fs::read_to_string(path).unwrap();
        let (mut text, mut heading) = (Self::default(), None::<String>);
        for event in Parser::new_ext(&markdown, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    text.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    text.anchors.extend(heading.take().map(|words| anchor(&words)));
                }
                Event::Text(words) | Event::Code(words) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&words);
                    }
                }
                _ => {}
            }
        }
        text
    }
}

/// The name by which one may link to a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// All texts of the workshop, but for what is built or hidden.
fn texts(folder: &Path, found: &mut BTreeMap<PathBuf, Text>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() {
            texts(&path, found);
        } else if name.ends_with(".md") {
            let text = Text::read(&path);
            found.insert(path, text);
        }
    }
}

#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = BTreeMap::new();
    texts(root, &mut all);
    let mut wrong = Vec::new();
    let mut followed = 0;
    for (path, text) in &all {
        for link in &text.links {
            let mut says = |what: &str| {
                wrong.push(format!(
                    "{}: {link}: {what}",
                    path.strip_prefix(root).unwrap().display()
                ));
            };
            if link.contains("://") {
                if !link.starts_with("https://") && !link.starts_with("http://127.0.0.1") {
                    says("neither https nor this machine");
                }
                continue;
            }
            followed += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().unwrap().join(file),
            };
            let Ok(target) = target.canonicalize() else {
                says("no such file");
                continue;
            };
            if !target.starts_with(root.canonicalize().unwrap()) {
                says("not in the workshop");
            }
            let there = heading.is_empty()
                || all.iter().any(|(path, text)| {
                    path.canonicalize().unwrap() == target && text.anchors.contains(heading)
                });
            if !there {
                says("no such heading");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(followed >= 30, "only {followed} links were found");
}
