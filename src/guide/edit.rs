//! `workshop reset`, `solve`, `restore` and `diff`: replace an attendee's `codec.rs`, or show what was
//! changed in it.
//!
//! A codec is saved before it is replaced: its copy is on the disk before anything else is written.

use std::{
    fs::{self, Permissions},
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use cli_kit::{
    errln,
    exit::{Exit, Failure},
    root,
    term::{note, print},
};
use console::style;
use similar::{ChangeTag, TextDiff};
use solutions::Step;

use crate::{
    atomic_file,
    course::{self, Progress},
};

/// Where what is replaced is saved, from the workshop's folder.
const KEPT: &str = ".workshop/kept";

/// The flags of `workshop reset`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo workshop reset 2        # its starting code; your codec is saved
  cargo workshop reset          # the exercise of this folder, or the next
  cargo workshop reset --all    # start over")]
pub struct ResetArgs {
    /// The number of the exercise [default: that of the folder you are in, else the next one]
    #[arg(value_name = "N", value_parser = course::number)]
    exercise: Option<u8>,
    /// Every exercise
    #[arg(long, conflicts_with = "exercise")]
    all: bool,
}

/// The flags of `workshop restore`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo workshop restore 2           # the codec that was saved last
  cargo workshop restore 2 --list    # all that are saved, the latest first
  cargo workshop restore 2 --file .workshop/kept/02-spawn-blocking-….rs")]
pub struct RestoreArgs {
    /// The number of the exercise [default: that of the folder you are in, else the next one]
    #[arg(value_name = "N", value_parser = course::number)]
    exercise: Option<u8>,
    /// List the saved codecs, the latest first, and change nothing
    #[arg(long)]
    list: bool,
    /// Put this saved codec back, not the latest
    #[arg(long, value_name = "FILE", conflicts_with = "list")]
    file: Option<PathBuf>,
}

/// The flags of `workshop solve`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo workshop solve 2          # asks first; your codec is saved
  cargo workshop solve 2 --yes    # does not ask")]
pub struct SolveArgs {
    /// The number of the exercise [default: that of the folder you are in, else the next one]
    #[arg(value_name = "N", value_parser = course::number)]
    exercise: Option<u8>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// The flags of `workshop diff`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo workshop diff 2               # what you have changed so far
  cargo workshop diff 2 --solution    # what differs from the solution")]
pub struct DiffArgs {
    /// The number of the exercise [default: that of the folder you are in, else the next one]
    #[arg(value_name = "N", value_parser = course::number)]
    exercise: Option<u8>,
    /// Compare yours with the solution, not with the starting code
    #[arg(long)]
    solution: bool,
}

/// Restores the starting code of one exercise or of all, and forgets that it was solved.
///
/// # Errors
/// When there is no such exercise, or a file can't be read or written.
pub fn reset(args: &ResetArgs) -> anyhow::Result<Exit> {
    let root = root::require()?;
    let steps = match args.all {
        true => Step::EXERCISES.to_vec(),
        false => vec![course::chosen(args.exercise, &root)?],
    };
    for step in &steps {
        CodecFile { root: root.clone(), step: *step }.reset()?;
    }
    Progress::forget(&root, &steps)?;
    if args.all {
        print("Start over:         cargo workshop next\n");
    }
    Ok(Exit::Done)
}

/// Puts a saved codec back, the latest unless another is named.
///
/// # Errors
/// When there is no such exercise, nothing is saved, or a file can't be read or written.
pub fn restore(args: &RestoreArgs) -> anyhow::Result<Exit> {
    let file = CodecFile::of(args.exercise)?;
    let saved = file.saved()?;
    if args.list {
        print(saved.iter().map(|path| format!("{}\n", path.display())).collect::<String>());
        return Ok(Exit::Done);
    }
    let own = file.own()?;
    let chosen = match &args.file {
        // A path as it was typed, relative to the current folder; or as a message prints it, relative to the
        // repository root.
        Some(given) if given.is_file() => Some(given.clone()),
        Some(given) => Some(file.root.join(given)),
        None => saved.first().map(|path| file.root.join(path)),
    };
    let number = file.step.number();
    let Some(chosen) = chosen else {
        return Err(Failure::usage(format!(
            "no codec of exercise {number} is saved in {KEPT}/: only `reset`, `solve` and \
             `restore` save one, when they replace it"
        ))
        .into());
    };
    let shown = chosen.strip_prefix(&file.root).unwrap_or(&chosen).display().to_string();
    let content = fs::read(&chosen).map_err(|error| {
        Failure::usage(format!(
            "{shown} can't be read: {error}. `cargo workshop restore {number} --list` shows the saved \
             codecs"
        ))
    })?;
    if own.as_ref().is_some_and(|own| own.content == content) {
        print(format!("{} already has the content of {shown}: nothing to do.\n", file.shown()));
        return Ok(Exit::Done);
    }
    let permissions = file.reference(file.step)?.permissions;
    let kept = file.replace(own.as_ref(), &Content { content, permissions })?;
    print(format!("{} is the saved codec again:\n  {shown}\n", file.shown()));
    if let Some(kept) = kept {
        print(format!("What it replaced is saved:\n  {}\n", kept.display()));
    }
    print(format!("To check it:        cargo workshop verify {number}\n"));
    Ok(Exit::Done)
}

/// Puts the solution in place.
///
/// # Errors
/// When there is no such exercise, no terminal to ask on, or a file can't be read or written.
pub fn solve(args: &SolveArgs) -> anyhow::Result<Exit> {
    let file = CodecFile::of(args.exercise)?;
    let solution = file.reference(file.step)?;
    let own = file.required()?;
    if own.content == solution.content {
        print(format!("{} is the solution already: nothing to do.\n", file.shown()));
        return Ok(Exit::Done);
    }
    if !args.yes && !file.may_be_solved()? {
        print("Nothing was changed.\n");
        return Ok(Exit::Done);
    }
    let kept = file.replace(Some(&own), &solution)?;
    let number = file.step.number();
    print(format!(
        "{} is the solution now.\nWhy it works:       solutions/{}/README.md\n",
        file.shown(),
        file.step.folder()
    ));
    file.tell_of(kept.as_deref());
    print(format!("To check it:        cargo workshop verify {number}\n"));
    Ok(Exit::Done)
}

/// Shows what differs.
///
/// # Errors
/// When there is no such exercise, or a file can't be read, or is no text.
pub fn diff(args: &DiffArgs) -> anyhow::Result<Exit> {
    let file = CodecFile::of(args.exercise)?;
    let (own, own_name) = (file.text()?, file.shown());
    let other = if args.solution { file.step } else { file.step.start() };
    let reference = String::from_utf8_lossy(&file.reference(other)?.content).into_owned();
    let name = course::reference(other).display().to_string();
    if own == reference {
        let what = if args.solution { "the solution" } else { "the starting code" };
        // On stderr, because stdout may go to `patch`.
        note(format!("{own_name} is {what}, byte for byte: there is no difference"));
        return Ok(Exit::Done);
    }
    // Always in the order in which they are written: the start, yours, the solution.
    let text = if args.solution {
        unified((&own_name, &own), (&name, &reference))
    } else {
        unified((&name, &reference), (&own_name, &own))
    };
    print(text);
    Ok(Exit::Done)
}

/// In the format of `diff -u`; in colours on a terminal that allows them.
fn unified((old_name, old): (&str, &str), (new_name, new): (&str, &str)) -> String {
    let diff = TextDiff::from_lines(old, new);
    let mut text = String::new();
    for (mark, name) in [("---", old_name), ("+++", new_name)] {
        text += &style(format!("{mark} {name}")).bold().to_string();
        text.push('\n');
    }
    for hunk in diff.unified_diff().iter_hunks() {
        text += &style(hunk.header()).cyan().to_string();
        text.push('\n');
        for change in hunk.iter_changes() {
            let line = format!("{}{}", change.tag(), change.value());
            // After the colour codes, so that no colour continues on the next line.
            let ended = line.strip_suffix('\n');
            let line = style(ended.unwrap_or(&line));
            text += &match change.tag() {
                ChangeTag::Delete => line.red(),
                ChangeTag::Insert => line.green(),
                ChangeTag::Equal => line,
            }
            .to_string();
            text.push('\n');
            if ended.is_none() {
                text += "\\ No newline at end of file\n";
            }
        }
    }
    text
}

/// A file's content and permissions.
struct Content {
    content: Vec<u8>,
    permissions: Permissions,
}

impl Content {
    fn read(path: &Path) -> io::Result<Self> {
        Ok(Self { content: fs::read(path)?, permissions: fs::metadata(path)?.permissions() })
    }
}

/// The `codec.rs` of an exercise.
struct CodecFile {
    root: PathBuf,
    step: Step,
}

impl CodecFile {
    fn of(number: Option<u8>) -> anyhow::Result<Self> {
        let root = root::require()?;
        let step = course::chosen(number, &root)?;
        Ok(Self { root, step })
    }

    /// Restores the starting code, and reports it.
    fn reset(&self) -> anyhow::Result<()> {
        let start = self.reference(self.step.start())?;
        let own = self.own()?;
        if own.as_ref().is_some_and(|own| own.content == start.content) {
            print(format!("{} is already the starting code.\n", self.shown()));
            return Ok(());
        }
        let kept = self.replace(own.as_ref(), &start)?;
        print(format!("{} is reset to its starting code.\n", self.shown()));
        self.tell_of(kept.as_deref());
        Ok(())
    }

    /// The codecs of this exercise that are saved, from the workshop's folder; the latest first.
    fn saved(&self) -> Result<Vec<PathBuf>, Failure> {
        let folder = Path::new(KEPT);
        let entries = match fs::read_dir(self.root.join(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(Failure::environment(format!("{KEPT} can't be read: {error}")));
            }
            Ok(entries) => entries,
        };
        let prefix = format!("{}-", self.step.folder());
        let mut saved: Vec<_> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                // The time, and a number where two have the same.
                let when = name.strip_prefix(&prefix)?.strip_suffix(".rs")?;
                let (time, count) = when.split_once('-').unwrap_or((when, "1"));
                let is_time = time.starts_with(|first: char| first.is_ascii_digit());
                is_time.then_some((time.to_owned(), count.parse::<u32>().ok()?, folder.join(&name)))
            })
            .collect();
        saved.sort();
        Ok(saved.into_iter().rev().map(|(_, _, path)| path).collect())
    }

    fn path(&self) -> PathBuf {
        self.root.join(course::codec(self.step))
    }

    /// As it is written in a message.
    fn shown(&self) -> String {
        course::codec(self.step).display().to_string()
    }

    /// The attendee's codec, if there is one.
    ///
    /// # Errors
    /// When it is not a regular file or can't be read: then it is unclear what to save and what to replace.
    fn own(&self) -> Result<Option<Content>, Failure> {
        let refused = |what: &str, then: &str| {
            Err(Failure::environment(format!(
                "{} {what}. Nothing was changed. {then}",
                self.shown()
            )))
        };
        let put_right = format!(
            "Move it elsewhere. Then `cargo workshop reset {}` restores the starting code",
            self.step.number()
        );
        match fs::symlink_metadata(self.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return refused(&format!("can't be read: {error}"), "`ls -l` shows why");
            }
            Ok(found) if found.is_symlink() => {
                return refused(
                    "is a symbolic link, and its target may be used elsewhere",
                    &put_right,
                );
            }
            Ok(found) if found.is_dir() => return refused("is a folder", &put_right),
            // A pipe might never end.
            Ok(found) if !found.is_file() => return refused("is not a file", &put_right),
            Ok(_) => {}
        }
        Content::read(&self.path()).map(Some).or_else(|error| {
            refused(
                &format!("can't be read, so it can't be saved: {error}"),
                "`ls -l` shows who may read it",
            )
        })
    }

    /// The same where it must be there.
    fn required(&self) -> Result<Content, Failure> {
        self.own()?.ok_or_else(|| {
            Failure::environment(format!(
                "{} is not there. `cargo workshop reset {}` restores the starting code",
                self.shown(),
                self.step.number()
            ))
        })
    }

    fn text(&self) -> Result<String, Failure> {
        String::from_utf8(self.required()?.content).map_err(|error| {
            Failure::usage(format!(
                "{} is not text: its byte {} is not valid UTF-8, so its lines can't be compared. \
                 `cargo workshop reset {}` saves it and restores the starting code",
                self.shown(),
                error.utf8_error().valid_up_to() + 1,
                self.step.number()
            ))
        })
    }

    fn reference(&self, step: Step) -> Result<Content, Failure> {
        let content = Content::read(&self.root.join(course::reference(step)));
        content.map_err(|error| course::no_reference(step, &error))
    }

    /// Asks for consent on the terminal.
    fn may_be_solved(&self) -> Result<bool, Failure> {
        let number = self.step.number();
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(Failure::usage(format!(
                "`solve` replaces {}, but there is no terminal on which to ask you first. Nothing was \
                 changed. `cargo workshop solve {number} --yes` saves your codec and replaces it \
                 without asking",
                self.shown()
            )));
        }
        let question = format!(
            "This saves your codec.rs and replaces it with the solution of exercise {number}.\n\
             A hint may be enough: cargo workshop hint {number}\n\
             Replace it? [y/N] "
        );
        let mut answer = String::new();
        let asked = io::stderr().write_all(question.as_bytes());
        let read = asked.and_then(|()| io::stdin().read_line(&mut answer));
        if matches!(read, Ok(0) | Err(_)) {
            errln!("");
        }
        Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
    }

    /// Whether it is the start or the solution, which need not be saved.
    fn is_reference(&self, own: &Content) -> bool {
        let steps = [self.step.start(), self.step];
        let mut references = steps.into_iter().filter_map(|step| self.reference(step).ok());
        references.any(|reference| reference.content == own.content)
    }

    /// Saves `own`, and puts `new` in its place. Returns where it is saved, from the workshop's folder.
    fn replace(&self, own: Option<&Content>, new: &Content) -> Result<Option<PathBuf>, Failure> {
        let kept =
            own.filter(|own| !self.is_reference(own)).map(|own| self.keep(own)).transpose()?;
        // An editor may have saved the file since it was read, for example during the question.
        let now = self.own()?;
        if now.as_ref().map(|now| &now.content) != own.map(|own| &own.content) {
            return Err(Failure::environment(format!(
                "{} was saved meanwhile, so nothing was changed. Try again",
                self.shown()
            )));
        }
        let permissions = own.unwrap_or(new).permissions.clone();
        atomic_file::replace(&self.path(), &new.content, Some(permissions)).map_err(|error| {
            Failure::environment(format!(
                "{} can't be written: {error}. It was not changed. {}",
                self.shown(),
                match self.path().parent().is_some_and(Path::is_dir) {
                    true => "Check the permissions of its folder, and whether the disk is full",
                    false => "Its folder is not there: `git checkout -- exercises` restores it",
                }
            ))
        })?;
        Ok(kept)
    }

    fn keep(&self, own: &Content) -> Result<PathBuf, Failure> {
        let there = self.root.join(KEPT);
        let kept = fs::create_dir_all(&there)
            .and_then(|()| atomic_file::create(&there, self.step.folder(), "rs", &own.content));
        let kept = kept.map_err(|error| {
            Failure::environment(format!(
                "your codec can't be saved in {KEPT}: {error}. So nothing was changed. Check the \
                 permissions of that folder, and whether the disk is full"
            ))
        })?;
        Ok(kept.strip_prefix(&self.root).unwrap_or(&kept).to_owned())
    }

    fn tell_of(&self, kept: Option<&Path>) {
        if let Some(kept) = kept {
            print(format!(
                "Yours is saved in:  {}\nTo get it back:     cargo workshop restore {}\n",
                kept.display(),
                self.step.number()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_what_patch_reads() {
        console::set_colors_enabled(false);
        let text = unified(("a", "1\n2\n3\n"), ("b", "1\ntwo\n3"));
        assert_eq!(
            text,
            "--- a\n+++ b\n@@ -1,3 +1,3 @@\n 1\n-2\n-3\n+two\n+3\n\\ No newline at end of file\n"
        );
    }
}
