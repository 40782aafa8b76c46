//! The examples (`examples/`), run as a user runs them: `cargo test` builds them beside this. Those that need other libraries are in the crate
//! `sockeye-examples`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than any of them takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn example(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("a test has a path");
    let built = here.parent().and_then(Path::parent).expect("target/debug/deps/test");
    let path = built.join("examples").join(name);
    assert!(path.exists(), "build it first: cargo build --example {name}");
    path
}

/// A program that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(name: &str, arguments: &[&str]) -> Running {
    let mut command = Command::new(example(name));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    Running(command.spawn().expect("it starts"))
}

/// What it prints until its end, which is a good one.
fn output(name: &str, arguments: &[&str]) -> String {
    let mut running = start(name, arguments);
    let end = Instant::now() + PATIENCE;
    let status = loop {
        match running.0.try_wait().expect("our own child") {
            Some(status) => break status,
            None => assert!(Instant::now() < end, "{name} does not end"),
        }
        std::thread::sleep(Duration::from_millis(20)); // Polls for an end, which has no event here.
    };
    let mut text = String::new();
    let mut stdout = running.0.stdout.take().expect("it was piped");
    stdout.read_to_string(&mut text).expect("text");
    assert!(status.success(), "{name}: {status}; it printed: {text}");
    text
}

#[test]
fn echo() {
    let text = output("echo", &["one", "two"]);
    assert!(text.ends_with("one -> one\ntwo -> two\n"), "{text}");
    assert!(text.starts_with("10.0.0.2:"), "{text}");
}

#[test]
fn packet_channel() {
    assert_eq!(output("packet_channel", &[]), "the server heard: hello\n");
}

#[test]
fn sans_io() {
    assert_eq!(output("sans_io", &[]), "the server heard: hello\n");
}

#[test]
fn idle() {
    let text = output("idle", &["500"]);
    assert!(text.starts_with("500 connections"), "{text}");
    let bytes = text
        .lines()
        .nth(1)
        .and_then(|line| line.split(' ').next()?.parse().ok());
    assert!(bytes.is_some_and(|bytes: u32| bytes > 0 && bytes < 4_096), "{text}");
}

/// Asks by SOCKS5 for a web page behind the proxy, by name and by address.
#[test]
fn socks5() {
    let mut running = start("socks5", &["0"]);
    let stdout = running.0.stdout.take().expect("it was piped");
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let proxy = line.trim().strip_prefix("socks5h://").expect("an address");
    let by_name = [&b"\x05\x01\x00\x03\x0dhello.example"[..], &[0, 80]].concat();
    let by_address = [5, 1, 0, 1, 10, 0, 0, 1, 0, 80];
    for request in [&by_name[..], &by_address[..]] {
        let mut stream = TcpStream::connect(proxy).expect("the proxy listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(b"\x05\x01\x00").expect("a greeting");
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer, [5, 0]);
        stream.write_all(request).expect("a request");
        let mut answer = [0; 10];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer[..2], [5, 0]);
        let get = b"GET / HTTP/1.1\r\nHost: hello.example\r\nConnection: close\r\n\r\n";
        stream.write_all(get).expect("a request");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("a page");
        assert!(page.starts_with("HTTP/1.1 200") && page.contains("</html>"), "{page}");
    }
    // Nobody listens there.
    let mut stream = TcpStream::connect(proxy).expect("the proxy listens");
    stream
        .write_all(b"\x05\x01\x00\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x63")
        .expect("a request");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer[2..4], [5, 5]);
}

/// An example is short enough to be read: lines of code, comments aside.
#[test]
fn examples_are_short() {
    for folder in ["examples", "../sockeye-examples/examples"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for file in std::fs::read_dir(folder).expect("a folder") {
            let path = file.expect("a file").path();
            let text = std::fs::read_to_string(&path).expect("text");
            let code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
            let lines = text.lines().filter(code).count();
            let most = match path.file_stem().and_then(|stem| stem.to_str()) {
                Some("packet_channel") => 20,
                Some("sans_io") => 40,
                _ => 60,
            };
            assert!(lines < most, "{}: {lines} lines", path.display());
        }
    }
}
