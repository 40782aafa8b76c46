//! What each system call means here: one file per group. A call on a descriptor that is not ours is left to the kernel.

mod accept;
mod bind;
mod connect;
mod ioctl;
mod names;
mod options;
mod recv;
mod send;
mod shutdown;
mod socket;

use crate::address;
use crate::call::{Answer, Answered, Call};
use crate::identity;
use crate::names::is_name_cache;
use crate::socket::{SockId, State};
use crate::supervisor::Supervisor;
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;
use sockeye_sys::pair;
use std::os::fd::{AsFd, OwnedFd};

impl Supervisor {
    /// Decides a call.
    pub(crate) fn dispatch(&mut self, call: &Call) -> Answered {
        match call.nr {
            libc::SYS_socket => return self.socket(call),
            libc::SYS_ioctl => return self.ioctl(call),
            _ => {}
        }
        let Ok(app) = self.tasks.copy(call.tid, call.fd()) else {
            // The kernel knows best what is wrong with it.
            return Ok(Answer::Continue);
        };
        match identity::cookie(&app).and_then(|cookie| self.socks.by_cookie(cookie)) {
            Some(id) => {
                if let Some(sock) = self.socks.get_mut(id) {
                    sock.hint = (call.tid, call.fd());
                    if let Some(stream) = sock.stream_mut()
                        && !stream.wide
                        && matches!(stream.state, State::Connected(_))
                    {
                        pair::widen(&app);
                        stream.wide = true;
                    }
                }
                self.serve(call, id, app)
            }
            None => self.foreign(call),
        }
    }

    /// Decides a call on one of our sockets; `app` is a copy of the program's end.
    pub(crate) fn serve(&mut self, call: &Call, id: SockId, app: OwnedFd) -> Answered {
        match call.nr {
            libc::SYS_connect => self.connect(call, id, app),
            libc::SYS_bind => self.bind(call, id),
            libc::SYS_listen => self.listen(call, id),
            libc::SYS_accept | libc::SYS_accept4 => self.accept(call, id, app),
            libc::SYS_getsockname => self.getsockname(call, id),
            libc::SYS_getpeername => self.getpeername(call, id),
            libc::SYS_setsockopt => self.setsockopt(call, id),
            libc::SYS_getsockopt => self.getsockopt(call, id, &app),
            libc::SYS_shutdown => self.shutdown(call, id, &app),
            libc::SYS_sendto => self.sendto(call, id, app),
            libc::SYS_sendmsg => self.sendmsg(call, id, app),
            libc::SYS_sendmmsg => self.sendmmsg(call, id, &app),
            libc::SYS_recvfrom => self.recvfrom(call, id, app),
            libc::SYS_recvmsg => self.recvmsg(call, id, app),
            libc::SYS_recvmmsg => self.recvmmsg(call, id, app),
            _ => Ok(Answer::Continue),
        }
    }

    /// A call on a descriptor that is not one of ours: local sockets, files, pipes.
    fn foreign(&mut self, call: &Call) -> Answered {
        if call.nr == libc::SYS_connect
            && let Ok(bytes) = call.read_address(call.args[1], call.int(2))
            && address::unix_path(&bytes).is_some_and(is_name_cache)
        {
            // The resolver then asks the name server itself, through us.
            return Err(Errno::CONNREFUSED);
        }
        Ok(Answer::Continue)
    }
}

/// True when calls on this descriptor do not wait.
fn is_nonblocking(app: impl AsFd) -> bool {
    fcntl_getfl(app).is_ok_and(|flags| flags.contains(OFlags::NONBLOCK))
}
