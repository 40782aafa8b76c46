//! Another process's memory: process_vm_readv(2) and process_vm_writev(2), many places in one call.

use std::io;

/// A stretch of another process's memory: address and length.
pub type Stretch = (u64, usize);

/// Copies the stretches `from`, in order, into `into`; returns how many bytes were read. Fewer than asked means that the rest is not
/// readable.
///
/// # Errors
/// `EFAULT` when nothing could be read, `ESRCH` when the process is gone, `EPERM` when it may not be looked into.
pub fn read(tid: u32, from: &[Stretch], into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    let remote = iovecs(from);
    // SAFETY: `local` covers exactly `into`, which is ours alone; remote addresses are checked by the kernel.
    let got = unsafe {
        libc::process_vm_readv(
            tid as libc::pid_t,
            &raw const local,
            1,
            remote.as_ptr(),
            remote.len() as libc::c_ulong,
            0,
        )
    };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
}

/// Copies `from` to the stretches `to`, in order; returns how many bytes were written.
///
/// # Errors
/// As [`read`].
pub fn write(tid: u32, to: &[Stretch], from: &[u8]) -> io::Result<usize> {
    let local = libc::iovec {
        iov_base: from.as_ptr().cast_mut().cast(),
        iov_len: from.len(),
    };
    let remote = iovecs(to);
    // SAFETY: the kernel only reads `local`, which covers exactly `from`; remote addresses are checked by the kernel.
    let got = unsafe {
        libc::process_vm_writev(
            tid as libc::pid_t,
            &raw const local,
            1,
            remote.as_ptr(),
            remote.len() as libc::c_ulong,
            0,
        )
    };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
}

/// The kernel takes at most 1024 stretches in one call.
fn iovecs(stretches: &[Stretch]) -> Vec<libc::iovec> {
    let iovec = |&(address, len): &Stretch| libc::iovec {
        iov_base: std::ptr::without_provenance_mut(address as usize),
        iov_len: len,
    };
    stretches.iter().take(1024).map(iovec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_memory_in_pieces() {
        let source = *b"hello, world";
        let at = source.as_ptr() as u64;
        let mut into = [0; 5];
        let me = std::process::id();
        assert_eq!(read(me, &[(at + 7, 2), (at, 3)], &mut into).unwrap(), 5);
        assert_eq!(&into, b"wohel");
        let mut target = vec![0_u8; 4];
        let to = target.as_mut_ptr() as u64;
        assert_eq!(write(me, &[(to + 2, 2), (to, 2)], b"abcd").unwrap(), 4);
        assert_eq!(target, b"cdab");
        let error = read(me, &[(8, 5)], &mut into).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
    }
}
