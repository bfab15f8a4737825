//! `workshop watch`: checks an exercise whenever its `codec.rs` is saved.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `saves` | which codecs were saved, and are not what they were |
//! | `keys` | what is pressed, and a terminal that is left as it was found |

mod keys;
mod saves;

use std::path::Path;

use clap::Args;
use cli_kit::{errln, exit::Exit, logging::LogArgs, outln, root};
use console::style;
use futures::{
    FutureExt,
    future::{LocalBoxFuture, pending},
};
use solutions::Step;
use tokio::sync::mpsc::unbounded_channel;

use self::{
    keys::{Key, Keys},
    saves::Saves,
};
use super::hints::Hints;
use crate::{
    course,
    process::until_stopped,
    verify::{self, Depth, Judgement, Report},
};

/// The flags of `workshop watch`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo workshop watch      # the next one, or that of the folder you are in
  cargo workshop watch 2")]
pub struct WatchArgs {
    /// The exercise to start with [default: that of the folder you are in, else the next one that is not
    /// solved; on the branch of a step, that one]
    #[arg(value_name = "N")]
    exercise: Option<u8>,
    /// The same seed makes the same payloads and deals the same stalls
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    log: LogArgs,
}

/// Checks the exercise now, and each time a codec is saved, until `q`, Ctrl-C or another signal.
///
/// # Errors
/// When there is no such exercise, or the files can't be watched. A judgement that fails is reported and does
/// not end the watch.
pub fn run(args: &WatchArgs) -> anyhow::Result<Exit> {
    args.log.init("warn")?;
    let root = root::require()?;
    let step = course::chosen(args.exercise, &root)?;
    until_stopped(watch(step, args.seed, &root), "no longer watching")
}

type Judging<'a> = LocalBoxFuture<'a, anyhow::Result<Judgement>>;

async fn watch(step: Step, seed: u64, root: &Path) -> anyhow::Result<Exit> {
    verify::workplace(root)?;
    let mut saves = Saves::of(root);
    let (saved, mut changed) = unbounded_channel();
    tokio::spawn(async move { while saved.send(saves.next().await).is_ok() {} });
    let (pressed, mut presses) = unbounded_channel();
    let keys = Keys::listen(pressed).map_err(|why| errln!("{why}")).ok();

    let mut watch = Watch {
        root,
        seed,
        step,
        keys: keys.is_some(),
        hint: 0,
        verdict: Verdict::No,
        judging: None,
    };
    let mut judgement = watch.judge(Depth::Quick);
    loop {
        let next = tokio::select! {
            judged = &mut judgement => {
                judgement = pending().boxed_local();
                watch.tell(judged);
                Next::Wait
            }
            Some(steps) = changed.recv() => watch.saved(&steps),
            Some(key) = presses.recv() => watch.pressed(key),
        };
        match next {
            Next::Wait => {}
            Next::Judge(depth) => {
                // Cancelled before the new one starts: otherwise both would build and print.
                drop(judgement);
                judgement = watch.judge(depth);
            }
            Next::Quit => return Ok(Exit::Done),
        }
    }
}

/// What is known about the codec in its current form.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Not checked, or not passed.
    No,
    /// The quick checks passed; the live run decides.
    Passed,
    Solved,
}

/// What follows from a save or a key.
enum Next {
    Wait,
    Judge(Depth),
    Quit,
}

struct Watch<'a> {
    root: &'a Path,
    seed: u64,
    step: Step,
    /// Whether there are keys to press.
    keys: bool,
    /// The level of the last hint that was shown.
    hint: usize,
    /// The last verdict on the codec as it is.
    verdict: Verdict,
    /// What is under way.
    judging: Option<Depth>,
}

impl<'a> Watch<'a> {
    /// Starts a judgement. Dropping it cancels it.
    fn judge(&mut self, depth: Depth) -> Judging<'a> {
        self.judging = Some(depth);
        outln!("\n{}", verify::heading(self.step));
        errln!("building and checking it\n");
        let show = verify::show_check;
        verify::judge(self.step, depth, self.seed, self.root, show).boxed_local()
    }

    /// Prints the result of a judgement.
    fn tell(&mut self, judged: anyhow::Result<Judgement>) {
        self.judging = None;
        match judged {
            Ok(Judgement { report, no_live_run }) => {
                self.verdict = match &report {
                    Report { solved: true, .. } => Verdict::Solved,
                    Report { passed: true, .. } => Verdict::Passed,
                    _ => Verdict::No,
                };
                let left_out = match (&no_live_run, self.keys) {
                    (Some(_), _) => "could not run, see the error below".to_owned(),
                    (None, true) => "not run yet; press l to run it".to_owned(),
                    (None, false) => {
                        format!("not run; `cargo workshop verify {}` runs it", self.step.number())
                    }
                };
                report.print(self.step, &left_out);
                if let Some(error) = no_live_run {
                    errln!("error: {error:#}");
                }
            }
            // The next save may find a machine that is less busy.
            Err(error) => errln!("error: {error:#}"),
        }
        self.bar();
    }

    fn pressed(&mut self, key: Key) -> Next {
        match key {
            Key::Check => self.check(),
            Key::Live => self.live(),
            Key::Hint => self.hint(),
            Key::Next => self.next(),
            Key::Quit => Next::Quit,
        }
    }

    /// These codecs were saved; never none.
    fn saved(&mut self, steps: &[Step]) -> Next {
        if self.judging.is_some() {
            outln!("\nSaved meanwhile: this check is cancelled.");
        }
        // Several may change at once, for example after `git switch`; then the current exercise has priority.
        match steps.first() {
            Some(first) if !steps.contains(&self.step) => self.turn_to(*first),
            _ => self.verdict = Verdict::No,
        }
        Next::Judge(Depth::Quick)
    }

    fn check(&self) -> Next {
        match self.judging {
            // It is being checked.
            Some(_) => Next::Wait,
            None => Next::Judge(Depth::Quick),
        }
    }

    fn live(&mut self) -> Next {
        if !verify::has_live_run(self.step) {
            self.say(&format!(
                "Exercise {} has no live run: its solution still blocks.",
                self.step.number()
            ));
            return Next::Wait;
        }
        match self.judging {
            Some(Depth::Live) => Next::Wait,
            _ => Next::Judge(Depth::Live),
        }
    }

    fn hint(&mut self) -> Next {
        let text = Hints::of(self.step, self.root).and_then(|hints| {
            self.hint = (self.hint + 1).min(hints.count());
            hints.level(self.hint, "press h")
        });
        self.say(&text.unwrap_or_else(|error| error.to_string()));
        Next::Wait
    }

    fn next(&mut self) -> Next {
        let number = self.step.number();
        let Some(next) = course::after(self.step) else {
            self.say(&format!("Exercise {number} is the last one."));
            return Next::Wait;
        };
        match self.verdict {
            Verdict::Solved => {}
            Verdict::Passed => outln!(
                "\nExercise {number} has passed its quick checks, but not its live run. To return to it, save\nits codec.rs."
            ),
            Verdict::No => {
                outln!("\nExercise {number} is not solved yet. To return to it, save its codec.rs.")
            }
        }
        outln!(
            "\nExercise {} starts with {}",
            next.number(),
            course::folder(next).join("README.md").display()
        );
        self.turn_to(next);
        Next::Judge(Depth::Quick)
    }

    fn turn_to(&mut self, step: Step) {
        self.step = step;
        self.hint = 0;
        self.verdict = Verdict::No;
    }

    /// Answers a key press without disturbing a running judgement.
    fn say(&self, text: &str) {
        outln!("\n{text}");
        match self.judging {
            None => self.bar(),
            // The progress bar of a live run overwrites the line with the cursor.
            Some(_) => outln!(),
        }
    }

    /// The line at the bottom, while nothing is judged.
    fn bar(&self) {
        let keys = match self.keys {
            true if verify::has_live_run(self.step) => {
                "[c] check now  [l] live run  [h] hint  [n] next  [q] quit"
            }
            true => "[c] check now  [h] hint  [n] next  [q] quit",
            false => "",
        };
        let bar = format!("watching exercise {}  {keys}", self.step.number());
        outln!("\n{}", style(bar.trim_end()).dim());
    }
}
