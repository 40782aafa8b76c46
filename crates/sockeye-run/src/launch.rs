//! Starting the program behind the filter.
//!
//! "No new privileges" and a filter with a listener concern the calling thread alone. So a thread of its own takes both, starts the program,
//! which inherits them, and ends: our other threads stay as they are, and the filter's last user is the program's last task.

use crate::filter;
use crate::outcome::SpawnError;
use sockeye_sys::seccomp::{self, Listener};
use std::ffi::OsString;
use std::io;
use std::process::Command;

/// A program that was started.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) listener: Listener,
    pub(crate) pid: u32,
}

/// Starts `argv`.
pub(crate) fn launch(argv: &[OsString]) -> Result<Launched, SpawnError> {
    let argv = argv.to_vec();
    if argv.is_empty() {
        return Err(SpawnError::Failed("no program given".into()));
    }
    // Programs that outlive their parents come to us, so that they remain our descendants.
    rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1))
        .map_err(|error| SpawnError::failed("cannot become the program's reaper", error))?;
    let thread = std::thread::Builder::new()
        .name("launcher".into())
        .spawn(move || launch_here(&argv))
        .map_err(|error| SpawnError::failed("cannot start a thread", error))?;
    let launched = thread
        .join()
        .map_err(|_| SpawnError::Failed("the launcher thread panicked".into()))??;
    raise_descriptor_limit();
    Ok(launched)
}

fn launch_here(argv: &[OsString]) -> Result<Launched, SpawnError> {
    rustix::thread::set_no_new_privs(true)
        .map_err(|error| SpawnError::failed("cannot set \"no new privileges\"", error))?;
    let listener = seccomp::install(&filter::program()).map_err(|error| {
        SpawnError::Failed(match error.raw_os_error() {
            Some(libc::EBUSY) => "already inside another seccomp supervisor \
                (a nested sockeye run, or a container runtime that uses seccomp notification)"
                .into(),
            Some(libc::EINVAL) => "sockeye run needs Linux 5.19 or newer (seccomp WAIT_KILLABLE_RECV)".into(),
            Some(libc::ENOSYS) => "this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)".into(),
            _ => format!("cannot install a seccomp filter: {error}"),
        })
    })?;
    let child = Command::new(&argv[0])
        .args(&argv[1..])
        .spawn()
        .map_err(|error| cannot_spawn(&argv[0], &error))?;
    Ok(Launched {
        listener,
        pid: child.id(),
    })
}

fn cannot_spawn(program: &OsString, error: &io::Error) -> SpawnError {
    let program = program.to_string_lossy();
    match error.kind() {
        io::ErrorKind::NotFound => SpawnError::NotFound(format!("{program}: not found")),
        // A folder of PATH that we may not look into hides nothing that we could have run.
        io::ErrorKind::PermissionDenied if !program.contains('/') && !in_path(&program) => {
            SpawnError::NotFound(format!("{program}: not found"))
        }
        _ if error.raw_os_error() == Some(libc::ENOEXEC) => {
            SpawnError::CannotExecute(format!("{program}: not a program (a script without a #! line?)"))
        }
        _ => SpawnError::CannotExecute(format!("{program}: {error}")),
    }
}

/// Whether a folder of PATH shows a file of this name.
fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).symlink_metadata().is_ok())
}

/// We need a descriptor for each of the program's sockets. After the start, so that the program keeps its own limit.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "descriptor limit not raised");
    }
}
