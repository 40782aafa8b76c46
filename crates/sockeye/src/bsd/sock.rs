//! One socket: what lies between the program's descriptor and the host.

use super::datagram::Datagram;
use super::errno;
use super::service::{Service, service};
use super::stream::Stream;
use crate::Host;
use rustix::event::{PollFd, PollFlags, Timespec};
use sockeye_core::bsd::address::Family;
use sockeye_core::bsd::options::Options;
use sockeye_core::error::Errno;
use sockeye_sys::{descriptor, pair};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

/// A socket of the program. It is looked at whenever its end, its host or a caller has something to tell.
#[derive(Debug)]
pub(super) struct Sock {
    pub(super) host: Host,
    pub(super) family: Family,
    cookie: u64,
    /// The number under which the program got it.
    fd: AtomicI32,
    waker: Waker,
    inner: Mutex<Inner>,
    /// Something about the inner changed that a caller may wait for.
    pub(super) changed: Condvar,
}

#[derive(Debug)]
pub(super) struct Inner {
    /// Our end of the pair; `None` once nothing more can be said on it.
    pub(super) end: Option<OwnedFd>,
    pub(super) options: Options,
    /// SO_ERROR, and what the next call fails with.
    pub(super) error: Option<i32>,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Stream(Box<Stream>),
    Datagram(Box<Datagram>),
}

impl Sock {
    /// A new socket, and the program's end of it, which does not block.
    pub(super) fn make(host: &Host, family: Family, options: Options, kind: Kind) -> io::Result<(Arc<Self>, OwnedFd)> {
        let service = service()?;
        let is_stream = matches!(kind, Kind::Stream(_));
        let pair::Pair { ours, app } = pair::make(is_stream)?;
        if is_stream {
            pair::widen(&ours);
            pair::widen(&app);
        }
        let cookie = descriptor::cookie(&app).ok_or_else(|| errno(Errno::ENOBUFS))?;
        service.watch(&ours, cookie)?;
        let sock = Arc::new(Self {
            host: host.clone(),
            family,
            cookie,
            fd: AtomicI32::new(app.as_raw_fd()),
            waker: service.waker(cookie),
            inner: Mutex::new(Inner {
                end: Some(ours),
                options,
                error: None,
                kind,
            }),
            changed: Condvar::new(),
        });
        service.insert(&sock);
        sock.again();
        Ok((sock, app))
    }

    /// The socket that a descriptor is of.
    pub(super) fn of(fd: i32) -> io::Result<Option<Arc<Self>>> {
        let cookie = descriptor::with(fd, |fd| descriptor::cookie(fd))?;
        let cookie = cookie.ok_or_else(|| errno(Errno::ENOTSOCK))?;
        Ok(service()?.get(cookie))
    }

    pub(super) const fn cookie(&self) -> u64 {
        self.cookie
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the host's `poll_*` functions: it makes the service look.
    pub(super) fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }

    /// Look again, after others had their turn.
    pub(super) fn again(&self) {
        self.waker.wake_by_ref();
    }

    /// The program's descriptor, while it has the number that it was made with.
    pub(super) fn app(&self) -> Option<i32> {
        let fd = self.fd.load(Ordering::Relaxed);
        let same = descriptor::with(fd, |fd| descriptor::cookie(fd)).ok().flatten() == Some(self.cookie);
        same.then_some(fd)
    }

    /// Does what can be done.
    pub(super) fn look(&self) {
        let mut inner = self.lock();
        let Inner { end, kind, .. } = &mut *inner;
        let Some(end) = end else { return };
        let hung_up = events(end).contains(PollFlags::HUP);
        let over = match kind {
            Kind::Stream(_) => self.look_at_stream(&mut inner, hung_up),
            Kind::Datagram(datagram) => {
                if !hung_up {
                    datagram.look(self, end);
                }
                hung_up
            }
        };
        drop(inner);
        self.changed.notify_all();
        if over {
            self.release();
        }
    }

    /// The program's last descriptor is gone, and all is done.
    fn release(&self) {
        let mut inner = self.lock();
        inner.end = None;
        match &mut inner.kind {
            Kind::Stream(stream) => stream.let_go(&self.host),
            Kind::Datagram(datagram) => datagram.socket = None,
        }
        drop(inner);
        if let Ok(service) = service() {
            Service::forget(service, self.cookie);
        }
    }

    /// The pending error, which is then no longer pending.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        self.lock().error.take().map(io::Error::from_raw_os_error)
    }
}

impl Inner {
    pub(super) fn stream(&mut self) -> io::Result<&mut Stream> {
        match &mut self.kind {
            Kind::Stream(stream) => Ok(stream),
            Kind::Datagram(_) => Err(errno(Errno::EOPNOTSUPP)),
        }
    }

    pub(super) fn is_stream(&self) -> bool {
        matches!(self.kind, Kind::Stream(_))
    }
}

/// What an end is ready for.
pub(super) fn events(end: &OwnedFd) -> PollFlags {
    let mut fds = [PollFd::new(end, PollFlags::IN | PollFlags::RDHUP)];
    match rustix::event::poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(_) => fds[0].revents(),
        Err(_) => PollFlags::empty(),
    }
}

/// The errno in an error of ours.
pub(super) fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(Errno::EIO as i32)
}
