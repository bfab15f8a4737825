//! The numbers of a load, of a key service and of a runtime.
//!
//! Each is defined once, here: it is a flag of every program that takes it and a field of what `compare`
//! reports, and [`to_flags`] passes it to another process.

use std::{marker::PhantomData, num::NonZeroUsize, time::Duration};

use clap::{ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueEnum, builder::Resettable};
use codec_kit::Stalls;
use serde::Serialize;

use crate::workflows::{ACTIVITIES, ACTIVITY_SECONDS};

/// The default maximum of the blocking pool's threads, which is Tokio's own.
const BLOCKING_THREADS: NonZeroUsize = NonZeroUsize::new(512).expect("512 is not 0");
/// More than the cores of any machine in a workshop.
const MOST_THREADS: usize = 256;
/// A pool of this size takes some gigabytes if all its threads wait.
const MOST_BLOCKING_THREADS: usize = 4096;
/// A day, in seconds: longer than any run here, and short enough for the server to accept as a timeout.
const LONGEST: f64 = 86_400.0;

/// The workflows that are started. The defaults are the original's.
#[derive(Clone, Debug, PartialEq, Args, Serialize)]
pub struct LoadArgs {
    /// Workflows, all started at once
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub workflows: u32,
    /// Activities in each workflow, one after another
    #[arg(long, default_value_t = ACTIVITIES)]
    pub activities: u32,
    /// How long an activity works, in seconds
    #[arg(long, default_value_t = ACTIVITY_SECONDS, value_parser = seconds)]
    pub activity_seconds: f64,
    /// How long a worker may take for a workflow task, in seconds
    #[arg(long = "workflow-task-timeout", default_value_t = 10.0, value_parser = some_seconds)]
    pub workflow_task_timeout_seconds: f64,
}

/// The runtime of a worker.
#[derive(Clone, Debug, PartialEq, Args, Serialize)]
pub struct RuntimeArgs {
    /// Threads of the worker's runtime; 0: Tokio's current_thread, which runs all tasks on one
    #[arg(long, default_value_t = 0, value_parser = whole::<0, MOST_THREADS>)]
    pub threads: usize,
    /// The most threads that Tokio's blocking pool may have
    #[arg(long, default_value_t = BLOCKING_THREADS, value_parser = blocking_threads)]
    pub blocking_threads: NonZeroUsize,
}

/// Which key service a worker asks, unless its data keys are wrapped by one that the environment names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyServiceKind {
    /// One that speaks the protocol of AWS KMS, over a socket of this machine: started for the worker
    #[default]
    Kms,
    /// None: the codec's client waits as long as a call would take
    Simulated,
}

/// Which key service, and how it behaves. The defaults are the original's.
#[derive(Clone, Debug, PartialEq, Args, Serialize)]
pub struct KeyServiceArgs {
    /// Key service to ask for the data keys
    #[arg(long, value_name = "KIND", default_value = "kms")]
    pub key_service: KeyServiceKind,
    /// Share of the calls for the key to encode with that stall, 0 to 1
    #[arg(long, default_value_t = 0.1, value_parser = share)]
    pub stall_probability: f64,
    /// Share of the calls for a key to decode with that stall, 0 to 1 (the original: 0)
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub decode_stall_probability: f64,
    /// How long a stalled call takes, in seconds
    #[arg(long, default_value_t = 0.4, value_parser = seconds)]
    pub stall_seconds: f64,
    /// Share of the calls to the key service that fail, 0 to 1
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub failure_rate: f64,
    /// How long a key may be used after the service returned it, in seconds
    #[arg(long, default_value_t = 60.0, value_parser = some_seconds)]
    pub key_lifetime_seconds: f64,
    /// The same seed deals the same stalls
    #[arg(long, default_value_t = 1, action = ArgAction::Set)]
    pub seed: u64,
}

impl KeyServiceArgs {
    /// The stalls and failures of the key service.
    pub fn stalls(&self) -> Stalls {
        Stalls {
            probability: self.stall_probability,
            decode_probability: self.decode_stall_probability,
            duration: Duration::from_secs_f64(self.stall_seconds),
            failure_rate: self.failure_rate,
            seed: self.seed,
        }
    }

    /// How long a key may be used.
    pub fn key_lifetime(&self) -> Duration {
        Duration::from_secs_f64(self.key_lifetime_seconds)
    }
}

/// A number of seconds on the command line: 0 to a day.
///
/// # Errors
/// Why the text is not such a number.
pub fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if seconds < 0.0 {
        return Err("a duration can't be negative".to_owned());
    }
    // NaN is in no range.
    (0.0..=LONGEST)
        .contains(&seconds)
        .then_some(seconds)
        .ok_or_else(|| format!("not between 0 and {LONGEST} seconds, which is a day"))
}

/// A number of seconds on the command line, above 0.
///
/// # Errors
/// Why the text is not such a number.
pub fn some_seconds(text: &str) -> Result<f64, String> {
    match seconds(text)? {
        // Less than a nanosecond would be rounded to 0.
        seconds if Duration::from_secs_f64(seconds).is_zero() => {
            Err("must be above 0 seconds".to_owned())
        }
        seconds => Ok(seconds),
    }
}

/// A whole number on the command line, within a range.
///
/// # Errors
/// Names the range.
pub(crate) fn whole<const FROM: usize, const TO: usize>(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (FROM..=TO).contains(number));
    number.ok_or_else(|| format!("not a whole number from {FROM} to {TO}"))
}

fn blocking_threads(text: &str) -> Result<NonZeroUsize, String> {
    let threads = whole::<1, MOST_BLOCKING_THREADS>(text)?;
    NonZeroUsize::new(threads).ok_or_else(|| "0 threads".to_owned())
}

/// A share, 0 to 1, on the command line.
fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    (0.0..=1.0).contains(&share).then_some(share).ok_or_else(|| "not between 0 and 1".to_owned())
}

/// The defaults: the original's, and Tokio's.
pub fn defaults<T: Args>() -> T {
    let matches = T::augment_args(Command::new("flags")).get_matches_from(["flags"]);
    T::from_arg_matches(&matches).expect("every number has a default")
}

/// The flags that give these numbers, each as `--name=value`.
pub fn to_flags<T: Args + Serialize>(numbers: &T) -> Vec<String> {
    let values = serde_json::to_value(numbers).expect("numbers have a form in JSON");
    let command = T::augment_args(Command::new("flags"));
    let flag = |argument: &clap::Arg| {
        let value = values.get(argument.get_id().as_str())?;
        // As people write it: 1, not 1.0.
        let value = match (value.as_f64(), value.as_str()) {
            (Some(number), _) if value.is_f64() => number.to_string(),
            (_, Some(name)) => name.to_owned(),
            _ => value.to_string(),
        };
        Some(format!("--{}={value}", argument.get_long()?))
    };
    command.get_arguments().filter_map(flag).collect()
}

/// The flags of `T` for programs whose defaults come from elsewhere: a given flag overrides a default.
#[derive(Clone, Debug)]
pub struct Given<T> {
    matches: ArgMatches,
    numbers: PhantomData<T>,
}

impl<T: Args> Given<T> {
    /// These numbers, overridden by those that were given.
    ///
    /// # Errors
    /// None that clap has not already reported when it read the flags.
    pub fn over(&self, mut numbers: T) -> Result<T, clap::Error> {
        numbers.update_from_arg_matches(&self.matches)?;
        Ok(numbers)
    }
}

impl<T: Args> Args for Given<T> {
    fn augment_args(command: Command) -> Command {
        let flags = T::augment_args(Command::new("flags"));
        // A default would count as a given flag.
        let without_default = |command: Command, argument: &clap::Arg| {
            command.mut_arg(argument.get_id(), |known| {
                known.default_value(Resettable::Reset).required(false)
            })
        };
        flags.get_arguments().fold(T::augment_args(command), without_default)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<T> FromArgMatches for Given<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { matches: matches.clone(), numbers: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.matches = matches.clone();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Parser, Serialize)]
    struct All {
        #[command(flatten)]
        #[serde(flatten)]
        load: LoadArgs,
        #[command(flatten)]
        #[serde(flatten)]
        runtime: RuntimeArgs,
        #[command(flatten)]
        #[serde(flatten)]
        keys: KeyServiceArgs,
    }

    #[derive(Parser)]
    struct Over {
        #[command(flatten)]
        numbers: Given<All>,
    }

    fn parse<T: Parser>(flags: &[impl AsRef<str>]) -> T {
        T::try_parse_from(["program"].into_iter().chain(flags.iter().map(AsRef::as_ref))).unwrap()
    }

    /// None of them the default.
    fn others() -> All {
        All {
            load: LoadArgs {
                workflows: 7,
                activities: 0,
                activity_seconds: 0.25,
                workflow_task_timeout_seconds: 2.0,
            },
            runtime: RuntimeArgs { threads: 3, blocking_threads: NonZeroUsize::MIN },
            keys: KeyServiceArgs {
                key_service: KeyServiceKind::Simulated,
                stall_probability: 1.0,
                decode_stall_probability: 0.3,
                stall_seconds: 1e-3,
                failure_rate: 0.1,
                key_lifetime_seconds: 0.5,
                seed: u64::MAX,
            },
        }
    }

    #[test]
    fn flags_give_the_numbers_that_they_are_made_from() {
        let default: All = defaults();
        let others = others();
        for numbers in [&default, &others] {
            assert_eq!(parse::<All>(&to_flags(numbers)), *numbers);
        }
        let flags = to_flags(&others);
        // One for each, with different values.
        assert_eq!(flags.len(), 13, "{flags:?}");
        assert!(flags.iter().all(|flag| !to_flags(&default).contains(flag)), "{flags:?}");
        assert!(flags.contains(&"--workflow-task-timeout=2".to_owned()), "{flags:?}");
    }

    #[test]
    fn what_is_given_goes_over_numbers_from_elsewhere() {
        let Over { numbers } = parse(&[] as &[&str]);
        assert_eq!(numbers.over(others()).unwrap(), others());
        let default: All = defaults();
        let Over { numbers } = parse(&to_flags(&default));
        assert_eq!(numbers.over(others()).unwrap(), default);
        let Over { numbers } = parse(&["--stall-seconds", "2"]);
        let mut expected = others();
        expected.keys.stall_seconds = 2.0;
        assert_eq!(numbers.over(others()).unwrap(), expected);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for flags in [
            ["--stall-seconds", "-1"],
            ["--stall-seconds", "NaN"],
            ["--stall-seconds", "86401"],
            ["--activity-seconds", "-0.5"],
            ["--activity-seconds", "inf"],
            ["--workflow-task-timeout", "0"],
            ["--key-lifetime-seconds", "0"],
            ["--key-lifetime-seconds", "1e-12"],
            ["--stall-probability", "1.1"],
            ["--failure-rate", "x"],
            ["--threads", "9999"],
            ["--threads", "-1"],
            ["--blocking-threads", "0"],
            ["--blocking-threads", "100000"],
            ["--workflows", "0"],
        ] {
            // As `--flag=-1`: without the `=`, clap would take the number for a flag.
            let error = All::try_parse_from(["program".to_owned(), flags.join("=")]).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{flags:?}");
            let message = error.to_string();
            assert!(message.contains(flags[0]) && message.contains(flags[1]), "{message}");
        }
    }
}
