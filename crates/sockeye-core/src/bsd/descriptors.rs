//! The table of descriptors: numbers, what they stand for, `dup`, `fcntl`, `close`.
//!
//! A descriptor names an open file; several may name the same one, which ends with the last of them.

use super::datagram::Datagram;
use super::epoll::Epoll;
use super::options::Options;
use super::stream::Stream;
use super::{Answer, Calls, Process, Wait, abi};
use crate::bsd::address::Family;
use crate::error::Errno;
use crate::socket::{SocketId, TcpOptions, UrgentData};

/// The number of the first descriptor.
const FIRST: usize = 3;
/// One more than the highest number: Linux's usual RLIMIT_NOFILE.
const LIMIT: usize = 1_024;

/// A number's meaning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    pub(super) file: FileId,
    close_on_exec: bool,
}

/// Names an open file. A stale one names nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct FileId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// What one or more descriptors stand for.
#[derive(Debug)]
pub(super) struct File {
    /// Descriptors that name it.
    names: u32,
    /// Access mode and O_NONBLOCK.
    pub(super) flags: i32,
    /// When it changed last, counted in the process's changes.
    pub(super) changed: u64,
    pub(super) kind: Kind,
}

/// Kinds of open files.
#[derive(Debug)]
pub(super) enum Kind {
    Socket(Box<Socket>),
    /// The reading end of the pipe with this index and generation.
    PipeOut((u32, u32)),
    /// The writing end.
    PipeIn((u32, u32)),
    Epoll(Epoll),
}

/// A socket.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) family: Family,
    pub(super) options: Options,
    pub(super) transport: Transport,
}

/// What kind of socket.
#[derive(Debug)]
pub(super) enum Transport {
    Stream(Stream),
    Datagram(Datagram),
}

impl Socket {
    /// What its connection has to know.
    pub(super) fn tcp_options(&self) -> TcpOptions {
        let urgent = if self.urgent_in_line() {
            UrgentData::InLine
        } else {
            UrgentData::Apart
        };
        TcpOptions {
            urgent,
            ..self.options.tcp(self.family)
        }
    }

    pub(super) fn urgent_in_line(&self) -> bool {
        self.options.flag(abi::SOL_SOCKET, abi::SO_OOBINLINE)
    }
}

impl File {
    pub(super) fn nonblocking(&self) -> bool {
        self.flags & abi::O_NONBLOCK != 0
    }
}

impl Process {
    pub(super) fn file(&self, id: FileId) -> Option<&File> {
        self.files.get(id.index, id.generation)
    }

    pub(super) fn file_mut(&mut self, id: FileId) -> Option<&mut File> {
        self.files.get_mut(id.index, id.generation)
    }

    /// What a descriptor stands for.
    pub(super) fn lookup(&self, fd: i32) -> Result<FileId, Errno> {
        let descriptor = self.slot(fd).and_then(|slot| self.descriptors[slot]);
        descriptor.map(|descriptor| descriptor.file).ok_or(Errno::EBADF)
    }

    fn slot(&self, fd: i32) -> Option<usize> {
        let slot = usize::try_from(fd).ok()?.checked_sub(FIRST)?;
        (slot < self.descriptors.len()).then_some(slot)
    }

    /// A new open file under the lowest free number.
    pub(super) fn open(&mut self, kind: Kind, flags: i32, close_on_exec: bool) -> Result<i32, Errno> {
        let (index, generation) = self.files.insert(File {
            names: 0,
            flags,
            changed: 0,
            kind,
        });
        let file = FileId { index, generation };
        let named = self.name(file, FIRST, close_on_exec);
        if named.is_err() {
            let _ = self.files.remove(index, generation);
        }
        named
    }

    /// Another number, `least` or the next free one, for an open file.
    fn name(&mut self, file: FileId, least: usize, close_on_exec: bool) -> Result<i32, Errno> {
        let start = least.saturating_sub(FIRST);
        let taken = self
            .descriptors
            .iter()
            .skip(start)
            .take_while(|slot| slot.is_some())
            .count();
        let slot = start + taken;
        if slot + FIRST >= LIMIT {
            return Err(Errno::EMFILE);
        }
        if slot >= self.descriptors.len() {
            self.descriptors.resize(slot + 1, None);
        }
        self.descriptors[slot] = Some(Descriptor { file, close_on_exec });
        if let Some(file) = self.file_mut(file) {
            file.names += 1;
        }
        Ok((slot + FIRST) as i32)
    }

    /// Events of `socket` concern `file`.
    pub(super) fn own(&mut self, socket: SocketId, file: FileId) {
        self.by_host.insert(socket, file);
    }

    pub(super) fn disown(&mut self, socket: SocketId) {
        self.by_host.remove(&socket);
    }
}

impl Calls<'_> {
    /// What `fd` meant when the call began.
    pub(super) fn resolve(&self, fd: i32, wait: &mut Wait) -> Result<FileId, Errno> {
        let id = match wait.file {
            Some(id) => id,
            None => self.process.lookup(fd)?,
        };
        wait.file = Some(id);
        self.process.file(id).map(|_| id).ok_or(Errno::EBADF)
    }

    pub(super) fn file(&self, id: FileId) -> Result<&File, Errno> {
        self.process.file(id).ok_or(Errno::EBADF)
    }

    /// The socket behind an open file.
    pub(super) fn sock(&self, id: FileId) -> Result<&Socket, Errno> {
        match &self.file(id)?.kind {
            Kind::Socket(socket) => Ok(socket),
            _ => Err(Errno::ENOTSOCK),
        }
    }

    pub(super) fn sock_mut(&mut self, id: FileId) -> Result<&mut Socket, Errno> {
        match &mut self.process.file_mut(id).ok_or(Errno::EBADF)?.kind {
            Kind::Socket(socket) => Ok(socket),
            _ => Err(Errno::ENOTSOCK),
        }
    }

    /// The socket behind a descriptor.
    pub(super) fn socket_of(&self, fd: i32) -> Result<FileId, Errno> {
        let id = self.process.lookup(fd)?;
        self.sock(id).map(|_| id)
    }

    /// Calls on this file do not wait.
    pub(super) fn nonblocking(&self, id: FileId) -> bool {
        self.process.file(id).is_some_and(File::nonblocking)
    }

    /// `socket`.
    ///
    /// # Errors
    /// `EAFNOSUPPORT`, `ESOCKTNOSUPPORT`, `EPROTONOSUPPORT` for what is not there, `EINVAL` for unknown flags, `EMFILE`.
    pub fn socket(&mut self, domain: i32, kind: i32, protocol: i32) -> Result<i32, Errno> {
        let (flags, kind) = (kind & !0xf, kind & 0xf);
        if flags & !(abi::SOCK_NONBLOCK | abi::SOCK_CLOEXEC) != 0 {
            return Err(Errno::EINVAL);
        }
        let family = match domain {
            abi::AF_INET => Family::V4,
            abi::AF_INET6 => Family::V6,
            _ => return Err(Errno::EAFNOSUPPORT),
        };
        let icmp = match family {
            Family::V4 => abi::IPPROTO_ICMP,
            Family::V6 => abi::IPPROTO_ICMPV6,
        };
        let transport = match (kind, protocol) {
            (abi::SOCK_STREAM, 0 | abi::IPPROTO_TCP) => Transport::Stream(Stream::default()),
            (abi::SOCK_DGRAM, 0 | abi::IPPROTO_UDP) => {
                Transport::Datagram(Datagram::new(abi::IPPROTO_UDP as u8, false))
            }
            (abi::SOCK_DGRAM, protocol) if protocol == icmp => {
                Transport::Datagram(Datagram::new(protocol as u8, false))
            }
            (abi::SOCK_RAW, protocol @ 1..=254) => Transport::Datagram(Datagram::new(protocol as u8, true)),
            (abi::SOCK_STREAM | abi::SOCK_DGRAM | abi::SOCK_RAW, _) => return Err(Errno::EPROTONOSUPPORT),
            _ => return Err(Errno::ESOCKTNOSUPPORT),
        };
        self.open_socket(family, Options::default(), transport, flags)
    }

    /// A descriptor for a new socket; `flags` are those of `socket` and `accept4`.
    pub(super) fn open_socket(
        &mut self,
        family: Family,
        options: Options,
        transport: Transport,
        flags: i32,
    ) -> Result<i32, Errno> {
        let socket = Socket {
            family,
            options,
            transport,
        };
        let mode = abi::O_RDWR | flags & abi::O_NONBLOCK;
        let fd = self
            .process
            .open(Kind::Socket(Box::new(socket)), mode, flags & abi::SOCK_CLOEXEC != 0)?;
        let id = self.process.lookup(fd)?;
        self.open_raw(id)?;
        Ok(fd)
    }

    /// `dup`.
    ///
    /// # Errors
    /// `EBADF`, `EMFILE`.
    pub fn dup(&mut self, fd: i32) -> Result<i32, Errno> {
        let file = self.process.lookup(fd)?;
        self.process.name(file, FIRST, false)
    }

    /// `fcntl` with F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL or F_SETFL.
    ///
    /// # Errors
    /// `EBADF`, `EMFILE`; `EINVAL` for other commands and for numbers out of range.
    pub fn fcntl(&mut self, fd: i32, command: i32, arg: i32) -> Result<i32, Errno> {
        let file = self.process.lookup(fd)?;
        let slot = self.process.slot(fd).ok_or(Errno::EBADF)?;
        let descriptor = self.process.descriptors[slot].as_mut().ok_or(Errno::EBADF)?;
        match command {
            abi::F_GETFD => return Ok(i32::from(descriptor.close_on_exec) * abi::FD_CLOEXEC),
            abi::F_SETFD => descriptor.close_on_exec = arg & abi::FD_CLOEXEC != 0,
            abi::F_DUPFD | abi::F_DUPFD_CLOEXEC => {
                let least = usize::try_from(arg).ok().filter(|&least| least < LIMIT);
                let close_on_exec = command == abi::F_DUPFD_CLOEXEC;
                return self.process.name(file, least.ok_or(Errno::EINVAL)?, close_on_exec);
            }
            abi::F_GETFL => return Ok(self.file(file)?.flags),
            abi::F_SETFL => {
                let file = self.process.file_mut(file).ok_or(Errno::EBADF)?;
                file.flags = file.flags & !abi::O_NONBLOCK | arg & abi::O_NONBLOCK;
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(0)
    }

    /// `close`. Waits only where SO_LINGER says so; the number is free at once all the same.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn close(&mut self, fd: i32, wait: &mut Wait) -> Answer<()> {
        if !wait.begun {
            let id = self.process.lookup(fd)?;
            let slot = self.process.slot(fd).ok_or(Errno::EBADF)?;
            self.process.descriptors[slot] = None;
            let Some(file) = self.process.file_mut(id) else {
                return Ok(());
            };
            file.names -= 1;
            if file.names > 0 {
                return Ok(());
            }
            (wait.begun, wait.file) = (true, Some(id));
        }
        let Some(id) = wait.file.filter(|&id| self.process.file(id).is_some()) else {
            return Ok(());
        };
        self.linger(id, wait)?;
        self.end(id);
        Ok(())
    }

    /// Closes every descriptor, as the end of a program does: without lingering.
    pub fn close_all(&mut self) {
        for slot in std::mem::take(&mut self.process.descriptors).into_iter().flatten() {
            if let Some(file) = self.process.file_mut(slot.file) {
                file.names -= 1;
                if file.names == 0 {
                    self.end(slot.file);
                }
            }
        }
    }

    /// The last descriptor of a file is gone.
    fn end(&mut self, id: FileId) {
        let Some(file) = self.process.files.remove(id.index, id.generation) else {
            return;
        };
        match file.kind {
            Kind::Socket(socket) => match socket.transport {
                Transport::Stream(stream) => self.end_stream(stream, &socket.options),
                Transport::Datagram(datagram) => self.end_datagram(&datagram),
            },
            Kind::PipeOut(pipe) => self.process.end_pipe(pipe, false),
            Kind::PipeIn(pipe) => self.process.end_pipe(pipe, true),
            Kind::Epoll(_) => {}
        }
    }
}
