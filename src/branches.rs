//! `workshop branches`: the workshop's steps as branches of the local repository.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `git` | the program git, and what is asked of it |
//! | `commits` | the commits: one line from `HEAD` on, exercise, solution, next exercise |
//!
//! The commits are written to the object database only. No working tree, index or `HEAD` is touched, so this
//! also works in a bare clone, and with uncommitted changes.

mod commits;
mod git;

use std::{env, path::PathBuf};

use clap::Args;
use cli_kit::exit::{Exit, Failure};
use cli_kit::{errln, outln};

use self::{
    commits::{Lines, Spot},
    git::{Change, Git, Reference, short},
};

/// The flags of `workshop branches`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo workshop branches            # exercise/01-… to solution/04-…
  cargo workshop branches --check    # whether they still match")]
pub struct BranchesArgs {
    /// Write nothing; report whether the branches match HEAD (exit code 1: they do not)
    #[arg(long, conflicts_with = "force")]
    check: bool,
    /// Also overwrite branches that hold other work; keep that work as NAME-kept-COMMIT
    #[arg(long)]
    force: bool,
    /// The repository to write them in, bare or not [default: the one you are in]
    #[arg(long, value_name = "DIR")]
    repository: Option<PathBuf>,
}

/// Writes the branches, or checks them.
///
/// # Errors
/// Wrong usage: no repository, no commit of the workshop, a branch that must not be moved. Broken
/// environment: no git, or git fails.
pub fn run(args: &BranchesArgs) -> anyhow::Result<Exit> {
    // Never falls back to the repository that this program was built in: a command that writes must not guess
    // where.
    let folder = match &args.repository {
        Some(folder) => folder.clone(),
        None => env::current_dir()?,
    };
    let mut git = Git::open(folder)?;
    if args.check {
        git = git.without_a_trace()?;
    }
    let mut lines = Lines::of(&git);
    let head = git.head()?;
    // If HEAD is on one of these branches, use the commit that the branches were made from.
    let base = lines.base_of(&head).unwrap_or(head);
    let commits = lines.from(&base)?;
    tell_what_is_not_committed(&git, &base)?;
    if args.check {
        check(&git, &mut lines, &commits)
    } else {
        write(&git, &mut lines, &commits, args.force)
    }
}

/// If you have just edited a file, you may expect it in the branches.
fn tell_what_is_not_committed(git: &Git, base: &str) -> anyhow::Result<()> {
    let changed = git.uncommitted(&["exercises", "solutions"])?;
    if !changed.is_empty() {
        errln!(
            "note: the branches are made from the commit {}. These changes are not \
             committed, so they are not in the branches, and stay as they are: {}",
            short(base),
            changed.join(", ")
        );
    }
    Ok(())
}

/// The state of a branch, compared with the commit it should be at.
enum BranchState<'a> {
    Missing,
    There,
    /// Written by an earlier run and left alone since.
    Old(&'a Reference),
    /// It has commits that are not ours, or it is not a plain branch.
    OtherWork(&'a Reference),
}

fn state<'a>(
    lines: &mut Lines,
    found: &'a [Reference],
    name: &str,
    commit: &str,
) -> BranchState<'a> {
    match found.iter().find(|found| found.name == name) {
        None => BranchState::Missing,
        Some(found) if found.is_symbolic => BranchState::OtherWork(found),
        Some(found) if found.commit == commit => BranchState::There,
        Some(found) if lines.base_of(&found.commit).is_some() => BranchState::Old(found),
        Some(found) => BranchState::OtherWork(found),
    }
}

fn check(git: &Git, lines: &mut Lines, commits: &[(Spot, String)]) -> anyhow::Result<Exit> {
    let found = git.branches()?;
    let mut all = true;
    for (spot, commit) in commits {
        let name = spot.branch();
        let state = state(lines, &found, &name, commit);
        all &= matches!(state, BranchState::There);
        match state {
            BranchState::There => outln!("matches  {name}"),
            BranchState::Missing => outln!("missing  {name}"),
            BranchState::Old(_) => outln!("differs  {name}: it was written from another commit"),
            BranchState::OtherWork(found) => {
                outln!("differs  {name}: it holds other work, {}", short(&found.commit));
            }
        }
    }
    if all {
        return Ok(Exit::Done);
    }
    errln!("`cargo workshop branches` writes them");
    Ok(Exit::NotSolved)
}

/// What to do, and what to report once it is done.
struct Plan {
    changes: Vec<Change>,
    told: Vec<String>,
}

fn write(
    git: &Git,
    lines: &mut Lines,
    commits: &[(Spot, String)],
    force: bool,
) -> anyhow::Result<Exit> {
    let plan = loop {
        let found = git.branches()?;
        let plan = plan(lines, &found, commits, force)?;
        if plan.changes.iter().all(|change| matches!(change, Change::Verify { .. })) {
            break plan;
        }
        match git.change(&plan.changes) {
            Ok(()) => break plan,
            // Another run at the same time was faster, so the branches are read again.
            Err(error) if git.branches()? == found => return Err(error),
            Err(_) => {}
        }
    };
    for line in plan.told {
        outln!("{line}");
    }
    if let Some((last, _)) = commits.last() {
        errln!(
            "start with `git switch {}`; `git log --graph --oneline {}` shows all",
            commits[0].0.branch(),
            last.branch()
        );
    }
    Ok(Exit::Done)
}

/// All or nothing: every branch that must not be moved is reported before anything is written.
fn plan(
    lines: &mut Lines,
    found: &[Reference],
    commits: &[(Spot, String)],
    force: bool,
) -> Result<Plan, Failure> {
    let mut plan = Plan { changes: Vec::new(), told: Vec::new() };
    let mut refused = Vec::new();
    for (spot, commit) in commits {
        let name = spot.branch();
        // Git stores a branch as a file, so no folder of the same name can exist.
        let in_the_way = found.iter().find(|other| {
            let (a, b) = (format!("{}/", other.name), format!("{name}/"));
            a != b && (a.starts_with(&b) || b.starts_with(&a))
        });
        if let Some(Reference { name: other, .. }) = in_the_way {
            refused.push(format!(
                "{name} can't exist beside the branch {other}: rename that one with `git branch \
                 -m {other} NAME`"
            ));
            continue;
        }
        let state = state(lines, found, &name, commit);
        if let BranchState::Old(old) | BranchState::OtherWork(old) = &state
            && let Some(place) = &old.checked_out
        {
            refused.push(format!(
                "{name} is checked out in {place}: switch to another branch there first (`git \
                 switch --detach` leaves all files as they are)"
            ));
            continue;
        }
        let change = match state {
            BranchState::There => {
                plan.told.push(format!("unchanged  {name}"));
                plan.changes.push(Change::Verify { name, commit: commit.clone() });
                continue;
            }
            BranchState::Missing => Change::Create { name: name.clone(), commit: commit.clone() },
            BranchState::OtherWork(old) if !force => {
                refused.push(format!(
                    "{name} holds other work, up to commit {}: --force keeps that as {}, and \
                     rewrites the branch",
                    short(&old.commit),
                    kept(found, old)
                ));
                continue;
            }
            BranchState::Old(old) => Change::moved(old, commit),
            BranchState::OtherWork(old) => {
                let kept = kept(found, old);
                plan.told.push(format!("kept       {name} as {kept}"));
                // An earlier run may already have kept the same commit.
                if !found.iter().any(|other| other.name == kept) {
                    plan.changes.push(Change::Create { name: kept, commit: old.commit.clone() });
                }
                Change::moved(old, commit)
            }
        };
        plan.told.push(format!("written    {name}  {}", short(commit)));
        plan.changes.push(change);
    }
    if refused.is_empty() {
        return Ok(plan);
    }
    Err(Failure::usage(format!("no branch was written:\n  {}", refused.join("\n  "))))
}

/// The name under which a branch's work is kept: an unused one, or one that already points to that commit.
fn kept(found: &[Reference], old: &Reference) -> String {
    let first = format!("{}-kept-{}", old.name, short(&old.commit));
    let more = (2..).map(|number| format!("{first}-{number}"));
    let free = |name: &String| {
        let there = found.iter().find(|other| other.name == *name);
        there.is_none_or(|there| there.commit == old.commit && !there.is_symbolic)
    };
    std::iter::once(first.clone()).chain(more).find(free).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branch(name: &str, commit: &str) -> Reference {
        Reference {
            name: name.to_owned(),
            commit: commit.to_owned(),
            is_symbolic: false,
            checked_out: None,
        }
    }

    #[test]
    fn what_is_kept_takes_no_others_name() {
        let old = branch("exercise/a", "0123456789abcdef");
        let first = "exercise/a-kept-0123456789ab";
        assert_eq!(kept(&[], &old), first);
        assert_eq!(kept(&[branch(first, &old.commit)], &old), first);
        assert_eq!(kept(&[branch(first, "other")], &old), format!("{first}-2"));
    }
}
