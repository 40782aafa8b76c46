//! `pipe`, and `splice` between pipes and stream sockets. pipe(7), splice(2).

use super::descriptors::{FileId, Kind};
use super::stream::Stream;
use super::{Answer, Calls, Process, Wait, abi};
use crate::buf::Rope;
use crate::error::Errno;

/// Bytes that a pipe holds.
const CAPACITY: usize = 64 << 10;
/// A write up to this long goes in whole or not at all: PIPE_BUF.
const ATOMIC: usize = 4_096;

/// Bytes between two descriptors.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    bytes: Rope,
    reader_gone: bool,
    writer_gone: bool,
}

/// What an end of a pipe is ready for.
pub(super) struct Ends {
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) reader_gone: bool,
    pub(super) writer_gone: bool,
}

impl Process {
    pub(super) fn pipe_ends(&self, (index, generation): (u32, u32)) -> Ends {
        let pipe = self.pipes.get(index, generation);
        Ends {
            readable: pipe.is_some_and(|pipe| !pipe.bytes.is_empty()),
            writable: pipe.is_some_and(|pipe| pipe.bytes.len() <= CAPACITY - ATOMIC),
            reader_gone: pipe.is_none_or(|pipe| pipe.reader_gone),
            writer_gone: pipe.is_none_or(|pipe| pipe.writer_gone),
        }
    }

    pub(super) fn end_pipe(&mut self, (index, generation): (u32, u32), writer: bool) {
        if let Some(pipe) = self.pipes.get_mut(index, generation) {
            if writer {
                pipe.writer_gone = true;
            } else {
                pipe.reader_gone = true;
            }
            if pipe.writer_gone && pipe.reader_gone {
                let _ = self.pipes.remove(index, generation);
            }
        }
    }

    /// Bytes in the pipe.
    pub(super) fn pipe_len(&self, (index, generation): (u32, u32)) -> usize {
        self.pipes.get(index, generation).map_or(0, |pipe| pipe.bytes.len())
    }
}

impl Calls<'_> {
    /// `pipe2`: the reading and the writing end. `pipe` is the same with flags 0.
    ///
    /// # Errors
    /// `EINVAL` for unknown flags, `EMFILE`.
    pub fn pipe2(&mut self, flags: i32) -> Result<[i32; 2], Errno> {
        if flags & !(abi::O_NONBLOCK | abi::O_CLOEXEC) != 0 {
            return Err(Errno::EINVAL);
        }
        let (nonblock, close_on_exec) = (flags & abi::O_NONBLOCK, flags & abi::O_CLOEXEC != 0);
        let pipe = self.process.pipes.insert(Pipe::default());
        let out = self.process.open(Kind::PipeOut(pipe), nonblock, close_on_exec)?;
        match self
            .process
            .open(Kind::PipeIn(pipe), abi::O_WRONLY | nonblock, close_on_exec)
        {
            Ok(into) => Ok([out, into]),
            Err(errno) => {
                let _ = self.close(out, &mut Wait::default());
                self.process.end_pipe(pipe, true);
                Err(errno)
            }
        }
    }

    fn pipe(&mut self, id: FileId) -> Result<&mut Pipe, Errno> {
        let (index, generation) = match self.file(id)?.kind {
            Kind::PipeOut(pipe) | Kind::PipeIn(pipe) => pipe,
            _ => return Err(Errno::EINVAL),
        };
        self.process.pipes.get_mut(index, generation).ok_or(Errno::EBADF)
    }

    pub(super) fn read_pipe(&mut self, id: FileId, buf: &mut [u8], wait: &mut Wait) -> Answer<usize> {
        let pipe = self.pipe(id)?;
        if pipe.bytes.is_empty() && !pipe.writer_gone && !buf.is_empty() {
            return if self.nonblocking(id) {
                Err(Errno::EAGAIN.into())
            } else {
                self.block(wait, None, Errno::EAGAIN)
            };
        }
        let n = pipe.bytes.len().min(buf.len());
        Ok(pipe.bytes.read(&mut buf[..n]))
    }

    pub(super) fn write_pipe(&mut self, id: FileId, data: &[u8], wait: &mut Wait) -> Answer<usize> {
        let pipe = self.pipe(id)?;
        if pipe.reader_gone {
            return Err(Errno::EPIPE.into());
        }
        let left = &data[wait.done..];
        let room = CAPACITY - pipe.bytes.len();
        let n = if data.len() <= ATOMIC && room < left.len() {
            0
        } else {
            room.min(left.len())
        };
        pipe.bytes.append(&left[..n]);
        wait.done += n;
        if wait.done == data.len() {
            return Ok(wait.done);
        }
        if self.nonblocking(id) {
            return if wait.done > 0 {
                Ok(wait.done)
            } else {
                Err(Errno::EAGAIN.into())
            };
        }
        self.block(wait, None, Errno::EAGAIN)
    }

    /// `splice`: up to `len` bytes from one descriptor to another, of which one is a pipe. Offsets are for files, of which there are none.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL` when neither is a pipe, `EAGAIN`, `EPIPE`, and those of receiving and sending.
    pub fn splice(&mut self, from: i32, to: i32, len: usize, flags: i32, wait: &mut Wait) -> Answer<usize> {
        let (from, to) = (self.process.lookup(from)?, self.process.lookup(to)?);
        if flags & !0xf != 0 {
            return Err(Errno::EINVAL.into());
        }
        if len == 0 {
            return Ok(0);
        }
        let impatient = flags & abi::SPLICE_F_NONBLOCK != 0;
        match (&self.file(from)?.kind, &self.file(to)?.kind) {
            (Kind::PipeIn(_), _) | (_, Kind::PipeOut(_)) => Err(Errno::EBADF.into()),
            (Kind::PipeOut(a), Kind::PipeIn(b)) if a == b => Err(Errno::EINVAL.into()),
            (Kind::PipeOut(_), Kind::PipeIn(_) | Kind::Socket(_)) => self.drain(from, to, len, impatient, wait),
            (Kind::Socket(_), Kind::PipeIn(_)) => self.fill(from, to, len, impatient, wait),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    /// From a pipe.
    fn drain(&mut self, from: FileId, to: FileId, len: usize, impatient: bool, wait: &mut Wait) -> Answer<usize> {
        let waits = !impatient && !self.nonblocking(from);
        let pipe = self.pipe(from)?;
        let mut bytes = vec![0; pipe.bytes.len().min(len)];
        let _ = pipe.bytes.peek(&mut bytes);
        if bytes.is_empty() {
            return match (pipe.writer_gone, waits) {
                (true, _) => Ok(0),
                (false, true) => self.block(wait, None, Errno::EAGAIN),
                (false, false) => Err(Errno::EAGAIN.into()),
            };
        }
        // What the other side takes at once is enough; else this call, not the inner one, waits.
        let mut once = Wait::default();
        let sent = match self.file(to)?.kind {
            Kind::PipeIn(_) => self.write_pipe(to, &bytes, &mut once),
            _ => self.send_stream(to, &bytes, 0, &mut once),
        };
        let n = match sent {
            Ok(n) => n,
            Err(_) if once.done > 0 => once.done,
            Err(stop) => return Err(stop),
        };
        self.pipe(from)?.bytes.drop_front(n);
        self.process.touch(from);
        Ok(n)
    }

    /// Into a pipe.
    fn fill(&mut self, from: FileId, to: FileId, len: usize, impatient: bool, wait: &mut Wait) -> Answer<usize> {
        let waits = !impatient && !self.nonblocking(to);
        let pipe = self.pipe(to)?;
        if pipe.reader_gone {
            return Err(Errno::EPIPE.into());
        }
        let room = CAPACITY - pipe.bytes.len();
        if room == 0 {
            return if waits {
                self.block(wait, None, Errno::EAGAIN)
            } else {
                Err(Errno::EAGAIN.into())
            };
        }
        if let Ok(Some(tcp)) = self.stream(from).map(Stream::tcp)
            && self.host.tcp_readiness(tcp).urgent == Some(0)
        {
            // Nothing goes past an urgent mark but by a read.
            return if waits && !self.nonblocking(from) {
                self.block(wait, None, Errno::EAGAIN)
            } else {
                Err(Errno::EAGAIN.into())
            };
        }
        let mut bytes = vec![0; room.min(len)];
        let n = self.receive_stream(from, &mut bytes, 0, wait)?;
        self.pipe(to)?.bytes.append(&bytes[..n]);
        Ok(n)
    }
}
