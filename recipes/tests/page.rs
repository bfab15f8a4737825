//! `docs/recipes.md` quotes the code that the other tests run, to the letter.

#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");
/// One page.
const MOST_LINES: usize = 150;

/// A quotation: the file that the text before it links to last, and the code.
#[derive(Debug, PartialEq)]
struct Quotation {
    file: PathBuf,
    code: String,
}

fn quotations(markdown: &str) -> Vec<Quotation> {
    let (mut found, mut file, mut code) = (Vec::new(), None::<PathBuf>, None::<String>);
    for event in Parser::new(markdown) {
        match event {
            Event::Start(Tag::Link { dest_url, .. }) => {
                let linked = dest_url.strip_prefix("../recipes/").map(PathBuf::from);
                file = linked.or(file);
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language)))
                if ["rust", "python", "go"].contains(&language.as_ref()) =>
            {
                code = Some(String::new());
            }
            Event::Text(text) => code.iter_mut().for_each(|code| *code += &text),
            Event::End(TagEnd::CodeBlock) => {
                found.extend(code.take().map(|code| Quotation {
                    file: file.clone().expect("a link to the file stands before its code"),
                    code,
                }));
            }
            _ => {}
        }
    }
    found
}

/// Whether these lines stand in the file one after another, however far the file indents them.
fn quotes(file: &str, code: &str) -> bool {
    let (lines, code): (Vec<_>, Vec<_>) = (file.lines().collect(), code.lines().collect());
    let Some(first) = code.first() else { return false };
    lines.windows(code.len()).any(|lines| {
        let Some(indent) = lines[0].strip_suffix(first) else { return false };
        indent.trim().is_empty()
            && lines.iter().zip(&code).all(|(line, code)| {
                (line.is_empty() && code.is_empty()) || line.strip_prefix(indent) == Some(code)
            })
    })
}

fn page() -> String {
    fs::read_to_string(Path::new(PACKAGE).parent().unwrap().join("docs/recipes.md")).unwrap()
}

#[test]
fn all_code_of_the_page_stands_in_the_file_that_it_names() {
    let quotations = quotations(&page());
    assert!(quotations.len() >= 8, "{quotations:#?}");
    for Quotation { file, code } in quotations {
        let text = fs::read_to_string(Path::new(PACKAGE).join(&file)).unwrap();
        assert!(quotes(&text, &code), "{} has other code than:\n{code}", file.display());
    }
}

#[test]
fn every_recipe_is_on_the_page() {
    let quoted: BTreeSet<_> = quotations(&page()).into_iter().map(|one| one.file).collect();
    let mut recipes: BTreeSet<PathBuf> =
        ["python/find.py", "python/keys.py", "go/converter.go"].map(PathBuf::from).into();
    for entry in fs::read_dir(Path::new(PACKAGE).join("src")).unwrap() {
        let name = entry.unwrap().file_name();
        if name != "lib.rs" {
            recipes.insert(Path::new("src").join(name));
        }
    }
    assert_eq!(quoted, recipes);
}

#[test]
fn it_is_one_page() {
    let lines = page().lines().count();
    assert!(lines <= MOST_LINES, "{lines} lines");
}

#[test]
fn a_changed_letter_is_no_quotation() {
    let file = "class A:\n    def f(self):\n        return 1\n\n    x = 2\n";
    for code in ["def f(self):\n    return 1\n\nx = 2\n", "return 1\n", "    x = 2\n"] {
        assert!(quotes(file, code), "{code}");
    }
    for code in [
        "def f(self):\n    return 2\n",
        "def f(self):\nreturn 1\n",
        "f(self):\n",
        "return 1\nx = 2\n",
        "",
    ] {
        assert!(!quotes(file, code), "{code}");
    }
    let markdown =
        "[a](../recipes/src/a.rs) and [b](b.md)\n\n```rust\nlet x;\n```\n\n```sh\nls\n```\n";
    let expected = Quotation { file: "src/a.rs".into(), code: "let x;\n".into() };
    assert_eq!(quotations(markdown), [expected]);
}
