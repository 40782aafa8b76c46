//! The same program natively and under a supervisor: it prints the same, line by line. What may differ is listed with each.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The supervisor of these tests: `examples/supervise.rs`, which `cargo test` builds beside them.
fn supervise() -> PathBuf {
    let here = std::env::current_exe().expect("a test has a path");
    let built = here.parent().and_then(Path::parent).expect("target/debug/deps/test");
    let path = built.join("examples/supervise");
    assert!(
        path.exists(),
        "build it first: cargo build -p sockeye-run --example supervise"
    );
    path
}

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs")
}

/// Python, or `None` where there is none: then the test says so and passes, unless `SOCKEYE_REQUIRE_ALL` is 1.
fn python() -> Option<&'static str> {
    let found = ["/usr/bin/python3", "python3"].into_iter().find(|python| {
        Command::new(python)
            .arg("-V")
            .output()
            .is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        let strict = std::env::var_os("SOCKEYE_REQUIRE_ALL").is_some_and(|value| value == "1");
        assert!(!strict, "no python3");
        eprintln!("skipped: no python3");
    }
    found
}

/// Runs to the end, at most a minute.
fn output(mut command: Command) -> Output {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.current_dir(programs()).spawn().expect("it starts");
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match child.try_wait().expect("our own child") {
            Some(_) => return child.wait_with_output().expect("our own child"),
            None if Instant::now() > end => {
                let _ = child.kill();
                let output = child.wait_with_output().expect("our own child");
                panic!(
                    "{command:?} did not end; so far: {}",
                    String::from_utf8_lossy(&output.stdout)
                );
            }
            None => std::thread::sleep(Duration::from_millis(20)), // Polls for an end, which has no event here.
        }
    }
}

fn lines(output: &Output, what: &str) -> Vec<String> {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{what}: {}\n{out}\n{err}", output.status);
    out.lines().map(str::to_owned).collect()
}

/// Compares the lines of `script`, apart from those that begin with one of `differ`.
fn check(script: &str, differ: &[&str]) {
    let Some(python) = python() else { return };
    let mut native = Command::new(python);
    native.arg(script);
    let mut supervised = Command::new(supervise());
    supervised.args([python, script]);
    let want = lines(&output(native), "natively");
    let got = lines(&output(supervised), "supervised");
    let same = |line: &&String| !differ.iter().any(|prefix| line.starts_with(prefix));
    let want: Vec<_> = want.iter().filter(same).collect();
    let got: Vec<_> = got.iter().filter(same).collect();
    assert_eq!(got, want, "{script}: supervised on the left, native on the right");
}

#[test]
fn tcp_states() {
    check("tcp_states.py", &[]);
}

#[test]
fn identity() {
    check("identity.py", &[]);
}

#[test]
fn udp() {
    // A send without an address is the kernel's, and the pair takes it.
    check("udp.py", &["no destination"]);
}

#[test]
fn options() {
    // The system's default may be any.
    check("options.py", &["congestion"]);
}

#[test]
fn fast_open() {
    check("fast_open.py", &[]);
}

#[test]
fn signals() {
    check("signals.py", &[]);
}

#[test]
fn edges() {
    check("edges.py", &[]);
}

#[test]
fn rebind() {
    check("rebind.py", &[]);
}

/// Compares what `script` prints over `netem` with the text beside it.
fn check_alone(netem: &[&str], script: &str) {
    let Some(python) = python() else { return };
    let mut supervised = Command::new(supervise());
    supervised.args(netem).args([python, &format!("{script}.py")]);
    let got = lines(&output(supervised), "supervised");
    let want = std::fs::read_to_string(programs().join(format!("{script}.txt"))).expect("the text is there");
    assert_eq!(got, want.lines().collect::<Vec<_>>(), "{script}");
}

#[test]
fn slow_link() {
    check_alone(&["delay 100ms"], "slow_link");
}

#[test]
fn refused() {
    check_alone(&[], "refused");
}

#[test]
fn statuses() {
    for (case, argv, want) in [
        ("success", &["true"][..], 0),
        ("the program's own", &["sh", "-c", "exit 7"], 7),
        ("killed", &["sh", "-c", "kill -9 $$"], 137),
        ("terminated", &["sh", "-c", "kill $$"], 143),
        ("not found", &["no-such-program-anywhere"], 127),
        ("not executable", &["/etc/passwd"], 126),
    ] {
        let mut command = Command::new(supervise());
        command.args(argv);
        assert_eq!(output(command).status.code(), Some(want), "{case}");
    }
}

/// A megabyte written just before the program ends arrives; orphans are served to their end.
#[test]
fn what_is_left_behind_arrives() {
    let Some(python) = python() else { return };
    for case in ["exit_flushes", "orphan_served"] {
        let mut command = Command::new(supervise());
        command.args([python, "left_behind.py", case]);
        let output = output(command);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!((output.status.code(), text.trim()), (Some(7), "1000000"), "{case}");
    }
}

/// When the supervisor is killed, the program's sockets end and no new ones come: it is never left on the machine's network.
#[test]
fn a_killed_supervisor_takes_the_network_with_it() {
    use std::io::BufRead;
    let Some(python) = python() else { return };
    let mut command = Command::new(supervise());
    command.args([python, "orphaned.py"]).current_dir(programs());
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = std::io::BufReader::new(child.stdout.take().expect("piped")).lines();
    assert_eq!(lines.next().expect("a line").expect("text"), "connected");
    child.kill().expect("our own child");
    let rest: Vec<String> = lines.map(|line| line.expect("text")).collect();
    assert_eq!(rest, ["read b''", "socket ENOSYS", "connect ENOSYS"]);
    let _ = child.wait();
}
