//! Opening: bind, listen, connect, accept, and how they fail.

use super::*;

#[tokio::test]
async fn both_ends_agree_on_their_addresses() {
    let world = World::new().await;
    let (client, server) = connected(&world).await;
    assert_eq!(client.local_addr().unwrap(), server.peer_addr().unwrap());
    assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
    assert_eq!(client.local_addr().unwrap().ip(), world.client_v4());
    assert_eq!(server.local_addr().unwrap().ip(), world.v4());
}

#[tokio::test]
async fn accept_tells_who_came() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, server) = tokio::join!(world.client(TcpStream::connect(address)), listener.accept());
    assert_eq!(server.unwrap().1, client.unwrap().local_addr().unwrap());
}

#[tokio::test]
async fn port_0_gets_a_port() {
    let world = World::new().await;
    let one = world.server(TcpListener::bind("0.0.0.0:0")).await.unwrap();
    let two = world.server(TcpListener::bind("0.0.0.0:0")).await.unwrap();
    let (one, two) = (one.local_addr().unwrap().port(), two.local_addr().unwrap().port());
    assert!(one != 0 && two != 0 && one != two);
}

#[tokio::test]
async fn nobody_listens() {
    let world = World::new().await;
    let address = closed(&world).await;
    let error = world.client(TcpStream::connect(address)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(error.raw_os_error(), Some(111));
}

#[tokio::test]
async fn somebody_listens_already() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    let error = world
        .server(TcpListener::bind(listener.local_addr().unwrap()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert_eq!(error.raw_os_error(), Some(98));
}

#[tokio::test]
async fn a_port_is_free_again_at_once() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert!(world.server(TcpListener::bind(address)).await.is_ok());
}

#[tokio::test]
async fn a_port_with_connections_can_be_listened_on_again() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (mut client, server) = connect_to(&world, &listener).await;
    drop((server, listener));
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    drop(client);
    assert!(world.server(TcpListener::bind(address)).await.is_ok());
}

#[tokio::test]
async fn an_address_that_is_not_ours() {
    let world = World::new().await;
    let error = world.server(TcpListener::bind("192.0.2.1:0")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    assert_eq!(error.raw_os_error(), Some(99));
}

#[tokio::test]
async fn all_ways_to_write_an_address() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ip, port) = (address.ip(), address.port());
    world
        .client(async {
            TcpStream::connect(address).await.unwrap();
            TcpStream::connect(&address).await.unwrap();
            TcpStream::connect((ip, port)).await.unwrap();
            TcpStream::connect((ip.to_string(), port)).await.unwrap();
            TcpStream::connect((ip.to_string().as_str(), port)).await.unwrap();
            TcpStream::connect(address.to_string()).await.unwrap();
            TcpStream::connect(address.to_string().as_str()).await.unwrap();
            TcpStream::connect(&[address][..]).await.unwrap();
        })
        .await;
}

#[tokio::test]
async fn of_several_addresses_the_first_that_accepts() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    let all = [closed(&world).await, listener.local_addr().unwrap()];
    let client = world.client(TcpStream::connect(&all[..])).await.unwrap();
    assert_eq!(client.peer_addr().unwrap(), all[1]);
}

#[tokio::test]
async fn of_several_addresses_none() {
    let world = World::new().await;
    let all = [closed(&world).await, closed(&world).await];
    let error = world.client(TcpStream::connect(&all[..])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn no_address_at_all() {
    let world = World::new().await;
    let none: [SocketAddr; 0] = [];
    for error in [
        world.client(TcpStream::connect(&none[..])).await.unwrap_err(),
        world.client(TcpListener::bind(&none[..])).await.unwrap_err(),
        world.client(UdpSocket::bind(&none[..])).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn what_is_no_address() {
    let world = World::new().await;
    for text in ["nonsense", "127.0.0.1", "127.0.0.1:port", "127.0.0.1:65536", ""] {
        let error = world.client(TcpStream::connect(text)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
    }
}

#[tokio::test]
async fn localhost_is_known() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind("localhost:0")).await.unwrap();
    assert!(listener.local_addr().unwrap().ip().is_loopback());
}

#[tokio::test]
async fn an_unspecified_destination_is_this_machine() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind("0.0.0.0:0")).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (client, _server) = tokio::join!(world.server(TcpStream::connect(("0.0.0.0", port))), listener.accept());
    assert!(client.unwrap().peer_addr().unwrap().ip().is_loopback());
}

#[tokio::test]
async fn port_0_cannot_be_connected_to() {
    let world = World::new().await;
    let error = world.client(TcpStream::connect((world.v4(), 0))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_connection_is_made_before_it_is_accepted() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = world.client(TcpStream::connect(address)).await.unwrap();
    client.write_all(b"early").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = String::new();
    listener
        .accept()
        .await
        .unwrap()
        .0
        .read_to_string(&mut heard)
        .await
        .unwrap();
    assert_eq!(heard, "early");
}

#[tokio::test]
async fn connections_are_accepted_in_order() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(world.client(TcpStream::connect(address)).await.unwrap());
    }
    for client in &clients {
        assert_eq!(listener.accept().await.unwrap().1, client.local_addr().unwrap());
    }
}

#[tokio::test]
async fn accept_waits_and_a_dropped_one_takes_nothing() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    must_wait(listener.accept()).await;
    let (client, server) = connect_to(&world, &listener).await;
    assert_eq!(client.local_addr().unwrap(), server.peer_addr().unwrap());
}

#[tokio::test]
async fn several_tasks_may_accept() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let clients = async {
        let one = world.client(TcpStream::connect(address)).await.unwrap();
        let two = world.client(TcpStream::connect(address)).await.unwrap();
        [one.local_addr().unwrap(), two.local_addr().unwrap()]
    };
    let (one, two, clients) = tokio::join!(listener.accept(), listener.accept(), clients);
    let mut came = [one.unwrap().1, two.unwrap().1];
    came.sort();
    let mut clients = clients;
    clients.sort();
    assert_eq!(came, clients);
}

#[tokio::test]
async fn poll_accept_does_as_accept() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = std::future::poll_fn(|cx| listener.poll_accept(cx));
    let (client, server) = tokio::join!(world.client(TcpStream::connect(address)), accept);
    assert_eq!(client.unwrap().local_addr().unwrap(), server.unwrap().1);
}

#[tokio::test]
async fn a_dropped_listener_resets_who_was_not_accepted() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    let mut client = world
        .client(TcpStream::connect(listener.local_addr().unwrap()))
        .await
        .unwrap();
    drop(listener);
    let error = client.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_dropped_listener_leaves_accepted_connections_alone() {
    let world = World::new().await;
    let (mut client, mut server) = connected(&world).await;
    client.write_all(b"still here").await.unwrap();
    let mut heard = [0; 10];
    server.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"still here");
}

#[tokio::test]
async fn ipv6() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v6(), 0))).await.unwrap();
    let (client, server) = connect_to(&world, &listener).await;
    assert_eq!(client.peer_addr().unwrap().ip(), world.v6());
    assert_eq!(server.peer_addr().unwrap(), client.local_addr().unwrap());
}

#[tokio::test]
async fn a_dual_stack_listener_shows_ipv4_as_mapped() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind("[::]:0")).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (client, server) = tokio::join!(world.client(TcpStream::connect((world.v4(), port))), listener.accept());
    let (client, (server, from)) = (client.unwrap(), server.unwrap());
    let IpAddr::V6(peer) = from.ip() else { panic!("{from}") };
    assert_eq!(IpAddr::from(peer.to_ipv4_mapped().unwrap()), world.client_v4());
    assert_eq!(server.peer_addr().unwrap(), from);
    assert!(server.local_addr().unwrap().is_ipv6());
    assert!(client.local_addr().unwrap().is_ipv4());
}

#[tokio::test]
async fn a_dual_stack_listener_takes_ipv6_too() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind("[::]:0")).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (client, server) = tokio::join!(world.client(TcpStream::connect((world.v6(), port))), listener.accept());
    assert_eq!(client.unwrap().local_addr().unwrap(), server.unwrap().1);
}

#[tokio::test]
async fn a_mapped_destination_is_ipv4() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    let IpAddr::V4(v4) = world.v4() else { panic!() };
    let mapped = (v4.to_ipv6_mapped(), listener.local_addr().unwrap().port());
    let (client, server) = tokio::join!(world.client(TcpStream::connect(mapped)), listener.accept());
    let (client, (_server, from)) = (client.unwrap(), server.unwrap());
    assert_eq!(client.peer_addr().unwrap(), SocketAddr::from(mapped));
    assert!(client.local_addr().unwrap().is_ipv6());
    assert!(from.is_ipv4());
}

#[tokio::test]
async fn families_that_do_not_fit() {
    let world = World::new().await;
    world
        .client(async {
            let (v4, v6) = (SocketAddr::new(world.v4(), 9), SocketAddr::new(world.v6(), 9));
            let of = |result: io::Result<()>| result.unwrap_err().raw_os_error();
            assert_eq!(of(TcpSocket::new_v4().unwrap().bind(v6)), Some(errno::EAFNOSUPPORT));
            assert_eq!(of(TcpSocket::new_v6().unwrap().bind(v4)), Some(errno::EINVAL));
            let error = TcpSocket::new_v4().unwrap().connect(v6).await.unwrap_err();
            assert_eq!(error.raw_os_error(), Some(errno::EAFNOSUPPORT));
        })
        .await;
}

#[tokio::test]
async fn a_socket_is_bound_once() {
    let world = World::new().await;
    world
        .server(async {
            let socket = TcpSocket::new_v4().unwrap();
            let any = SocketAddr::new(world.v4(), 0);
            socket.bind(any).unwrap();
            assert_eq!(socket.bind(any).unwrap_err().raw_os_error(), Some(errno::EINVAL));
        })
        .await;
}

#[tokio::test]
async fn the_address_of_a_socket_before_and_after_bind() {
    let world = World::new().await;
    world
        .server(async {
            let socket = TcpSocket::new_v4().unwrap();
            assert_eq!(socket.local_addr().unwrap(), "0.0.0.0:0".parse().unwrap());
            socket.bind(SocketAddr::new(world.v4(), 0)).unwrap();
            let bound = socket.local_addr().unwrap();
            assert_eq!(bound.ip(), world.v4());
            assert_ne!(bound.port(), 0);
            let listener = socket.listen(8).unwrap();
            assert_eq!(listener.local_addr().unwrap(), bound);
            let six = TcpSocket::new_v6().unwrap();
            assert_eq!(six.local_addr().unwrap(), "[::]:0".parse().unwrap());
        })
        .await;
}

#[tokio::test]
async fn a_bound_socket_connects_from_there() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let connect = world.client(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(world.client_v4(), 0)).unwrap();
        let bound = socket.local_addr().unwrap();
        (bound, socket.connect(address).await.unwrap())
    });
    let ((bound, client), accepted) = tokio::join!(connect, listener.accept());
    assert_eq!(client.local_addr().unwrap(), bound);
    assert_eq!(accepted.unwrap().1, bound);
}

#[tokio::test]
async fn a_dropped_socket_gives_its_port_back() {
    let world = World::new().await;
    world
        .server(async {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::new(world.v4(), 0)).unwrap();
            let bound = socket.local_addr().unwrap();
            drop(socket);
            TcpSocket::new_v4().unwrap().bind(bound).unwrap();
        })
        .await;
}

#[tokio::test]
async fn an_unbound_socket_can_listen() {
    let world = World::new().await;
    let listener = world
        .server(async { TcpSocket::new_v4().unwrap().listen(8).unwrap() })
        .await;
    let port = listener.local_addr().unwrap().port();
    assert_ne!(port, 0);
    let (client, server) = tokio::join!(world.client(TcpStream::connect((world.v4(), port))), listener.accept());
    assert_eq!(client.unwrap().local_addr().unwrap(), server.unwrap().1);
}

#[tokio::test]
async fn reuseport_lets_two_listen() {
    let world = World::new().await;
    world
        .server(async {
            let listen = |address| {
                let socket = TcpSocket::new_v4()?;
                socket.set_reuseport(true)?;
                socket.bind(address)?;
                socket.listen(8)
            };
            let one = listen(SocketAddr::new(world.v4(), 0)).unwrap();
            let two = listen(one.local_addr().unwrap()).unwrap();
            assert_eq!(one.local_addr().unwrap(), two.local_addr().unwrap());
        })
        .await;
}

#[tokio::test]
async fn reuseaddr_alone_does_not_let_two_listen() {
    let world = World::new().await;
    world
        .server(async {
            let bind = |address| {
                let socket = TcpSocket::new_v4()?;
                socket.set_reuseaddr(true)?;
                socket.bind(address)?;
                socket.listen(8)
            };
            let one = bind(SocketAddr::new(world.v4(), 0)).unwrap();
            let error = bind(one.local_addr().unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
        })
        .await;
}

#[tokio::test]
async fn a_dropped_connect_is_forgotten() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    for _ in 0..10 {
        let connecting = world.client(TcpStream::connect(address));
        tokio::select! {
            biased;
            connected = connecting => drop(connected.unwrap()),
            () = tokio::task::yield_now() => {}
        }
    }
    let client = world.client(TcpStream::connect(address)).await.unwrap();
    // Those that were given up on may have been established before; the last one comes all the same.
    while listener.accept().await.unwrap().1 != client.local_addr().unwrap() {}
}

#[tokio::test]
async fn a_hundred_connections_at_once() {
    let world = World::new().await;
    let listener = world.server(TcpListener::bind((world.v4(), 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async {
        for _ in 0..100 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _echo = tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await.unwrap();
            });
        }
    };
    let clients = world.client(async {
        let mut streams = Vec::new();
        for n in 0..100_u32 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(&n.to_be_bytes()).await.unwrap();
            streams.push(stream);
        }
        for (n, stream) in streams.iter_mut().enumerate() {
            assert_eq!(stream.read_u32().await.unwrap() as usize, n);
        }
    });
    tokio::join!(serve, clients);
}
