//! What is wrong with a script, or with what came of it, and where.

use std::fmt;

/// A place in a script, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

/// A script that cannot be read, or a statement of it that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The script.
    pub file: String,
    /// Where in it.
    pub at: At,
    /// What was wrong, and what would be right.
    pub text: String,
    /// The last packets before it, oldest first, one a line.
    pub around: Vec<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, at, text, around } = self;
        write!(f, "{file}:{}:{}: {text}", at.line, at.column)?;
        for line in around {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// A fault before it is known which file it is in.
pub(super) type Wrong = (At, String);

/// A fault at a place.
pub(super) fn wrong<T>(at: At, text: impl Into<String>) -> Result<T, Wrong> {
    Err((at, text.into()))
}
