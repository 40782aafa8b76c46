use super::*;
use sockeye::bsd::{
    Address, IP_PKTINFO, IPPROTO_IP, MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, POLLIN, POLLOUT, SO_ERROR, SO_RCVTIMEO,
    SOCK_DGRAM, SOCK_NONBLOCK, SOL_SOCKET,
};
use std::io::{IoSlice, IoSliceMut};

fn datagrams() -> (i32, i32) {
    let one = || {
        let fd = bsd::socket(AF_INET, SOCK_DGRAM, 0).unwrap();
        bsd::bind(fd, "127.0.0.1:0").unwrap();
        fd
    };
    (one(), one())
}

fn at(fd: i32) -> Address {
    bsd::getsockname(fd).unwrap()
}

#[test]
fn each_has_its_address_and_its_boundaries() {
    let host = host();
    let _entered = host.enter();
    let (here, there) = datagrams();
    let other = bsd::socket(AF_INET, SOCK_DGRAM, 0).unwrap();
    for text in [&b"one"[..], b"", b"three"] {
        assert_eq!(bsd::sendto(here, text, 0, at(there)).unwrap(), text.len());
    }
    assert_eq!(bsd::sendto(other, b"four", 0, at(there)).unwrap(), 4);
    let mut buf = [0; 16];
    for text in [&b"one"[..], b"", b"three"] {
        let (n, from) = bsd::recvfrom(there, &mut buf, 0).unwrap();
        assert_eq!((&buf[..n], from), (text, Some(at(here))));
    }
    let (_, from) = bsd::recvfrom(there, &mut buf, 0).unwrap();
    let port = at(other).inet().unwrap().port();
    assert_eq!(from, Some(Address::from(("127.0.0.1", port))));
    for fd in [here, there, other] {
        bsd::close(fd).unwrap();
    }
}

#[test]
fn many_in_flight_come_in_order_by_whichever_call() {
    let host = host();
    let _entered = host.enter();
    let (here, there) = datagrams();
    for n in 0..60_u8 {
        bsd::sendto(here, &[n; 3], 0, at(there)).unwrap();
    }
    let mut buf = [0; 8];
    for n in 0..60_u8 {
        let got = match n % 3 {
            0 => native_read(there, &mut buf).unwrap(),
            1 => bsd::recvfrom(there, &mut buf, 0).unwrap().0,
            _ => {
                assert_eq!(poll(there, POLLIN), POLLIN);
                bsd::read(there, &mut buf).unwrap()
            }
        };
        assert_eq!((&buf[..got], n), (&[n; 3][..], n));
    }
    assert_eq!(errno(bsd::recv(there, &mut buf, MSG_DONTWAIT)), EAGAIN);
    bsd::close(here).unwrap();
    bsd::close(there).unwrap();
}

#[test]
fn connected_ones_need_no_address() {
    let host = host();
    let _entered = host.enter();
    let (here, there) = datagrams();
    assert_eq!(errno(bsd::send(here, b"x", 0)), EDESTADDRREQ);
    assert_eq!(errno(bsd::getpeername(here)), ENOTCONN);
    bsd::connect(here, at(there)).unwrap();
    assert_eq!(bsd::getpeername(here).unwrap(), at(there));
    bsd::write(here, b"ours").unwrap();
    native_write(here, b"the system's").unwrap();
    let mut buf = [0; 16];
    assert_eq!(bsd::read(there, &mut buf).unwrap(), 4);
    assert_eq!(bsd::recvfrom(there, &mut buf, 0).unwrap(), (12, Some(at(here))));
    bsd::connect(here, Address::Unspecified).unwrap();
    assert_eq!(errno(bsd::getpeername(here)), ENOTCONN);
    bsd::close(here).unwrap();
    bsd::close(there).unwrap();
}

#[test]
fn a_port_that_nobody_has_is_told() {
    let host = host();
    let _entered = host.enter();
    let (here, there) = datagrams();
    bsd::connect(here, at(there)).unwrap();
    bsd::close(there).unwrap();
    bsd::send(here, b"anyone?", 0).unwrap();
    assert_eq!(poll(here, POLLIN), POLLIN);
    assert_eq!(errno(bsd::recv(here, &mut [0; 8], 0)), ECONNREFUSED);
    assert_eq!(bsd::getsockopt_int(here, SOL_SOCKET, SO_ERROR).unwrap(), 0);
    bsd::close(here).unwrap();
}

#[test]
fn lengths_flags_and_waiting() {
    let host = host();
    let _entered = host.enter();
    let (here, there) = datagrams();
    let mut buf = [0; 4];
    bsd::sendto(here, b"0123456789", 0, at(there)).unwrap();
    assert_eq!(
        bsd::recvfrom(there, &mut buf, MSG_PEEK | MSG_TRUNC).unwrap(),
        (10, Some(at(here)))
    );
    let message = bsd::recvmsg(there, &mut [IoSliceMut::new(&mut buf)], 0, 0).unwrap();
    assert_eq!((message.len, message.flags), (4, MSG_TRUNC));
    assert_eq!(errno(bsd::sendto(here, &[0; 70_000], 0, at(there))), EMSGSIZE);
    let long = vec![5; 65_507];
    assert_eq!(bsd::sendto(here, &long, 0, at(there)).unwrap(), 65_507);
    assert_eq!(bsd::recv(there, &mut vec![0; 70_000], 0).unwrap(), 65_507);
    let short = [0_i64.to_ne_bytes(), 20_000_i64.to_ne_bytes()].concat();
    bsd::setsockopt(there, SOL_SOCKET, SO_RCVTIMEO, &short).unwrap();
    assert_eq!(errno(bsd::recv(there, &mut buf, 0)), EAGAIN);
    assert_eq!(poll_now(there, POLLIN | POLLOUT), POLLOUT);
    let quick = bsd::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0).unwrap();
    assert_eq!(errno(bsd::recv(quick, &mut buf, 0)), EAGAIN);
    for fd in [here, there, quick] {
        bsd::close(fd).unwrap();
    }
}

#[test]
fn messages_of_parts_and_control() {
    let host = host();
    let _entered = host.enter();
    let (here, there) = datagrams();
    bsd::setsockopt_int(there, IPPROTO_IP, IP_PKTINFO, 1).unwrap();
    let parts = [IoSlice::new(b"one"), IoSlice::new(b"two")];
    assert_eq!(bsd::sendmsg(here, &parts, Some(&at(there)), &[], 0).unwrap(), 6);
    let (mut a, mut b) = ([0; 2], [0; 8]);
    let mut bufs = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
    let message = bsd::recvmsg(there, &mut bufs, 256, 0).unwrap();
    assert_eq!((message.len, message.from), (6, Some(at(here))));
    assert_eq!((&a, &b[..4]), (b"on", &b"etwo"[..]));
    // struct in_pktinfo: interface, and 127.0.0.1 twice.
    assert_eq!(message.control[20..28], [127, 0, 0, 1, 127, 0, 0, 1]);
    bsd::close(here).unwrap();
    bsd::close(there).unwrap();
}

#[test]
fn one_that_waits_is_woken_across_hosts() {
    let (left, right) = two_hosts();
    let there = {
        let _entered = left.enter();
        let fd = bsd::socket(AF_INET, SOCK_DGRAM, 0).unwrap();
        bsd::bind(fd, "10.0.0.1:domain").unwrap();
        fd
    };
    let waiting = std::thread::spawn(move || {
        let mut buf = [0; 64];
        let (n, from) = bsd::recvfrom(there, &mut buf, 0).unwrap();
        bsd::sendto(there, &buf[..n], 0, from.unwrap()).unwrap();
        bsd::close(there).unwrap();
    });
    let _entered = right.enter();
    let here = bsd::socket(AF_INET, SOCK_DGRAM, 0).unwrap();
    bsd::sendto(here, b"who?", 0, ("10.0.0.1", "domain")).unwrap();
    assert_eq!(bsd::recv(here, &mut [0; 64], 0).unwrap(), 4);
    waiting.join().unwrap();
    bsd::close(here).unwrap();
}
