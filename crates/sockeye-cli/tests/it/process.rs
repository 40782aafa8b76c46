//! Programs that a test starts: each in a process group of its own, under a deadline, its output kept, and gone when the test ends.

use rustix::process::{Pid, Signal, kill_process_group};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Hardly any program of these tests needs as long as this; one that does hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// `sockeye` with these arguments.
pub(crate) fn sockeye(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockeye"));
    command.args(arguments);
    command
}

/// `sockeye run --json FLAGS -- PROGRAM`.
pub(crate) fn sockeye_run(flags: &[&str], program: &[&str]) -> Command {
    let mut command = sockeye(&["run", "--json"]);
    command.args(flags).arg("--").args(program);
    command
}

/// A command of the shell, which may start several programs.
pub(crate) fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Starts `command` and waits for its end.
pub(crate) fn finish(command: &mut Command) -> Finished {
    Running::start(command).finish()
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// As a shell has it: 128+N for signal N.
    pub(crate) status: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    /// The command, for messages.
    pub(crate) command: String,
    pub(crate) took: Duration,
}

impl Finished {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Fails unless the program was content.
    #[track_caller]
    pub(crate) fn success(self) -> Self {
        self.status_is(0)
    }

    #[track_caller]
    pub(crate) fn status_is(self, want: i32) -> Self {
        assert_eq!(self.status, want, "the status is wrong; {self}");
        self
    }

    /// Fails unless standard output contains `part`.
    #[track_caller]
    pub(crate) fn says(self, part: &str) -> Self {
        assert!(self.text().contains(part), "`{part}` is missing; {self}");
        self
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.text();
        let shown: String = text.chars().take(4_000).collect();
        write!(
            f,
            "{} ended with {} after {:?}\n--- stdout\n{shown}\n--- stderr\n{}\n---",
            self.command, self.status, self.took, self.stderr
        )
    }
}

enum Event {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    Closed,
    Exit(ExitStatus),
}

/// A program that runs. Dropped, it is killed with all that it started.
pub(crate) struct Running {
    pid: Pid,
    events: Receiver<Event>,
    started: Instant,
    command: String,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// Streams still open.
    open: u8,
    exit: Option<ExitStatus>,
    limit: Duration,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let shown: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        let shown = shown.join(" ");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start `{shown}`: {error}"));
        let (sender, events) = channel();
        read(child.stdout.take().expect("piped"), sender.clone(), Event::Stdout);
        read(child.stderr.take().expect("piped"), sender.clone(), Event::Stderr);
        let pid = Pid::from_child(&child);
        thread::spawn(move || {
            if let Ok(status) = child.wait() {
                // Nobody listens when the test is over.
                let _ = sender.send(Event::Exit(status));
            }
        });
        Self {
            pid,
            events,
            started: Instant::now(),
            command: shown,
            stdout: Vec::new(),
            stderr: Vec::new(),
            open: 2,
            exit: None,
            limit: LIMIT,
        }
    }

    /// With another time to end in.
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Waits until a line of output, of either stream, is what `pick` looks for.
    #[track_caller]
    pub(crate) fn wait_for<T>(&mut self, what: &str, pick: impl Fn(&str) -> Option<T>) -> T {
        loop {
            if let Some(found) = lines(&self.stdout).chain(lines(&self.stderr)).find_map(&pick) {
                return found;
            }
            let over = self.open == 0 && self.exit.is_some();
            assert!(!over && self.step(), "waited in vain for {what}; {}", self.so_far());
        }
    }

    /// Waits for a line that contains `part`.
    #[track_caller]
    pub(crate) fn wait_for_line(&mut self, part: &str) -> String {
        self.wait_for(part, |line| line.contains(part).then(|| line.to_owned()))
    }

    /// Asks the program, and all that it started, to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if self.exit.is_none() {
            // It may have ended meanwhile.
            let _ = kill_process_group(self.pid, signal);
        }
    }

    /// Only the program itself gets the signal.
    pub(crate) fn signal_one(&self, signal: Signal) {
        if self.exit.is_none() {
            let _ = rustix::process::kill_process(self.pid, signal);
        }
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Finished {
        while self.open > 0 || self.exit.is_none() {
            assert!(self.step(), "no end within {:?}; {}", self.limit, self.so_far());
        }
        self.so_far()
    }

    /// Takes one event in; false when the time is up.
    fn step(&mut self) -> bool {
        let left = self.limit.saturating_sub(self.started.elapsed());
        match self.events.recv_timeout(left) {
            Ok(Event::Stdout(bytes)) => self.stdout.extend(bytes),
            Ok(Event::Stderr(bytes)) => self.stderr.extend(bytes),
            Ok(Event::Closed) => self.open -= 1,
            Ok(Event::Exit(status)) => self.exit = Some(status),
            Err(_) => return false,
        }
        true
    }

    fn so_far(&self) -> Finished {
        let status = |exit: ExitStatus| exit.code().unwrap_or_else(|| 128 + exit.signal().unwrap_or(0));
        Finished {
            status: self.exit.map_or(-1, status),
            stdout: self.stdout.clone(),
            stderr: String::from_utf8_lossy(&self.stderr).into_owned(),
            command: self.command.clone(),
            took: self.started.elapsed(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// The complete lines of some output.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let end = bytes.iter().rposition(|&byte| byte == b'\n').unwrap_or(0);
    bytes[..end]
        .split(|&byte| byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok())
}

fn read(mut stream: impl Read + Send + 'static, sender: Sender<Event>, event: fn(Vec<u8>) -> Event) {
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            if sender.send(event(buffer[..n].to_vec())).is_err() {
                return;
            }
        }
        let _ = sender.send(Event::Closed);
    });
}
