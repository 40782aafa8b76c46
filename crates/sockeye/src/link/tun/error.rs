//! Why a device cannot be had, and what to do about it.

use sockeye_sys::tun::{self, Attach};
use std::fmt;
use std::io;

/// Why a TUN or TAP device could not be opened. Its text is one line that says what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum TunError {
    /// No device can have this name.
    Name(String),
    /// The machine has no /dev/net/tun.
    NoDriver(io::Error),
    /// It has, but not for us.
    NoAccess,
    /// There is no such device, and no right to make one.
    MayNotMake(String),
    /// There is one, for another user.
    MayNotUse(String),
    /// Another program has it.
    InUse(String),
    /// There is one of another kind.
    OtherKind {
        /// Its name.
        name: String,
        /// What it is.
        is: Kind,
        /// It was to be a TAP.
        tap: bool,
    },
    /// Something else.
    Other(String, io::Error),
}

/// What a device turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A TUN or TAP as wanted, but made with (`true`) or without several queues.
    Queues(bool),
    /// A TAP instead of a TUN.
    Tap,
    /// A TUN instead of a TAP.
    Tun,
    /// Neither.
    NoTun,
}

impl TunError {
    /// What it means that a device could not be attached to.
    pub(super) fn of(name: &str, how: Attach, error: io::Error) -> Self {
        let owned = || name.to_owned();
        let there = || tun::exists(name).unwrap_or(false);
        match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::NOENT | rustix::io::Errno::NXIO) => Self::NoDriver(error),
            Some(rustix::io::Errno::ACCESS) => Self::NoAccess,
            Some(rustix::io::Errno::PERM) if there() => Self::MayNotUse(owned()),
            Some(rustix::io::Errno::PERM) => Self::MayNotMake(owned()),
            Some(rustix::io::Errno::BUSY) => Self::InUse(owned()),
            Some(rustix::io::Errno::INVAL) if there() => Self::OtherKind {
                name: owned(),
                is: kind(name, how),
                tap: how.tap,
            },
            _ => Self::Other(owned(), error),
        }
    }
}

/// Finds out what a device is that refuses `how`, by trying the others.
fn kind(name: &str, how: Attach) -> Kind {
    let fits = |tap: bool, multi_queue: bool| {
        let how = Attach {
            tap,
            multi_queue,
            vnet_header: false,
        };
        // Whose right is missing, or who has it already, comes after the kernel has looked at the kind.
        let refusal = tun::Tun::attach(name, how).err().and_then(|error| error.raw_os_error());
        refusal != Some(rustix::io::Errno::INVAL.raw_os_error())
    };
    if fits(how.tap, !how.multi_queue) {
        Kind::Queues(!how.multi_queue)
    } else if fits(!how.tap, false) || fits(!how.tap, true) {
        if how.tap { Kind::Tun } else { Kind::Tap }
    } else {
        Kind::NoTun
    }
}

impl fmt::Display for TunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(
                f,
                "`{name}` is no name for a device: 1 to 15 characters without spaces and slashes are, such as tun0"
            ),
            Self::NoDriver(error) => write!(
                f,
                "/dev/net/tun does not open ({error}); `modprobe tun` brings it, and in a container `--device /dev/net/tun`"
            ),
            Self::NoAccess => f.write_str(
                "/dev/net/tun is closed to this user; most systems have it open, as devices have owners: sudo chmod 666 /dev/net/tun",
            ),
            Self::MayNotMake(name) => write!(
                f,
                "there is no device {name}, and making one takes root: sudo ip tuntap add dev {name} mode tun user $USER"
            ),
            Self::MayNotUse(name) => write!(
                f,
                "{name} belongs to another user; make one of your own: sudo ip tuntap add dev NAME mode tun user $USER"
            ),
            Self::InUse(name) => write!(
                f,
                "{name} is in use by another program; end that one, or name another device"
            ),
            Self::OtherKind { name, is, tap } => {
                let (what, mode) = (if *tap { "TAP" } else { "TUN" }, if *tap { "tap" } else { "tun" });
                match is {
                    Kind::Queues(true) => write!(
                        f,
                        "{name} was made with several queues (multi_queue): ask for them, --queues 1 will do, or make it without"
                    ),
                    Kind::Queues(false) => write!(
                        f,
                        "{name} was made for one queue: leave --queues away, or make it with `multi_queue`"
                    ),
                    Kind::Tap | Kind::Tun => {
                        let other = if *tap { "TUN (IP packets)" } else { "TAP (Ethernet)" };
                        write!(
                            f,
                            "{name} is a {other}, and a {what} is needed: sudo ip tuntap add dev NAME mode {mode} user $USER"
                        )
                    }
                    Kind::NoTun => write!(
                        f,
                        "{name} is no {what} device but another kind; name one that is, or one that is not there yet"
                    ),
                }
            }
            Self::Other(name, error) => write!(f, "{name} cannot be opened as a TUN device: {error}"),
        }
    }
}

impl std::error::Error for TunError {}

impl From<TunError> for io::Error {
    fn from(error: TunError) -> Self {
        let kind = match &error {
            TunError::Name(_) | TunError::OtherKind { .. } => io::ErrorKind::InvalidInput,
            TunError::NoDriver(error) | TunError::Other(_, error) => error.kind(),
            TunError::NoAccess | TunError::MayNotMake(_) | TunError::MayNotUse(_) => io::ErrorKind::PermissionDenied,
            TunError::InUse(_) => io::ErrorKind::ResourceBusy,
        };
        Self::new(kind, error)
    }
}
