//! The examples (`examples/`), run as a user runs them: `cargo test` builds them beside this.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What an example prints until its end, which is a good one.
fn output(name: &str) -> String {
    let here = std::env::current_exe().expect("a test has a path");
    let built = here.parent().and_then(Path::parent).expect("target/debug/deps/test");
    let path = built.join("examples").join(name);
    assert!(path.exists(), "build it first: cargo build --example {name}");
    let mut command = Command::new(path);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let end = Instant::now() + Duration::from_secs(120);
    while child.try_wait().expect("our own child").is_none() {
        if Instant::now() > end {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(20)); // Polls for an end, which has no event here.
    }
    let output = child.wait_with_output().expect("our own child");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name}: {}; it printed: {text}", output.status);
    text
}

#[test]
fn axum() {
    assert_eq!(output("axum"), "200 OK: hello world\n200 OK: hello again\n");
}

#[test]
fn quinn() {
    let text = output("quinn");
    assert!(
        text.starts_with("5 bytes: HELLO\n130000 bytes: HELLO AGAIN, HELLO A\n"),
        "{text}"
    );
}

#[test]
fn rustls() {
    let text = output("rustls");
    assert!(
        text.starts_with("320000 bytes: hello over TLS\nSome(TLSv1_3), segments of"),
        "{text}"
    );
}
