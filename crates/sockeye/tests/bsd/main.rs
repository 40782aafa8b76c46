//! Socket calls on descriptors, ours and the operating system's own on the same descriptors.

mod both;
mod datagrams;
#[path = "../../examples/descriptors.rs"]
mod example;
mod local;
mod streams;

use sockeye::bsd::{self, AF_INET, PollFd, SOCK_STREAM};
use sockeye::{Host, link};
use sockeye_core::error::Errno;
use sockeye_sys::descriptor;
use std::io;
use std::time::{Duration, Instant};

macro_rules! errnos {
    ($($name:ident)*) => {
        $(const $name: i32 = Errno::$name as i32;)*
    };
}
errnos!(EADDRINUSE EAGAIN EALREADY EBADF ECONNREFUSED ECONNRESET EINPROGRESS EINVAL EISCONN ENOTCONN EPIPE EDESTADDRREQ EMSGSIZE ENOENT);

/// The longest that anything here may take.
const LONG: i32 = 20_000;

/// A host on a thread of its own, with a name or two.
fn host() -> Host {
    let host = Host::builder()
        .name("here.example", [127, 0, 0, 1])
        .name("www.example", [192, 0, 2, 80]);
    host.build_on_thread().unwrap()
}

/// Two hosts, 10.0.0.1 and 10.0.0.2, and a link in memory.
fn two_hosts() -> (Host, Host) {
    let (left, right) = link::pair();
    let one = |link, address: &str| Host::builder().address(address).link(link).build_on_thread().unwrap();
    (one(left, "10.0.0.1/24"), one(right, "10.0.0.2/24"))
}

fn stream() -> i32 {
    bsd::socket(AF_INET, SOCK_STREAM, 0).unwrap()
}

/// One that listens, and its port.
fn listener() -> (i32, u16) {
    let fd = stream();
    bsd::bind(fd, "127.0.0.1:0").unwrap();
    bsd::listen(fd, 256).unwrap();
    (fd, bsd::getsockname(fd).unwrap().inet().unwrap().port())
}

/// A connection's two ends.
fn pair() -> (i32, i32) {
    let (listening, port) = listener();
    let client = stream();
    bsd::connect(client, ("127.0.0.1", port)).unwrap();
    let (server, _) = bsd::accept(listening).unwrap();
    bsd::close(listening).unwrap();
    (client, server)
}

/// What is true of a descriptor, as the operating system's `poll` tells it; waits until something asked for is.
fn poll(fd: i32, events: i16) -> i16 {
    let mut fds = [PollFd { fd, events, revents: 0 }];
    bsd::poll(&mut fds, LONG).unwrap();
    fds[0].revents
}

fn poll_now(fd: i32, events: i16) -> i16 {
    let mut fds = [PollFd { fd, events, revents: 0 }];
    bsd::poll(&mut fds, 0).unwrap();
    fds[0].revents
}

/// The operating system's own read and write.
fn native_read(fd: i32, buf: &mut [u8]) -> io::Result<usize> {
    Ok(descriptor::with(fd, |fd| rustix::io::read(fd, buf))??)
}

fn native_write(fd: i32, data: &[u8]) -> io::Result<usize> {
    Ok(descriptor::with(fd, |fd| rustix::io::write(fd, data))??)
}

fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap_or(0)
}

/// Tries until it is so.
fn soon(mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it never is");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_example_runs() {
    example::main().unwrap();
}
