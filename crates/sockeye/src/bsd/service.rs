//! The one thread that serves the host's side of all descriptors: it waits for the ends of their pairs and for what the hosts tell.

use super::sock::Sock;
use rustix::event::{EventfdFlags, epoll, eventfd};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Names the bell in the poller.
const BELL: u64 = u64::MAX;
/// Sockets whose connection was lost and that are kept for questions, at most.
const LOST_KEPT: usize = 4_096;

/// All sockets of the process, by the kernel's name for the program's end of their pair.
#[derive(Debug)]
pub(super) struct Service {
    poller: OwnedFd,
    bell: OwnedFd,
    ready: Mutex<Vec<u64>>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    socks: HashMap<u64, Arc<Sock>>,
    /// Lost ones, oldest first: nothing tells when their last descriptor is closed.
    lost: std::collections::VecDeque<u64>,
}

/// Puts a socket on the list of those to look at.
struct Ring {
    service: &'static Service,
    cookie: u64,
}

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        self.service.ring(self.cookie);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.service.ring(self.cookie);
    }
}

/// The service, which starts when it is asked for first and never ends.
pub(super) fn service() -> io::Result<&'static Service> {
    static SERVICE: Mutex<Option<&'static Service>> = Mutex::new(None);
    let mut started = lock(&SERVICE);
    if let Some(service) = *started {
        return Ok(service);
    }
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    epoll::add(&poller, &bell, epoll::EventData::new_u64(BELL), epoll::EventFlags::IN)?;
    let service: &'static Service = Box::leak(Box::new(Service {
        poller,
        bell,
        ready: Mutex::default(),
        table: Mutex::default(),
    }));
    let thread = std::thread::Builder::new().name("sockeye-bsd".to_owned());
    thread.spawn(|| service.run())?;
    *started = Some(service);
    Ok(service)
}

impl Service {
    pub(super) fn get(&self, cookie: u64) -> Option<Arc<Sock>> {
        lock(&self.table).socks.get(&cookie).cloned()
    }

    /// Tells of all that happens to an end, until it is closed.
    pub(super) fn watch(&self, end: &OwnedFd, cookie: u64) -> io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        Ok(epoll::add(&self.poller, end, epoll::EventData::new_u64(cookie), flags)?)
    }

    pub(super) fn insert(&self, sock: &Arc<Sock>) {
        lock(&self.table).socks.insert(sock.cookie(), Arc::clone(sock));
    }

    pub(super) fn forget(&self, cookie: u64) {
        let gone = lock(&self.table).socks.remove(&cookie);
        drop(gone);
    }

    /// A socket whose end was closed: it is forgotten when too many more are lost.
    pub(super) fn keep_lost(&self, cookie: u64) {
        let mut table = lock(&self.table);
        table.lost.push_back(cookie);
        let oldest = if table.lost.len() > LOST_KEPT {
            table.lost.pop_front()
        } else {
            None
        };
        let gone = oldest.and_then(|oldest| table.socks.remove(&oldest));
        drop(table);
        drop(gone);
    }

    pub(super) fn waker(&'static self, cookie: u64) -> Waker {
        let service = self;
        Arc::new(Ring { service, cookie }).into()
    }

    /// Look at a socket soon.
    pub(super) fn ring(&self, cookie: u64) {
        let mut ready = lock(&self.ready);
        let first = ready.is_empty();
        if !ready.contains(&cookie) {
            ready.push(cookie);
        }
        drop(ready);
        if first {
            // It can only fail because it rings already.
            let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        }
    }

    fn run(&self) {
        let mut events = Vec::with_capacity(64);
        loop {
            events.clear();
            if epoll::wait(&self.poller, rustix::buffer::spare_capacity(&mut events), None).is_err() {
                continue;
            }
            let mut looks = Vec::new();
            for event in &events {
                if event.data.u64() == BELL {
                    let _ = rustix::io::read(&self.bell, &mut [0; 8]);
                } else {
                    looks.push(event.data.u64());
                }
            }
            looks.append(&mut lock(&self.ready));
            for cookie in looks {
                if let Some(sock) = self.get(cookie) {
                    sock.look();
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
