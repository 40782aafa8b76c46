//! `struct packetdrill_interface`: 33 words, `userdata` and 32 functions.

use super::{Stack, calls};
use libc::{c_int, c_uint, c_void, epoll_event, iovec, msghdr, sockaddr, socklen_t, ssize_t, timeval};
use std::ffi::{CStr, c_char};

type Data = *mut c_void;

/// The table that packetdrill has filled in. `fcntl` and `ioctl` are variadic in C; their third argument is fixed here, which x86-64 and aarch64
/// pass in the same way.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "section 2 of the manual documents the calls")]
pub struct Interface {
    pub userdata: Data,
    pub free: unsafe extern "C" fn(Data),
    pub socket: unsafe extern "C" fn(Data, c_int, c_int, c_int) -> c_int,
    pub bind: unsafe extern "C" fn(Data, c_int, *const sockaddr, socklen_t) -> c_int,
    pub listen: unsafe extern "C" fn(Data, c_int, c_int) -> c_int,
    pub accept: unsafe extern "C" fn(Data, c_int, *mut sockaddr, *mut socklen_t) -> c_int,
    pub connect: unsafe extern "C" fn(Data, c_int, *const sockaddr, socklen_t) -> c_int,
    pub read: unsafe extern "C" fn(Data, c_int, *mut c_void, usize) -> ssize_t,
    pub readv: unsafe extern "C" fn(Data, c_int, *const iovec, c_int) -> ssize_t,
    pub recv: unsafe extern "C" fn(Data, c_int, *mut c_void, usize, c_int) -> ssize_t,
    pub recvfrom:
        unsafe extern "C" fn(Data, c_int, *mut c_void, usize, c_int, *mut sockaddr, *mut socklen_t) -> ssize_t,
    pub recvmsg: unsafe extern "C" fn(Data, c_int, *mut msghdr, c_int) -> ssize_t,
    pub write: unsafe extern "C" fn(Data, c_int, *const c_void, usize) -> ssize_t,
    pub writev: unsafe extern "C" fn(Data, c_int, *const iovec, c_int) -> ssize_t,
    pub send: unsafe extern "C" fn(Data, c_int, *const c_void, usize, c_int) -> ssize_t,
    pub sendto: unsafe extern "C" fn(Data, c_int, *const c_void, usize, c_int, *const sockaddr, socklen_t) -> ssize_t,
    pub sendmsg: unsafe extern "C" fn(Data, c_int, *const msghdr, c_int) -> ssize_t,
    pub fcntl: unsafe extern "C" fn(Data, c_int, c_int, usize) -> c_int,
    pub ioctl: unsafe extern "C" fn(Data, c_int, usize, *mut c_int) -> c_int,
    pub close: unsafe extern "C" fn(Data, c_int) -> c_int,
    pub shutdown: unsafe extern "C" fn(Data, c_int, c_int) -> c_int,
    pub getsockopt: unsafe extern "C" fn(Data, c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int,
    pub setsockopt: unsafe extern "C" fn(Data, c_int, c_int, c_int, *const c_void, socklen_t) -> c_int,
    pub poll: unsafe extern "C" fn(Data, *mut super::PollFd, libc::nfds_t, c_int) -> c_int,
    pub netdev_send: unsafe extern "C" fn(Data, *const c_void, usize) -> c_int,
    pub netdev_receive: unsafe extern "C" fn(Data, *mut c_void, *mut usize, *mut libc::c_longlong) -> c_int,
    pub usleep: unsafe extern "C" fn(Data, c_uint) -> c_int,
    pub gettimeofday: unsafe extern "C" fn(Data, *mut timeval, *mut c_void) -> c_int,
    pub epoll_create: unsafe extern "C" fn(Data, c_int) -> c_int,
    pub epoll_ctl: unsafe extern "C" fn(Data, c_int, c_int, c_int, *mut epoll_event) -> c_int,
    pub epoll_wait: unsafe extern "C" fn(Data, c_int, *mut epoll_event, c_int, c_int) -> c_int,
    pub pipe: unsafe extern "C" fn(Data, *mut c_int) -> c_int,
    pub splice: unsafe extern "C" fn(Data, c_int, *mut i64, c_int, *mut i64, usize, c_uint) -> ssize_t,
}

const _: () = assert!(size_of::<Interface>() == 33 * size_of::<usize>());

impl Interface {
    /// Starts a stack, and fills in the table that leads to it. `free` ends it.
    ///
    /// # Safety
    /// `flags` is null or a C string, `table` points to room for an `Interface`.
    pub unsafe fn fill<S: Stack>(flags: *const c_char, table: *mut Self) {
        let flags = if flags.is_null() {
            String::new()
        } else {
            // SAFETY: not null, so a C string as the caller promises.
            unsafe { CStr::from_ptr(flags) }.to_string_lossy().into_owned()
        };
        let stack = Box::new(S::start(&flags));
        let filled = Self {
            userdata: Box::into_raw(stack).cast(),
            free: calls::free::<S>,
            socket: calls::socket::<S>,
            bind: calls::bind::<S>,
            listen: calls::listen::<S>,
            accept: calls::accept::<S>,
            connect: calls::connect::<S>,
            read: calls::read::<S>,
            readv: calls::readv::<S>,
            recv: calls::recv::<S>,
            recvfrom: calls::recvfrom::<S>,
            recvmsg: calls::recvmsg::<S>,
            write: calls::write::<S>,
            writev: calls::writev::<S>,
            send: calls::send::<S>,
            sendto: calls::sendto::<S>,
            sendmsg: calls::sendmsg::<S>,
            fcntl: calls::fcntl::<S>,
            ioctl: calls::ioctl::<S>,
            close: calls::close::<S>,
            shutdown: calls::shutdown::<S>,
            getsockopt: calls::getsockopt::<S>,
            setsockopt: calls::setsockopt::<S>,
            poll: calls::poll::<S>,
            netdev_send: calls::netdev_send::<S>,
            netdev_receive: calls::netdev_receive::<S>,
            usleep: calls::usleep::<S>,
            gettimeofday: calls::gettimeofday::<S>,
            epoll_create: calls::epoll_create::<S>,
            epoll_ctl: calls::epoll_ctl::<S>,
            epoll_wait: calls::epoll_wait::<S>,
            pipe: calls::pipe::<S>,
            splice: calls::splice::<S>,
        };
        // SAFETY: the caller promises room for it; whatever lay there before needs no dropping.
        unsafe { table.write(filled) };
    }
}
