//! The body: written once, against `net` and `world`.

macro_rules! tests {
    () => {
        use net::{TcpListener, TcpStream, UdpSocket};
        use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
        use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
        use std::sync::mpsc;
        use std::thread;
        use std::time::{Duration, Instant};

        /// A whole number of ticks for the kernel, whatever they are.
        const SOON: Duration = Duration::from_millis(40);
        const LONG: Duration = Duration::from_secs(20);

        fn listener() -> TcpListener {
            world();
            TcpListener::bind("127.0.0.1:0").unwrap()
        }

        fn pair() -> (TcpStream, TcpStream) {
            let listener = listener();
            let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let there = listener.accept().unwrap().0;
            for stream in [&here, &there] {
                stream.set_read_timeout(Some(LONG)).unwrap();
                stream.set_write_timeout(Some(LONG)).unwrap();
            }
            (here, there)
        }

        fn datagrams() -> (UdpSocket, UdpSocket) {
            world();
            let one = || UdpSocket::bind("127.0.0.1:0").unwrap();
            let (here, there) = (one(), one());
            here.set_read_timeout(Some(LONG)).unwrap();
            there.set_read_timeout(Some(LONG)).unwrap();
            (here, there)
        }

        /// A port that nobody has.
        fn nobody() -> SocketAddr {
            listener().local_addr().unwrap()
        }

        #[test]
        fn bytes_go_both_ways_and_end() {
            let (mut here, mut there) = pair();
            here.write_all(b"ping").unwrap();
            let mut buf = [0; 4];
            there.read_exact(&mut buf).unwrap();
            assert_eq!(&buf, b"ping");
            there.write_all(b"pong!").unwrap();
            drop(there);
            let mut got = String::new();
            here.read_to_string(&mut got).unwrap();
            assert_eq!(got, "pong!");
            assert_eq!(here.read(&mut buf).unwrap(), 0);
        }

        #[test]
        fn addresses_match_on_both_ends() {
            let listener = listener();
            let at = listener.local_addr().unwrap();
            let here = TcpStream::connect(at).unwrap();
            let (there, from) = listener.accept().unwrap();
            assert_eq!(here.peer_addr().unwrap(), at);
            assert_eq!(here.local_addr().unwrap(), from);
            assert_eq!(there.peer_addr().unwrap(), from);
            assert_eq!(there.local_addr().unwrap(), at);
            assert_ne!(at.port(), 0);
        }

        #[test]
        fn every_form_of_address_is_taken() {
            let listener = listener();
            let port = listener.local_addr().unwrap().port();
            TcpStream::connect(("127.0.0.1", port)).unwrap();
            TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            TcpStream::connect((IpAddr::from(Ipv4Addr::LOCALHOST), port)).unwrap();
            TcpStream::connect(("localhost", port)).unwrap();
            let several = [nobody(), SocketAddr::from(([127, 0, 0, 1], port))];
            TcpStream::connect(&several[..]).unwrap();
            assert_eq!(
                TcpStream::connect("no port here").unwrap_err().kind(),
                ErrorKind::InvalidInput
            );
        }

        #[test]
        fn ipv6_works_the_same() {
            world();
            let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
            let at = listener.local_addr().unwrap();
            assert!(at.is_ipv6());
            let here = TcpStream::connect(at).unwrap();
            assert_eq!(listener.accept().unwrap().1, here.local_addr().unwrap());
        }

        #[test]
        fn nobody_there_refuses() {
            let error = TcpStream::connect(nobody()).unwrap_err();
            assert_eq!(
                (error.kind(), error.raw_os_error()),
                (ErrorKind::ConnectionRefused, Some(111))
            );
            let error = TcpStream::connect_timeout(&nobody(), LONG).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }

        #[test]
        fn connect_timeout_connects_and_refuses_zero() {
            let listener = listener();
            let at = listener.local_addr().unwrap();
            TcpStream::connect_timeout(&at, LONG).unwrap();
            let error = TcpStream::connect_timeout(&at, Duration::ZERO).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }

        #[test]
        fn a_port_is_held_by_one_listener() {
            let listener = listener();
            let error = TcpListener::bind(listener.local_addr().unwrap()).unwrap_err();
            assert_eq!(
                (error.kind(), error.raw_os_error()),
                (ErrorKind::AddrInUse, Some(98))
            );
            let error = TcpListener::bind("192.0.2.1:0").unwrap_err();
            assert_eq!(
                (error.kind(), error.raw_os_error()),
                (ErrorKind::AddrNotAvailable, Some(99))
            );
        }

        #[test]
        fn incoming_goes_on() {
            let listener = listener();
            let at = listener.local_addr().unwrap();
            let dialing = thread::spawn(move || {
                (0..3)
                    .map(|_| TcpStream::connect(at).unwrap())
                    .collect::<Vec<_>>()
            });
            let accepted: Vec<_> = listener
                .incoming()
                .take(3)
                .map(|stream| stream.unwrap())
                .collect();
            assert_eq!((accepted.len(), dialing.join().unwrap().len()), (3, 3));
        }

        #[test]
        fn accept_waits_for_a_connection() {
            let listener = listener();
            let at = listener.local_addr().unwrap();
            let (told, hears) = mpsc::channel();
            let accepting = thread::spawn(move || {
                told.send(()).unwrap();
                listener.accept().unwrap().1
            });
            hears.recv().unwrap();
            let here = TcpStream::connect(at).unwrap();
            assert_eq!(accepting.join().unwrap(), here.local_addr().unwrap());
        }

        #[test]
        fn a_listener_that_does_not_wait_says_so_and_its_clone_too() {
            let listener = listener();
            listener.set_nonblocking(true).unwrap();
            let clone = listener.try_clone().unwrap();
            let error = clone.accept().unwrap_err();
            assert_eq!(
                (error.kind(), error.raw_os_error()),
                (ErrorKind::WouldBlock, Some(11))
            );
            listener.set_nonblocking(false).unwrap();
            let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            assert_eq!(clone.accept().unwrap().1, here.local_addr().unwrap());
        }

        #[test]
        fn a_listener_lives_as_long_as_its_last_clone() {
            let listener = listener();
            let at = listener.local_addr().unwrap();
            let clone = listener.try_clone().unwrap();
            drop(listener);
            TcpStream::connect(at).unwrap();
            drop(clone);
            assert_eq!(
                TcpStream::connect(at).unwrap_err().kind(),
                ErrorKind::ConnectionRefused
            );
        }

        #[test]
        fn reads_time_out() {
            let (mut here, _there) = pair();
            here.set_read_timeout(Some(SOON)).unwrap();
            assert_eq!(here.read_timeout().unwrap(), Some(SOON));
            let begun = Instant::now();
            let error = here.read(&mut [0; 8]).unwrap_err();
            assert_eq!(
                (error.kind(), error.raw_os_error()),
                (ErrorKind::WouldBlock, Some(11))
            );
            assert!(begun.elapsed() >= SOON, "{:?}", begun.elapsed());
        }

        #[test]
        fn timeouts_are_of_the_socket_not_of_the_handle() {
            let (here, _there) = pair();
            let clone = here.try_clone().unwrap();
            here.set_read_timeout(Some(SOON)).unwrap();
            here.set_write_timeout(None).unwrap();
            assert_eq!(clone.read_timeout().unwrap(), Some(SOON));
            assert_eq!(clone.write_timeout().unwrap(), None);
            assert_eq!(
                (&clone).read(&mut [0; 8]).unwrap_err().kind(),
                ErrorKind::WouldBlock
            );
            let error = here.set_read_timeout(Some(Duration::ZERO)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }

        #[test]
        fn writes_time_out_against_a_stuck_reader() {
            let (mut here, _there) = pair();
            here.set_write_timeout(Some(SOON)).unwrap();
            let chunk = vec![0; 1 << 20];
            let error = loop {
                match here.write(&chunk) {
                    Ok(n) => assert!(n > 0),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        }

        #[test]
        fn one_write_waits_until_all_is_queued() {
            let (mut here, mut there) = pair();
            let reading = thread::spawn(move || {
                let mut got = Vec::new();
                there.read_to_end(&mut got).unwrap();
                got.len()
            });
            assert_eq!(here.write(&vec![7; 16 << 20]).unwrap(), 16 << 20);
            drop(here);
            assert_eq!(reading.join().unwrap(), 16 << 20);
        }

        #[test]
        fn a_stream_that_does_not_wait_says_so() {
            let (mut here, mut there) = pair();
            here.set_nonblocking(true).unwrap();
            let error = here.read(&mut [0; 8]).unwrap_err();
            assert_eq!(
                (error.kind(), error.raw_os_error()),
                (ErrorKind::WouldBlock, Some(11))
            );
            let chunk = vec![0; 1 << 20];
            while here.write(&chunk).is_ok() {}
            assert_eq!(here.write(&chunk).unwrap_err().kind(), ErrorKind::WouldBlock);
            here.set_nonblocking(false).unwrap();
            there.write_all(b"now").unwrap();
            let mut buf = [0; 3];
            here.read_exact(&mut buf).unwrap();
        }

        #[test]
        fn peek_leaves_bytes_there() {
            let (here, mut there) = pair();
            there.write_all(b"look").unwrap();
            let mut buf = [0; 4];
            while here.peek(&mut buf).unwrap() < 4 {}
            assert_eq!(&buf, b"look");
            (&here).read_exact(&mut buf).unwrap();
            assert_eq!(&buf, b"look");
        }

        #[test]
        fn vectored_calls_work() {
            let (mut here, mut there) = pair();
            let n = here
                .write_vectored(&[IoSlice::new(b"one"), IoSlice::new(b""), IoSlice::new(b"two")])
                .unwrap();
            assert_eq!(n, 6);
            let (mut a, mut b) = ([0; 2], [0; 4]);
            let mut seen = 0;
            while there.peek(&mut [0; 6]).unwrap() < 6 {}
            seen += there
                .read_vectored(&mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)])
                .unwrap();
            assert_eq!((seen, &a, &b), (6, b"on", b"etwo"));
        }

        #[test]
        fn shut_writing_is_the_end_for_the_other_and_reading_goes_on() {
            let (mut here, mut there) = pair();
            here.shutdown(Shutdown::Write).unwrap();
            assert_eq!(there.read(&mut [0; 8]).unwrap(), 0);
            let error = here.write(b"x").unwrap_err();
            assert_eq!(
                (error.kind(), error.raw_os_error()),
                (ErrorKind::BrokenPipe, Some(32))
            );
            there.write_all(b"still").unwrap();
            let mut buf = [0; 5];
            here.read_exact(&mut buf).unwrap();
        }

        #[test]
        fn shut_reading_ends_reads_of_all_clones() {
            let (here, _there) = pair();
            let mut clone = here.try_clone().unwrap();
            let reading = thread::spawn(move || clone.read(&mut [0; 8]).unwrap());
            thread::sleep(SOON);
            here.shutdown(Shutdown::Read).unwrap();
            assert_eq!(reading.join().unwrap(), 0);
            (&here).write_all(b"still").unwrap();
        }

        #[test]
        fn shut_both_ways_then_again_is_not_connected() {
            let (here, mut there) = pair();
            here.shutdown(Shutdown::Both).unwrap();
            assert_eq!(there.read(&mut [0; 8]).unwrap(), 0);
            there.shutdown(Shutdown::Both).unwrap();
            let gone = (0..200).find_map(|_| {
                thread::sleep(Duration::from_millis(5));
                there.shutdown(Shutdown::Both).err()
            });
            let error = gone.expect("the connection is over");
            assert_eq!(
                (error.kind(), error.raw_os_error()),
                (ErrorKind::NotConnected, Some(107))
            );
        }

        #[test]
        fn unread_bytes_at_the_close_reset() {
            let (mut here, there) = pair();
            here.write_all(b"never read").unwrap();
            while there.peek(&mut [0; 10]).unwrap() < 10 {}
            drop(there);
            let error = here.read(&mut [0; 8]).unwrap_err();
            assert_eq!(
                (error.kind(), error.raw_os_error()),
                (ErrorKind::ConnectionReset, Some(104))
            );
        }

        #[test]
        fn a_clone_keeps_the_connection() {
            let (here, mut there) = pair();
            let mut clone = here.try_clone().unwrap();
            drop(here);
            clone.write_all(b"alive").unwrap();
            let mut buf = [0; 5];
            there.read_exact(&mut buf).unwrap();
            drop(clone);
            assert_eq!(there.read(&mut buf).unwrap(), 0);
        }

        #[test]
        fn two_threads_use_one_connection() {
            let (here, there) = pair();
            let mut echo = there.try_clone().unwrap();
            let mut from = there;
            let echoing = thread::spawn(move || std::io::copy(&mut from, &mut echo).unwrap());
            let mut writer = here.try_clone().unwrap();
            let writing = thread::spawn(move || {
                writer.write_all(&vec![3; 2 << 20]).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut got = vec![0; 2 << 20];
            (&here).read_exact(&mut got).unwrap();
            writing.join().unwrap();
            assert!(got.iter().all(|byte| *byte == 3));
            drop(here);
            assert_eq!(echoing.join().unwrap(), 2 << 20);
        }

        #[test]
        fn options_of_a_stream_are_kept() {
            let (here, _there) = pair();
            here.set_nodelay(true).unwrap();
            assert!(here.nodelay().unwrap());
            here.set_nodelay(false).unwrap();
            assert!(!here.nodelay().unwrap());
            here.set_ttl(7).unwrap();
            assert_eq!(here.ttl().unwrap(), 7);
            let error = here.set_ttl(256).unwrap_err();
            assert_eq!(
                (error.kind(), error.raw_os_error()),
                (ErrorKind::InvalidInput, Some(22))
            );
            assert!(here.take_error().unwrap().is_none());
        }

        #[test]
        fn options_of_a_listener_are_kept() {
            let listener = listener();
            listener.set_ttl(9).unwrap();
            assert_eq!(listener.ttl().unwrap(), 9);
            assert!(listener.take_error().unwrap().is_none());
            let _here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            assert_eq!(listener.accept().unwrap().0.ttl().unwrap(), 9);
        }

        #[test]
        fn datagrams_keep_their_boundaries() {
            let (here, there) = datagrams();
            let to = there.local_addr().unwrap();
            for text in [&b"one"[..], b"", b"three"] {
                assert_eq!(here.send_to(text, to).unwrap(), text.len());
            }
            let mut buf = [0; 16];
            for text in [&b"one"[..], b"", b"three"] {
                let (n, from) = there.recv_from(&mut buf).unwrap();
                assert_eq!((&buf[..n], from), (text, here.local_addr().unwrap()));
            }
        }

        #[test]
        fn a_long_datagram_is_cut_off() {
            let (here, there) = datagrams();
            here.send_to(b"0123456789", there.local_addr().unwrap()).unwrap();
            here.send_to(b"next", there.local_addr().unwrap()).unwrap();
            let mut buf = [0; 4];
            assert_eq!(there.recv(&mut buf).unwrap(), 4);
            assert_eq!(&buf, b"0123");
            assert_eq!(there.recv(&mut buf).unwrap(), 4);
            assert_eq!(&buf, b"next");
        }

        #[test]
        fn connected_sockets_send_and_receive() {
            let (here, there) = datagrams();
            assert_eq!(here.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
            assert_eq!(here.send(b"x").unwrap_err().raw_os_error(), Some(89));
            here.connect(there.local_addr().unwrap()).unwrap();
            there.connect(here.local_addr().unwrap()).unwrap();
            assert_eq!(here.peer_addr().unwrap(), there.local_addr().unwrap());
            here.send(b"hello").unwrap();
            let mut buf = [0; 16];
            assert_eq!(there.recv(&mut buf).unwrap(), 5);
            let (stranger, _) = datagrams();
            stranger.send_to(b"not me", there.local_addr().unwrap()).unwrap();
            there.set_read_timeout(Some(SOON)).unwrap();
            assert_eq!(there.recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        }

        #[test]
        fn peeked_datagrams_stay() {
            let (here, there) = datagrams();
            here.send_to(b"look", there.local_addr().unwrap()).unwrap();
            let mut buf = [0; 16];
            assert_eq!(there.peek(&mut buf).unwrap(), 4);
            assert_eq!(
                there.peek_from(&mut buf).unwrap(),
                (4, here.local_addr().unwrap())
            );
            assert_eq!(
                there.recv_from(&mut buf).unwrap(),
                (4, here.local_addr().unwrap())
            );
        }

        #[test]
        fn receiving_times_out_or_does_not_wait() {
            let (here, _) = datagrams();
            here.set_read_timeout(Some(SOON)).unwrap();
            assert_eq!(here.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
            here.set_read_timeout(None).unwrap();
            here.set_nonblocking(true).unwrap();
            let error = here.try_clone().unwrap().recv_from(&mut [0; 8]).unwrap_err();
            assert_eq!(
                (error.kind(), error.raw_os_error()),
                (ErrorKind::WouldBlock, Some(11))
            );
            assert_eq!(
                here.set_write_timeout(Some(Duration::ZERO)).unwrap_err().kind(),
                ErrorKind::InvalidInput
            );
        }

        #[test]
        fn a_port_that_nobody_has_is_told_to_a_connected_socket() {
            let (here, there) = datagrams();
            here.connect(there.local_addr().unwrap()).unwrap();
            drop(there);
            here.send(b"anyone?").unwrap();
            let error = here.recv(&mut [0; 8]).unwrap_err();
            assert_eq!(
                (error.kind(), error.raw_os_error()),
                (ErrorKind::ConnectionRefused, Some(111))
            );
        }

        #[test]
        fn datagrams_too_long_are_refused() {
            let (here, there) = datagrams();
            let error = here
                .send_to(&vec![0; 70_000], there.local_addr().unwrap())
                .unwrap_err();
            assert_eq!(error.raw_os_error(), Some(90));
            assert_eq!(
                here.send_to(&vec![1; 65_507], there.local_addr().unwrap())
                    .unwrap(),
                65_507
            );
            assert_eq!(there.recv(&mut vec![0; 70_000]).unwrap(), 65_507);
        }

        #[test]
        fn options_of_a_datagram_socket_are_kept() {
            let (here, _) = datagrams();
            assert!(!here.broadcast().unwrap());
            here.set_broadcast(true).unwrap();
            assert!(here.broadcast().unwrap());
            here.set_ttl(3).unwrap();
            assert_eq!(here.ttl().unwrap(), 3);
            here.set_read_timeout(Some(LONG)).unwrap();
            assert_eq!(here.read_timeout().unwrap(), Some(LONG));
            assert_eq!(here.write_timeout().unwrap(), None);
            assert!(here.take_error().unwrap().is_none());
            let error = here
                .join_multicast_v4(&Ipv4Addr::LOCALHOST, &Ipv4Addr::UNSPECIFIED)
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }

        #[test]
        fn a_udp_port_is_held_by_one_socket() {
            let (here, _) = datagrams();
            let error = UdpSocket::bind(here.local_addr().unwrap()).unwrap_err();
            assert_eq!(
                (error.kind(), error.raw_os_error()),
                (ErrorKind::AddrInUse, Some(98))
            );
        }

        #[test]
        fn names_that_nobody_knows_are_errors() {
            world();
            let error = TcpStream::connect("no-such-name.invalid:80").unwrap_err();
            // There is no kind for it that std names in a stable way.
            assert!(!OURS || error.kind() == ErrorKind::NotFound, "{error}");
        }
    };
}

pub(crate) use tests;
