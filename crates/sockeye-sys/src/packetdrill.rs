//! The C face of a stack that packetdrill loads: a table of functions in the shape of the C library's calls, in front of a safe trait.
//!
//! packetdrill calls `packetdrill_interface_init(flags, table)`; each function of the table takes the table's `userdata` first, then the
//! arguments of the libc call of its name, and returns and sets errno as that does. A crate implements [`Stack`] and says
//! [`export_packetdrill_stack!`](crate::export_packetdrill_stack); there is no unsafe text in it.

mod calls;
mod memory;
mod table;

pub use table::Interface;

/// What `recvmsg` tells beside the bytes.
#[derive(Clone, Debug, Default)]
pub struct Arrived {
    /// What the call returns.
    pub len: usize,
    /// From whom: an address as bytes, whole.
    pub name: Vec<u8>,
    /// Control messages, no longer than the caller has room for.
    pub control: Vec<u8>,
    /// `msg_flags`.
    pub flags: i32,
}

/// `struct pollfd`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PollFd {
    /// The descriptor.
    pub fd: i32,
    /// What to look for.
    pub events: i16,
    /// What is.
    pub revents: i16,
}

/// `struct epoll_event`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpollEvent {
    /// EPOLLIN and so on.
    pub events: u32,
    /// The program's own.
    pub data: u64,
}

/// What a call gives: a value, or an errno.
pub type Outcome<T> = Result<T, i32>;

/// A stack as packetdrill drives it, from two threads: one that plays the script, and one whose calls may wait. Names of sockets are the bytes of
/// a `struct sockaddr`.
#[allow(missing_docs, reason = "section 2 of the manual documents the calls")]
pub trait Stack: Send + Sync + 'static {
    /// A stack set up as `flags` say, which are the user's.
    fn start(flags: &str) -> Self;

    fn socket(&self, domain: i32, kind: i32, protocol: i32) -> Outcome<i32>;
    fn bind(&self, fd: i32, name: &[u8]) -> Outcome<()>;
    fn listen(&self, fd: i32, backlog: i32) -> Outcome<()>;
    /// The new descriptor, and who connected.
    fn accept(&self, fd: i32) -> Outcome<(i32, Vec<u8>)>;
    fn connect(&self, fd: i32, name: &[u8]) -> Outcome<()>;
    fn read(&self, fd: i32, buf: &mut [u8]) -> Outcome<usize>;
    fn write(&self, fd: i32, data: &[u8]) -> Outcome<usize>;
    /// `recv`, `recvfrom` and `recvmsg`, with `room` bytes for control messages.
    fn receive(&self, fd: i32, buf: &mut [u8], flags: i32, room: usize) -> Outcome<Arrived>;
    /// `send`, `sendto` and `sendmsg`.
    fn send(&self, fd: i32, data: &[u8], flags: i32, name: Option<&[u8]>, control: &[u8]) -> Outcome<usize>;
    fn fcntl(&self, fd: i32, command: i32, arg: i32) -> Outcome<i32>;
    /// With the `int` that the argument points to; the answer goes there.
    fn ioctl(&self, fd: i32, request: u64, arg: i32) -> Outcome<i32>;
    fn close(&self, fd: i32) -> Outcome<()>;
    fn shutdown(&self, fd: i32, how: i32) -> Outcome<()>;
    /// The value, no longer than `room`.
    fn getsockopt(&self, fd: i32, level: i32, name: i32, room: i32) -> Outcome<Vec<u8>>;
    fn setsockopt(&self, fd: i32, level: i32, name: i32, value: &[u8]) -> Outcome<()>;
    fn poll(&self, fds: &mut [PollFd], timeout: i32) -> Outcome<usize>;
    fn epoll_create(&self, size: i32) -> Outcome<i32>;
    fn epoll_ctl(&self, epfd: i32, op: i32, fd: i32, event: EpollEvent) -> Outcome<()>;
    fn epoll_wait(&self, epfd: i32, max: i32, timeout: i32) -> Outcome<Vec<EpollEvent>>;
    fn pipe(&self) -> Outcome<[i32; 2]>;
    fn splice(&self, from: i32, to: i32, len: usize, flags: u32) -> Outcome<usize>;

    /// A packet arrives, bare IP.
    fn netdev_send(&self, packet: &[u8]) -> Outcome<()>;
    /// The next packet that leaves, put into `buf`: its length, and when it left, in microseconds.
    fn netdev_receive(&self, buf: &mut [u8]) -> Outcome<(usize, i64)>;
    fn usleep(&self, micros: u32) -> Outcome<()>;
    /// Microseconds since the clock's epoch.
    fn gettimeofday(&self) -> i64;
}

/// Exports `packetdrill_interface_init` for a type that is a [`Stack`].
#[macro_export]
macro_rules! export_packetdrill_stack {
    ($stack:ty) => {
        /// What packetdrill looks for in a library: fills in `table`.
        ///
        /// # Safety
        /// `flags` is null or a C string, `table` points to room for an [`Interface`]($crate::packetdrill::Interface).
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn packetdrill_interface_init(
            flags: *const ::core::ffi::c_char,
            table: *mut $crate::packetdrill::Interface,
        ) {
            // SAFETY: as the caller promises.
            unsafe { $crate::packetdrill::Interface::fill::<$stack>(flags, table) }
        }
    };
}
