//! The commits of the branches. They form one linear history, so that `git log --graph` shows everything up
//! to the last solution, and `git diff exercise/01-… solution/01-…` is what that exercise is about.

use std::collections::HashMap;

use cli_kit::exit::Failure;
use solutions::Step;

use super::git::{Commit, Git, short};
use crate::course;

/// The last line of each message: the commit that the branches were made from. A later run can make the same
/// commits again from it, so a branch that is at one of them holds no one's work.
const BASE: &str = "Unblock-Base: ";

/// One of the branches.
#[derive(Clone, Copy)]
pub struct Spot {
    step: Step,
    solved: bool,
}

impl Spot {
    /// All, in the order of their commits.
    fn all() -> impl Iterator<Item = Self> {
        Step::EXERCISES
            .into_iter()
            .flat_map(|step| [false, true].map(|solved| Self { step, solved }))
    }

    /// Its branch.
    pub fn branch(self) -> String {
        let kind = if self.solved { "solution" } else { "exercise" };
        format!("{kind}/{}", self.step.folder())
    }

    /// Whether that exercise is solved here.
    fn has_solved(self, step: Step) -> bool {
        step < self.step || (step == self.step && self.solved)
    }

    fn message(self, readme: &str, base: &str) -> String {
        let (number, step) = (self.step.number(), self.step.folder());
        // Without the leading number.
        let title = readme.lines().find_map(|line| line.strip_prefix("# ")).map_or(step, |line| {
            line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches('.').trim()
        });
        let taught = readme
            .split("\n\n")
            .find(|paragraph| paragraph.starts_with("**You will learn to**"))
            .map(|paragraph| textwrap::fill(&paragraph.replace("**", "").replace('\n', " "), 72))
            .map(|paragraph| format!("{}\n\n", paragraph.trim()))
            .unwrap_or_default();
        let (subject, body) = if self.solved {
            let next = course::after(self.step)
                .map(|next| format!("Next:   git switch exercise/{}\n", next.folder()))
                .unwrap_or_default();
            let body = format!(
                "See:    git diff exercise/{step} solution/{step}\n\
                 Why:    solutions/{step}/README.md\n\
                 Check:  cargo workshop verify {number}\n{next}"
            );
            (format!("Solution {number}: {title}"), body)
        } else {
            let body = format!(
                "Start:  exercises/{step}/README.md, then cargo workshop try {number}\n\
                 Check:  cargo workshop verify {number}\n\
                 Stuck:  cargo workshop hint {number}\n"
            );
            (format!("Exercise {number}: {title}"), body)
        };
        format!("{subject}\n\n{taught}{body}\n{BASE}{base}\n")
    }
}

/// Caches the series of commits, so that each is made once.
pub struct Lines<'a> {
    git: &'a Git,
    made: HashMap<String, Vec<(Spot, String)>>,
}

impl<'a> Lines<'a> {
    pub fn of(git: &'a Git) -> Self {
        Self { git, made: HashMap::new() }
    }

    /// Makes the commits on top of this one, one for each branch.
    ///
    /// # Errors
    /// When that commit is not one of the workshop, or git fails.
    pub fn from(&mut self, base: &str) -> anyhow::Result<Vec<(Spot, String)>> {
        if let Some(made) = self.made.get(base) {
            return Ok(made.clone());
        }
        let made = make(self.git, base)?;
        self.made.insert(base.to_owned(), made.clone());
        Ok(made)
    }

    /// The commit that this one was made from, if it is one of ours. A commit that can't be made again, for
    /// example because its base is gone, counts as someone's work: it is kept and never lost.
    pub fn base_of(&mut self, commit: &str) -> Option<String> {
        let message = self.git.commit(commit).ok()?.message;
        let base = message.lines().last()?.strip_prefix(BASE)?;
        if base.is_empty() || !base.chars().all(|c| c.is_ascii_hexdigit()) {
            return None;
        }
        let made = self.from(base).ok()?;
        made.iter().any(|(_, made)| made == commit).then(|| base.to_owned())
    }
}

fn make(git: &Git, base: &str) -> anyhow::Result<Vec<(Spot, String)>> {
    let id = |path: &str| {
        git.id(base, path).map_err(|_| {
            Failure::usage(format!(
                "commit {} has no {path}, so it is not a commit of the workshop: is this a repository of the \
                 workshop, with all its files at the top and committed?",
                short(base)
            ))
        })
    };
    let path = |step: Step| course::folder(step).display().to_string();
    let mut codecs = HashMap::new();
    for step in Step::ALL {
        codecs.insert(step.number(), id(&format!("solutions/{}/codec.rs", step.folder()))?);
    }
    for step in Step::EXERCISES {
        id(&path(step))?;
    }

    let index = git.index(base)?;
    // Not today's date, or every day would give other commits. Each is one second later, so that sorting by
    // time keeps the order.
    let times = git.commit(base)?.time + 1..;
    let mut commits: Vec<(Spot, String)> = Vec::new();
    for (spot, time) in Spot::all().zip(times) {
        for step in Step::EXERCISES {
            let codec = if spot.has_solved(step) { step } else { step.start() };
            index.put(&format!("{}/codec.rs", path(step)), &codecs[&codec.number()])?;
        }
        let current = git.keep_file(format!("{}\n", spot.step.number()).as_bytes())?;
        index.put("exercises/current", &current)?;
        // If a text is missing, only its sentence is left out.
        let readme = git.file(base, &format!("{}/README.md", path(spot.step))).unwrap_or_default();
        let message = spot.message(&String::from_utf8_lossy(&readme), base);
        let parent = commits.last().map_or(base, |(_, commit)| commit.as_str());
        let commit = git.keep_commit(parent, &index.write()?, &Commit { time, message })?;
        commits.push((spot, commit));
    }
    Ok(commits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_the_step_teaches() {
        let readme = "# 2. Give it away\n\n**You will learn to**\ngive it away.\n\nMore.\n";
        let exercise = Spot { step: Step::SpawnBlocking, solved: false };
        assert_eq!(
            exercise.message(readme, "abc"),
            "Exercise 2: Give it away\n\n\
             You will learn to give it away.\n\n\
             Start:  exercises/02-spawn-blocking/README.md, then cargo workshop try 2\n\
             Check:  cargo workshop verify 2\n\
             Stuck:  cargo workshop hint 2\n\n\
             Unblock-Base: abc\n"
        );
        let solution = Spot { solved: true, ..exercise };
        let message = solution.message(readme, "abc");
        assert!(message.starts_with("Solution 2: Give it away\n\nYou will learn to"), "{message}");
        assert!(message.contains("git switch exercise/03-async-codec\n"), "{message}");
        // Without a README there is a subject, still.
        let bare = exercise.message("", "abc");
        assert!(bare.starts_with("Exercise 2: 02-spawn-blocking\n\nStart:"), "{bare}");
    }
}
