//! A C caller's memory as slices, and errno.

use std::ffi::c_void;

/// Longest address the kernel takes: `struct sockaddr_storage`.
const LONGEST_NAME: usize = 128;
/// Buffers of one call, at most: UIO_MAXIOV.
const IOV_MAX: usize = 1_024;

/// Sets errno, and gives what a failed call returns.
pub(super) fn fail(errno: i32) -> i32 {
    // SAFETY: the C library's errno of this thread is always there to be written.
    unsafe { *libc::__errno_location() = errno };
    -1
}

/// Memory to read.
///
/// # Safety
/// `at` is null or points to `len` bytes that nobody writes to while the slice lives.
pub(super) unsafe fn bytes<'a>(at: *const c_void, len: usize) -> Result<&'a [u8], i32> {
    if len == 0 {
        return Ok(&[]);
    }
    if at.is_null() || isize::try_from(len).is_err() {
        return Err(libc::EFAULT);
    }
    // SAFETY: not null, and as the caller promises.
    Ok(unsafe { std::slice::from_raw_parts(at.cast(), len) })
}

/// Memory to write to.
///
/// # Safety
/// `at` is null or points to `len` bytes that nobody else touches while the slice lives.
pub(super) unsafe fn bytes_mut<'a>(at: *mut c_void, len: usize) -> Result<&'a mut [u8], i32> {
    if len == 0 {
        return Ok(&mut []);
    }
    if at.is_null() || isize::try_from(len).is_err() {
        return Err(libc::EFAULT);
    }
    // SAFETY: not null, and as the caller promises.
    Ok(unsafe { std::slice::from_raw_parts_mut(at.cast(), len) })
}

/// A socket's name.
///
/// # Safety
/// As [`bytes`].
pub(super) unsafe fn name<'a>(at: *const c_void, len: u32) -> Result<&'a [u8], i32> {
    let len = len as usize;
    if len > LONGEST_NAME {
        return Err(libc::EINVAL);
    }
    // SAFETY: as the caller promises.
    unsafe { bytes(at, len) }
}

/// Gives a name back through a pointer and a pointer to its length: cut to the room there is, but the length told is the full one. Nothing without
/// a pointer.
///
/// # Safety
/// `len_at` is null or points to a number, `at` is null or points to that many bytes.
pub(super) unsafe fn give_name(at: *mut c_void, len_at: *mut u32, name: &[u8]) -> Result<(), i32> {
    if at.is_null() {
        return Ok(());
    }
    if len_at.is_null() {
        return Err(libc::EFAULT);
    }
    // SAFETY: not null, and as the caller promises.
    let room = unsafe { *len_at };
    let room = usize::try_from(room.cast_signed()).map_err(|_| libc::EINVAL)?;
    let cut = name.len().min(room);
    // SAFETY: as the caller promises.
    unsafe { bytes_mut(at, cut) }?.copy_from_slice(&name[..cut]);
    // SAFETY: not null, and as the caller promises.
    unsafe { *len_at = name.len() as u32 };
    Ok(())
}

/// The buffers of a `readv` or `writev`.
///
/// # Safety
/// `at` is null or points to `count` buffers that stay as they are while the slice lives.
pub(super) unsafe fn vector<'a>(at: *const libc::iovec, count: usize) -> Result<&'a [libc::iovec], i32> {
    if count > IOV_MAX {
        return Err(libc::EINVAL);
    }
    if count == 0 {
        return Ok(&[]);
    }
    if at.is_null() {
        return Err(libc::EFAULT);
    }
    // SAFETY: not null, and as the caller promises.
    Ok(unsafe { std::slice::from_raw_parts(at, count) })
}

/// Bytes of all buffers.
pub(super) fn total(buffers: &[libc::iovec]) -> Result<usize, i32> {
    let sum = buffers
        .iter()
        .try_fold(0_usize, |sum, buffer| sum.checked_add(buffer.iov_len));
    sum.filter(|&sum| isize::try_from(sum).is_ok()).ok_or(libc::EINVAL)
}

/// Copies all buffers into one.
///
/// # Safety
/// Each buffer is null or points to as many bytes as it says.
pub(super) unsafe fn gather(buffers: &[libc::iovec]) -> Result<Vec<u8>, i32> {
    let mut data = Vec::with_capacity(total(buffers)?);
    for buffer in buffers {
        // SAFETY: as the caller promises.
        data.extend_from_slice(unsafe { bytes(buffer.iov_base, buffer.iov_len) }?);
    }
    Ok(data)
}

/// Copies `data` into the buffers, one after the other, as far as they hold it.
///
/// # Safety
/// Each buffer is null or points to as many bytes as it says, which nobody else touches.
pub(super) unsafe fn scatter(buffers: &[libc::iovec], mut data: &[u8]) -> Result<(), i32> {
    for buffer in buffers {
        let (now, later) = data.split_at(data.len().min(buffer.iov_len));
        // SAFETY: as the caller promises.
        unsafe { bytes_mut(buffer.iov_base, now.len()) }?.copy_from_slice(now);
        data = later;
    }
    Ok(())
}
