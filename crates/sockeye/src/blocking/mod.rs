//! Sockets shaped like `std::net`'s, name for name and meaning for meaning, for threads: over a [`Host`](crate::Host), without a runtime of
//! yours.
//!
//! Change `use std::net` to `use sockeye::blocking` and say which host is meant, by [`Host::make_default`](crate::Host::make_default) or
//! [`Host::enter`](crate::Host::enter). [`HostBuilder::build_on_thread`](crate::HostBuilder::build_on_thread) makes a host that a thread of
//! its own moves along; any other host does too, as long as the thread that calls here is not the one that moves it.
//!
//! ```
//! use sockeye::blocking::{TcpListener, TcpStream};
//! use std::io::{Read, Write};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let host = sockeye::Host::builder().build_on_thread()?;
//! host.make_default();
//! let listener = TcpListener::bind("127.0.0.1:7")?;
//! let server = std::thread::spawn(move || {
//!     let (mut stream, _) = listener.accept()?;
//!     std::io::copy(&mut stream.try_clone()?, &mut stream)
//! });
//! let mut stream = TcpStream::connect("127.0.0.1:7")?;
//! stream.write_all(b"hello")?;
//! stream.shutdown(std::net::Shutdown::Write)?;
//! let mut heard = String::new();
//! stream.read_to_string(&mut heard)?;
//! assert_eq!(heard, "hello");
//! # let _ = server.join();
//! # Ok(()) }
//! ```
//!
//! What differs from `std::net`, beside the descriptors that there are not :
//!
//! - A drop never waits, whatever `linger` says: what was written is delivered in the background.
//! - Multicast is joined and left on all links; its loop and hop limit cannot be set.

mod listener;
mod park;
mod stream;
mod udp;

pub use crate::net::ToSocketAddrs;
pub use listener::{Incoming, TcpListener};
pub use stream::TcpStream;
pub use udp::UdpSocket;

pub(crate) use park::{block_on, block_until};

use crate::net::errors;
use sockeye_core::error::Errno;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How the calls of a socket wait: shared by its clones, as O_NONBLOCK and the timeouts of a kernel's socket are.
#[derive(Debug, Default)]
struct Waiting {
    nonblocking: AtomicBool,
    /// Nanoseconds; 0 for ever.
    read: AtomicU64,
    write: AtomicU64,
}

/// Which of the timeouts.
#[derive(Clone, Copy)]
enum Way {
    Read,
    Write,
}

impl Waiting {
    fn timeout(&self, way: Way) -> Option<Duration> {
        let nanos = self.place(way).load(Ordering::Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    fn set_timeout(&self, way: Way, timeout: Option<Duration>) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            return Err(zero_timeout());
        }
        let nanos = timeout.map_or(0, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
        self.place(way).store(nanos, Ordering::Relaxed);
        Ok(())
    }

    const fn place(&self, way: Way) -> &AtomicU64 {
        match way {
            Way::Read => &self.read,
            Way::Write => &self.write,
        }
    }

    /// Runs a call to its end, or as long as this socket waits; then it is `EAGAIN`, as with the kernel's.
    fn run<R>(&self, way: Way, call: impl Future<Output = io::Result<R>>) -> io::Result<R> {
        let until = if self.nonblocking.load(Ordering::Relaxed) {
            Some(Instant::now())
        } else {
            self.timeout(way)
                .and_then(|timeout| Instant::now().checked_add(timeout))
        };
        block_until(call, until).unwrap_or_else(|| Err(errors::errno(Errno::EAGAIN)))
    }
}

fn zero_timeout() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "cannot set a 0 duration timeout; None waits for ever",
    )
}
