//! Runs git: the few plumbing commands that are needed.

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

/// The author of the commits. They contain neither your name nor today's date, so the same tree gives the
/// same commits everywhere.
const NAME: &str = "Unblock";
const EMAIL: &str = "workshop@localhost";

/// A repository.
pub struct Git {
    folder: PathBuf,
    /// A temporary folder for new objects, and the repository's own object folder.
    scratch: Option<(TempDir, OsString)>,
}

/// A branch, by its name without `refs/heads/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub name: String,
    pub commit: String,
    /// It is a symbolic ref to another branch.
    pub is_symbolic: bool,
    /// The working tree in which it is checked out, if there is one.
    pub checked_out: Option<String>,
}

/// A change to a branch. Each names the state that it expects.
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

/// The parts of a commit that matter here.
pub struct Commit {
    /// The committer's clock, in seconds since 1970.
    pub time: u64,
    pub message: String,
}

impl Git {
    /// The repository that contains the folder.
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
                "{} is in no git repository, but the branches are written into one. Clone the \
                 workshop (an archive of it has no branches), or name a clone with --repository",
                git.folder.display()
            )
        } else {
            format!("git does not accept {} as a repository: {words}", git.folder.display())
        };
        Err(Failure::usage(what).into())
    }

    /// The same repository, but new objects go to a temporary folder that is removed when this is dropped.
    ///
    /// # Errors
    /// When no temporary folder can be created.
    pub fn without_a_trace(mut self) -> anyhow::Result<Self> {
        let objects = self.line(&["rev-parse", "--git-path", "objects"], b"")?;
        let objects = self.folder.join(objects).canonicalize()?;
        // Quoted, because a colon separates two paths.
        let quoted = objects.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
        let scratch = tempfile::tempdir().context("there is no place for temporary files")?;
        self.scratch = Some((scratch, format!("\"{quoted}\"").into()));
        Ok(self)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("git");
        // These are set when a git hook runs this program, and would name another repository or index.
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
            // The user's settings must not change what is written, and no hook must run.
            .args(["-c", "core.hooksPath=/dev/null", "-c", "i18n.commitEncoding=UTF-8"])
            .args(["-c", "core.fsmonitor=false", "-c", "core.quotePath=false"])
            // How long to wait for another run at the same time, in milliseconds.
            .args(["-c", "core.filesRefLockTimeout=5000"])
            .env("GIT_AUTHOR_NAME", NAME)
            .env("GIT_AUTHOR_EMAIL", EMAIL)
            .env("GIT_COMMITTER_NAME", NAME)
            .env("GIT_COMMITTER_EMAIL", EMAIL)
            // `git status` would refresh the index of the working tree.
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            // Its messages are parsed.
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
                "the repository of {} has no commit at HEAD, but the branches are made from that \
                 commit: commit the workshop's files first",
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

    /// Writes a file. Returns its id.
    ///
    /// # Errors
    /// When git can't.
    pub fn keep_file(&self, content: &[u8]) -> anyhow::Result<String> {
        self.line(&["hash-object", "-w", "--stdin"], content)
    }

    /// A temporary index with the content of a commit. The index of the working tree is not touched.
    ///
    /// # Errors
    /// When git can't.
    pub fn index(&self, commit: &str) -> anyhow::Result<Index<'_>> {
        let folder = tempfile::tempdir().context("there is no place for temporary files")?;
        let index = Index { git: self, folder };
        index.run(&["read-tree", commit])?;
        Ok(index)
    }

    /// Writes a commit. Returns its id.
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

    /// All branches whose names start like ours.
    ///
    /// # Errors
    /// When git fails.
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
        // Without `commit` git changes nothing, also if this program is killed while it is still writing.
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
        // A symbolic ref is itself replaced; the branch it points to does not move.
        let arguments = ["update-ref", "-m", "workshop branches", "--no-deref", "--stdin"];
        let mut command = self.command();
        // Ctrl-C must not reach git, which could be in the middle of a change.
        command.args(arguments).process_group(0);
        let output = feed(command, input.as_bytes())?;
        // Git confirms each step. If the last confirmation is missing, it did nothing but still exits with 0.
        if !output.status.success() || !output.stdout.ends_with(b"commit: ok\n") {
            return Err(failed(&arguments, &output).into());
        }
        Ok(())
    }

    /// The uncommitted changes in these folders; none without a working tree.
    ///
    /// # Errors
    /// When git fails.
    pub fn uncommitted(&self, folders: &[&str]) -> anyhow::Result<Vec<String>> {
        if self.line(&["rev-parse", "--is-inside-work-tree"], b"")? != "true" {
            return Ok(Vec::new());
        }
        let folders: Vec<_> = folders.iter().map(|folder| format!(":/{folder}")).collect();
        let mut arguments = vec!["status", "--porcelain", "--no-renames", "--"];
        arguments.extend(folders.iter().map(String::as_str));
        let listed = self.run(&arguments, b"")?;
        let listed = String::from_utf8_lossy(&listed);
        // The path follows two letters and a space.
        Ok(listed.lines().filter_map(|line| line.get(3..).map(str::to_owned)).collect())
    }
}

/// A temporary index, from which git makes the tree of a commit.
pub struct Index<'a> {
    git: &'a Git,
    folder: TempDir,
}

impl Index<'_> {
    /// Puts a file at that path, and replaces the one that is there.
    ///
    /// # Errors
    /// When git can't.
    pub fn put(&self, path: &str, file: &str) -> anyhow::Result<()> {
        self.run(&["update-index", "--add", "--cacheinfo", &format!("100644,{file},{path}")])?;
        Ok(())
    }

    /// Writes it as a tree. Returns its id.
    ///
    /// # Errors
    /// When git can't.
    pub fn write(&self) -> anyhow::Result<String> {
        // Without `--missing-ok`, a partial clone would fetch every missing file.
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

/// The first digits of a commit's id, enough to be unique in a workshop's repository.
pub fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

fn feed(mut command: Command, input: &[u8]) -> anyhow::Result<Output> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut git = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::environment(
            "git is not on PATH, but `branches` needs it: install it from your system's packages, \
             or from https://git-scm.com/downloads",
        ),
        _ => Failure::environment(format!("git can't be started: {error}")),
    })?;
    if let Some(mut stdin) = git.stdin.take() {
        // A git that exits before it has read everything reports the reason itself.
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
