//! How the command fails: one line on standard error, and a status.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::error::Error as _;
use std::process::ExitCode;

/// Something of ours went wrong. As `env` and `docker` have it.
pub(crate) const OURS: u8 = 125;

/// Why the command ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: u8,
    pub(crate) text: String,
}

impl Failure {
    /// A failure of ours.
    pub(crate) fn ours(text: impl Into<String>) -> Self {
        Self {
            status: OURS,
            text: text.into(),
        }
    }

    /// Says it.
    pub(crate) fn report(&self) -> ExitCode {
        say(&self.text);
        ExitCode::from(self.status)
    }
}

impl From<sockeye_run::SpawnError> for Failure {
    fn from(error: sockeye_run::SpawnError) -> Self {
        Self {
            status: error.status(),
            text: error.to_string(),
        }
    }
}

/// One line on standard error. There is nobody to tell when that is closed.
pub(crate) fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "sockeye: {text}");
}

/// A command line that cannot be understood, in one line; help and version are no errors.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(OURS)
        }
        _ => Failure::ours(one_line(error)).report(),
    }
}

fn one_line(error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        Some(ContextValue::Strings(texts)) => texts.first().map(String::as_str),
        _ => None,
    };
    let argument = context(ContextKind::InvalidArg).unwrap_or_default();
    let value = context(ContextKind::InvalidValue).unwrap_or_default();
    match (error.kind(), error.source()) {
        (ErrorKind::ValueValidation, Some(why)) => format!("{}: {why}", flag(argument)),
        (ErrorKind::InvalidValue, _) if value.is_empty() => {
            format!("{}: its value is missing; --help shows examples", flag(argument))
        }
        (ErrorKind::ArgumentConflict, _) => {
            let other = context(ContextKind::PriorArg).unwrap_or(argument);
            format!("{} and {} cannot be given together", flag(argument), flag(other))
        }
        (ErrorKind::UnknownArgument, _) => match context(ContextKind::SuggestedArg) {
            Some(near) => format!("`{argument}` is not known; {near} is"),
            None => format!("`{argument}` is not known; --help lists what is, and `--` goes before the program"),
        },
        (ErrorKind::InvalidSubcommand, _) => {
            let given = context(ContextKind::InvalidSubcommand).unwrap_or_default();
            format!(
                "`{given}` is not known: run, host, doctor, services, sysctl and script are; try sockeye run -- {given}"
            )
        }
        (ErrorKind::MissingRequiredArgument, _) if argument.contains("PROGRAM") => {
            "no program given: sockeye run [FLAGS] -- PROGRAM [ARGUMENTS]...".to_owned()
        }
        (ErrorKind::MissingRequiredArgument, _) => format!("{argument} is missing; --help shows examples"),
        _ => paragraph(&error.render().to_string()),
    }
}

/// `--loss` of `--loss <SHARE>`, `--publish` of `-p, --publish <..>`.
fn flag(argument: &str) -> &str {
    let flags = || argument.split([' ', ',']).filter(|word| word.starts_with('-'));
    flags()
        .find(|word| word.starts_with("--"))
        .or_else(|| flags().next())
        .unwrap_or(argument)
}

/// What clap says before it shows usage, and its tips, as one line.
fn paragraph(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let said: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .collect();
    let mut line = said.join("; ").replace(":; ", ": ");
    if !text.contains("tip:") {
        line.push_str("; see sockeye --help");
    }
    line
}
