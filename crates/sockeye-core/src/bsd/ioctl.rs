//! `ioctl` on sockets and pipes: what lies in the queues, and O_NONBLOCK. tcp(7), udp(7).

use super::descriptors::{Kind, Socket, Transport};
use super::stream::Place;
use super::{Calls, abi};
use crate::error::Errno;
use crate::socket::State;

impl Calls<'_> {
    /// `ioctl` with FIONREAD (SIOCINQ), SIOCOUTQ, SIOCOUTQNSD, FIONBIO or SIOCATMARK: takes and gives one `int`.
    ///
    /// # Errors
    /// `EBADF`; `EINVAL` for a listening socket; `ENOTTY` for requests that the descriptor does not know.
    pub fn ioctl(&mut self, fd: i32, request: u64, arg: i32) -> Result<i32, Errno> {
        let id = self.process.lookup(fd)?;
        let request = i32::try_from(request).map_err(|_| Errno::ENOTTY)?;
        if request == abi::FIONBIO {
            let file = self.process.file_mut(id).ok_or(Errno::EBADF)?;
            let on = if arg == 0 { 0 } else { abi::O_NONBLOCK };
            file.flags = file.flags & !abi::O_NONBLOCK | on;
            return Ok(arg);
        }
        let socket = match &self.file(id)?.kind {
            Kind::Socket(socket) => socket,
            Kind::PipeOut(pipe) | Kind::PipeIn(pipe) if request == abi::FIONREAD => {
                return Ok(self.process.pipe_len(*pipe) as i32);
            }
            _ => return Err(Errno::ENOTTY),
        };
        match &socket.transport {
            Transport::Stream(stream) => self.queue_length(socket, &stream.place, request),
            Transport::Datagram(_) => match request {
                abi::SIOCINQ => Ok(self.next_length(id)? as i32),
                // Datagrams leave at once.
                abi::SIOCOUTQ => Ok(0),
                _ => Err(Errno::ENOTTY),
            },
        }
    }

    fn queue_length(&self, socket: &Socket, place: &Place, request: i32) -> Result<i32, Errno> {
        let known = [abi::SIOCINQ, abi::SIOCOUTQ, abi::SIOCOUTQNSD, abi::SIOCATMARK];
        if !known.contains(&request) {
            return Err(Errno::ENOTTY);
        }
        let tcp = match place {
            Place::Listening(_) if request != abi::SIOCATMARK => return Err(Errno::EINVAL),
            Place::Connected { id, .. } => *id,
            _ => return Ok(0),
        };
        let readiness = self.host.tcp_readiness(tcp);
        // FIN counts while it is not acknowledged, as any byte does.
        let fin = i32::from(matches!(
            self.host.tcp_state(tcp),
            State::FinWait1 | State::Closing | State::LastAck
        ));
        Ok(match request {
            // Up to the mark only, where the urgent byte is not in the stream.
            abi::SIOCINQ => match readiness.urgent {
                Some(ahead) if !socket.urgent_in_line() && ahead < readiness.readable => ahead as i32,
                _ => readiness.readable as i32,
            },
            abi::SIOCOUTQ => readiness.unacked as i32 + fin,
            abi::SIOCOUTQNSD => {
                let info = self.host.tcp_info(self.now, tcp);
                info.map_or(0, |info| info.notsent_bytes as i32)
            }
            _ => i32::from(readiness.urgent == Some(0)),
        })
    }
}
