//! Each function of the table: memory into slices, the call, and the result as the C library gives it.
//!
//! SAFETY, for all of them: packetdrill hands over the `userdata` that [`super::Interface::fill`] made and that `free` has not ended, and
//! pointers that the libc call of the same name could be given.

use super::memory::{bytes, bytes_mut, fail, gather, give_name, name, scatter, total, vector};
use super::{EpollEvent, Outcome, PollFd, Stack};
use libc::{c_int, c_uint, c_void, epoll_event, iovec, msghdr, sockaddr, socklen_t, ssize_t, timeval};

type Data = *mut c_void;

/// The stack behind `userdata`.
///
/// # Safety
/// As above.
unsafe fn stack<'a, S: Stack>(data: Data) -> &'a S {
    // SAFETY: as the caller promises; a stack is shared by threads as it allows.
    unsafe { &*data.cast::<S>() }
}

fn status(outcome: Outcome<()>) -> c_int {
    outcome.map_or_else(fail, |()| 0)
}

fn number(outcome: Outcome<i32>) -> c_int {
    outcome.unwrap_or_else(fail)
}

fn count(outcome: Outcome<usize>) -> ssize_t {
    match outcome {
        Ok(n) => n as ssize_t,
        Err(errno) => fail(errno) as ssize_t,
    }
}

pub(super) unsafe extern "C" fn free<S: Stack>(data: Data) {
    // SAFETY: `fill` made it of a box, and nobody uses it afterwards.
    drop(unsafe { Box::from_raw(data.cast::<S>()) });
}

pub(super) unsafe extern "C" fn socket<S: Stack>(data: Data, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    // SAFETY: see the top of this file.
    unsafe { number(stack::<S>(data).socket(domain, kind, protocol)) }
}

pub(super) unsafe extern "C" fn bind<S: Stack>(data: Data, fd: c_int, at: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: see the top of this file.
    unsafe { status(name(at.cast(), len).and_then(|name| stack::<S>(data).bind(fd, name))) }
}

pub(super) unsafe extern "C" fn listen<S: Stack>(data: Data, fd: c_int, backlog: c_int) -> c_int {
    // SAFETY: see the top of this file.
    unsafe { status(stack::<S>(data).listen(fd, backlog)) }
}

pub(super) unsafe extern "C" fn accept<S: Stack>(
    data: Data,
    fd: c_int,
    at: *mut sockaddr,
    len_at: *mut socklen_t,
) -> c_int {
    // SAFETY: see the top of this file.
    unsafe {
        number(
            stack::<S>(data)
                .accept(fd)
                .and_then(|(fd, peer)| give_name(at.cast(), len_at, &peer).map(|()| fd)),
        )
    }
}

pub(super) unsafe extern "C" fn connect<S: Stack>(data: Data, fd: c_int, at: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: see the top of this file.
    unsafe { status(name(at.cast(), len).and_then(|name| stack::<S>(data).connect(fd, name))) }
}

pub(super) unsafe extern "C" fn read<S: Stack>(data: Data, fd: c_int, at: *mut c_void, len: usize) -> ssize_t {
    // SAFETY: see the top of this file.
    unsafe { count(bytes_mut(at, len).and_then(|buf| stack::<S>(data).read(fd, buf))) }
}

pub(super) unsafe extern "C" fn readv<S: Stack>(data: Data, fd: c_int, at: *const iovec, n: c_int) -> ssize_t {
    let read = || {
        let n = usize::try_from(n).map_err(|_| libc::EINVAL)?;
        // SAFETY: see the top of this file.
        let buffers = unsafe { vector(at, n) }?;
        let mut buf = vec![0; total(buffers)?];
        // SAFETY: see the top of this file.
        let n = unsafe { stack::<S>(data) }.read(fd, &mut buf)?;
        // SAFETY: see the top of this file.
        unsafe { scatter(buffers, &buf[..n]) }?;
        Ok(n)
    };
    count(read())
}

/// Receives into memory that may be missing where the bytes are to be thrown away (MSG_TRUNC on a stream).
unsafe fn receive<S: Stack>(
    data: Data,
    fd: c_int,
    at: *mut c_void,
    len: usize,
    flags: c_int,
) -> Outcome<super::Arrived> {
    // SAFETY: see the top of this file.
    let stack = unsafe { stack::<S>(data) };
    if at.is_null() && flags & libc::MSG_TRUNC != 0 {
        return stack.receive(fd, &mut vec![0; len.min(1 << 30)], flags, 0);
    }
    // SAFETY: see the top of this file.
    stack.receive(fd, unsafe { bytes_mut(at, len) }?, flags, 0)
}

pub(super) unsafe extern "C" fn recv<S: Stack>(
    data: Data,
    fd: c_int,
    at: *mut c_void,
    len: usize,
    flags: c_int,
) -> ssize_t {
    // SAFETY: see the top of this file.
    unsafe { count(receive::<S>(data, fd, at, len, flags).map(|arrived| arrived.len)) }
}

pub(super) unsafe extern "C" fn recvfrom<S: Stack>(
    data: Data,
    fd: c_int,
    at: *mut c_void,
    len: usize,
    flags: c_int,
    from: *mut sockaddr,
    from_len: *mut socklen_t,
) -> ssize_t {
    // SAFETY: see the top of this file.
    let arrived = unsafe { receive::<S>(data, fd, at, len, flags) };
    count(arrived.and_then(|arrived| {
        // SAFETY: see the top of this file.
        unsafe { give_name(from.cast(), from_len, &arrived.name) }?;
        Ok(arrived.len)
    }))
}

pub(super) unsafe extern "C" fn recvmsg<S: Stack>(data: Data, fd: c_int, at: *mut msghdr, flags: c_int) -> ssize_t {
    let receive = || {
        // SAFETY: null or a message header, see the top of this file.
        let message = unsafe { at.as_mut() }.ok_or(libc::EFAULT)?;
        // SAFETY: see the top of this file.
        let buffers = unsafe { vector(message.msg_iov, message.msg_iovlen as _) }.map_err(|_| libc::EMSGSIZE)?;
        let mut buf = vec![0; total(buffers)?];
        let room: usize = if message.msg_control.is_null() {
            0
        } else {
            message.msg_controllen as _
        };
        // SAFETY: see the top of this file.
        let arrived = unsafe { stack::<S>(data) }.receive(fd, &mut buf, flags, room)?;
        let held = arrived.len.min(buf.len());
        let control = &arrived.control[..arrived.control.len().min(room)];
        // SAFETY: see the top of this file.
        unsafe {
            scatter(buffers, &buf[..held])?;
            give_name(message.msg_name, &raw mut message.msg_namelen, &arrived.name)?;
            bytes_mut(message.msg_control, control.len())?.copy_from_slice(control);
        }
        message.msg_controllen = control.len() as _;
        message.msg_flags = arrived.flags;
        Ok(arrived.len)
    };
    count(receive())
}

pub(super) unsafe extern "C" fn write<S: Stack>(data: Data, fd: c_int, at: *const c_void, len: usize) -> ssize_t {
    // SAFETY: see the top of this file.
    unsafe { count(bytes(at, len).and_then(|buf| stack::<S>(data).write(fd, buf))) }
}

pub(super) unsafe extern "C" fn writev<S: Stack>(data: Data, fd: c_int, at: *const iovec, n: c_int) -> ssize_t {
    let write = || {
        let n = usize::try_from(n).map_err(|_| libc::EINVAL)?;
        // SAFETY: see the top of this file.
        unsafe {
            let buf = gather(vector(at, n)?)?;
            stack::<S>(data).write(fd, &buf)
        }
    };
    count(write())
}

pub(super) unsafe extern "C" fn send<S: Stack>(
    data: Data,
    fd: c_int,
    at: *const c_void,
    len: usize,
    flags: c_int,
) -> ssize_t {
    // SAFETY: see the top of this file.
    unsafe { count(bytes(at, len).and_then(|buf| stack::<S>(data).send(fd, buf, flags, None, &[]))) }
}

pub(super) unsafe extern "C" fn sendto<S: Stack>(
    data: Data,
    fd: c_int,
    at: *const c_void,
    len: usize,
    flags: c_int,
    to: *const sockaddr,
    to_len: socklen_t,
) -> ssize_t {
    let send = || {
        // SAFETY: see the top of this file.
        unsafe {
            let to = (!to.is_null()).then(|| name(to.cast(), to_len)).transpose()?;
            stack::<S>(data).send(fd, bytes(at, len)?, flags, to, &[])
        }
    };
    count(send())
}

pub(super) unsafe extern "C" fn sendmsg<S: Stack>(data: Data, fd: c_int, at: *const msghdr, flags: c_int) -> ssize_t {
    let send = || {
        // SAFETY: null or a message header, see the top of this file.
        let message = unsafe { at.as_ref() }.ok_or(libc::EFAULT)?;
        // SAFETY: see the top of this file.
        unsafe {
            let buffers = vector(message.msg_iov, message.msg_iovlen as _).map_err(|_| libc::EMSGSIZE)?;
            let buf = gather(buffers)?;
            let named = !message.msg_name.is_null() && message.msg_namelen > 0;
            let to = named.then(|| name(message.msg_name, message.msg_namelen)).transpose()?;
            let control = bytes(message.msg_control, message.msg_controllen as _)?;
            stack::<S>(data).send(fd, &buf, flags, to, control)
        }
    };
    count(send())
}

pub(super) unsafe extern "C" fn fcntl<S: Stack>(data: Data, fd: c_int, command: c_int, arg: usize) -> c_int {
    // SAFETY: see the top of this file.
    unsafe { number(stack::<S>(data).fcntl(fd, command, arg as c_int)) }
}

pub(super) unsafe extern "C" fn ioctl<S: Stack>(data: Data, fd: c_int, request: usize, at: *mut c_int) -> c_int {
    let ask = || {
        // SAFETY: null or an int, see the top of this file.
        let arg = unsafe { at.as_mut() }.ok_or(libc::EFAULT)?;
        // SAFETY: see the top of this file. Requests are 32 bits wide, whatever C made of them.
        *arg = unsafe { stack::<S>(data) }.ioctl(fd, request as u64 & 0xffff_ffff, *arg)?;
        Ok(())
    };
    status(ask())
}

pub(super) unsafe extern "C" fn close<S: Stack>(data: Data, fd: c_int) -> c_int {
    // SAFETY: see the top of this file.
    unsafe { status(stack::<S>(data).close(fd)) }
}

pub(super) unsafe extern "C" fn shutdown<S: Stack>(data: Data, fd: c_int, how: c_int) -> c_int {
    // SAFETY: see the top of this file.
    unsafe { status(stack::<S>(data).shutdown(fd, how)) }
}

pub(super) unsafe extern "C" fn getsockopt<S: Stack>(
    data: Data,
    fd: c_int,
    level: c_int,
    option: c_int,
    at: *mut c_void,
    len_at: *mut socklen_t,
) -> c_int {
    let get = || {
        // SAFETY: null or a length, see the top of this file.
        let len = unsafe { len_at.as_mut() }.ok_or(libc::EFAULT)?;
        // SAFETY: see the top of this file.
        let value = unsafe { stack::<S>(data) }.getsockopt(fd, level, option, len.cast_signed())?;
        // SAFETY: see the top of this file; the value is no longer than the room told.
        unsafe { bytes_mut(at, value.len()) }?.copy_from_slice(&value);
        *len = value.len() as socklen_t;
        Ok(())
    };
    status(get())
}

pub(super) unsafe extern "C" fn setsockopt<S: Stack>(
    data: Data,
    fd: c_int,
    level: c_int,
    option: c_int,
    at: *const c_void,
    len: socklen_t,
) -> c_int {
    let set = || {
        let len = usize::try_from(len.cast_signed()).map_err(|_| libc::EINVAL)?;
        // SAFETY: see the top of this file.
        unsafe { stack::<S>(data).setsockopt(fd, level, option, bytes(at, len)?) }
    };
    status(set())
}

pub(super) unsafe extern "C" fn poll<S: Stack>(data: Data, at: *mut PollFd, n: libc::nfds_t, timeout: c_int) -> c_int {
    let look = || {
        let n = usize::try_from(n).ok().filter(|&n| n <= 1 << 20).ok_or(libc::EINVAL)?;
        let fds: &mut [PollFd] = if n == 0 {
            &mut []
        } else if at.is_null() {
            return Err(libc::EFAULT);
        } else {
            // SAFETY: not null; `PollFd` lies in memory as `struct pollfd` does. See the top of this file.
            unsafe { std::slice::from_raw_parts_mut(at, n) }
        };
        // SAFETY: see the top of this file.
        unsafe { stack::<S>(data) }.poll(fds, timeout)
    };
    count(look()) as c_int
}

pub(super) unsafe extern "C" fn netdev_send<S: Stack>(data: Data, at: *const c_void, len: usize) -> c_int {
    // SAFETY: see the top of this file.
    unsafe { status(bytes(at, len).and_then(|packet| stack::<S>(data).netdev_send(packet))) }
}

pub(super) unsafe extern "C" fn netdev_receive<S: Stack>(
    data: Data,
    at: *mut c_void,
    len_at: *mut usize,
    time: *mut libc::c_longlong,
) -> c_int {
    let receive = || {
        // SAFETY: null or a length and a time, see the top of this file.
        let (len, time) = unsafe { (len_at.as_mut(), time.as_mut()) };
        let (Some(len), Some(time)) = (len, time) else {
            return Err(libc::EFAULT);
        };
        // SAFETY: see the top of this file.
        (*len, *time) = unsafe { stack::<S>(data).netdev_receive(bytes_mut(at, *len)?) }?;
        Ok(())
    };
    status(receive())
}

pub(super) unsafe extern "C" fn usleep<S: Stack>(data: Data, micros: c_uint) -> c_int {
    // SAFETY: see the top of this file.
    unsafe { status(stack::<S>(data).usleep(micros)) }
}

pub(super) unsafe extern "C" fn gettimeofday<S: Stack>(data: Data, at: *mut timeval, _zone: *mut c_void) -> c_int {
    // SAFETY: see the top of this file.
    let now = unsafe { stack::<S>(data) }.gettimeofday();
    // SAFETY: null or a time, see the top of this file.
    if let Some(at) = unsafe { at.as_mut() } {
        at.tv_sec = now.div_euclid(1_000_000);
        at.tv_usec = now.rem_euclid(1_000_000);
    }
    0
}

pub(super) unsafe extern "C" fn epoll_create<S: Stack>(data: Data, size: c_int) -> c_int {
    // SAFETY: see the top of this file.
    unsafe { number(stack::<S>(data).epoll_create(size)) }
}

pub(super) unsafe extern "C" fn epoll_ctl<S: Stack>(
    data: Data,
    epfd: c_int,
    op: c_int,
    fd: c_int,
    at: *mut epoll_event,
) -> c_int {
    let event = if at.is_null() {
        if op != libc::EPOLL_CTL_DEL {
            return fail(libc::EFAULT);
        }
        EpollEvent::default()
    } else {
        // SAFETY: not null; packed on some machines, so read without alignment. See the top of this file.
        let event = unsafe { at.read_unaligned() };
        EpollEvent {
            events: event.events,
            data: event.u64,
        }
    };
    // SAFETY: see the top of this file.
    status(unsafe { stack::<S>(data) }.epoll_ctl(epfd, op, fd, event))
}

pub(super) unsafe extern "C" fn epoll_wait<S: Stack>(
    data: Data,
    epfd: c_int,
    at: *mut epoll_event,
    max: c_int,
    timeout: c_int,
) -> c_int {
    let wait = || {
        // SAFETY: see the top of this file.
        let events = unsafe { stack::<S>(data) }.epoll_wait(epfd, max, timeout)?;
        if at.is_null() && !events.is_empty() {
            return Err(libc::EFAULT);
        }
        for (n, event) in events.iter().enumerate() {
            let event = epoll_event {
                events: event.events,
                u64: event.data,
            };
            // SAFETY: there are no more than `max` events, for which the caller has room.
            unsafe { at.add(n).write_unaligned(event) };
        }
        Ok(events.len())
    };
    count(wait()) as c_int
}

pub(super) unsafe extern "C" fn pipe<S: Stack>(data: Data, at: *mut c_int) -> c_int {
    if at.is_null() {
        return fail(libc::EFAULT);
    }
    // SAFETY: see the top of this file.
    status(unsafe { stack::<S>(data) }.pipe().map(|fds| {
        // SAFETY: not null, and room for two.
        unsafe { at.cast::<[c_int; 2]>().write_unaligned(fds) };
    }))
}

/// Offsets are for files, of which a stack has none: they mean nothing.
pub(super) unsafe extern "C" fn splice<S: Stack>(
    data: Data,
    from: c_int,
    _from_at: *mut i64,
    to: c_int,
    _to_at: *mut i64,
    len: usize,
    flags: c_uint,
) -> ssize_t {
    // SAFETY: see the top of this file.
    unsafe { count(stack::<S>(data).splice(from, to, len, flags)) }
}
