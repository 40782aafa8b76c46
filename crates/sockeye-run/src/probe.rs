//! What this machine allows: each thing that a run needs is tried, on a child of ours, and told in words. Nothing is changed.

use sockeye_sys::{bpf, memory, seccomp};
use std::fs;
use std::io;
use std::process::{Child, Command, Stdio};

/// One thing that a run needs, and whether it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A short name.
    pub name: &'static str,
    /// It is there.
    pub ok: bool,
    /// What was found.
    pub text: String,
    /// What to do about it, when it is not there.
    pub advice: Option<String>,
}

impl Finding {
    fn good(name: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            name,
            ok: true,
            text,
            advice: None,
        }
    }

    fn bad(name: &'static str, text: impl Into<String>, advice: &str) -> Self {
        Self {
            name,
            ok: false,
            text: text.into(),
            advice: Some(advice.to_owned()),
        }
    }
}

/// Tries everything. `waiting` is a program that does nothing until its standard input ends.
pub fn probe(waiting: Command) -> Vec<Finding> {
    let mut findings = vec![user(), kernel(), filter(), yama()];
    findings.extend(child(waiting));
    findings
}

fn user() -> Finding {
    let uid = rustix::process::getuid();
    let who = if uid.is_root() { "root" } else { "unprivileged" };
    Finding::good("user", format!("{who} (uid {}); no privilege is needed", uid.as_raw()))
}

/// Linux 5.19 has `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`, without which a signal could lose a call.
fn kernel() -> Finding {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) < (5, 19) => {
            let advice = "run it on Linux 5.19 or newer";
            Finding::bad("kernel", format!("Linux {release} is older than 5.19"), advice)
        }
        (Some(_), Some(_)) => Finding::good("kernel", format!("Linux {release}")),
        _ => Finding::bad(
            "kernel",
            "its version cannot be read in /proc",
            "mount /proc: a run reads it",
        ),
    }
}

/// A filter that lets everything pass, with a listener, on a thread of its own that ends at once.
fn filter() -> Finding {
    let tried = std::thread::spawn(|| {
        rustix::thread::set_no_new_privs(true)?;
        let mut asm = bpf::Assembler::new();
        asm.ret(seccomp::ALLOW);
        seccomp::install(&asm.finish()).map(drop)
    });
    let error = match tried.join() {
        Ok(Ok(())) => {
            return Finding::good(
                "seccomp",
                "user notification works, and nobody above us holds a listener",
            );
        }
        Ok(Err(error)) => error,
        Err(_) => io::Error::other("the probe panicked"),
    };
    let what = format!("no filter with a listener: {error}");
    match error.raw_os_error() {
        Some(libc::EBUSY) => Finding::bad(
            "seccomp",
            "another supervisor above us holds the listener of this process tree",
            "start it outside of the other `sockeye run`, or of the container whose runtime uses seccomp notification",
        ),
        Some(libc::EINVAL) => Finding::bad("seccomp", what, "run it on Linux 5.19 or newer"),
        Some(libc::ENOSYS) => Finding::bad("seccomp", what, "use a kernel with CONFIG_SECCOMP_FILTER"),
        Some(libc::EPERM | libc::EACCES) => Finding::bad(
            "seccomp",
            what,
            "the container's own profile forbids it: allow seccomp(2) there, or use --security-opt seccomp=unconfined",
        ),
        _ => Finding::bad("seccomp", what, "see whether something forbids seccomp(2) here"),
    }
}

/// Yama's `ptrace_scope` rules over the memory and descriptors of others; our own descendants are fair game up to 1.
fn yama() -> Finding {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    let scope = scope.ok().and_then(|text| text.trim().parse::<u32>().ok());
    match scope {
        None => Finding::good("yama", "not in use"),
        Some(scope @ 0..=1) => Finding::good("yama", format!("ptrace_scope {scope}: descendants may be read")),
        Some(2) if rustix::process::getuid().is_root() => Finding::good("yama", "ptrace_scope 2: root may read"),
        Some(scope) => Finding::bad(
            "yama",
            format!("ptrace_scope {scope} hides the memory of the program from us"),
            "sysctl kernel.yama.ptrace_scope=1 (3 can only be lowered by a reboot)",
        ),
    }
}

/// Reading the memory of a child, and taking one of its descriptors.
fn child(mut waiting: Command) -> Vec<Finding> {
    let spawned = waiting.stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            let text = format!("cannot start a process: {error}");
            return vec![Finding::bad("memory", text, "see the limit on processes: ulimit -u")];
        }
    };
    let findings = vec![memory_of(&child), descriptor_of(&child)];
    drop(child.stdin.take());
    // It ends with its input; to be sure of it costs nothing.
    let _ = child.kill();
    let _ = child.wait();
    findings
}

fn memory_of(child: &Child) -> Finding {
    let read = start_of_program(child.id()).and_then(|address| {
        let mut head = [0; 4];
        memory::read(child.id(), &[(address, head.len())], &mut head).map(|_| ())
    });
    match read {
        Ok(()) => Finding::good("memory", "the memory of a child can be read (process_vm_readv)"),
        Err(error) => Finding::bad(
            "memory",
            format!("the memory of a child cannot be read: {error}"),
            "allow process_vm_readv(2) and process_vm_writev(2) in the container's seccomp profile, and lower kernel.yama.ptrace_scope to 1",
        ),
    }
}

/// Where the first mapping of a process begins: the head of its program.
fn start_of_program(pid: u32) -> io::Result<u64> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let start = maps
        .split('-')
        .next()
        .and_then(|start| u64::from_str_radix(start, 16).ok());
    start.ok_or_else(|| io::Error::other("no mapping in /proc"))
}

fn descriptor_of(child: &Child) -> Finding {
    use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
    let taken = Pid::from_raw(child.id().cast_signed())
        .ok_or(rustix::io::Errno::SRCH)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()))
        .and_then(|pidfd| pidfd_getfd(pidfd, 0, PidfdGetfdFlags::empty()));
    match taken {
        Ok(_) => Finding::good("descriptors", "descriptors of a child can be taken (pidfd_getfd)"),
        Err(error) => Finding::bad(
            "descriptors",
            format!("descriptors of a child cannot be taken: {error}"),
            "allow pidfd_getfd(2): Docker's default profile does with --cap-add SYS_PTRACE",
        ),
    }
}
