//! The kernel's sockets over loopback: two threads of this process on one core, the CPU time of both.

use crate::cpu;
use rustix::net::sockopt::set_tcp_congestion;
use rustix::net::{AddressFamily, SocketType, connect, socket};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread::JoinHandle;

/// Congestion control that does not pace: what a machine may have as its default would measure its pauses. Before a connection stands: one
/// that BBR began goes on to be paced.
pub(crate) fn plain(socket: impl AsFd) {
    let _ = set_tcp_congestion(&socket, "cubic").or_else(|_| set_tcp_congestion(&socket, "reno"));
}

fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    plain(&listener);
    let at = listener.local_addr().expect("it is bound");
    let ours = socket(AddressFamily::INET, SocketType::STREAM, None).expect("there is TCP");
    plain(&ours);
    connect(&ours, &at).expect("loopback connects");
    let ours = TcpStream::from(ours);
    let (theirs, _) = listener.accept().expect("it has connected");
    for stream in [&ours, &theirs] {
        stream.set_nodelay(true).expect("TCP_NODELAY is known");
    }
    (ours, theirs)
}

/// One connection that carries all it can, one way.
pub(crate) struct Bulk {
    stream: Option<TcpStream>,
    source: Vec<u8>,
    reader: Option<JoinHandle<()>>,
}

impl Bulk {
    pub(crate) fn new() -> Self {
        let (ours, mut theirs) = connected();
        let reader = std::thread::spawn(move || {
            let mut sink = vec![0; 128 << 10];
            while theirs.read(&mut sink).is_ok_and(|n| n > 0) {}
        });
        Self {
            stream: Some(ours),
            source: vec![1; 128 << 10],
            reader: Some(reader),
        }
    }

    /// A few writes; how many bytes they were.
    pub(crate) fn work(&mut self) -> u64 {
        let mut done = 0;
        if let Some(stream) = &mut self.stream {
            for _ in 0..64 {
                stream.write_all(&self.source).expect("the reader reads");
                done += self.source.len() as u64;
            }
        }
        done
    }

    /// Bytes a CPU second of both ends.
    pub(crate) fn rate(&mut self, seconds: f64) -> f64 {
        cpu::rate(cpu::process, seconds, || self.work())
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        drop(self.stream.take());
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// A connection that asks and answers, a byte each way.
pub(crate) struct Asking {
    stream: TcpStream,
}

impl Asking {
    pub(crate) fn new() -> Self {
        let (stream, mut theirs) = connected();
        let _ends_with_the_connection = std::thread::spawn(move || {
            let mut byte = [0];
            while theirs.read(&mut byte).is_ok_and(|n| n > 0) && theirs.write_all(&byte).is_ok() {}
        });
        Self { stream }
    }

    /// Transactions a CPU second of both ends.
    pub(crate) fn rate(&mut self, seconds: f64) -> f64 {
        let mut byte = [1];
        cpu::rate(cpu::process, seconds, || {
            for _ in 0..64 {
                self.stream.write_all(&byte).expect("the other end listens");
                self.stream.read_exact(&mut byte).expect("the other end answers");
            }
            64
        })
    }
}

/// One connection after the other: opened, a byte each way, closed, the server first.
pub(crate) struct Calling {
    at: SocketAddr,
}

impl Calling {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let at = listener.local_addr().expect("it is bound");
        let _ends_with_the_process = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut byte = [0];
                if stream.read_exact(&mut byte).is_ok() {
                    let _ = stream.write_all(&byte);
                }
            }
        });
        Self { at }
    }

    /// Calls a CPU second of both ends.
    pub(crate) fn rate(&mut self, seconds: f64) -> f64 {
        let mut byte = [1];
        cpu::rate(cpu::process, seconds, || {
            for _ in 0..16 {
                let mut stream = TcpStream::connect(self.at).expect("loopback connects");
                stream.write_all(&byte).expect("the other end listens");
                stream.read_exact(&mut byte).expect("the other end answers");
            }
            16
        })
    }
}
