//! The texts: every link leads to a file and a heading that exist, every command has the flags that it is
//! typed with, and the banned words do not occur. Links to other sites are not followed, because a test needs
//! no network.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    fs,
    path::{Path, PathBuf},
};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use solutions::Step;

use crate::support::{WORKSHOP, program, stderr};

/// A text's links, and the anchors of its headings.
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
                Event::Html(html) | Event::InlineHtml(html) => text.links.extend(sources(&html)),
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

/// The files that HTML shows: pictures for a light and for a dark background.
fn sources(html: &str) -> impl Iterator<Item = String> {
    let values = ["src=\"", "srcset=\""].into_iter().flat_map(|name| html.split(name).skip(1));
    values.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// All files of the workshop with one of these endings, except what is built, installed or hidden.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if name.starts_with('.') || name == "target" || name == "node_modules" {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path, endings));
        } else if path.extension().is_some_and(|ending| endings.iter().any(|one| ending == *one)) {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let texts = files(root, &["md"]).into_iter();
    let all: BTreeMap<_, _> = texts.map(|path| (path.clone(), Text::read(&path))).collect();
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

/// What the texts tell people to type: fenced lines, and code within a sentence.
fn commands_of_the_texts() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = vec![root.join("README.md")];
    let exercises =
        Step::ALL.map(|step| root.join("exercises").join(step.folder()).join("README.md"));
    texts.extend(exercises.into_iter().filter(|path| path.exists()));
    texts.push(root.join("CONTRIBUTING.md"));
    for folder in ["docs", "docs/evidence"] {
        let docs = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        texts.extend(docs.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    }
    let mut commands = BTreeSet::new();
    for text in texts {
        let text = fs::read_to_string(text).unwrap();
        let mut fenced = false;
        for line in text.lines() {
            if line.starts_with("```") {
                fenced = line == "```sh";
            } else if fenced {
                commands.insert(line.split(" #").next().unwrap().trim().to_owned());
            } else {
                let code = line.split('`').skip(1).step_by(2);
                commands.extend(code.map(|code| code.trim().to_owned()));
            }
        }
    }
    commands
}

/// An unknown flag is an error even together with `--help`.
#[test]
fn the_programs_have_every_flag_that_the_texts_name() {
    let mut tried = 0;
    for command in commands_of_the_texts() {
        let arguments = match command.split_once(' ') {
            Some(("cargo", rest)) if rest.starts_with("workshop ") => &rest["workshop ".len()..],
            _ => continue,
        };
        // `… --seed N` and the like stand for a number.
        let words = arguments.split_whitespace().take_while(|word| *word != ">");
        let arguments: Vec<_> = words.map(|word| if word == "N" { "1" } else { word }).collect();
        if arguments.contains(&"…") {
            continue;
        }
        let output = program(WORKSHOP).args(&arguments).arg("--help").output().unwrap();
        assert!(output.status.success(), "{command}: {}", stderr(&output));
        tried += 1;
    }
    assert!(tried >= 8, "only {tried} commands were found");
}

/// `.ci/nix` runs the commands for Nix, through the stand-in for nixpkgs.
#[test]
fn every_nix_command_of_the_readme_is_run_by_the_gate() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let gate = fs::read_to_string(root.join(".ci/nix")).unwrap();
    for command in commands_of_the_texts() {
        let Some(rest) = command.strip_prefix("nix ") else { continue };
        if rest.contains("--override-input") {
            continue;
        }
        // The sub-command, and which output of the flake it names.
        let words: Vec<_> = rest.split_whitespace().take_while(|word| *word != "--").collect();
        let found = gate.lines().any(|line| {
            line.contains(&format!("nix {}", words[0]))
                && words[1..].iter().all(|word| line.contains(word))
        });
        assert!(found, "`{command}` is in a text, and not in .ci/nix");
    }
}

/// A banned word, and what to write instead.
type Banned = (&'static str, &'static str);

/// Words that make a sentence read like a riddle.
const BANNED: [Banned; 29] = [
    ("nobody", "no one, none, or say who does not"),
    ("whoever", "you, or name them"),
    ("somebody", "someone, or name them"),
    ("everybody", "everyone"),
    ("anew", "again"),
    ("gives up", "cancels, abandons, stops retrying"),
    ("in vain", "times out"),
    ("well again", "recovered, healthy"),
    // From here on, not in sources: in code, they may mean something else.
    ("is none", "there is no …"),
    ("is said", "is reported, or say who reports it"),
    ("are said", "are reported, or say who reports them"),
    ("is told", "is reported"),
    ("given up", "cancelled"),
    ("in a line", "one after another"),
    ("in line", "one after another"),
    ("at hand", "cached, available"),
    ("the way of", "like, or how … works"),
    ("the page for the table", "the handout"),
    ("last words", "the end of its log"),
    ("be had", "is available"),
    ("begin with", "start with"),
    ("begins with", "starts with"),
    ("afterwards you can", "you will learn to"),
    ("in the picture", "in Grafana"),
    ("cure", "fix"),
    ("cures", "fixes"),
    ("cured", "fixed"),
    ("goes on", "continues"),
    ("the judge", "`verify`, the checks"),
];

/// How many of them, the first ones, sources are searched for.
const IN_SOURCES: usize = 8;

/// Where a text has one of them: the word, and the line. Code is not read: it quotes programs.
fn banned_words(markdown: &str) -> Vec<(Banned, String)> {
    let mut prose = String::new();
    let mut code = false;
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => code = true,
            Event::End(TagEnd::CodeBlock) => code = false,
            Event::Text(words) if !code => prose += &words,
            // A sentence may be folded between any two of its words.
            Event::SoftBreak => prose.push(' '),
            Event::Code(_) => prose.push('`'),
            Event::End(
                TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::Item | TagEnd::TableCell,
            ) => {
                prose.push('\n');
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    for line in prose.lines() {
        let of_line = banned_in(line, &BANNED, char::is_alphanumeric);
        found.extend(of_line.map(|banned| (banned, line.to_owned())));
    }
    found
}

/// Those of the words that a line has, and not only as a part of others, which have such letters.
fn banned_in(
    line: &str,
    words: &'static [Banned],
    is_letter: fn(char) -> bool,
) -> impl Iterator<Item = Banned> {
    let line = line.to_lowercase();
    let words = words.iter().copied();
    words.filter(move |(word, _)| {
        line.match_indices(word).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + word.len()..]);
            !before.ends_with(is_letter) && !after.starts_with(is_letter)
        })
    })
}

/// What is printed of one.
fn complaint(place: impl Display, (word, instead): Banned, line: &str) -> String {
    format!("{place}: \"{word}\" (write: {instead}) in: {line}\n")
}

#[test]
fn no_text_has_a_banned_word() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = files(root, &["md"]);
    paths.push(root.join("src/prefetch/README.txt"));
    let mut wrong = String::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        // A table of docs/evidence/variants.md quotes what `verify` printed.
        let text = text.split("\n## Verdicts\n").next().unwrap();
        for (banned, line) in banned_words(text) {
            wrong += &complaint(path.strip_prefix(root).unwrap().display(), banned, &line);
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Messages, comments and names. The ids of test vectors, with hyphens, are not ours.
#[test]
fn no_source_has_the_worst_of_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let endings =
        ["rs", "toml", "html", "js", "css", "sh", "nix", "yaml", "yml", "py", "go", "ts", "java"];
    let mut wrong = String::new();
    for path in files(root, &endings) {
        if path.ends_with(file!()) {
            continue;
        }
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let is_letter = |c: char| c.is_alphanumeric() || c == '-';
            for banned in banned_in(line, &BANNED[..IN_SOURCES], is_letter) {
                let path = path.strip_prefix(root).unwrap().display();
                wrong += &complaint(format_args!("{path}:{}", number + 1), banned, line);
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn a_banned_word_is_found_in_prose_and_not_in_code() {
    let words = |markdown| banned_words(markdown).into_iter().map(|((word, _), _)| word).collect();
    let found: Vec<_> =
        words("Nobody waits.\n\n| a | b |\n| --- | --- |\n| c | the key is at hand |\n");
    assert_eq!(found, ["nobody", "at hand"]);
    let found: Vec<_> = words("The keys are at\nhand.\n");
    assert_eq!(found, ["at hand"]);
    let found: Vec<_> = words("It is secure, and `nobody` is code.\n\n```text\nnobody\n```\n");
    assert!(found.is_empty(), "{found:?}");
}
