//! One body of tests on `std::net` and on `sockeye::blocking`, both over the loopback: what passes on both means the same on both.

mod body;

/// The kernel's sockets.
mod kernel {
    use std::net;

    const OURS: bool = false;

    fn world() {}

    crate::body::tests!();
}

/// Ours: one host, on a thread of its own.
mod ours {
    use sockeye::Host;
    use sockeye::blocking as net;
    use std::sync::OnceLock;

    const OURS: bool = true;

    fn world() {
        static HOST: OnceLock<Host> = OnceLock::new();
        let host = HOST.get_or_init(|| Host::builder().build_on_thread().unwrap());
        host.make_default();
    }

    crate::body::tests!();
}

/// Two hosts, each on its thread, over a link that loses packets.
mod far {
    use sockeye::blocking::{TcpListener, TcpStream};
    use sockeye::{Host, link};
    use sockeye_core::netem::{Loss, Netem};
    use std::io::{Read, Write};
    use std::time::Duration;

    #[test]
    fn threads_talk_over_a_bad_link() {
        let bad = Netem {
            loss: Loss::Random(0.02),
            delay: Duration::from_millis(2),
            ..Netem::NONE
        };
        let (left, right) = link::pair();
        let server = Host::builder()
            .address("10.0.0.1/24")
            .link(link::Impaired::new(left, &bad, &bad, 1));
        let server = server.build_on_thread().unwrap();
        let client = Host::builder()
            .address("10.0.0.2/24")
            .link(right)
            .build_on_thread()
            .unwrap();
        let listener = {
            let _entered = server.enter();
            TcpListener::bind("10.0.0.1:7").unwrap()
        };
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            got
        });
        let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
        let _entered = client.enter();
        let mut stream = TcpStream::connect("10.0.0.1:7").unwrap();
        stream.write_all(&sent).unwrap();
        drop(stream);
        assert!(serving.join().unwrap() == sent);
    }
}
