//! The program git: the few plumbing commands that are asked of it.

use std::{
    ffi::OsString,
    io::{ErrorKind, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use anyhow::Context;
use cli_kit::exit::Failure;
use tempfile::TempDir;

/// Who makes the commits. Neither a name nor a day of whoever runs this goes into them: the same tree
/// gives the same commits everywhere.
const NAME: &str = "Unblock";
const EMAIL: &str = "workshop@localhost";

/// A repository.
pub struct Git {
    folder: PathBuf,
    /// Where objects go that nobody keeps, and where all others are.
    scratch: Option<(TempDir, OsString)>,
}

/// A branch, by its name without `refs/heads/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub name: String,
    pub commit: String,
    /// It stands for another branch.
    pub is_symbolic: bool,
    /// Where, if it is.
    pub checked_out: Option<String>,
}

/// What to do to a branch. Each says what must be there before.
pub enum Change {
    Create { name: String, commit: String },
    Move { name: String, commit: String, old: String },
    Verify { name: String, commit: String },
}

impl Change {
    pub fn moved(old: &Reference, commit: &str) -> Self {
        Self::Move { name: old.name.clone(), commit: commit.to_owned(), old: old.commit.clone() }
    }
}

/// What of a commit matters here.
pub struct Commit {
    /// The committer's clock, in seconds since 1970.
    pub time: u64,
    pub message: String,
}

impl Git {
    /// The repository which that folder is in.
    ///
    /// # Errors
    /// When it is in none, or there is no git.
    pub fn open(folder: PathBuf) -> anyhow::Result<Self> {
        let git = Self { folder, scratch: None };
        let output = git.output(&["rev-parse", "--git-dir"], b"")?;
        if output.status.success() {
            return Ok(git);
        }
        let words = words(&output);
        let what = if words.contains("not a git repository") {
            format!(
                "{} is in no git repository, and the branches are written into one. Clone the workshop \
                 (an archive of it has no branches), or name a clone with --repository",
                git.folder.display()
            )
        } else {
            format!("git does not take {} for a repository: {words}", git.folder.display())
        };
        Err(Failure::usage(what).into())
    }

    /// The same repository, as it is: whatever is made in it from now on is gone when this is dropped.
    ///
    /// # Errors
    /// When there is no place for it.
    pub fn without_a_trace(mut self) -> anyhow::Result<Self> {
        let objects = self.line(&["rev-parse", "--git-path", "objects"], b"")?;
        let objects = self.folder.join(objects).canonicalize()?;
        // Quoted, as a colon would divide two places.
        let quoted = objects.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
        let scratch = tempfile::tempdir().context("there is no place for temporary files")?;
        self.scratch = Some((scratch, format!("\"{quoted}\"").into()));
        Ok(self)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("git");
        // Set where a hook of git runs this; then it is another repository's, or another index.
        for name in [
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
            "GIT_COMMON_DIR",
            "GIT_NAMESPACE",
            "GIT_PREFIX",
            "GIT_SHALLOW_FILE",
        ] {
            command.env_remove(name);
        }
        if let Some((scratch, objects)) = &self.scratch {
            command.env("GIT_OBJECT_DIRECTORY", scratch.path());
            command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", objects);
        }
        command
            .arg("-C")
            .arg(&self.folder)
            // Nothing of the user's settings changes what is written, and no hook of theirs runs.
            .args(["-c", "core.hooksPath=/dev/null", "-c", "i18n.commitEncoding=UTF-8"])
            .args(["-c", "core.fsmonitor=false", "-c", "core.quotePath=false"])
            // Another run at the same time is waited for, this many milliseconds.
            .args(["-c", "core.filesRefLockTimeout=5000"])
            .env("GIT_AUTHOR_NAME", NAME)
            .env("GIT_AUTHOR_EMAIL", EMAIL)
            .env("GIT_COMMITTER_NAME", NAME)
            .env("GIT_COMMITTER_EMAIL", EMAIL)
            // `git status` would refresh the check-out's index.
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            // Its words are looked at.
            .env("LC_ALL", "C");
        command
    }

    fn output(&self, arguments: &[&str], input: &[u8]) -> anyhow::Result<Output> {
        let mut command = self.command();
        command.args(arguments);
        feed(command, input)
    }

    /// What it prints.
    fn run(&self, arguments: &[&str], input: &[u8]) -> anyhow::Result<Vec<u8>> {
        let output = self.output(arguments, input)?;
        if !output.status.success() {
            return Err(failed(arguments, &output).into());
        }
        Ok(output.stdout)
    }

    /// The one line that it prints.
    fn line(&self, arguments: &[&str], input: &[u8]) -> anyhow::Result<String> {
        let printed = self.run(arguments, input)?;
        Ok(String::from_utf8_lossy(&printed).trim().to_owned())
    }

    /// The id of the commit that is checked out, or that a bare repository is at.
    ///
    /// # Errors
    /// When there is none.
    pub fn head(&self) -> anyhow::Result<String> {
        let output = self.output(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], b"")?;
        if !output.status.success() {
            return Err(Failure::usage(format!(
                "the repository of {} has no commit at HEAD, and the branches are made of its tree: commit \
                 the workshop's files first",
                self.folder.display()
            ))
            .into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The commit of that id.
    ///
    /// # Errors
    /// When it is not here.
    pub fn commit(&self, id: &str) -> anyhow::Result<Commit> {
        let text = self.run(&["cat-file", "commit", id], b"")?;
        let text = String::from_utf8_lossy(&text);
        let (header, message) = text.split_once("\n\n").unwrap_or((&text, ""));
        let committer = header.lines().find_map(|line| line.strip_prefix("committer "));
        let time = committer.and_then(|line| line.rsplit(' ').nth(1)?.parse().ok());
        let time = time.with_context(|| format!("commit {id} has no time"))?;
        Ok(Commit { time, message: message.to_owned() })
    }

    /// The id of what a commit has at that path: a file or a folder.
    ///
    /// # Errors
    /// When it has nothing there.
    pub fn id(&self, commit: &str, path: &str) -> anyhow::Result<String> {
        self.line(&["rev-parse", "--verify", "--quiet", &format!("{commit}:{path}")], b"")
    }

    /// The content of a commit's file.
    ///
    /// # Errors
    /// When it has no such file.
    pub fn file(&self, commit: &str, path: &str) -> anyhow::Result<Vec<u8>> {
        self.run(&["cat-file", "blob", &format!("{commit}:{path}")], b"")
    }

    /// Keeps a file. Returns its id.
    ///
    /// # Errors
    /// When git can't.
    pub fn keep_file(&self, content: &[u8]) -> anyhow::Result<String> {
        self.line(&["hash-object", "-w", "--stdin"], content)
    }

    /// An index of our own, filled with what a commit has. The one of a check-out is left alone.
    ///
    /// # Errors
    /// When git can't.
    pub fn index(&self, commit: &str) -> anyhow::Result<Index<'_>> {
        let folder = tempfile::tempdir().context("there is no place for temporary files")?;
        let index = Index { git: self, folder };
        index.run(&["read-tree", commit])?;
        Ok(index)
    }

    /// Keeps a commit. Returns its id.
    ///
    /// # Errors
    /// When git can't.
    pub fn keep_commit(&self, parent: &str, tree: &str, commit: &Commit) -> anyhow::Result<String> {
        let date = format!("{} +0000", commit.time);
        let arguments = ["commit-tree", tree, "-p", parent];
        let mut command = self.command();
        command.args(arguments).env("GIT_AUTHOR_DATE", &date).env("GIT_COMMITTER_DATE", &date);
        let output = feed(command, commit.message.as_bytes())?;
        if !output.status.success() {
            return Err(failed(&arguments, &output).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// All branches whose names begin as ours do.
    ///
    /// # Errors
    /// When git can't tell.
    pub fn branches(&self) -> anyhow::Result<Vec<Reference>> {
        let format = "--format=%(refname)%00%(objectname)%00%(symref)%00%(worktreepath)";
        let listed =
            self.run(&["for-each-ref", format, "refs/heads/exercise", "refs/heads/solution"], b"")?;
        let listed = String::from_utf8_lossy(&listed);
        let branches = listed.lines().filter_map(|line| {
            let mut fields = line.split('\0');
            Some(Reference {
                name: fields.next()?.strip_prefix("refs/heads/")?.to_owned(),
                commit: fields.next()?.to_owned(),
                is_symbolic: !fields.next()?.is_empty(),
                checked_out: fields.next().filter(|path| !path.is_empty()).map(str::to_owned),
            })
        });
        Ok(branches.collect())
    }

    /// Makes all changes, or none if one of them can't be made.
    ///
    /// # Errors
    /// When none was made.
    pub fn change(&self, changes: &[Change]) -> anyhow::Result<()> {
        // Without `commit` git does nothing: so it is when this program ends while it still writes.
        let mut input = String::from("start\n");
        for change in changes {
            let line = match change {
                Change::Create { name, commit } => format!("create refs/heads/{name} {commit}\n"),
                Change::Move { name, commit, old } => {
                    format!("update refs/heads/{name} {commit} {old}\n")
                }
                Change::Verify { name, commit } => format!("verify refs/heads/{name} {commit}\n"),
            };
            input.push_str(&line);
        }
        input.push_str("prepare\ncommit\n");
        // A branch that stands for another is replaced, and the other one stays where it is.
        let arguments = ["update-ref", "-m", "workshop branches", "--no-deref", "--stdin"];
        let mut command = self.command();
        // A Ctrl-C is not for git, which could be in the middle of it.
        command.args(arguments).process_group(0);
        let output = feed(command, input.as_bytes())?;
        // It says so of each step. Without the last one it does nothing, and calls that a success.
        if !output.status.success() || !output.stdout.ends_with(b"commit: ok\n") {
            return Err(failed(&arguments, &output).into());
        }
        Ok(())
    }

    /// What of these folders is changed in the check-out and not committed; nothing without a check-out.
    ///
    /// # Errors
    /// When git can't tell.
    pub fn uncommitted(&self, folders: &[&str]) -> anyhow::Result<Vec<String>> {
        if self.line(&["rev-parse", "--is-inside-work-tree"], b"")? != "true" {
            return Ok(Vec::new());
        }
        let folders: Vec<_> = folders.iter().map(|folder| format!(":/{folder}")).collect();
        let mut arguments = vec!["status", "--porcelain", "--no-renames", "--"];
        arguments.extend(folders.iter().map(String::as_str));
        let listed = self.run(&arguments, b"")?;
        let listed = String::from_utf8_lossy(&listed);
        // Two letters and a space come before the path.
        Ok(listed.lines().filter_map(|line| line.get(3..).map(str::to_owned)).collect())
    }
}

/// An index of our own: from it, git makes the tree of a commit.
pub struct Index<'a> {
    git: &'a Git,
    folder: TempDir,
}

impl Index<'_> {
    /// Puts a file at that path, in the place of the one that is there.
    ///
    /// # Errors
    /// When git can't.
    pub fn put(&self, path: &str, file: &str) -> anyhow::Result<()> {
        self.run(&["update-index", "--add", "--cacheinfo", &format!("100644,{file},{path}")])?;
        Ok(())
    }

    /// Keeps all of it as a tree. Returns its id.
    ///
    /// # Errors
    /// When git can't.
    pub fn write(&self) -> anyhow::Result<String> {
        // Without `--missing-ok`, a clone that has not all files would fetch each of them.
        self.run(&["write-tree", "--missing-ok"])
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = self.git.command();
        command.args(arguments).env("GIT_INDEX_FILE", self.folder.path().join("index"));
        let output = feed(command, b"")?;
        if !output.status.success() {
            return Err(failed(arguments, &output).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// The first digits of a commit's id, as many as no two commits of a workshop share.
pub fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

fn feed(mut command: Command, input: &[u8]) -> anyhow::Result<Output> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut git = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::environment(
            "git is not on PATH, and the branches are made with it: install it from your system's \
             packages, or as https://git-scm.com/downloads tells",
        ),
        _ => Failure::environment(format!("git can't be started: {error}")),
    })?;
    if let Some(mut stdin) = git.stdin.take() {
        // One that ended before it read all says itself why.
        stdin.write_all(input).ok();
    }
    git.wait_with_output().context("git can't be waited for")
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

fn failed(arguments: &[&str], output: &Output) -> Failure {
    let command = arguments.first().copied().unwrap_or_default();
    Failure::environment(format!("`git {command}` failed ({}): {}", output.status, words(output)))
}
