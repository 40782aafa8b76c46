use super::*;
use sockeye::bsd::{
    AF_INET6, F_GETFL, F_SETFL, IPPROTO_TCP, MSG_DONTWAIT, MSG_PEEK, O_NONBLOCK, POLLERR, POLLHUP, POLLIN, POLLOUT,
    POLLRDHUP, SHUT_RD, SHUT_WR, SO_ACCEPTCONN, SO_DOMAIN, SO_ERROR, SO_LINGER, SO_RCVTIMEO, SO_REUSEADDR, SO_TYPE,
    SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_RAW, SOL_SOCKET, TCP_INFO, TCP_NODELAY,
};

#[test]
fn bytes_pass_by_our_calls_and_by_the_systems() {
    let host = host();
    let _entered = host.enter();
    let (client, server) = pair();
    let mut buf = [0; 16];
    assert_eq!(bsd::write(client, b"ours").unwrap(), 4);
    assert_eq!(native_read(server, &mut buf).unwrap(), 4);
    assert_eq!(native_write(server, b"the system's").unwrap(), 12);
    assert_eq!(bsd::read(client, &mut buf).unwrap(), 12);
    assert_eq!(&buf[..12], b"the system's");
    bsd::close(client).unwrap();
    assert_eq!(bsd::read(server, &mut buf).unwrap(), 0);
    bsd::close(server).unwrap();
}

#[test]
fn much_passes_both_ways_at_once() {
    let (left, right) = two_hosts();
    let listening = {
        let _entered = left.enter();
        let fd = stream();
        bsd::bind(fd, "10.0.0.1:7").unwrap();
        bsd::listen(fd, 1).unwrap();
        fd
    };
    let echoing = std::thread::spawn(move || {
        let (fd, _) = bsd::accept(listening).unwrap();
        let mut buf = vec![0; 100_000];
        loop {
            let n = bsd::read(fd, &mut buf).unwrap();
            if n == 0 {
                break;
            }
            let mut done = 0;
            while done < n {
                done += bsd::write(fd, &buf[done..n]).unwrap();
            }
        }
        bsd::close(fd).unwrap();
        bsd::close(listening).unwrap();
    });
    let _entered = right.enter();
    let fd = stream();
    bsd::connect(fd, "10.0.0.1:7").unwrap();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let copy = sent.clone();
    let writing = std::thread::spawn(move || {
        let mut rest = &copy[..];
        while !rest.is_empty() {
            rest = &rest[bsd::write(fd, rest).unwrap()..];
        }
        bsd::shutdown(fd, SHUT_WR).unwrap();
    });
    let mut got = Vec::new();
    let mut buf = vec![0; 100_000];
    loop {
        match bsd::read(fd, &mut buf).unwrap() {
            0 => break,
            n => got.extend_from_slice(&buf[..n]),
        }
    }
    writing.join().unwrap();
    echoing.join().unwrap();
    assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
    bsd::close(fd).unwrap();
}

#[test]
fn addresses_ports_and_names() {
    let host = host();
    let _entered = host.enter();
    let fd = stream();
    assert_eq!(bsd::getsockname(fd).unwrap(), "0.0.0.0:0".into());
    bsd::bind(fd, "here.example:http").unwrap();
    assert_eq!(bsd::getsockname(fd).unwrap(), "127.0.0.1:80".into());
    assert_eq!(errno(bsd::bind(fd, "127.0.0.1:81")), EINVAL);
    bsd::listen(fd, 1).unwrap();
    let client = stream();
    bsd::connect(client, ("here.example", "http")).unwrap();
    let (server, from) = bsd::accept(fd).unwrap();
    assert_eq!(bsd::getpeername(client).unwrap(), "127.0.0.1:80".into());
    assert_eq!(bsd::getpeername(server).unwrap(), from);
    // A client that names no port gets a dynamic one.
    assert!(from.inet().unwrap().port() >= 49_152);
    let other = stream();
    assert_eq!(errno(bsd::bind(other, "127.0.0.1:80")), EADDRINUSE);
    let unknown = bsd::connect(other, "nobody.invalid:80").unwrap_err();
    assert_eq!(unknown.kind(), io::ErrorKind::NotFound);
    let wrong = bsd::connect(other, "here.example:no-such-service").unwrap_err();
    assert_eq!(wrong.kind(), io::ErrorKind::InvalidInput);
    for fd in [fd, client, server, other] {
        bsd::close(fd).unwrap();
    }
}

#[test]
fn copies_keep_a_connection_and_the_last_close_ends_it() {
    let host = host();
    let _entered = host.enter();
    let (client, server) = pair();
    // The system's own dup.
    let copy = descriptor::hand_out(descriptor::with(client, |fd| rustix::io::dup(fd)).unwrap().unwrap());
    bsd::close(client).unwrap();
    assert_eq!(bsd::write(copy, b"still").unwrap(), 5);
    assert_eq!(bsd::getpeername(copy).unwrap(), bsd::getsockname(server).unwrap());
    let mut buf = [0; 8];
    assert_eq!(bsd::read(server, &mut buf).unwrap(), 5);
    assert_eq!(
        bsd::recv(server, &mut buf, MSG_DONTWAIT).unwrap_err().raw_os_error(),
        Some(EAGAIN)
    );
    let third = stream();
    assert_eq!(bsd::dup2(copy, third).unwrap(), third);
    bsd::close(copy).unwrap();
    bsd::write(third, b"again").unwrap();
    assert_eq!(bsd::read(server, &mut buf).unwrap(), 5);
    bsd::close(third).unwrap();
    assert_eq!(bsd::read(server, &mut buf).unwrap(), 0);
    bsd::close(server).unwrap();
}

#[test]
fn the_systems_poll_sees_what_is() {
    let host = host();
    let _entered = host.enter();
    let (listening, port) = listener();
    assert_eq!(poll_now(listening, POLLIN), 0);
    let client = bsd::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0).unwrap();
    assert_eq!(errno(bsd::connect(client, ("127.0.0.1", port))), EINPROGRESS);
    assert_eq!(poll(client, POLLOUT), POLLOUT);
    assert_eq!(bsd::getsockopt_int(client, SOL_SOCKET, SO_ERROR).unwrap(), 0);
    bsd::connect(client, ("127.0.0.1", port)).unwrap();
    assert_eq!(errno(bsd::connect(client, ("127.0.0.1", port))), EISCONN);
    assert_eq!(poll(listening, POLLIN), POLLIN);
    let (server, _) = bsd::accept(listening).unwrap();
    assert_eq!(poll_now(listening, POLLIN), 0);
    assert_eq!(poll_now(client, POLLIN | POLLOUT), POLLOUT);
    bsd::write(server, b"x").unwrap();
    assert_eq!(poll(client, POLLIN), POLLIN);
    assert_eq!(bsd::read(client, &mut [0; 8]).unwrap(), 1);
    assert_eq!(poll_now(client, POLLIN), 0);
    bsd::close(server).unwrap();
    assert_eq!(poll(client, POLLIN | POLLRDHUP), POLLIN | POLLRDHUP);
    bsd::close(client).unwrap();
    bsd::close(listening).unwrap();
}

#[test]
fn a_full_network_makes_a_descriptor_unwritable_until_it_drains() {
    let host = host();
    let _entered = host.enter();
    let (client, server) = pair();
    bsd::fcntl(client, F_SETFL, bsd::fcntl(client, F_GETFL, 0).unwrap() | O_NONBLOCK).unwrap();
    let chunk = vec![7; 64 << 10];
    let mut sent = 0;
    let mut idle = 0;
    while idle < 20 {
        match bsd::write(client, &chunk) {
            Ok(n) => (sent, idle) = (sent + n, 0),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(EAGAIN));
                idle += 1;
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
    assert_eq!(poll_now(client, POLLOUT), 0);
    let mut got = 0;
    let mut buf = vec![0; 256 << 10];
    while got < sent {
        got += bsd::read(server, &mut buf).unwrap();
    }
    assert_eq!(poll(client, POLLOUT), POLLOUT);
    bsd::close(client).unwrap();
    bsd::close(server).unwrap();
}

#[test]
fn refused_is_told_at_once_or_by_so_error() {
    let host = host();
    let _entered = host.enter();
    let (listening, port) = listener();
    bsd::close(listening).unwrap();
    let fd = stream();
    assert_eq!(errno(bsd::connect(fd, ("127.0.0.1", port))), ECONNREFUSED);
    // The same socket may try again.
    let (listening, port) = listener();
    bsd::connect(fd, ("127.0.0.1", port)).unwrap();
    bsd::close(fd).unwrap();
    bsd::close(listening).unwrap();

    let quick = bsd::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0).unwrap();
    assert_eq!(errno(bsd::connect(quick, ("127.0.0.1", port))), EINPROGRESS);
    let all = POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP;
    assert_eq!(poll(quick, POLLIN | POLLOUT | POLLRDHUP), all);
    assert_eq!(bsd::getsockopt_int(quick, SOL_SOCKET, SO_ERROR).unwrap(), ECONNREFUSED);
    assert_eq!(bsd::getsockopt_int(quick, SOL_SOCKET, SO_ERROR).unwrap(), 0);
    bsd::close(quick).unwrap();
}

#[test]
fn a_connect_under_way_is_not_writable() {
    let (_left, right) = two_hosts();
    let _entered = right.enter();
    let fd = bsd::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0).unwrap();
    // Nobody has this address, and nobody says so.
    assert_eq!(errno(bsd::connect(fd, "10.0.0.77:7")), EINPROGRESS);
    assert_eq!(errno(bsd::connect(fd, "10.0.0.77:7")), EALREADY);
    assert_eq!(poll_now(fd, POLLIN | POLLOUT), 0);
    assert_eq!(errno(bsd::write(fd, b"x")), EAGAIN);
    bsd::close(fd).unwrap();
}

#[test]
fn halves_close_apart() {
    let host = host();
    let _entered = host.enter();
    let (client, server) = pair();
    bsd::shutdown(client, SHUT_WR).unwrap();
    assert_eq!(errno(bsd::write(client, b"x")), EPIPE);
    let mut buf = [0; 8];
    assert_eq!(bsd::read(server, &mut buf).unwrap(), 0);
    bsd::write(server, b"more").unwrap();
    assert_eq!(bsd::read(client, &mut buf).unwrap(), 4);
    bsd::shutdown(server, SHUT_RD).unwrap();
    assert_eq!(bsd::read(server, &mut buf).unwrap(), 0);
    assert_eq!(errno(bsd::shutdown(client, 7)), EINVAL);
    let fresh = stream();
    assert_eq!(errno(bsd::shutdown(fresh, SHUT_WR)), ENOTCONN);
    assert_eq!(errno(bsd::recv(fresh, &mut buf, 0)), ENOTCONN);
    assert_eq!(errno(bsd::getpeername(fresh)), ENOTCONN);
    assert_eq!(errno(bsd::send(fresh, b"x", 0)), EPIPE);
    for fd in [client, server, fresh] {
        bsd::close(fd).unwrap();
    }
}

#[test]
fn unread_bytes_and_a_linger_of_zero_reset() {
    let host = host();
    let _entered = host.enter();
    let mut buf = [0; 8];
    for linger in [false, true] {
        let (client, server) = pair();
        bsd::write(client, b"x").unwrap();
        assert_eq!(poll(server, POLLIN), POLLIN);
        if linger {
            assert_eq!(bsd::read(server, &mut buf).unwrap(), 1);
            let on = [1_i32.to_ne_bytes(), 0_i32.to_ne_bytes()].concat();
            bsd::setsockopt(server, SOL_SOCKET, SO_LINGER, &on).unwrap();
        }
        bsd::close(server).unwrap();
        assert_eq!(errno(bsd::read(client, &mut buf)), ECONNRESET, "linger {linger}");
        assert_eq!(bsd::read(client, &mut buf).unwrap(), 0);
        assert_eq!(errno(bsd::write(client, b"x")), EPIPE);
        bsd::close(client).unwrap();
    }
    // The system's own read sees it, too.
    let (client, server) = pair();
    bsd::write(client, b"x").unwrap();
    assert_eq!(poll(server, POLLIN), POLLIN);
    bsd::close(server).unwrap();
    assert_eq!(errno(native_read(client, &mut buf)), ECONNRESET);
    bsd::close(client).unwrap();
}

#[test]
fn what_was_written_before_a_close_is_delivered() {
    let host = host();
    let _entered = host.enter();
    let (client, server) = pair();
    let mut sent = 0;
    bsd::fcntl(client, F_SETFL, O_NONBLOCK).unwrap();
    while let Ok(n) = bsd::write(client, &[9; 50_000]) {
        sent += n;
    }
    bsd::close(client).unwrap();
    let mut got = 0;
    let mut buf = vec![0; 100_000];
    loop {
        match bsd::read(server, &mut buf).unwrap() {
            0 => break,
            n => got += n,
        }
    }
    assert_eq!(got, sent);
    bsd::close(server).unwrap();
}

#[test]
fn receiving_looks_waits_and_gives_up() {
    let host = host();
    let _entered = host.enter();
    let (client, server) = pair();
    let mut buf = [0; 8];
    bsd::write(client, b"look").unwrap();
    assert_eq!(bsd::recv(server, &mut buf, MSG_PEEK).unwrap(), 4);
    assert_eq!(bsd::recv(server, &mut buf, 0).unwrap(), 4);
    assert_eq!(errno(bsd::recv(server, &mut buf, MSG_DONTWAIT)), EAGAIN);
    let short = [0_i64.to_ne_bytes(), 20_000_i64.to_ne_bytes()].concat();
    bsd::setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &short).unwrap();
    let begun = Instant::now();
    assert_eq!(errno(bsd::recv(server, &mut buf, 0)), EAGAIN);
    assert!(begun.elapsed() >= Duration::from_millis(20));
    let (listening, _) = listener();
    bsd::setsockopt(listening, SOL_SOCKET, SO_RCVTIMEO, &short).unwrap();
    assert_eq!(errno(bsd::accept(listening)), EAGAIN);
    for fd in [client, server, listening] {
        bsd::close(fd).unwrap();
    }
}

#[test]
fn options_are_kept_and_told() {
    let host = host();
    let _entered = host.enter();
    let (listening, _) = listener();
    let (client, server) = pair();
    bsd::setsockopt_int(listening, SOL_SOCKET, SO_REUSEADDR, 1).unwrap();
    for (fd, level, name, want) in [
        (listening, SOL_SOCKET, SO_ACCEPTCONN, 1),
        (listening, SOL_SOCKET, SO_REUSEADDR, 1),
        (client, SOL_SOCKET, SO_ACCEPTCONN, 0),
        (client, SOL_SOCKET, SO_TYPE, SOCK_STREAM),
        (client, SOL_SOCKET, SO_DOMAIN, AF_INET),
        (client, IPPROTO_TCP, TCP_NODELAY, 0),
    ] {
        assert_eq!(bsd::getsockopt_int(fd, level, name).unwrap(), want, "{level} {name}");
    }
    bsd::setsockopt_int(client, IPPROTO_TCP, TCP_NODELAY, 1).unwrap();
    assert_eq!(bsd::getsockopt_int(client, IPPROTO_TCP, TCP_NODELAY).unwrap(), 1);
    let info = bsd::getsockopt(client, IPPROTO_TCP, TCP_INFO).unwrap();
    assert_eq!((info[0], info.len() > 100), (1, true)); // TCP_ESTABLISHED
    assert!(bsd::setsockopt_int(client, IPPROTO_TCP, 9_999, 1).is_err());
    for fd in [listening, client, server] {
        bsd::close(fd).unwrap();
    }
}

#[test]
fn what_is_no_socket_and_no_kind_of_one_is_refused() {
    let host = host();
    let _entered = host.enter();
    let kinds = [
        (99, SOCK_STREAM, 0, 97),
        (AF_INET, SOCK_STREAM, 17, 93),
        (AF_INET, SOCK_DGRAM, 6, 93),
        (AF_INET6, SOCK_RAW, 0, 1),
        (AF_INET, 0, 0, 94),
        (AF_INET, 4, 0, 94),
    ];
    for (family, kind, protocol, want) in kinds {
        assert_eq!(
            errno(bsd::socket(family, kind, protocol)),
            want,
            "{family} {kind} {protocol}"
        );
    }
    for fd in [-1, i32::MAX] {
        assert_eq!(errno(bsd::read(fd, &mut [0; 8])), EBADF);
        assert_eq!(errno(bsd::close(fd)), EBADF);
        assert_eq!(errno(bsd::listen(fd, 1)), EBADF);
    }
    let fd = bsd::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0).unwrap();
    assert_eq!(bsd::fcntl(fd, bsd::F_GETFD, 0).unwrap(), bsd::FD_CLOEXEC);
    assert_eq!(errno(bsd::accept(fd)), EINVAL);
    bsd::close(fd).unwrap();
}

/// Nothing of a socket stays on its host once its descriptors are closed, however far it came.
#[test]
fn closed_sockets_give_everything_back() {
    let host = host();
    let _entered = host.enter();
    for _ in 0..20 {
        let bound = stream();
        bsd::bind(bound, "127.0.0.1:5000").unwrap();
        bsd::close(bound).unwrap();
        let (client, server) = pair();
        bsd::close(server).unwrap();
        assert_eq!(bsd::read(client, &mut [0; 8]).unwrap(), 0);
        bsd::close(client).unwrap();
        soon(|| {
            let memory = host.memory();
            memory.connections == 0 && memory.half_open == 0
        });
    }
}

#[test]
fn ipv6_sockets_take_both_versions() {
    let host = host();
    let _entered = host.enter();
    let listening = bsd::socket(AF_INET6, SOCK_STREAM, 0).unwrap();
    bsd::bind(listening, "[::]:443").unwrap();
    bsd::listen(listening, 4).unwrap();
    let v4 = stream();
    bsd::connect(v4, "127.0.0.1:https").unwrap();
    let (server, from) = bsd::accept(listening).unwrap();
    assert!(from.to_string().starts_with("[::ffff:127.0.0.1]:"), "{from}");
    let v6 = bsd::socket(AF_INET6, SOCK_STREAM, 0).unwrap();
    bsd::connect(v6, "[::1]:https").unwrap();
    let (other, from) = bsd::accept(listening).unwrap();
    assert!(from.to_string().starts_with("[::1]:"), "{from}");
    for fd in [listening, v4, server, v6, other] {
        bsd::close(fd).unwrap();
    }
}
