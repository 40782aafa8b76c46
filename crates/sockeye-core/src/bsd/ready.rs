//! What a descriptor is ready for, in the bits of poll(2): Linux's rules, kind by kind.

use super::Calls;
use super::abi::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI, POLLRDHUP, POLLRDNORM, POLLWRNORM};
use super::datagram::{Datagram, Place as DatagramPlace};
use super::descriptors::{FileId, Kind, Socket, Transport};
use super::stream::{Place, Stream};
use crate::socket::TcpId;

const READABLE: i16 = POLLIN | POLLRDNORM;
const WRITABLE: i16 = POLLOUT | POLLWRNORM;
/// How deep one epoll instance may look into another.
const DEEPEST: u32 = 5;

impl Calls<'_> {
    /// Everything that is true of an open file.
    pub(super) fn ready(&self, id: FileId, depth: u32) -> i16 {
        let Some(file) = self.process.file(id) else { return 0 };
        match &file.kind {
            Kind::Socket(socket) => match &socket.transport {
                Transport::Stream(stream) => self.stream_ready(socket, stream),
                Transport::Datagram(datagram) => self.datagram_ready(datagram),
            },
            Kind::PipeOut(pipe) => {
                let ends = self.process.pipe_ends(*pipe);
                pick(ends.readable, READABLE) | pick(ends.writer_gone, POLLHUP)
            }
            Kind::PipeIn(pipe) => {
                let ends = self.process.pipe_ends(*pipe);
                pick(ends.writable, WRITABLE) | pick(ends.reader_gone, POLLERR)
            }
            Kind::Epoll(_) => pick(depth < DEEPEST && self.any_ready(id, depth + 1), READABLE),
        }
    }

    fn stream_ready(&self, socket: &Socket, stream: &Stream) -> i16 {
        match stream.place {
            Place::Fresh | Place::Bound(_) => WRITABLE | POLLHUP,
            Place::Listening(listener) => pick(self.host.listener_pending(listener) > 0, READABLE),
            Place::Connected { id, .. } => self.connection_ready(socket, stream, id),
        }
    }

    fn connection_ready(&self, socket: &Socket, stream: &Stream, id: TcpId) -> i16 {
        let readiness = self.host.tcp_readiness(id);
        let no_more_reads = readiness.closed || readiness.fin_received || stream.shut_read;
        let no_more_writes = readiness.closed || readiness.write_closed;
        let news = self.has_zerocopy_news(stream.zerocopy.as_deref());
        let mut ready = pick(readiness.error.is_some() || news, POLLERR)
            | pick(no_more_reads && no_more_writes, POLLHUP)
            | pick(no_more_reads, READABLE | POLLRDHUP);
        if readiness.established || readiness.closed {
            // The byte at the urgent mark is no one's to read in line.
            let apart = readiness.urgent == Some(0) && !socket.urgent_in_line();
            let enough = readiness.readable >= socket.options.low_water() + usize::from(apart);
            // A third of the buffer must be free: one that is nearly full is no invitation.
            let room = readiness.roomy;
            ready |=
                pick(readiness.out_of_band, POLLPRI) | pick(enough, READABLE) | pick(room || no_more_writes, WRITABLE);
        }
        ready
    }

    fn datagram_ready(&self, datagram: &Datagram) -> i16 {
        let failed = match datagram.place {
            DatagramPlace::Udp(udp) => self.host.udp_has_error(udp),
            DatagramPlace::Raw(raw) => self.host.raw_has_error(raw),
            DatagramPlace::Fresh => false,
        };
        WRITABLE
            | pick(self.has_datagram(datagram), READABLE)
            | pick(failed, POLLERR)
            | pick(datagram.shut_read, READABLE | POLLRDHUP)
            | pick(datagram.shut_read && datagram.shut_write, POLLHUP)
    }
}

fn pick(holds: bool, bits: i16) -> i16 {
    if holds { bits } else { 0 }
}
