//! The world outside: servers of the machine's own network that programs reach through the gateway.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// A web server on the machine's own loopback. `GET /N` gives N bytes of [`pattern`]; `PUT` or `POST` says how many bytes came and their sum.
pub(crate) struct Web {
    pub(crate) address: SocketAddr,
}

impl Web {
    pub(crate) fn start(on: &str) -> Self {
        let listener = TcpListener::bind((on, 0)).expect("a port on the loopback");
        let address = listener.local_addr().expect("bound");
        // It ends with the tests.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || converse(stream));
            }
        });
        Self { address }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }
}

/// Answers requests until the client leaves; errors are the client's to notice.
fn converse(stream: TcpStream) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).ok()? == 0 {
            return None;
        }
        let mut length = 0_u64;
        loop {
            let mut field = String::new();
            reader.read_line(&mut field).ok()?;
            let field = field.trim().to_ascii_lowercase();
            if field.is_empty() {
                break;
            }
            if field == "expect: 100-continue" {
                writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
            }
            if let Some(value) = field.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut sum = Sum::default();
        let mut left = length;
        let mut piece = vec![0; 64 << 10];
        while left > 0 {
            let n = reader.read(&mut piece[..left.min(64 << 10) as usize]).ok()?;
            if n == 0 {
                return None;
            }
            sum.add(&piece[..n]);
            left -= n as u64;
        }
        let path = first.split_whitespace().nth(1)?.trim_start_matches('/').to_owned();
        let answer = (length > 0).then(|| format!("{length} bytes, sum {}\n", sum.value()));
        let size = answer.as_ref().map_or_else(|| path.parse().unwrap_or(0), String::len);
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nContent-Type: application/octet-stream\r\n\r\n");
        writer.write_all(head.as_bytes()).ok()?;
        match answer {
            Some(text) => writer.write_all(text.as_bytes()).ok()?,
            None => pieces(size, |piece| writer.write_all(piece)).ok()?,
        }
    }
}

/// Gives [`pattern`] piece by piece.
fn pieces<E>(mut n: usize, mut give: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(64 << 10);
    while n > 0 {
        bytes.clear();
        while bytes.len() < 64 << 10 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend(state.to_le_bytes());
        }
        let piece = n.min(bytes.len());
        give(&bytes[..piece])?;
        n -= piece;
    }
    Ok(())
}

/// `n` bytes that are not the same anywhere near.
pub(crate) fn pattern(n: usize) -> Vec<u8> {
    let mut whole = Vec::with_capacity(n);
    let given: Result<(), ()> = pieces(n, |piece| {
        whole.extend_from_slice(piece);
        Ok(())
    });
    given.expect("a vector takes all");
    whole
}

/// A sum that notices a byte that is wrong, missing or in the wrong place (Fletcher's).
#[derive(Default)]
struct Sum {
    a: u64,
    b: u64,
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.a = (self.a + u64::from(byte)) % 0xffff_fffb;
            self.b = (self.b + self.a) % 0xffff_fffb;
        }
    }

    fn value(&self) -> u64 {
        self.b << 32 | self.a
    }
}

/// The sum that [`Web`] tells of what it was sent.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let mut sum = Sum::default();
    sum.add(bytes);
    sum.value()
}

/// A port of the machine's loopback that is free now, and not one that the kernel gives to others: those begin at 32768.
pub(crate) fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let nth = std::process::id()
            .wrapping_mul(37)
            .wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + (nth % 20_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A connection from outside, to a published port; nothing may take longer than a minute.
#[track_caller]
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("connect to {address}: {error}"));
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a timeout");
    stream
        .set_write_timeout(Some(Duration::from_secs(60)))
        .expect("a timeout");
    stream
}

/// The body and head of a page, asked for by hand.
#[track_caller]
pub(crate) fn get(address: SocketAddr, path: &str) -> (String, Vec<u8>) {
    let mut stream = connect(address);
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").expect("the request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the answer");
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("the end of the head");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    (head, answer.split_off(end + 4))
}

/// Sends a datagram until an answer comes: it may be lost.
#[track_caller]
pub(crate) fn ask(address: SocketAddr, question: &[u8]) -> Vec<u8> {
    let any = if address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(any).expect("a port on the loopback");
    socket
        .set_read_timeout(Some(Duration::from_secs(2)))
        .expect("a timeout");
    let mut buffer = vec![0; 65_536];
    for _ in 0..10 {
        socket.send_to(question, address).expect("sent");
        if let Ok((n, from)) = socket.recv_from(&mut buffer) {
            assert_eq!(from, address, "the answer comes from elsewhere");
            buffer.truncate(n);
            return buffer;
        }
    }
    panic!("no answer from {address}");
}
