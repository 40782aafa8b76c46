//! `shutdown`: done on the program's end, so that polls and reads see what a kernel socket shows; the host hears of it by the pair.

use crate::call::{Answered, Call, OK};
use crate::socket::{Kind, SockId, State};
use crate::supervisor::Supervisor;
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use sockeye_core::socket;
use std::os::fd::OwnedFd;

impl Supervisor {
    pub(super) fn shutdown(&mut self, call: &Call, id: SockId, app: &OwnedFd) -> Answered {
        let how = match call.int(1) {
            libc::SHUT_RD => Shutdown::Read,
            libc::SHUT_WR => Shutdown::Write,
            libc::SHUT_RDWR => Shutdown::Both,
            _ => return Err(Errno::INVAL),
        };
        let sock = self.socks.get_mut(id).ok_or(Errno::BADF)?;
        match &mut sock.kind {
            Kind::Datagram(datagram) if !datagram.connected => return Err(Errno::NOTCONN),
            Kind::Datagram(datagram) => datagram.shut_read |= how != Shutdown::Write,
            Kind::Stream(stream) => match stream.state {
                State::Connected(tcp) => {
                    stream.shut_write |= how != Shutdown::Read;
                    if how != Shutdown::Write {
                        self.network.host.tcp_shutdown(self.now, tcp, socket::Shutdown::Read);
                    }
                }
                State::Listening { .. } if how != Shutdown::Write => {
                    self.stop_listening(id);
                    self.set_state(id, State::Fresh);
                    // Calls that wait in accept fail.
                    self.retry_held(id);
                    return OK;
                }
                _ => return Err(Errno::NOTCONN),
            },
        }
        shutdown(app, how)?;
        self.wake_to_read(id);
        OK
    }
}
