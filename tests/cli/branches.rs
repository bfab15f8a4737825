//! `workshop branches`, in real repositories of its own.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use solutions::Step;
use tempfile::TempDir;

use crate::support::{WORKSHOP, checkout, program, script, stderr, stdout, wait_for};

/// In the order of their commits.
const BRANCHES: [&str; 8] = [
    "exercise/01-blocking-codec",
    "solution/01-blocking-codec",
    "exercise/02-spawn-blocking",
    "solution/02-spawn-blocking",
    "exercise/03-async-codec",
    "solution/03-async-codec",
    "exercise/04-beyond-async",
    "solution/04-beyond-async",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Git as on a machine where it was never set up; the tests may themselves run in a hook.
fn git_command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = program("git");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            command.env_remove(name);
        }
    }
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    command.arg("-C").arg(folder).args(["-c", "user.name=Ada", "-c", "user.email=ada@localhost"]);
    command.args(["-c", "protocol.file.allow=always"]).args(arguments);
    command
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = git_command(folder, arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", stderr(&output));
    stdout(&output).trim_end().to_owned()
}

fn branches_command(repository: &Path, flags: &[&str]) -> Command {
    let mut command = program(WORKSHOP);
    command.arg("branches").arg("--repository").arg(repository).args(flags);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    command
}

fn branches(repository: &Path, flags: &[&str]) -> Output {
    branches_command(repository, flags).output().unwrap()
}

/// It ends with 0.
fn written(repository: &Path, flags: &[&str]) -> String {
    let output = branches(repository, flags);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output)
}

/// It ends with 2, and nothing is changed.
fn refused(repository: &Path, flags: &[&str]) -> String {
    let before = state(repository);
    let output = branches(repository, flags);
    assert_eq!(output.status.code(), Some(2), "{}{}", stdout(&output), stderr(&output));
    assert_eq!(stdout(&output), "");
    assert_eq!(state(repository), before);
    stderr(&output)
}

/// Everything that a reader of the repository sees: references, HEAD, index, files.
fn state(repository: &Path) -> Vec<String> {
    let mut state = vec![refs(repository)];
    let head = git(repository, &["rev-parse", "--absolute-git-dir"]);
    state.push(fs::read_to_string(Path::new(&head).join("HEAD")).unwrap());
    if let Ok(index) = fs::read(Path::new(&head).join("index")) {
        state.push(format!("{index:?}"));
    }
    if git(repository, &["rev-parse", "--is-inside-work-tree"]) == "true" {
        state.push(git(repository, &["--no-optional-locks", "status", "--porcelain"]));
    }
    state
}

fn refs(repository: &Path) -> String {
    git(repository, &["for-each-ref", "--format=%(objectname) %(refname)"])
}

/// Those of ours that are there.
fn ours(repository: &Path) -> Vec<String> {
    let found = git(
        repository,
        &[
            "for-each-ref",
            "--format=%(refname:short)",
            "refs/heads/exercise",
            "refs/heads/solution",
        ],
    );
    found.lines().map(str::to_owned).collect()
}

fn id(repository: &Path, name: &str) -> String {
    git(repository, &["rev-parse", "--verify", name])
}

fn ids(repository: &Path) -> Vec<String> {
    BRANCHES.map(|branch| id(repository, branch)).into()
}

/// A repository with what the branches are about, on the branch `main`.
struct Repository {
    folder: TempDir,
}

impl Repository {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(init: &[&str]) -> Self {
        let repository = Self { folder: tempfile::tempdir().unwrap() };
        let path = repository.path();
        fs::create_dir(&path).unwrap();
        let mut arguments = vec!["init", "--quiet", "--initial-branch=main"];
        arguments.extend(init);
        git(&path, &arguments);
        for step in Step::ALL {
            for kind in ["exercises", "solutions"] {
                let from = root().join(kind).join(step.folder());
                for file in ["README.md", "codec.rs"] {
                    let Ok(content) = fs::read(from.join(file)) else { continue };
                    repository.file(&format!("{kind}/{}/{file}", step.folder()), content);
                }
            }
        }
        repository.file("exercises/current", "1\n");
        repository.file("exercises/worker.rs", "// the worker\n");
        repository.file("README.md", "# Unblock\n");
        repository.commit("The workshop");
        repository
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("workshop")
    }

    fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn commit(&self, message: &str) {
        git(&self.path(), &["add", "--all"]);
        git(&self.path(), &["commit", "--quiet", "--allow-empty", "-m", message]);
    }

    /// A folder beside it.
    fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A clone of it, as `git clone` makes one.
    fn cloned(&self, name: &str, flags: &[&str]) -> PathBuf {
        let clone = self.beside(name);
        let from = format!("file://{}", self.path().display());
        let mut arguments = vec!["clone", "--quiet"];
        arguments.extend(flags);
        arguments.extend([from.as_str(), name]);
        git(self.folder.path(), &arguments);
        clone
    }

    /// An attendee's work on that branch. Nothing is checked out afterwards that was not before.
    fn work_on(&self, branch: &str) -> String {
        let path = self.path();
        git(&path, &["switch", "--quiet", branch]);
        self.file("exercises/01-blocking-codec/codec.rs", "// mine\n");
        self.commit("my work");
        let work = id(&path, "HEAD");
        git(&path, &["switch", "--quiet", "main"]);
        work
    }
}

/// The content of a branch's file, byte for byte.
fn show(repository: &Path, branch: &str, path: &str) -> Vec<u8> {
    let output = git_command(repository, &["show", &format!("{branch}:{path}")]).output().unwrap();
    assert!(output.status.success(), "{branch}:{path}: {}", stderr(&output));
    output.stdout
}

#[test]
fn they_are_one_line_from_head_on_and_each_says_what_it_teaches() {
    let repository = Repository::new();
    let path = repository.path();
    let told = written(&path, &[]);
    let lines: Vec<_> = told.lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(lines, BRANCHES);
    assert!(told.lines().all(|line| line.starts_with("written ")), "{told}");

    let mut before = id(&path, "HEAD");
    for branch in BRANCHES {
        assert_eq!(git(&path, &["rev-list", "--parents", "-1", branch]), {
            format!("{} {before}", id(&path, branch))
        });
        before = id(&path, branch);
    }
    let graph = git(&path, &["log", "--graph", "--format=%s", "--all"]);
    let drawn: Vec<_> = graph.lines().collect();
    assert_eq!(drawn.len(), 9, "{graph}");
    assert!(drawn.iter().all(|line| line.starts_with("* ")), "{graph}");
    assert_eq!(drawn[0], "* Solution 4: Take the wait out of the queue");
    assert_eq!(drawn[7], "* Exercise 1: Watch the codec block its thread");
    for (number, branch) in (2..10).map(|twice| twice / 2).zip(BRANCHES) {
        let message = git(&path, &["log", "-1", "--format=%B", branch]);
        assert!(message.contains("\n\nYou will learn to "), "{message}");
        assert!(message.contains(&format!("cargo workshop verify {number}\n")), "{message}");
        assert!(message.lines().all(|line| line.len() <= 80), "{message}");
        let trailer =
            git(&path, &["log", "-1", "--format=%(trailers:key=Unblock-Base,valueonly)", branch]);
        assert_eq!(trailer.trim(), id(&path, "main"));
    }
}

#[test]
fn each_tree_is_heads_with_the_exercises_as_they_are_then() {
    let repository = Repository::new();
    let path = repository.path();
    // An attendee has committed work on exercise 2, and exercise 3 is the current one.
    repository.file("exercises/02-spawn-blocking/codec.rs", "// mine\n");
    repository.file("exercises/current", "3\n");
    repository.commit("work");
    written(&path, &[]);
    for (at, branch) in BRANCHES.into_iter().enumerate() {
        let (current, solved) = (at / 2 + 1, at.div_ceil(2));
        let number = show(&path, branch, "exercises/current");
        assert_eq!(number, format!("{current}\n").as_bytes(), "{branch}");
        for step in Step::EXERCISES {
            let is_solved = usize::from(step.number()) <= solved;
            let from = if is_solved { step } else { step.start() };
            let expected = fs::read(root().join("solutions").join(from.folder()).join("codec.rs"));
            let codec = format!("exercises/{}/codec.rs", step.folder());
            assert_eq!(show(&path, branch, &codec), expected.unwrap(), "{branch}, {codec}");
        }
        // Nothing else differs from HEAD, so what builds and passes there does so here.
        let changed = git(&path, &["diff", "--name-only", "main", branch]);
        for file in changed.lines() {
            let expected = file == "exercises/current" || file.ends_with("/codec.rs");
            assert!(expected && file.starts_with("exercises/"), "{branch}: {file}");
        }
    }
    git(&path, &["fsck", "--strict"]);
}

#[test]
fn the_same_head_gives_everyone_the_same_commits() {
    let repository = Repository::new();
    let path = repository.path();
    written(&path, &[]);
    let first = ids(&path);
    let told = written(&path, &[]);
    assert!(told.lines().all(|line| line.starts_with("unchanged ")), "{told}");
    assert_eq!(ids(&path), first);

    let clone = repository.cloned("clone", &["--single-branch"]);
    for (name, value) in [
        ("user.name", "Grace"),
        ("commit.gpgsign", "true"),
        ("gpg.program", "false"),
        ("i18n.commitEncoding", "ISO-8859-1"),
        ("core.autocrlf", "true"),
        ("log.showSignature", "true"),
    ] {
        git(&clone, &["config", name, value]);
    }
    // A hook that would have a say.
    let hook = clone.join(".git/hooks/reference-transaction");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    script(&hook, "exit 1");
    let output = branches_command(&clone, &[])
        .env("TZ", "Asia/Tokyo")
        .env("GIT_AUTHOR_NAME", "Grace")
        .env("GIT_COMMITTER_DATE", "2001-01-01T00:00:00Z")
        .env("GIT_DIR", repository.path().join(".git"))
        .env("GIT_INDEX_FILE", "nowhere")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(ids(&clone), first);
}

#[test]
fn no_check_out_is_touched_and_unsaved_work_is_told_of() {
    let repository = Repository::new();
    let path = repository.path();
    repository.file("exercises/01-blocking-codec/codec.rs", "// half-written\n");
    repository.file("exercises/notes.md", "mine\n");
    git(&path, &["add", "exercises/notes.md"]);
    // The index does not know of this time, and a `git status` would write that down.
    let same = fs::File::options().append(true).open(path.join("exercises/worker.rs")).unwrap();
    same.set_modified(std::time::SystemTime::now() + Duration::from_secs(60)).unwrap();
    let before = state(&path)[1..].to_vec();
    let output = branches(&path, &[]);
    assert!(output.status.success());
    assert_eq!(state(&path)[1..], before);
    let said = stderr(&output);
    assert!(said.contains("so they are not in the branches, and stay as they are: "), "{said}");
    assert!(said.contains("exercises/01-blocking-codec/codec.rs, exercises/notes.md"), "{said}");
    // Without any, nothing is reported.
    let clone = repository.cloned("clone", &["--single-branch"]);
    assert!(!stderr(&branches(&clone, &[])).contains("note:"));
}

#[test]
fn it_works_in_every_kind_of_repository() {
    let repository = Repository::new();
    let path = repository.path();
    repository.commit("a second commit");
    written(&path, &[]);
    let expected = ids(&path);

    let bare = repository.cloned("bare", &["--bare", "--single-branch"]);
    written(&bare, &[]);
    assert_eq!(ids(&bare), expected);

    let shallow = repository.cloned("shallow", &["--depth=1", "--single-branch"]);
    assert_eq!(git(&shallow, &["rev-list", "--count", "HEAD"]), "1");
    written(&shallow, &[]);
    assert_eq!(ids(&shallow), expected);
    written(&shallow, &["--check"]);

    let detached = repository.cloned("detached", &["--single-branch"]);
    git(&detached, &["switch", "--quiet", "--detach"]);
    git(&detached, &["branch", "--quiet", "-D", "main"]);
    written(&detached.join("exercises/01-blocking-codec"), &[]);
    assert_eq!(ids(&detached), expected);

    // A linked worktree shares its branches with the others, and has a HEAD of its own.
    let clone = repository.cloned("clone", &["--single-branch"]);
    let linked = repository.beside("linked");
    git(&clone, &["worktree", "add", "--quiet", linked.to_str().unwrap(), "-b", "other", "HEAD^"]);
    written(&linked, &[]);
    assert_eq!(id(&clone, "exercise/01-blocking-codec^"), id(&clone, "main^"));
    written(&clone, &[]);
    assert_eq!(ids(&clone), expected);

    // All references in one file.
    git(&clone, &["pack-refs", "--all"]);
    assert!(written(&clone, &[]).starts_with("unchanged "));
    repository.commit("a third one");
    git(&clone, &["pull", "--quiet", "origin", "main"]);
    assert!(written(&clone, &[]).starts_with("written "));

    let sha256 = Repository::with(&["--object-format=sha256"]);
    written(&sha256.path(), &[]);
    assert_eq!(id(&sha256.path(), BRANCHES[7]).len(), 64);
    written(&sha256.path(), &["--check"]);
}

#[test]
fn what_is_no_repository_of_the_workshop_is_said_with_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    let says = |flags: &[&str]| {
        let output = branches(empty.path(), flags);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        stderr(&output)
    };
    let said = says(&[]);
    assert!(said.contains("is in no git repository") && said.contains("--repository"), "{said}");
    git(empty.path(), &["init", "--quiet"]);
    let said = says(&[]);
    assert!(said.contains("has no commit at HEAD"), "{said}");
    git(empty.path(), &["commit", "--quiet", "--allow-empty", "-m", "nothing"]);
    for flags in [&[][..], &["--check"]] {
        let said = says(flags);
        assert!(said.contains("so it is not a commit of the workshop"), "{said}");
    }
    assert_eq!(ours(empty.path()), [""; 0]);

    let output = branches_command(empty.path(), &[]).env("PATH", empty.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    assert!(said.contains("git is not on PATH") && said.contains("install it"), "{said}");
}

#[test]
fn our_own_branches_follow_head() {
    let repository = Repository::new();
    let path = repository.path();
    written(&path, &[]);
    repository.file("solutions/02-spawn-blocking/codec.rs", "// better\n");
    repository.commit("a better solution");
    let output = branches(&path, &["--check"]);
    assert_eq!(output.status.code(), Some(1));
    let told = stdout(&output);
    assert_eq!(told.matches("it was written from another commit").count(), 8, "{told}");
    let told = written(&path, &[]);
    assert_eq!(told.matches("written ").count(), 8, "{told}");
    assert_eq!(show(&path, BRANCHES[4], "exercises/03-async-codec/codec.rs"), b"// better\n");
    written(&path, &["--check"]);
    assert_eq!(ours(&path).len(), 8);

    // One that was deleted comes back.
    git(&path, &["branch", "--quiet", "-D", BRANCHES[3]]);
    let output = branches(&path, &["--check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains(&format!("missing  {}\n", BRANCHES[3])));
    let told = written(&path, &[]);
    assert_eq!(told.matches("written ").count(), 1, "{told}");
}

#[test]
fn on_one_of_them_the_others_are_what_they_were() {
    let repository = Repository::new();
    let path = repository.path();
    written(&path, &[]);
    let expected = ids(&path);
    for branch in ["exercise/02-spawn-blocking", "solution/04-beyond-async"] {
        git(&path, &["switch", "--quiet", branch]);
        written(&path, &["--check"]);
        let told = written(&path, &[]);
        assert!(told.lines().all(|line| line.starts_with("unchanged ")), "{told}");
        assert_eq!(ids(&path), expected);
    }
}

/// Also where the workshop's folder can't be told from another by its files. (It was seen to write into the
/// repository that the program was built in.)
#[test]
fn without_a_flag_it_is_the_repository_that_one_is_in() {
    let repository = Repository::new();
    let sparse = repository.cloned("sparse", &["--single-branch", "--sparse"]);
    let bare = repository.cloned("bare", &["--bare", "--single-branch"]);
    let empty = repository.beside("empty");
    fs::create_dir(&empty).unwrap();
    // `--check` all along: the failure to be found would write where it must not.
    let run = |folder: &Path| {
        let mut command = program(WORKSHOP);
        command.args(["branches", "--check"]).current_dir(folder).output().unwrap()
    };
    for folder in [&sparse, &bare, &repository.path().join("exercises/02-spawn-blocking")] {
        let output = run(folder);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        written(folder, &[]);
        let output = run(folder);
        assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    }
    let output = run(&empty);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("is in no git repository"), "{}", stderr(&output));
}

/// Not even objects that nothing refers to. (The folder's name would be two places, unquoted.)
#[test]
fn check_writes_nothing_at_all() {
    let repository = Repository::new();
    let clone = repository.cloned("a:b \"c\"", &["--single-branch"]);
    let objects = || git(&clone, &["count-objects", "--verbose"]);
    let before = (objects(), state(&clone));
    let output = branches(&clone, &["--check"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(stdout(&output).matches("missing ").count(), 8);
    assert_eq!((objects(), state(&clone)), before);
    written(&clone, &[]);
    written(&clone, &["--check"]);
}

#[test]
fn other_work_is_refused_and_kept_when_forced() {
    let repository = Repository::new();
    let path = repository.path();
    written(&path, &[]);
    let expected = ids(&path);
    let first = repository.work_on(BRANCHES[0]);
    // Made by hand, from a commit that none of ours is.
    git(&path, &["branch", "--quiet", "--force", BRANCHES[5], "main"]);

    let said = refused(&path, &[]);
    for branch in [BRANCHES[0], BRANCHES[5]] {
        assert!(said.contains(&format!("{branch} holds other work")), "{said}");
    }
    assert!(said.contains("--force keeps that as exercise/01-blocking-codec-kept-"), "{said}");
    let output = branches(&path, &["--check"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output).matches("it holds other work").count(), 2);

    let told = written(&path, &["--force"]);
    let kept = format!("{}-kept-{}", BRANCHES[0], &first[..12]);
    assert!(told.contains(&format!("kept       {} as {kept}\n", BRANCHES[0])), "{told}");
    assert_eq!(id(&path, &kept), first);
    assert_eq!(ids(&path), expected);
    assert_eq!(ours(&path).len(), 10);
    // Once more, with the same work back on its branch: it is kept already.
    git(&path, &["branch", "--quiet", "--force", BRANCHES[0], &kept]);
    written(&path, &["--force"]);
    assert_eq!(ours(&path).len(), 10);
    let told = written(&path, &["--force"]);
    assert!(told.lines().all(|line| line.starts_with("unchanged ")), "{told}");

    // The same files under a message of one's own are work, too.
    git(&path, &["switch", "--quiet", BRANCHES[1]]);
    git(&path, &["commit", "--quiet", "--amend", "-m", "my words\n\nUnblock-Base: 0000"]);
    git(&path, &["switch", "--quiet", "main"]);
    assert!(refused(&path, &[]).contains(&format!("{} holds other work", BRANCHES[1])));
}

#[test]
fn a_branch_that_stands_for_another_leaves_that_where_it_is() {
    let repository = Repository::new();
    let path = repository.path();
    let main = id(&path, "main");
    git(&path, &["branch", "--quiet", "other"]);
    git(&path, &["symbolic-ref", "refs/heads/exercise/01-blocking-codec", "refs/heads/other"]);
    assert!(refused(&path, &[]).contains("holds other work"));
    written(&path, &["--force"]);
    assert_eq!(id(&path, "other"), main);
    written(&path, &["--check"]);
}

#[test]
fn a_branch_that_is_checked_out_is_not_moved() {
    let repository = Repository::new();
    let path = repository.path();
    written(&path, &[]);
    let linked = repository.beside("linked");
    git(&path, &["worktree", "add", "--quiet", linked.to_str().unwrap(), BRANCHES[2]]);
    // As long as it stays where it is, all is well.
    written(&path, &[]);
    repository.file("README.md", "# Unblock, once more\n");
    repository.commit("a new commit");
    for flags in [&[][..], &["--force"]] {
        let said = refused(&path, flags);
        assert!(said.contains(&format!("{} is checked out in ", BRANCHES[2])), "{said}");
        assert!(said.contains("linked") && said.contains("git switch --detach"), "{said}");
    }
    git(&linked, &["switch", "--quiet", "--detach"]);
    written(&path, &[]);
    git(&path, &["worktree", "remove", linked.to_str().unwrap()]);

    // Nor is one's own, with work on it.
    git(&path, &["switch", "--quiet", BRANCHES[0]]);
    repository.file("exercises/01-blocking-codec/codec.rs", "// mine\n");
    repository.commit("my work");
    assert!(refused(&path, &["--force"]).contains(&format!("{} is checked out", BRANCHES[0])));
}

#[test]
fn a_branch_in_the_way_is_named() {
    for other in ["exercise", "solution/01-blocking-codec/mine"] {
        let repository = Repository::new();
        git(&repository.path(), &["branch", "--quiet", other]);
        let said = refused(&repository.path(), &["--force"]);
        assert!(said.contains(&format!("git branch -m {other} NAME")), "{said}");
    }
}

fn started(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn runs_at_the_same_time_agree() {
    let repository = Repository::new();
    let path = repository.path();
    for round in 0..3 {
        repository.commit(&format!("commit {round}"));
        let running: Vec<_> = (0..4).map(|_| started(branches_command(&path, &[]))).collect();
        for run in running {
            let output = run.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        }
        written(&path, &["--check"]);
    }
}

#[test]
fn one_that_is_killed_leaves_all_or_nothing() {
    let repository = Repository::new();
    let clone = repository.cloned("whole", &["--single-branch"]);
    let began = Instant::now();
    written(&clone, &[]);
    let whole = began.elapsed();
    let mut seen = BTreeSet::new();
    for part in 0..16 {
        let clone = repository.cloned(&format!("clone-{part}"), &["--single-branch"]);
        let mut run = started(branches_command(&clone, &[]));
        std::thread::sleep(whole * part / 14);
        run.kill().ok();
        run.wait().unwrap();
        // Git, which it may have started last, goes on to its end.
        let count = wait_for("git to be done", || {
            let count = ours(&clone).len();
            let is_locked = |kind| {
                let folder = fs::read_dir(clone.join(".git/refs/heads").join(kind));
                let mut names =
                    folder.into_iter().flatten().map(|entry| entry.unwrap().file_name());
                names.any(|name| name.to_string_lossy().ends_with(".lock"))
            };
            let busy = is_locked("exercise") || is_locked("solution");
            (!busy && ours(&clone).len() == count).then_some(count)
        });
        assert!(count == 0 || count == 8, "{:?}", ours(&clone));
        seen.insert(count);
        // The next one goes on from there.
        written(&clone, &[]);
        written(&clone, &["--check"]);
    }
    assert!(seen.contains(&0), "it was never killed early: {seen:?}");
}

/// As if it were killed while it tells git what to do: a part of that does nothing.
#[test]
fn half_of_what_git_is_told_does_nothing() {
    let repository = Repository::new();
    let path = repository.path();
    let folder = repository.beside("bin");
    fs::create_dir(&folder).unwrap();
    let machine = std::env::var("PATH").unwrap();
    let half = format!(
        "PATH='{machine}'\ncase \"$*\" in *update-ref*) head -c 400 | git \"$@\" ;; *) exec \
         git \"$@\" ;; esac"
    );
    script(&folder.join("git"), &half);
    let with = format!("{}:{machine}", folder.display());
    let output = branches_command(&path, &[]).env("PATH", with).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("`git update-ref` failed"), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
    assert_eq!(ours(&path), [""; 0]);
    written(&path, &[]);
}

/// As an attendee does it: the branch is checked out, and the commands of its message are typed.
#[test]
#[ignore = "builds the worker once more, in a copy"]
fn on_an_exercise_its_worker_runs_and_on_its_solution_verify_passes() {
    let copy = checkout::copied("branches", "0.0.0-branches");
    fs::copy(root().join(".gitignore"), copy.join(".gitignore")).unwrap();
    fs::remove_dir_all(copy.join(".git")).ok();
    // A port that is taken ends the worker when it has said what it is.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let typed = |command: &str| {
        let mut shell = program("sh");
        checkout::builds_in(&mut shell, &copy);
        shell.args(["-c", command]).current_dir(&copy);
        shell.env("STACK_WORKER_METRICS_PORT", taken.local_addr().unwrap().port().to_string());
        shell.output().unwrap()
    };

    // The lock file has the packages' version.
    let output = typed("cargo update --quiet --workspace");
    assert!(output.status.success(), "{}", stderr(&output));
    git(&copy, &["init", "--quiet", "--initial-branch=main"]);
    git(&copy, &["add", "--all"]);
    git(&copy, &["commit", "--quiet", "-m", "The workshop"]);
    written(&copy, &[]);

    git(&copy, &["switch", "--quiet", "exercise/02-spawn-blocking"]);
    let output = typed("cargo run --bin worker");
    let said = stderr(&output);
    assert!(said.contains("exercises/02-spawn-blocking/codec.rs"), "{said}");
    assert_eq!(output.status.code(), Some(3), "{said}");
    let output = typed("cargo workshop verify 2 --quick");
    assert_eq!(output.status.code(), Some(1), "{}{}", stdout(&output), stderr(&output));

    git(&copy, &["switch", "--quiet", "solution/02-spawn-blocking"]);
    let output = typed("cargo workshop verify 2 --quick");
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    // Nothing of that is in the way of the next branch.
    assert_eq!(git(&copy, &["status", "--porcelain"]), "");
}
