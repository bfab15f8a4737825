//! `workshop completions` and `workshop man`: made from the same flags that the program reads.

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use cli_kit::{
    exit::{Exit, Failure},
    term,
};

/// The program's name in completions and manual pages. A shell completes the words after a command, but
/// `cargo workshop` is two words.
const NAME: &str = "workshop";

/// The flags of `workshop completions`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "The completions are for a command `workshop`. If it is not on your PATH, define a function:

  workshop() { cargo workshop \"$@\"; }               # bash, zsh
  function workshop; cargo workshop $argv; end      # fish

Examples:
  cargo workshop completions bash > ~/.workshop.bash    # and source that
  cargo workshop completions zsh > ~/.zfunc/_workshop
  cargo workshop completions fish > ~/.config/fish/completions/workshop.fish"
)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// The flags of `workshop man`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo workshop man | man -l -                  # read it
  cargo workshop man verify | man -l -           # the page of one command
  cargo workshop man > ~/.local/share/man/man1/workshop.1")]
pub struct ManArgs {
    /// Print the page of this command instead
    command: Option<String>,
}

/// Prints what a shell reads to complete the program's commands and flags.
///
/// # Errors
/// When stdout can't be written.
pub fn completions(args: &CompletionsArgs, mut program: Command) -> anyhow::Result<Exit> {
    // Written to memory first: the library panics if stdout can't be written.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, NAME, &mut script);
    term::print(script);
    Ok(Exit::Done)
}

/// Prints a manual page.
///
/// # Errors
/// When there is no such command, or stdout can't be written.
pub fn man(args: &ManArgs, program: Command) -> anyhow::Result<Exit> {
    // `build` gives each command its full name.
    let mut program = program.bin_name(NAME);
    program.build();
    let command = match &args.command {
        None => program,
        Some(name) => program.find_subcommand(name).cloned().ok_or_else(|| {
            let names = program.get_subcommands().filter(|command| !command.is_hide_set());
            let names: Vec<_> = names.map(Command::get_name).collect();
            Failure::usage(format!(
                "there is no command {name}; choose one of {}",
                names.join(", ")
            ))
        })?,
    };
    let mut page = Vec::new();
    let version = concat!("workshop ", env!("CARGO_PKG_VERSION"));
    Man::new(command).source(version).render(&mut page)?;
    term::print(page);
    Ok(Exit::Done)
}
