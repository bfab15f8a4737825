//! `workshop keys`: data keys that a key management service wraps.

use clap::{Args, Subcommand};
use cli_kit::{
    exit::{Exit, Failure},
    term::print,
};
use codec_kit::{
    AnyKeyring, KEY_FILE_VARIABLE, KEYS_VARIABLE, Keyring,
    kms::{BlockingClient, KmsError, Settings, WrapError, new_wrapped_key, wrap},
};

const EXAMPLES: &str = "Examples:
  cargo workshop keys wrap --new 2026     # a new data key
  cargo workshop keys wrap > data-keys    # wraps CODEC_KEYS, for CODEC_KEY_FILE";

/// The flags of `workshop keys`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Have the key service that AWS_* variables name wrap the data keys, or make a new one
    #[command(after_help = EXAMPLES)]
    Wrap(WrapArgs),
}

#[derive(Clone, Debug, Args)]
struct WrapArgs {
    /// Id, ARN or alias of the key in KMS that wraps the data keys
    #[arg(long, value_name = "KEY", default_value = "alias/workshop")]
    kms_key: String,
    /// Have KMS make a data key with this id, instead of wrapping those of CODEC_KEYS or
    /// CODEC_KEY_FILE
    #[arg(long, value_name = "ID")]
    new: Option<String>,
}

/// Runs the subcommand.
///
/// # Errors
/// Wrong settings or keys, and a service that refuses or does not answer.
pub fn run(args: &KeysArgs) -> anyhow::Result<Exit> {
    let Command::Wrap(args) = &args.command;
    let settings = Settings::from_env()
        .map_err(|error| Failure::usage(format!("KMS can't be asked: {error}")))?;
    let client = BlockingClient::new(&settings)?;
    let wrapped = match &args.new {
        Some(id) => new_wrapped_key(&client, &args.kms_key, id),
        None => wrap(&client, &args.kms_key, &keyring()?),
    };
    print(format!("{}\n", wrapped.map_err(explain)?));
    Ok(Exit::Done)
}

/// The data keys to wrap.
fn keyring() -> anyhow::Result<Keyring> {
    let another = "or have KMS make a new key: cargo workshop keys wrap --new 2026";
    let wrong = |seen: String| Failure::usage(format!("{seen}; {another}"));
    let keyring = AnyKeyring::from_env()
        .map_err(|error| Failure::usage(format!("the data keys can't be used: {error}")))?;
    match keyring {
        Some(keyring) if keyring.is_test_key() => Err(wrong(
            "the data key is the Temporal samples' test key, which is public, so wrapping it protects \
             nothing: give a key of your own"
                .to_owned(),
        )
        .into()),
        Some(AnyKeyring::Plain(keyring)) => Ok(keyring),
        Some(AnyKeyring::Wrapped(_)) => {
            Err(Failure::usage("these data keys are wrapped already: use them as they are").into())
        }
        None => Err(wrong(format!(
            "which data keys? Set {KEYS_VARIABLE}, or {KEY_FILE_VARIABLE} to a file of them"
        ))
        .into()),
    }
}

fn explain(error: WrapError) -> anyhow::Error {
    match error {
        WrapError::Kms { source: KmsError::NoAnswer { .. } | KmsError::TooSlow { .. }, .. } => {
            Failure::environment(format!(
                "{error}. Start one with `cargo run --package key-service`, or check \
                 AWS_ENDPOINT_URL_KMS"
            ))
            .into()
        }
        error => Failure::usage(error.to_string()).into(),
    }
}
