//! Programs on two hosts, call by call.

use super::abi::*;
use super::address::Family;
use super::{Answer, Calls, EpollEvent, PollFd, Process, Stop, Wait};
use crate::error::Errno;
use crate::host::HostConfig;
use crate::host::pair::{Pair, at};
use crate::settings::Settings;
use crate::time::{Duration, Instant, MS, SECOND};

/// Two hosts on a wire, with a program on each: `a` is 10.0.0.1, `b` 10.0.0.2.
struct World {
    pair: Pair,
    a: Process,
    b: Process,
}

impl World {
    fn new() -> Self {
        Self {
            pair: Pair::new(),
            a: Process::new(),
            b: Process::new(),
        }
    }

    fn a(&mut self) -> Calls<'_> {
        self.a.on(&mut self.pair.a, self.pair.now)
    }

    fn b(&mut self) -> Calls<'_> {
        self.b.on(&mut self.pair.b, self.pair.now)
    }

    /// A connection from `a` to `b`, port 80: its two descriptors.
    fn connected(&mut self) -> (i32, i32) {
        let listener = self.b().socket(AF_INET, SOCK_STREAM, 0).unwrap();
        self.b()
            .setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &int(1))
            .unwrap();
        self.b().bind(listener, &name("0.0.0.0:80")).unwrap();
        self.b().listen(listener, 1).unwrap();
        let client = self.a().socket(AF_INET, SOCK_STREAM, 0).unwrap();
        let mut wait = Wait::default();
        let blocked = self.a().connect(client, &name("10.0.0.2:80"), &mut wait);
        assert_eq!(blocked, Err(Stop::Block(None)));
        self.pair.settle();
        assert_eq!(self.a().connect(client, &name("10.0.0.2:80"), &mut wait), Ok(()));
        let (server, peer) = self.b().accept4(listener, 0, &mut Wait::default()).unwrap();
        assert_eq!(peer, self.a().getsockname(client).unwrap());
        self.b().close(listener, &mut Wait::default()).unwrap();
        (client, server)
    }

    fn poll_a(&mut self, fd: i32) -> i16 {
        let mut fds = [PollFd {
            fd,
            events: i16::MAX,
            revents: 0,
        }];
        let _ = self.a().poll(&mut fds, 0, &mut Wait::default());
        fds[0].revents
    }
}

fn name(text: &str) -> Vec<u8> {
    Family::V4.encode(at(text))
}

fn int(value: i32) -> [u8; 4] {
    value.to_ne_bytes()
}

fn errno<T>(errno: Errno) -> Answer<T> {
    Err(Stop::Errno(errno))
}

fn nonblocking(mut calls: Calls<'_>, fd: i32) {
    calls.fcntl(fd, F_SETFL, O_NONBLOCK).unwrap();
}

const NOW: fn() -> Wait = Wait::default;

#[test]
fn errno_comes_in_linux_order() {
    let mut world = World::new();
    let mut calls = world.a();
    assert_eq!(calls.socket(AF_UNIX, SOCK_STREAM, 0), Err(Errno::EAFNOSUPPORT));
    assert_eq!(calls.socket(AF_INET, 5, 0), Err(Errno::ESOCKTNOSUPPORT));
    assert_eq!(
        calls.socket(AF_INET, SOCK_STREAM, IPPROTO_UDP),
        Err(Errno::EPROTONOSUPPORT)
    );
    assert_eq!(calls.socket(AF_INET, SOCK_STREAM | 0x100, 0), Err(Errno::EINVAL));
    let tcp = calls.socket(AF_INET, SOCK_STREAM, 0).unwrap();
    let udp = calls.socket(AF_INET, SOCK_DGRAM, 0).unwrap();
    assert_eq!((tcp, udp), (3, 4));
    let [out, into] = calls.pipe2(O_NONBLOCK).unwrap();
    assert_eq!(calls.listen(99, 1), Err(Errno::EBADF));
    assert_eq!(calls.listen(out, 1), Err(Errno::ENOTSOCK));
    assert_eq!(calls.listen(udp, 1), Err(Errno::EOPNOTSUPP));
    assert_eq!(calls.accept4(tcp, 0, &mut NOW()), errno(Errno::EINVAL));
    assert_eq!(calls.accept4(udp, 0, &mut NOW()), errno(Errno::EOPNOTSUPP));
    assert_eq!(calls.recv(tcp, &mut [0; 9], 0, &mut NOW()), errno(Errno::ENOTCONN));
    assert_eq!(calls.send(tcp, b"x", 0, &mut NOW()), errno(Errno::EPIPE));
    assert_eq!(calls.send(udp, b"x", 0, &mut NOW()), errno(Errno::EDESTADDRREQ));
    let fast = calls.sendmsg(tcp, b"x", None, &[], MSG_FASTOPEN, &mut NOW());
    assert_eq!(fast, errno(Errno::EINVAL));
    assert_eq!(calls.write(out, b"x", &mut NOW()), errno(Errno::EBADF));
    assert_eq!(calls.read(out, &mut [0], &mut NOW()), errno(Errno::EAGAIN));
    assert_eq!(calls.getpeername(tcp), Err(Errno::ENOTCONN));
    assert_eq!(calls.shutdown(tcp, SHUT_RD), Err(Errno::ENOTCONN));
    assert_eq!(calls.shutdown(tcp, 7), Err(Errno::EINVAL));
    assert_eq!(calls.bind(tcp, &name("10.0.0.9:1")), Err(Errno::EADDRNOTAVAIL));
    assert_eq!(calls.bind(tcp, &name("10.0.0.1:1")[..8]), Err(Errno::EINVAL));
    assert_eq!(calls.bind(tcp, &name("10.0.0.1:9")), Ok(()));
    assert_eq!(calls.bind(tcp, &name("10.0.0.1:9")), Err(Errno::EINVAL));
    assert_eq!(calls.getsockname(tcp), Ok(name("10.0.0.1:9")));
    assert_eq!(
        calls.setsockopt(tcp, SOL_SOCKET, 9_999, &int(1)),
        Err(Errno::ENOPROTOOPT)
    );
    assert_eq!(calls.setsockopt(tcp, SOL_SOCKET, SO_RCVBUF, &[1]), Err(Errno::EINVAL));
    assert_eq!(calls.getsockopt(udp, IPPROTO_TCP, TCP_INFO, 4), Err(Errno::EOPNOTSUPP));
    assert_eq!(calls.ioctl(tcp, 0x1234, 0), Err(Errno::ENOTTY));
    calls.close(into, &mut NOW()).unwrap();
    assert_eq!(calls.close(into, &mut NOW()), errno(Errno::EBADF));
    assert_eq!(calls.read(out, &mut [0], &mut NOW()), Ok(0));
}

#[test]
fn a_connect_that_does_not_wait() {
    let mut world = World::new();
    let listener = world.b().socket(AF_INET, SOCK_STREAM, 0).unwrap();
    world.b().bind(listener, &name("10.0.0.2:80")).unwrap();
    world.b().listen(listener, 1).unwrap();
    let fd = world.a().socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0).unwrap();
    assert_eq!(world.poll_a(fd), POLLOUT | POLLWRNORM | POLLHUP);
    let to = name("10.0.0.2:80");
    assert_eq!(world.a().connect(fd, &to, &mut NOW()), errno(Errno::EINPROGRESS));
    assert_eq!(world.a().connect(fd, &to, &mut NOW()), errno(Errno::EALREADY));
    assert_eq!(world.poll_a(fd), 0);
    assert_eq!(world.a().send(fd, b"x", 0, &mut NOW()), errno(Errno::EAGAIN));
    assert_eq!(world.a().recv(fd, &mut [0; 9], 0, &mut NOW()), errno(Errno::EAGAIN));
    world.pair.settle();
    assert_eq!(world.poll_a(fd), POLLOUT | POLLWRNORM);
    assert_eq!(world.a().getsockopt(fd, SOL_SOCKET, SO_ERROR, 4), Ok(int(0).to_vec()));
    assert_eq!(world.a().connect(fd, &to, &mut NOW()), Ok(()));
    assert_eq!(world.a().connect(fd, &to, &mut NOW()), errno(Errno::EISCONN));
    assert_eq!(world.a().getpeername(fd), Ok(to));
}

#[test]
fn a_connect_that_is_refused() {
    let mut world = World::new();
    let fd = world.a().socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0).unwrap();
    let to = name("10.0.0.2:80");
    assert_eq!(world.a().connect(fd, &to, &mut NOW()), errno(Errno::EINPROGRESS));
    world.pair.settle();
    let all = POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLERR | POLLHUP | POLLRDHUP;
    assert_eq!(world.poll_a(fd), all);
    let refused = int(Errno::ECONNREFUSED as i32).to_vec();
    assert_eq!(world.a().getsockopt(fd, SOL_SOCKET, SO_ERROR, 4), Ok(refused));
    assert_eq!(world.a().connect(fd, &to, &mut NOW()), errno(Errno::ECONNABORTED));
    // A waiting attempt is told why, and may be repeated from the address that was bound.
    let fd = world.a().socket(AF_INET, SOCK_STREAM, 0).unwrap();
    world.a().bind(fd, &name("10.0.0.1:777")).unwrap();
    for _ in 0..2 {
        let mut wait = NOW();
        assert_eq!(world.a().connect(fd, &to, &mut wait), Err(Stop::Block(None)));
        world.pair.settle();
        assert_eq!(world.a().connect(fd, &to, &mut wait), errno(Errno::ECONNREFUSED));
        assert_eq!(world.a().getsockname(fd), Ok(name("10.0.0.1:777")));
    }
}

#[test]
fn receives_wait_for_what_they_want() {
    let mut world = World::new();
    let (a, b) = world.connected();
    let (mut wait, mut buf) = (NOW(), [0; 8]);
    assert_eq!(
        world.b().recv(b, &mut buf, MSG_WAITALL, &mut wait),
        Err(Stop::Block(None))
    );
    assert_eq!(world.a().write(a, b"hello", &mut NOW()), Ok(5));
    world.pair.settle();
    assert_eq!(world.b().ioctl(b, FIONREAD as u64, 0), Ok(5));
    assert_eq!(world.b().recv(b, &mut [0; 8], MSG_PEEK, &mut NOW()), Ok(5));
    assert_eq!(
        world.b().recv(b, &mut buf, MSG_WAITALL, &mut wait),
        Err(Stop::Block(None))
    );
    assert_eq!(world.a().write(a, b" world", &mut NOW()), Ok(6));
    world.pair.settle();
    assert_eq!(world.b().recv(b, &mut buf, MSG_WAITALL, &mut wait), Ok(8));
    assert_eq!(&buf, b"hello wo");
    assert_eq!(world.b().recv(b, &mut [0; 8], MSG_TRUNC, &mut NOW()), Ok(3));
    assert_eq!(
        world.b().recv(b, &mut buf, MSG_DONTWAIT, &mut NOW()),
        errno(Errno::EAGAIN)
    );
    // A quarter of a second, and no longer.
    let timeval = [0_i64.to_ne_bytes(), 250_000_i64.to_ne_bytes()].concat();
    world.b().setsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &timeval).unwrap();
    let (mut wait, end) = (NOW(), world.pair.now + 250 * MS);
    assert_eq!(world.b().read(b, &mut buf, &mut wait), Err(Stop::Block(Some(end))));
    world.pair.pass(250 * MS);
    assert_eq!(world.b().read(b, &mut buf, &mut wait), errno(Errno::EAGAIN));
    world.a().shutdown(a, SHUT_WR).unwrap();
    world.pair.settle();
    assert_eq!(world.b().read(b, &mut buf, &mut NOW()), Ok(0));
}

#[test]
fn a_write_that_waits_writes_all() {
    let mut world = World::new();
    let (a, b) = world.connected();
    let data: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut wait, mut got, mut buf) = (NOW(), Vec::new(), vec![0_u8; 100_000]);
    let mut written = world.a().write(a, &data, &mut wait);
    assert_eq!(written, Err(Stop::Block(None)));
    while got.len() < data.len() {
        world.pair.settle();
        if written.is_err() {
            written = world.a().write(a, &data, &mut wait);
        }
        match world.b().recv(b, &mut buf, MSG_DONTWAIT, &mut NOW()) {
            Ok(n) => got.extend_from_slice(&buf[..n]),
            Err(stop) => {
                assert_eq!(stop, Stop::Errno(Errno::EAGAIN));
                world.pair.pass(10 * MS);
            }
        }
    }
    assert_eq!(written, Ok(data.len()));
    assert!(got == data);
    // One that does not wait writes what there is room for.
    nonblocking(world.a(), a);
    let n = world.a().write(a, &data, &mut NOW()).unwrap();
    assert!((1..data.len()).contains(&n), "{n}");
    assert_eq!(world.poll_a(a) & POLLOUT, 0);
    let queued = world.a().ioctl(a, SIOCOUTQ as u64, 0).unwrap();
    assert_eq!(queued as usize, n);
}

#[test]
fn a_reset_is_told_once() {
    let mut world = World::new();
    let (a, b) = world.connected();
    let on = [1_i32.to_ne_bytes(), 0_i32.to_ne_bytes()].concat();
    world.b().setsockopt(b, SOL_SOCKET, SO_LINGER, &on).unwrap();
    world.b().close(b, &mut NOW()).unwrap();
    world.pair.settle();
    assert_ne!(world.poll_a(a) & (POLLERR | POLLHUP), 0);
    assert_eq!(world.a().read(a, &mut [0; 8], &mut NOW()), errno(Errno::ECONNRESET));
    assert_eq!(world.a().read(a, &mut [0; 8], &mut NOW()), Ok(0));
    assert_eq!(world.a().write(a, b"x", &mut NOW()), errno(Errno::EPIPE));
    assert_eq!(world.a().getpeername(a), Err(Errno::ENOTCONN));
    assert_eq!(
        world.a().connect(a, &name("10.0.0.2:80"), &mut NOW()),
        errno(Errno::EISCONN)
    );
}

#[test]
fn closing_lingers_as_long_as_it_was_told() {
    for (answers, end) in [(true, 0), (false, 2)] {
        let mut world = World::new();
        let (a, _) = world.connected();
        let linger = [1_i32.to_ne_bytes(), 2_i32.to_ne_bytes()].concat();
        world.a().setsockopt(a, SOL_SOCKET, SO_LINGER, &linger).unwrap();
        world.a().write(a, b"last words", &mut NOW()).unwrap();
        let (mut wait, until) = (NOW(), world.pair.now + 2 * SECOND);
        assert_eq!(world.a().close(a, &mut wait), Err(Stop::Block(Some(until))));
        assert_eq!(world.a().fcntl(a, F_GETFL, 0), Err(Errno::EBADF));
        if answers {
            world.pair.settle();
        } else {
            world.pair.now += end * SECOND;
        }
        assert_eq!(world.a().close(a, &mut wait), Ok(()));
    }
}

#[test]
fn epoll_tells_levels_edges_and_once() {
    let mut world = World::new();
    let (a, b) = world.connected();
    let epoll = world.b().epoll_create(1).unwrap();
    let look = |world: &mut World| {
        let mut events = Vec::new();
        let _ = world.b().epoll_wait(epoll, &mut events, 8, 0, &mut NOW());
        events.iter().map(|event| event.events as i16).collect::<Vec<_>>()
    };
    let want = |events| EpollEvent { events, data: 7 };
    let input = POLLIN as u32;
    for (kind, seen) in [
        (0, [vec![POLLIN], vec![POLLIN], vec![POLLIN]]),
        (1 << 31, [vec![POLLIN], vec![], vec![POLLIN]]),
        (1 << 30, [vec![POLLIN], vec![], vec![]]),
    ] {
        world
            .b()
            .epoll_ctl(epoll, EPOLL_CTL_ADD, b, want(input | kind))
            .unwrap();
        assert_eq!(look(&mut world), vec![]);
        world.a().write(a, b"x", &mut NOW()).unwrap();
        world.pair.settle();
        assert_eq!([look(&mut world), look(&mut world)], seen[..2]);
        world.a().write(a, b"x", &mut NOW()).unwrap();
        world.pair.settle();
        assert_eq!(look(&mut world), seen[2]);
        world.b().read(b, &mut [0; 8], &mut NOW()).unwrap();
        assert_eq!(look(&mut world), vec![]);
        world
            .b()
            .epoll_ctl(epoll, EPOLL_CTL_DEL, b, EpollEvent::default())
            .unwrap();
    }
    let mut calls = world.b();
    assert_eq!(
        calls.epoll_ctl(epoll, EPOLL_CTL_MOD, b, want(input)),
        Err(Errno::ENOENT)
    );
    assert_eq!(
        calls.epoll_ctl(b, EPOLL_CTL_ADD, epoll, want(input)),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        calls.epoll_ctl(epoll, EPOLL_CTL_ADD, b, want(POLLOUT as u32 | 1 << 31)),
        Ok(())
    );
    assert_eq!(
        calls.epoll_ctl(epoll, EPOLL_CTL_ADD, b, want(input)),
        Err(Errno::EEXIST)
    );
    assert_eq!(
        calls.epoll_wait(epoll, &mut Vec::new(), 0, 0, &mut NOW()),
        errno(Errno::EINVAL)
    );
    assert_eq!(look(&mut world), vec![POLLOUT]);
    assert_eq!(look(&mut world), vec![]);
    // It waits, and is woken by what it waits for.
    let (mut wait, mut events) = (NOW(), Vec::new());
    let until = Some(world.pair.now + SECOND);
    let blocked = world.b().epoll_wait(epoll, &mut events, 8, 1_000, &mut wait);
    assert_eq!(blocked, Err(Stop::Block(until)));
    world.a().close(a, &mut NOW()).unwrap();
    world.pair.settle();
    assert_eq!(world.b().epoll_wait(epoll, &mut events, 8, 1_000, &mut wait), Ok(1));
    assert_eq!(events[0], want(POLLOUT as u32));
}

#[test]
fn splice_carries_a_stream_through_a_pipe() {
    let mut world = World::new();
    let (a, b) = world.connected();
    let [out, into] = world.b().pipe2(0).unwrap();
    assert_eq!(world.b().splice(b, into, 100, 0, &mut NOW()), Err(Stop::Block(None)));
    assert_eq!(world.b().splice(b, b, 100, 0, &mut NOW()), errno(Errno::EINVAL));
    world.a().write(a, b"through and back", &mut NOW()).unwrap();
    world.pair.settle();
    assert_eq!(world.b().splice(b, into, 100, 0, &mut NOW()), Ok(16));
    assert_eq!(world.b().ioctl(out, FIONREAD as u64, 0), Ok(16));
    assert_eq!(world.b().splice(out, b, 11, 0, &mut NOW()), Ok(11));
    world.pair.settle();
    let mut buf = [0; 32];
    assert_eq!(world.a().read(a, &mut buf, &mut NOW()), Ok(11));
    assert_eq!(world.b().read(out, &mut buf[11..], &mut NOW()), Ok(5));
    assert_eq!(&buf[..16], b"through and back");
    let impatient = world.b().splice(out, b, 1, SPLICE_F_NONBLOCK, &mut NOW());
    assert_eq!(impatient, errno(Errno::EAGAIN));
}

/// RFC 6093 §3: one byte by itself; what reads, looks and splices stops in front of it. Nothing but a read goes past.
#[test]
fn urgent_data_is_apart_or_in_line() {
    let mut world = World::new();
    let (a, b) = world.connected();
    let [out, into] = world.b().pipe2(0).unwrap();
    let mut buf = [0; 32];
    assert_eq!(world.b().recv(b, &mut buf, MSG_OOB, &mut NOW()), errno(Errno::EINVAL));
    assert_eq!(world.a().send(a, b"to here!", MSG_OOB, &mut NOW()), Ok(8));
    assert_eq!(world.a().send(a, b"and on", 0, &mut NOW()), Ok(6));
    world.pair.settle();
    assert_eq!(world.b().splice(b, into, 100, 0, &mut NOW()), Ok(7));
    assert_eq!(world.b().splice(b, into, 100, 0, &mut NOW()), Err(Stop::Block(None)));
    let impatient = world.b().splice(b, into, 100, SPLICE_F_NONBLOCK, &mut NOW());
    assert_eq!(impatient, errno(Errno::EAGAIN));
    assert_eq!(world.b().read(out, &mut buf, &mut NOW()), Ok(7));
    assert_eq!(world.b().ioctl(b, SIOCATMARK as u64, 0), Ok(1));
    let arrived = world.b().recvmsg(b, &mut buf, MSG_OOB, 0, &mut NOW()).unwrap();
    assert_eq!((arrived.len, buf[0], arrived.flags), (1, b'!', MSG_OOB));
    assert_eq!(world.b().read(b, &mut buf, &mut NOW()), Ok(6));
    assert_eq!(&buf[..6], b"and on");
    world.b().setsockopt(b, SOL_SOCKET, SO_OOBINLINE, &int(1)).unwrap();
    assert_eq!(world.a().send(a, b"!", MSG_OOB, &mut NOW()), Ok(1));
    world.pair.settle();
    assert_eq!(world.b().recv(b, &mut buf, MSG_OOB, &mut NOW()), errno(Errno::EINVAL));
    assert_eq!(world.b().read(b, &mut buf, &mut NOW()), Ok(1));
    assert_eq!(buf[0], b'!');
}

#[test]
fn datagrams_carry_addresses_and_errors() {
    let mut world = World::new();
    let (a, b) = (
        world.a().socket(AF_INET, SOCK_DGRAM, 0).unwrap(),
        world.b().socket(AF_INET6, SOCK_DGRAM, 0).unwrap(),
    );
    world.b().bind(b, &Family::V6.encode(at("[::]:53"))).unwrap();
    world.b().setsockopt(b, IPPROTO_IP, IP_PKTINFO, &int(1)).unwrap();
    let to = name("10.0.0.2:53");
    assert_eq!(world.a().sendmsg(a, b"question", Some(&to), &[], 0, &mut NOW()), Ok(8));
    world.pair.settle();
    assert_eq!(world.b().ioctl(b, FIONREAD as u64, 0), Ok(8));
    let mut buf = [0; 4];
    let arrived = world.b().recvmsg(b, &mut buf, MSG_TRUNC, 64, &mut NOW()).unwrap();
    assert_eq!((arrived.len, &buf, arrived.flags), (8, b"ques", MSG_TRUNC));
    assert_eq!(arrived.control.len(), 32);
    let mapped = Family::V6.parse(&arrived.name);
    assert_eq!(
        mapped,
        Family::V4.parse(
            &world
                .a()
                .getsockname(a)
                .map(|mut name| {
                    name[4..8].copy_from_slice(&[10, 0, 0, 1]);
                    name
                })
                .unwrap()
        )
    );
    assert_eq!(world.b().recv(b, &mut buf, 0, &mut NOW()), Err(Stop::Block(None)));
    // Nobody is there: a connected socket hears of it, once.
    world.a().connect(a, &name("10.0.0.2:54"), &mut NOW()).unwrap();
    world.a().send(a, b"anyone?", 0, &mut NOW()).unwrap();
    world.pair.settle();
    assert_eq!(world.poll_a(a) & POLLERR, POLLERR);
    assert_eq!(world.a().recv(a, &mut buf, 0, &mut NOW()), errno(Errno::ECONNREFUSED));
    assert_eq!(world.poll_a(a), POLLOUT | POLLWRNORM);
}

#[test]
fn more_is_waited_for_and_dup_shares_everything() {
    let mut world = World::new();
    let (a, b) = world.connected();
    assert_eq!(world.a().send(a, b"one ", MSG_MORE, &mut NOW()), Ok(4));
    world.pair.settle();
    assert_eq!(
        world.b().recv(b, &mut [0; 9], MSG_DONTWAIT, &mut NOW()),
        errno(Errno::EAGAIN)
    );
    let twin = world.a().dup(a).unwrap();
    assert_eq!(world.a().fcntl(twin, F_SETFL, O_NONBLOCK), Ok(0));
    assert_eq!(world.a().fcntl(a, F_GETFL, 0), Ok(O_RDWR | O_NONBLOCK));
    world.a().close(a, &mut NOW()).unwrap();
    assert_eq!(world.a().send(twin, b"two", 0, &mut NOW()), Ok(3));
    world.pair.settle();
    assert_eq!(world.b().recv(b, &mut [0; 9], 0, &mut NOW()), Ok(7));
    assert_eq!(world.a().fcntl(twin, F_DUPFD, 20), Ok(20));
    let info = world.a().getsockopt(twin, IPPROTO_TCP, TCP_INFO, 1_000).unwrap();
    assert_eq!((info[0], info.len()), (1, 248));
    world.a().close_all();
    world.pair.settle();
    assert_eq!(world.b().recv(b, &mut [0; 9], 0, &mut NOW()), Ok(0));
}

#[test]
fn a_poll_waits_no_longer_than_it_says() {
    let mut world = World::new();
    let (a, _) = world.connected();
    let mut fds = [
        PollFd {
            fd: a,
            events: POLLIN,
            revents: 9,
        },
        PollFd {
            fd: -1,
            events: POLLIN,
            revents: 9,
        },
    ];
    let mut wait = NOW();
    let until = world.pair.now + Duration::from_millis(30);
    assert_eq!(world.a().poll(&mut fds, 30, &mut wait), Err(Stop::Block(Some(until))));
    world.pair.pass(30 * MS);
    assert_eq!(world.a().poll(&mut fds, 30, &mut wait), Ok(0));
    assert_eq!((fds[0].revents, fds[1].revents), (0, 0));
    assert!(world.pair.now > Instant::ZERO);
    fds[1].fd = 77;
    assert_eq!(world.a().poll(&mut fds, -1, &mut NOW()), Ok(1));
    assert_eq!(fds[1].revents, POLLNVAL);
}

/// tcp(7), RFC 7413: MSG_FASTOPEN connects and sends in one call; TCP_FASTOPEN_CONNECT lets connect succeed at once and the first write open.
#[test]
fn fast_open_by_its_socket_options() {
    let server = HostConfig {
        settings: Settings {
            tcp_fastopen: 3,
            ..Settings::default()
        },
        ..HostConfig::default()
    };
    let mut world = World {
        pair: Pair::with(HostConfig::default(), server),
        a: Process::new(),
        b: Process::new(),
    };
    let listener = world.b().socket(AF_INET, SOCK_STREAM, 0).unwrap();
    world
        .b()
        .setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &int(5))
        .unwrap();
    world.b().bind(listener, &name("0.0.0.0:80")).unwrap();
    world.b().listen(listener, 5).unwrap();
    let to = name("10.0.0.2:80");
    for round in 0..3 {
        let client = world.a().socket(AF_INET, SOCK_STREAM, 0).unwrap();
        let mut wait = Wait::default();
        if round < 2 {
            // Without a cookie it waits for the connection; with one the data is on its way at once.
            let sent = world
                .a()
                .sendmsg(client, b"hello", Some(&to), &[], MSG_FASTOPEN, &mut wait);
            if round == 0 {
                assert_eq!(sent, Err(Stop::Block(None)));
                world.pair.settle();
                let sent = world
                    .a()
                    .sendmsg(client, b"hello", Some(&to), &[], MSG_FASTOPEN, &mut wait);
                assert_eq!(sent, Ok(5));
            } else {
                assert_eq!(sent, Ok(5));
            }
            let again = world
                .a()
                .sendmsg(client, b"x", Some(&to), &[], MSG_FASTOPEN, &mut NOW());
            assert_eq!(again, errno(Errno::EISCONN));
        } else {
            let on = int(1);
            world
                .a()
                .setsockopt(client, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on)
                .unwrap();
            assert_eq!(world.a().connect(client, &to, &mut wait), Ok(()));
            world.pair.settle();
            assert_eq!(
                world.b().accept4(listener, SOCK_NONBLOCK, &mut NOW()),
                Err(Stop::Block(None)),
                "no SYN yet"
            );
            assert_eq!(world.a().write(client, b"hello", &mut NOW()), Ok(5));
        }
        world.pair.settle();
        let (server, _) = world.b().accept4(listener, 0, &mut NOW()).unwrap();
        let mut buf = [0; 9];
        assert_eq!(world.b().read(server, &mut buf, &mut NOW()), Ok(5));
        assert_eq!(world.b().write(server, b"there", &mut NOW()), Ok(5));
        world.pair.settle();
        assert_eq!(world.a().read(client, &mut buf, &mut NOW()), Ok(5));
    }
    assert_eq!(world.pair.a.counters().tcp_fast_open_active, 2);
    assert_eq!(world.pair.b.counters().tcp_fast_open_passive, 2);
}

mod segments;
