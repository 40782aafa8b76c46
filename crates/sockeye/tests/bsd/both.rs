//! The same calls on the kernel's sockets and on ours, over the loopback: what each says, written down, must be the same.
//!
//! Left out: `shutdown` on datagram sockets that are not connected, which Linux refuses and does all the same. And what differs by design:
//! POLLOUT on a listener or after a reset, and POLLIN instead of POLLERR for the pending error of a datagram socket.

use super::*;
use sockeye::bsd::{
    AF_INET6, Address, F_GETFL, F_SETFL, IP_TTL, IPPROTO_IP, IPPROTO_TCP, IPV6_V6ONLY, MSG_DONTWAIT, MSG_PEEK,
    MSG_TRUNC, O_NONBLOCK, POLLIN, POLLOUT, POLLRDHUP, SHUT_RD, SHUT_RDWR, SHUT_WR, SO_ACCEPTCONN, SO_BROADCAST,
    SO_DOMAIN, SO_ERROR, SO_KEEPALIVE, SO_PROTOCOL, SO_REUSEADDR, SO_TYPE, SOCK_DGRAM, SOCK_NONBLOCK, SOL_SOCKET,
    TCP_KEEPIDLE, TCP_NODELAY,
};
use sockeye_sys::calls::Sockets;
use std::fmt::Debug;
use std::net::SocketAddr;

/// The calls, on either.
trait Calls {
    fn socket(&self, family: i32, kind: i32, protocol: i32) -> io::Result<i32>;
    fn bind(&self, fd: i32, to: SocketAddr) -> io::Result<()>;
    fn listen(&self, fd: i32) -> io::Result<()>;
    fn accept(&self, fd: i32) -> io::Result<(i32, SocketAddr)>;
    fn connect(&self, fd: i32, to: SocketAddr) -> io::Result<()>;
    fn send(&self, fd: i32, data: &[u8], to: Option<SocketAddr>) -> io::Result<usize>;
    fn recv(&self, fd: i32, room: usize, flags: i32) -> io::Result<(usize, Vec<u8>, Option<SocketAddr>)>;
    fn name(&self, fd: i32, peer: bool) -> io::Result<SocketAddr>;
    fn option(&self, fd: i32, level: i32, name: i32) -> io::Result<i32>;
    fn set_option(&self, fd: i32, level: i32, name: i32, value: i32) -> io::Result<()>;
    fn shutdown(&self, fd: i32, how: i32) -> io::Result<()>;
    fn fcntl(&self, fd: i32, command: i32, argument: i32) -> io::Result<i32>;
    fn poll(&self, fd: i32, events: i16, timeout: i32) -> i16;
    fn close(&self, fd: i32) -> io::Result<()>;
}

struct Kernel(Sockets);

impl Calls for Kernel {
    fn socket(&self, family: i32, kind: i32, protocol: i32) -> io::Result<i32> {
        self.0.socket(family, kind, protocol)
    }
    fn bind(&self, fd: i32, to: SocketAddr) -> io::Result<()> {
        self.0.bind(fd, to).map(drop)
    }
    fn listen(&self, fd: i32) -> io::Result<()> {
        self.0.listen(fd, 16).map(drop)
    }
    fn accept(&self, fd: i32) -> io::Result<(i32, SocketAddr)> {
        self.0.accept(fd, 0).map(|(fd, from)| (fd, from.unwrap()))
    }
    fn connect(&self, fd: i32, to: SocketAddr) -> io::Result<()> {
        self.0.connect(fd, to).map(drop)
    }
    fn send(&self, fd: i32, data: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        self.0.send(fd, data, 0, to).map(|n| n as usize)
    }
    fn recv(&self, fd: i32, room: usize, flags: i32) -> io::Result<(usize, Vec<u8>, Option<SocketAddr>)> {
        let mut buf = vec![0; room];
        let sockeye_sys::calls::Received { len: n, from, .. } = self.0.receive(fd, &mut buf, flags)?;
        buf.truncate(n);
        Ok((n, buf, from))
    }
    fn name(&self, fd: i32, peer: bool) -> io::Result<SocketAddr> {
        self.0.name(fd, peer).map(|name| name.unwrap())
    }
    fn option(&self, fd: i32, level: i32, name: i32) -> io::Result<i32> {
        let value = self.0.option(fd, level, name, 4)?;
        Ok(i32::from_ne_bytes(value[..4].try_into().unwrap()))
    }
    fn set_option(&self, fd: i32, level: i32, name: i32, value: i32) -> io::Result<()> {
        self.0.set_option(fd, level, name, &value.to_ne_bytes()).map(drop)
    }
    fn shutdown(&self, fd: i32, how: i32) -> io::Result<()> {
        self.0.shutdown(fd, how).map(drop)
    }
    fn fcntl(&self, fd: i32, command: i32, argument: i32) -> io::Result<i32> {
        self.0.fcntl(fd, command, argument).map(|value| value as i32)
    }
    fn poll(&self, fd: i32, events: i16, timeout: i32) -> i16 {
        self.0.poll(&[(fd, events)], timeout).unwrap().1[0]
    }
    fn close(&self, fd: i32) -> io::Result<()> {
        self.0.close(fd).map(drop)
    }
}

struct Ours;

impl Calls for Ours {
    fn socket(&self, family: i32, kind: i32, protocol: i32) -> io::Result<i32> {
        bsd::socket(family, kind, protocol)
    }
    fn bind(&self, fd: i32, to: SocketAddr) -> io::Result<()> {
        bsd::bind(fd, to)
    }
    fn listen(&self, fd: i32) -> io::Result<()> {
        bsd::listen(fd, 16)
    }
    fn accept(&self, fd: i32) -> io::Result<(i32, SocketAddr)> {
        bsd::accept(fd).map(|(fd, from)| (fd, from.inet().unwrap()))
    }
    fn connect(&self, fd: i32, to: SocketAddr) -> io::Result<()> {
        bsd::connect(fd, to)
    }
    fn send(&self, fd: i32, data: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        match to {
            Some(to) => bsd::sendto(fd, data, 0, to),
            None => bsd::send(fd, data, 0),
        }
    }
    fn recv(&self, fd: i32, room: usize, flags: i32) -> io::Result<(usize, Vec<u8>, Option<SocketAddr>)> {
        let mut buf = vec![0; room];
        let (n, from) = bsd::recvfrom(fd, &mut buf, flags)?;
        buf.truncate(n);
        Ok((n, buf, from.map(|from: Address| from.inet().unwrap())))
    }
    fn name(&self, fd: i32, peer: bool) -> io::Result<SocketAddr> {
        let name = if peer {
            bsd::getpeername(fd)
        } else {
            bsd::getsockname(fd)
        };
        name?.inet()
    }
    fn option(&self, fd: i32, level: i32, name: i32) -> io::Result<i32> {
        bsd::getsockopt_int(fd, level, name)
    }
    fn set_option(&self, fd: i32, level: i32, name: i32, value: i32) -> io::Result<()> {
        bsd::setsockopt_int(fd, level, name, value)
    }
    fn shutdown(&self, fd: i32, how: i32) -> io::Result<()> {
        bsd::shutdown(fd, how)
    }
    fn fcntl(&self, fd: i32, command: i32, argument: i32) -> io::Result<i32> {
        bsd::fcntl(fd, command, argument)
    }
    fn poll(&self, fd: i32, events: i16, timeout: i32) -> i16 {
        let mut fds = [PollFd { fd, events, revents: 0 }];
        bsd::poll(&mut fds, timeout).unwrap();
        fds[0].revents
    }
    fn close(&self, fd: i32) -> io::Result<()> {
        bsd::close(fd)
    }
}

/// What was said, line by line.
#[derive(Default)]
struct Log(Vec<String>);

impl Log {
    fn note<T: Debug>(&mut self, what: &str, result: io::Result<T>) {
        self.0.push(match result {
            Ok(value) => format!("{what}: {value:?}"),
            Err(error) => format!("{what}: errno {:?}", error.raw_os_error()),
        });
    }

    fn bits(&mut self, what: &str, revents: i16) {
        self.0.push(format!("{what}: {revents:#x}"));
    }
}

fn check(scenario: fn(&dyn Calls, &mut Log)) {
    let (mut kernel, mut ours) = (Log::default(), Log::default());
    scenario(&Kernel(Sockets::default()), &mut kernel);
    let host = host();
    let _entered = host.enter();
    scenario(&Ours, &mut ours);
    assert_eq!(ours.0, kernel.0);
}

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn tcp(calls: &dyn Calls) -> i32 {
    calls.socket(AF_INET, SOCK_STREAM, 0).unwrap()
}

fn udp(calls: &dyn Calls) -> i32 {
    let fd = calls.socket(AF_INET, SOCK_DGRAM, 0).unwrap();
    calls.bind(fd, loopback(0)).unwrap();
    fd
}

fn listening(calls: &dyn Calls) -> (i32, SocketAddr) {
    let fd = tcp(calls);
    calls.bind(fd, loopback(0)).unwrap();
    calls.listen(fd).unwrap();
    (fd, calls.name(fd, false).unwrap())
}

fn connected(calls: &dyn Calls) -> (i32, i32) {
    let (listener, at) = listening(calls);
    let client = tcp(calls);
    calls.connect(client, at).unwrap();
    let (server, _) = calls.accept(listener).unwrap();
    calls.close(listener).unwrap();
    (client, server)
}

#[test]
fn sockets_that_are_not_connected() {
    check(|calls, log| {
        let fd = tcp(calls);
        log.note("name", calls.name(fd, false));
        log.note("peer", calls.name(fd, true));
        log.note("recv", calls.recv(fd, 8, MSG_DONTWAIT));
        log.note("send", calls.send(fd, b"x", None));
        log.note("accept", calls.accept(fd));
        for how in [SHUT_RD, SHUT_WR, SHUT_RDWR, 7] {
            log.note("shutdown", calls.shutdown(fd, how));
        }
        log.note("bind", calls.bind(fd, "192.0.2.1:0".parse().unwrap()));
        log.note("bind", calls.bind(fd, "[::1]:0".parse().unwrap()));
        log.note("bind", calls.bind(fd, loopback(0)));
        log.note("bind", calls.bind(fd, loopback(0)));
        log.note("listen", calls.listen(fd));
        log.note("listen", calls.listen(fd));
        log.note("recv", calls.recv(fd, 8, MSG_DONTWAIT));
        log.note("send", calls.send(fd, b"x", None));
        log.note("peer", calls.name(fd, true));
        log.note("connect", calls.connect(fd, loopback(9)));
        // Not twice: its number may be another thread's by then.
        log.note("close", calls.close(fd));
    });
}

#[test]
fn kinds_and_families() {
    check(|calls, log| {
        for (family, kind, protocol) in [
            (AF_INET, SOCK_STREAM, 17),
            (AF_INET, SOCK_DGRAM, 6),
            (AF_INET, 0, 0),
            (AF_INET, 9, 0),
            (99, SOCK_STREAM, 0),
        ] {
            log.note("socket", calls.socket(family, kind, protocol));
        }
        for (family, kind) in [(AF_INET, SOCK_STREAM), (AF_INET6, SOCK_STREAM), (AF_INET, SOCK_DGRAM)] {
            let fd = calls.socket(family, kind, 0).unwrap();
            for name in [SO_TYPE, SO_DOMAIN, SO_PROTOCOL, SO_ERROR, SO_ACCEPTCONN] {
                log.note("option", calls.option(fd, SOL_SOCKET, name));
            }
            calls.close(fd).unwrap();
        }
    });
}

#[test]
fn bytes_peeks_and_ends() {
    check(|calls, log| {
        let (client, server) = connected(calls);
        log.note("send", calls.send(client, b"hello", None));
        log.bits("poll", calls.poll(server, POLLIN, LONG));
        log.note("peek", calls.recv(server, 3, MSG_PEEK));
        log.note("recv", calls.recv(server, 3, 0));
        log.note("recv", calls.recv(server, 8, 0));
        log.note("recv", calls.recv(server, 8, MSG_DONTWAIT));
        log.bits("poll", calls.poll(server, POLLIN | POLLOUT, 0));
        log.note("shutdown", calls.shutdown(client, SHUT_WR));
        log.note("send", calls.send(client, b"x", None));
        log.bits("poll", calls.poll(server, POLLIN | POLLRDHUP, LONG));
        log.note("recv", calls.recv(server, 8, 0));
        log.note("send", calls.send(server, b"still", None));
        log.note("recv", calls.recv(client, 8, 0));
        log.note("close", calls.close(server));
        log.bits(
            "poll",
            calls.poll(client, POLLIN | POLLRDHUP, LONG) & (POLLIN | POLLRDHUP),
        );
        log.note("recv", calls.recv(client, 8, 0));
        log.note("recv", calls.recv(client, 8, 0));
        log.note("close", calls.close(client));
    });
}

#[test]
fn a_reset_is_told_once() {
    check(|calls, log| {
        let (client, server) = connected(calls);
        calls.send(client, b"never read", None).unwrap();
        log.bits("poll", calls.poll(server, POLLIN, LONG));
        log.note("close", calls.close(server));
        log.bits("poll", calls.poll(client, POLLIN | POLLRDHUP, LONG));
        log.note("recv", calls.recv(client, 8, 0));
        log.note("recv", calls.recv(client, 8, 0));
        log.note("send", calls.send(client, b"x", None));
        log.note("option", calls.option(client, SOL_SOCKET, SO_ERROR));
        log.note("peer", calls.name(client, true));
        log.note("close", calls.close(client));
    });
}

#[test]
fn connecting_without_waiting() {
    check(|calls, log| {
        let (listener, at) = listening(calls);
        let fd = calls.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0).unwrap();
        log.note("flags", calls.fcntl(fd, F_GETFL, 0).map(|flags| flags & O_NONBLOCK));
        log.note(
            "accept",
            calls
                .fcntl(listener, F_SETFL, O_NONBLOCK)
                .and_then(|_| calls.accept(listener)),
        );
        log.note("connect", calls.connect(fd, at));
        log.bits("poll", calls.poll(fd, POLLOUT, LONG));
        log.note("error", calls.option(fd, SOL_SOCKET, SO_ERROR));
        log.note("connect", calls.connect(fd, at));
        log.note("connect", calls.connect(fd, at));
        log.bits("poll", calls.poll(listener, POLLIN, LONG));
        log.note("recv", calls.recv(fd, 8, 0));
        let (server, _) = calls.accept(listener).unwrap();
        log.note("accept", calls.accept(listener));
        for fd in [listener, fd, server] {
            log.note("close", calls.close(fd));
        }
        let fd = calls.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0).unwrap();
        let started = calls.connect(fd, at);
        // The kernel's loopback is so fast that it may know at once.
        assert!([Some(EINPROGRESS), Some(ECONNREFUSED)].contains(&started.unwrap_err().raw_os_error()));
        log.bits("poll", calls.poll(fd, POLLIN | POLLOUT | POLLRDHUP, LONG));
        log.note("error", calls.option(fd, SOL_SOCKET, SO_ERROR));
        log.note("error", calls.option(fd, SOL_SOCKET, SO_ERROR));
        log.note("close", calls.close(fd));
    });
}

#[test]
fn refused_then_connected_on_one_socket() {
    check(|calls, log| {
        let (listener, at) = listening(calls);
        calls.close(listener).unwrap();
        let fd = tcp(calls);
        log.note("connect", calls.connect(fd, at));
        log.note("connect", calls.connect(fd, at));
        let (listener, at) = listening(calls);
        log.note("connect", calls.connect(fd, at));
        log.note("connect", calls.connect(fd, at));
        log.note("listen", calls.listen(fd));
        log.note("close", calls.close(fd));
        log.note("close", calls.close(listener));
    });
}

#[test]
fn options() {
    check(|calls, log| {
        let (stream, datagram) = (tcp(calls), udp(calls));
        for (level, name, value) in [
            (SOL_SOCKET, SO_REUSEADDR, 1),
            (SOL_SOCKET, SO_KEEPALIVE, 1),
            (SOL_SOCKET, SO_BROADCAST, 1),
            (SOL_SOCKET, SO_TYPE, 1),
            (IPPROTO_TCP, TCP_NODELAY, 1),
            (IPPROTO_TCP, TCP_KEEPIDLE, 7),
            (IPPROTO_TCP, TCP_KEEPIDLE, 0),
            (IPPROTO_IP, IP_TTL, 9),
            (IPPROTO_IP, IP_TTL, 256),
            (SOL_SOCKET, 9_999, 1),
            (IPPROTO_TCP, 9_999, 1),
        ] {
            for fd in [stream, datagram] {
                log.note(&format!("set {level} {name}"), calls.set_option(fd, level, name, value));
                log.note(&format!("get {level} {name}"), calls.option(fd, level, name));
            }
        }
        calls.close(stream).unwrap();
        calls.close(datagram).unwrap();
    });
}

#[test]
fn datagrams() {
    check(|calls, log| {
        let (here, there) = (udp(calls), udp(calls));
        let (from, to) = (calls.name(here, false).unwrap(), calls.name(there, false).unwrap());
        log.note("send", calls.send(here, b"x", None));
        log.note("peer", calls.name(here, true));
        log.note("recv", calls.recv(there, 8, MSG_DONTWAIT));
        log.note("listen", calls.listen(here));
        log.note("accept", calls.accept(here));
        log.note("send", calls.send(here, b"0123456789", Some(to)));
        log.note("send", calls.send(here, b"", Some(to)));
        log.bits("poll", calls.poll(there, POLLIN, LONG));
        log.bits("poll", calls.poll(there, POLLIN | POLLOUT, 0));
        let got = calls.recv(there, 4, MSG_PEEK | MSG_TRUNC).unwrap();
        log.note("peek", Ok((got.0, got.2 == Some(from))));
        let got = calls.recv(there, 4, 0).unwrap();
        log.note("recv", Ok((got.1, got.2 == Some(from))));
        let got = calls.recv(there, 4, 0).unwrap();
        log.note("recv", Ok((got.1, got.2 == Some(from))));
        log.bits("poll", calls.poll(there, POLLIN | POLLOUT, 0));
        log.note("send", calls.send(here, &[0; 65_508], Some(to)));
        log.note("send", calls.send(here, b"x", Some("[::1]:9".parse().unwrap())));
        log.note("send", calls.send(here, b"x", Some(loopback(0))));
        log.note("bind", calls.bind(here, loopback(0)));
        log.note("connect", calls.connect(here, to));
        log.note("peer", calls.name(here, true).map(|peer| peer == to));
        log.note("close", calls.close(there));
        log.note("send", calls.send(here, b"anyone?", None));
        log.0.push(format!("told: {}", calls.poll(here, POLLIN, LONG) != 0));
        log.note("recv", calls.recv(here, 8, 0));
        log.note("recv", calls.recv(here, 8, MSG_DONTWAIT));
        log.note("close", calls.close(here));
    });
}

#[test]
fn both_versions_on_one_socket() {
    check(|calls, log| {
        let any = calls.socket(AF_INET6, SOCK_DGRAM, 0).unwrap();
        log.note("v6only", calls.option(any, 41, IPV6_V6ONLY));
        calls.bind(any, "[::]:0".parse().unwrap()).unwrap();
        let port = calls.name(any, false).unwrap().port();
        let here = udp(calls);
        log.note("send", calls.send(here, b"x", Some(loopback(port))));
        let from = calls.recv(any, 8, 0).unwrap().2.unwrap();
        log.note("from", Ok(from.ip()));
        log.note("answer", calls.send(any, b"back", Some(from)));
        log.note("recv", calls.recv(here, 8, 0).map(|got| got.1));
        log.note("connect", calls.connect(here, "[::1]:9".parse().unwrap()));
        calls.close(any).unwrap();
        calls.close(here).unwrap();
    });
}

#[test]
fn a_port_has_one_owner() {
    check(|calls, log| {
        let (listener, at) = listening(calls);
        let other = tcp(calls);
        log.note("bind", calls.bind(other, at));
        log.note("reuse", calls.set_option(other, SOL_SOCKET, SO_REUSEADDR, 1));
        log.note("bind", calls.bind(other, at));
        calls.close(listener).unwrap();
        log.note("bind", calls.bind(other, at));
        log.note("listen", calls.listen(other));
        calls.close(other).unwrap();
        let one = udp(calls);
        let at = calls.name(one, false).unwrap();
        let two = calls.socket(AF_INET, SOCK_DGRAM, 0).unwrap();
        log.note("bind", calls.bind(two, at));
        calls.close(one).unwrap();
        log.note("bind", calls.bind(two, at));
        calls.close(two).unwrap();
    });
}
