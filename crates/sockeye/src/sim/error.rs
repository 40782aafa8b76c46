//! What can be wrong with a simulation's description.

use crate::host::BuildError;
use std::fmt;

/// Wrong input to a simulation; the text names what is wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// No host has this name.
    NoHost(String),
    /// A host has this name already.
    HostTwice(String),
    /// Not a name that a host can have.
    Name(String),
    /// More hosts than there are addresses.
    TooManyHosts,
    /// The two are linked already.
    LinkTwice(String, String),
    /// The two are not linked.
    NoLink(String, String),
    /// A host is both sides of it.
    Itself(String),
    /// Not the description of a link; the text says why.
    Netem(String),
    /// The host is down, and cannot do that before it is restarted.
    Down(String),
    /// The host is up, and cannot be restarted before it crashes.
    Up(String),
    /// The host's own description is wrong.
    Build(String, BuildError),
    /// The range of seeds is empty.
    NoSeeds,
    /// Not a seed: the value of `SOCKEYE_SEED`.
    Seed(String),
    /// Tokio has tasks of its own while a host crashes: it cannot be told whose they are.
    ForeignTasks(String, usize),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHost(name) => write!(f, "no host is called `{name}`; Net::host(\"{name}\") makes one"),
            Self::HostTwice(name) => write!(
                f,
                "a host is called `{name}` already; Net::machine(\"{name}\") finds it"
            ),
            Self::Name(name) => write!(
                f,
                "`{name}` is no name for a host; letters, digits, `-`, `_` and `.` make one, an address or `localhost` do not"
            ),
            Self::TooManyHosts => f.write_str("no address is left for another host; a simulation has 60000 at most"),
            Self::LinkTwice(a, b) => write!(
                f,
                "`{a}` and `{b}` are linked already; Net::impair(\"{a}\", \"{b}\", ..) changes the link"
            ),
            Self::NoLink(a, b) => write!(
                f,
                "`{a}` and `{b}` are not linked; Net::link(\"{a}\", \"{b}\", ..) links them"
            ),
            Self::Itself(name) => write!(f, "`{name}` on both sides: two hosts that differ are wanted"),
            Self::Netem(why) => write!(f, "no link is like that: {why}"),
            Self::Down(name) => write!(f, "`{name}` is down; restart() starts it again"),
            Self::Up(name) => write!(f, "`{name}` is up; only a host that crashed can be restarted"),
            Self::Build(name, error) => write!(f, "host `{name}`: {error}"),
            Self::NoSeeds => f.write_str("the range of seeds is empty; 1..=500 has 500 of them"),
            Self::Seed(text) => write!(
                f,
                "SOCKEYE_SEED is `{text}`; a number from 0 to 18446744073709551615 is a seed"
            ),
            Self::ForeignTasks(name, n) => write!(
                f,
                "`{name}` cannot crash: {n} tasks run that tokio::spawn started, and they might be its own; start them with sockeye::sim::spawn"
            ),
        }
    }
}

impl std::error::Error for Error {}
