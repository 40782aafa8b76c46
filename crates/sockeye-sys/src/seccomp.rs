//! Seccomp user notification: installing a filter with a listener, and answering what it reports. seccomp_unotify(2).

use crate::bpf::Instruction;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Let the call proceed.
pub const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
/// Hand the call to the listener.
pub const NOTIFY: u32 = libc::SECCOMP_RET_USER_NOTIF;
/// The native architecture's audit number, as [`Notification::arch`] and the filter see it.
#[cfg(target_arch = "x86_64")]
pub const NATIVE_ARCH: u32 = 0xc000_003e;
/// The native architecture's audit number, as [`Notification::arch`] and the filter see it.
#[cfg(target_arch = "aarch64")]
pub const NATIVE_ARCH: u32 = 0xc000_00b7;

/// Byte offset of the system call number in a filter's data.
pub const DATA_NR: u32 = 0;
/// Byte offset of the architecture in a filter's data.
pub const DATA_ARCH: u32 = 4;

/// Byte offset of the low half of argument `n` in a filter's data.
pub const fn data_arg(n: u32) -> u32 {
    16 + 8 * n + if cfg!(target_endian = "big") { 4 } else { 0 }
}

/// Byte offset of the high half of argument `n` in a filter's data.
pub const fn data_arg_high(n: u32) -> u32 {
    16 + 8 * n + if cfg!(target_endian = "big") { 0 } else { 4 }
}

/// Fail the call with `errno`.
pub const fn errno(errno: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | (errno as u32 & libc::SECCOMP_RET_DATA)
}

/// A call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Notification {
    /// Names the call in answers.
    pub id: u64,
    /// The calling thread.
    pub tid: u32,
    /// System call number.
    pub nr: i64,
    /// Architecture.
    pub arch: u32,
    /// Arguments.
    pub args: [u64; 6],
}

/// The listener of an installed filter.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
}

/// Installs `program` on the calling thread, for good, and returns its listener. Threads and processes that this thread starts inherit the
/// filter; other threads do not have it. The thread must have set "no new privileges".
///
/// # Errors
/// `EBUSY` when a filter with a listener is on this thread already, `EINVAL` on kernels before 5.19.
pub fn install(program: &[Instruction]) -> io::Result<Listener> {
    let mut filter: Vec<libc::sock_filter> = program
        .iter()
        .map(|i| libc::sock_filter {
            code: i.code,
            jt: i.jt,
            jf: i.jf,
            k: i.k,
        })
        .collect();
    let fprog = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: filter.as_mut_ptr(),
    };
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    // SAFETY: `fprog` points to `filter`, which outlives the call; the kernel only reads both.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const fprog,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor, and nobody else knows of it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as RawFd) };
    Ok(Listener { fd })
}

impl Listener {
    /// Asks the kernel to wake us on the caller's CPU (Linux 6.6). False where it cannot.
    pub fn wake_up_synchronously(&self) -> bool {
        const FD_SYNC_WAKE_UP: libc::c_ulong = 1;
        // SAFETY: this request takes its argument by value.
        unsafe {
            libc::ioctl(
                self.fd.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS,
                FD_SYNC_WAKE_UP,
            ) == 0
        }
    }

    /// Takes a waiting call. May block when none waits: poll first. `None` when the caller was killed meanwhile.
    ///
    /// # Errors
    /// As the kernel says; interruptions are `None`.
    pub fn receive(&self) -> io::Result<Option<Notification>> {
        let mut raw = libc::seccomp_notif {
            id: 0,
            pid: 0,
            flags: 0,
            data: libc::seccomp_data {
                nr: 0,
                arch: 0,
                instruction_pointer: 0,
                args: [0; 6],
            },
        };
        // SAFETY: `raw` is a zeroed structure of the size this request writes.
        let got = unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut raw) };
        if got == 0 {
            return Ok(Some(Notification {
                id: raw.id,
                tid: raw.pid,
                nr: i64::from(raw.data.nr),
                arch: raw.data.arch,
                args: raw.data.args,
            }));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::EINTR | libc::EAGAIN) => Ok(None),
            _ => Err(error),
        }
    }

    /// Ends the call with `value`, or with `-errno` when `value` is negative. False when nobody waits any more.
    pub fn answer(&self, id: u64, value: i64) -> bool {
        let (val, error) = if value < 0 { (0, value as i32) } else { (value, 0) };
        self.respond(&libc::seccomp_notif_resp {
            id,
            val,
            error,
            flags: 0,
        })
    }

    /// Lets the kernel do the call after all. False when nobody waits any more.
    pub fn proceed(&self, id: u64) -> bool {
        let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
        self.respond(&libc::seccomp_notif_resp {
            id,
            val: 0,
            error: 0,
            flags,
        })
    }

    fn respond(&self, response: &libc::seccomp_notif_resp) -> bool {
        // SAFETY: the kernel only reads `response`, which has the size this request expects.
        unsafe {
            libc::ioctl(
                self.fd.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SEND,
                &raw const *response,
            ) == 0
        }
    }

    /// True while the call waits for its answer.
    pub fn is_waiting(&self, id: u64) -> bool {
        // SAFETY: the kernel only reads the identifier.
        unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) == 0 }
    }

    /// Puts a copy of `fd` into the caller's descriptor table and ends the call with its number, in one step.
    ///
    /// # Errors
    /// `ENOENT` when nobody waits any more, `EMFILE` when the caller's table is full; then nothing was put there.
    pub fn answer_with_fd(&self, id: u64, fd: BorrowedFd<'_>, close_on_exec: bool) -> io::Result<i32> {
        let request = libc::seccomp_notif_addfd {
            id,
            flags: libc::SECCOMP_ADDFD_FLAG_SEND as u32,
            srcfd: fd.as_raw_fd() as u32,
            newfd: 0,
            newfd_flags: if close_on_exec { libc::O_CLOEXEC as u32 } else { 0 },
        };
        // SAFETY: the kernel only reads `request`, which has the size this request expects; `fd` is borrowed and stays open.
        let got = unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw const request) };
        if got < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(got)
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
