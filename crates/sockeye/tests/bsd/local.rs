use super::*;
use sockeye::bsd::{AF_UNIX, AF_UNSPEC, Address, SO_DOMAIN, SO_TYPE, SOCK_DGRAM, SOL_SOCKET};

#[test]
fn local_sockets_are_the_kernels() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listening = bsd::socket(AF_UNIX, SOCK_STREAM, 0).unwrap();
    bsd::bind(listening, &*path).unwrap();
    bsd::listen(listening, 1).unwrap();
    assert_eq!(bsd::getsockname(listening).unwrap(), Address::Unix(path.clone()));
    let client = bsd::socket(AF_UNIX, SOCK_STREAM, 0).unwrap();
    bsd::connect(client, path.to_str().unwrap()).unwrap();
    let (server, from) = bsd::accept(listening).unwrap();
    assert_eq!(from, Address::Unspecified);
    assert_eq!(bsd::getpeername(client).unwrap(), Address::Unix(path.clone()));
    bsd::send(client, b"hello", 0).unwrap();
    let mut buf = [0; 8];
    assert_eq!(bsd::recv(server, &mut buf, 0).unwrap(), 5);
    assert_eq!(bsd::getsockopt_int(server, SOL_SOCKET, SO_DOMAIN).unwrap(), AF_UNIX);
    assert_eq!(bsd::getsockopt_int(server, SOL_SOCKET, SO_TYPE).unwrap(), SOCK_STREAM);
    bsd::shutdown(client, bsd::SHUT_WR).unwrap();
    assert_eq!(bsd::read(server, &mut buf).unwrap(), 0);
    for fd in [listening, client, server] {
        bsd::close(fd).unwrap();
    }
    let late = bsd::socket(AF_UNIX, SOCK_STREAM, 0).unwrap();
    assert_eq!(errno(bsd::connect(late, &*dir.path().join("nobody"))), ENOENT);
    bsd::close(late).unwrap();
}

#[test]
fn local_datagrams_have_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let one = |name: &str| {
        let fd = bsd::socket(AF_UNIX, SOCK_DGRAM, 0).unwrap();
        let path = dir.path().join(name);
        bsd::bind(fd, &*path).unwrap();
        (fd, Address::Unix(path))
    };
    let ((here, from), (there, to)) = (one("here"), one("there"));
    assert_eq!(bsd::sendto(here, b"hi", 0, &to).unwrap(), 2);
    assert_eq!(bsd::recvfrom(there, &mut [0; 8], 0).unwrap(), (2, Some(from)));
    bsd::close(here).unwrap();
    bsd::close(there).unwrap();
}

#[test]
fn names_and_services_both_ways() {
    let host = host();
    let _entered = host.enter();
    assert_eq!(bsd::getservbyname("ssh", Some("tcp")).unwrap().port, 22);
    assert_eq!(bsd::getservbyport(443, None).unwrap().name, "https");
    let found = bsd::gethostbyname("WWW.example").unwrap();
    assert_eq!(found.addresses, ["192.0.2.80".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(
        bsd::gethostbyname("nobody.invalid").unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
    let both = bsd::getaddrinfo("localhost", "domain", AF_UNSPEC, 0).unwrap();
    let texts: Vec<_> = both.iter().map(|info| (info.kind, info.address.to_string())).collect();
    let (v4, v6) = ("127.0.0.1:53".to_owned(), "[::1]:53".to_owned());
    let want = [
        (SOCK_STREAM, v4.clone()),
        (SOCK_DGRAM, v4),
        (SOCK_STREAM, v6.clone()),
        (SOCK_DGRAM, v6),
    ];
    assert_eq!(texts, want);
    let any = bsd::getaddrinfo("", "80", AF_INET, SOCK_STREAM).unwrap();
    assert_eq!(any[0].address, "0.0.0.0:80".parse().unwrap());
}

/// Many sockets at once: one thread serves them all, and each is given back.
#[test]
fn two_hundred_connections_at_once() {
    let host = host();
    let _entered = host.enter();
    let (listening, port) = listener();
    let clients: Vec<i32> = (0..200).map(|_| stream()).collect();
    let accepting = std::thread::spawn(move || {
        let servers: Vec<i32> = (0..200).map(|_| bsd::accept(listening).unwrap().0).collect();
        bsd::close(listening).unwrap();
        servers
    });
    for fd in &clients {
        bsd::connect(*fd, ("127.0.0.1", port)).unwrap();
        bsd::write(*fd, b"x").unwrap();
    }
    let servers = accepting.join().unwrap();
    for fd in servers {
        assert_eq!(bsd::read(fd, &mut [0; 8]).unwrap(), 1);
        bsd::close(fd).unwrap();
    }
    for fd in clients {
        assert_eq!(bsd::read(fd, &mut [0; 8]).unwrap(), 0);
        bsd::close(fd).unwrap();
    }
    soon(|| host.memory().connections == 0);
}
