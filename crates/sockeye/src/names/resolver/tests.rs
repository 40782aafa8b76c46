use super::*;
use crate::host::BuildError;
use crate::link::{self, Impaired};
use crate::net::{TcpListener, lookup_host};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SOA};
use hickory_proto::rr::{Record, RecordData};
use sockeye_core::netem::{Loss, Netem};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// What a name server is asked, by either transport, and how it behaves.
#[derive(Debug, Default)]
struct Server {
    questions: AtomicUsize,
    by_stream: AtomicUsize,
    /// Says that it failed.
    broken: bool,
    /// First sends answers that are none: another identifier, another question.
    forged: bool,
}

impl Server {
    fn asked(&self) -> usize {
        self.questions.load(Ordering::Relaxed)
    }

    /// `www.example` has both, `v4.example` one, `alias.example` stands for it, `many.example` is too long for UDP, others are not there.
    fn answer(&self, query: &[u8], short: bool) -> Vec<u8> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        let query = Message::from_vec(query).unwrap();
        let asked = query.queries[0].clone();
        let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
        reply.add_query(asked.clone());
        if self.broken {
            reply.metadata.response_code = ResponseCode::ServFail;
            return reply.to_vec().unwrap();
        }
        let record = |name: &str, data: RData| Record::from_rdata(Name::from_ascii(name).unwrap(), 60, data);
        let v4 = |last: u8| RData::A(A(Ipv4Addr::new(192, 0, 2, last)));
        let name = asked.name().to_ascii().to_lowercase();
        match (&*name, asked.query_type()) {
            ("www.example." | "v4.example." | "host.inside.test.", RecordType::A) => {
                reply.add_answer(record(&name, v4(80)));
            }
            ("www.example.", RecordType::AAAA) => {
                let v6 = RData::AAAA(AAAA("2001:db8::80".parse().unwrap()));
                reply.add_answer(record(&name, v6));
            }
            ("alias.example.", RecordType::A) => {
                let target = Name::from_ascii("V4.example.").unwrap();
                reply.add_answer(record(&name, CNAME(target).into_rdata()));
                reply.add_answer(record("v4.example.", v4(80)));
                reply.add_answer(record("not-asked-for.example.", v4(66)));
            }
            ("many.example.", RecordType::A) => {
                for last in 0..200 {
                    reply.add_answer(record(&name, v4(last)));
                }
            }
            ("v4.example." | "alias.example." | "many.example." | "host.inside.test.", _) => {}
            _ => {
                let zone = Name::from_ascii("example.").unwrap();
                let soa = SOA::new(zone.clone(), zone.clone(), 1, 1, 1, 1, 30);
                reply.metadata.response_code = ResponseCode::NXDomain;
                reply.add_authority(Record::from_rdata(zone, 60, RData::SOA(soa)));
            }
        }
        let bytes = reply.to_vec().unwrap();
        if short { message::truncate(bytes, 1_232) } else { bytes }
    }

    /// Serves on port 53 of the host.
    fn start(self, host: &Host) -> Arc<Self> {
        let server = Arc::new(self);
        let this = Arc::clone(&server);
        drop(host.spawn(async move {
            let socket = UdpSocket::bind("0.0.0.0:53").await.unwrap();
            let mut buf = [0; 2_000];
            loop {
                let (n, from) = socket.recv_from(&mut buf).await.unwrap();
                let reply = this.answer(&buf[..n], true);
                if this.forged {
                    let mut other = reply.clone();
                    other[0] ^= 1;
                    let _ = socket.send_to(&other, from).await;
                    let mut other = reply.clone();
                    other[14] ^= 1;
                    let _ = socket.send_to(&other, from).await;
                    let _ = socket.send_to(b"?", from).await;
                }
                let _ = socket.send_to(&reply, from).await;
            }
        }));
        let this = Arc::clone(&server);
        drop(host.spawn(async move {
            let listener = TcpListener::bind("0.0.0.0:53").await.unwrap();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                this.by_stream.fetch_add(1, Ordering::Relaxed);
                let len = stream.read_u16().await.unwrap();
                let mut query = vec![0; len.into()];
                stream.read_exact(&mut query).await.unwrap();
                let reply = this.answer(&query, false);
                stream.write_u16(reply.len() as u16).await.unwrap();
                stream.write_all(&reply).await.unwrap();
            }
        }));
        server
    }
}

/// A name server at 10.0.0.53, and a client whose link is as bad as asked for.
fn world(
    netem: &Netem,
    seed: u64,
    server: Server,
    client: impl FnOnce(crate::HostBuilder) -> crate::HostBuilder,
) -> (Host, Host, Arc<Server>) {
    let (left, right) = link::pair();
    let left = Impaired::new(left, netem, netem, seed);
    let names = Host::builder()
        .address("10.0.0.53/24")
        .link(right)
        .seed(seed + 1)
        .build()
        .unwrap();
    let asker = Host::builder().address("10.0.0.2/24").link(left).seed(seed);
    let asker = client(asker).build().unwrap();
    let server = server.start(&names);
    (asker, names, server)
}

fn usual(builder: crate::HostBuilder) -> crate::HostBuilder {
    builder.name_server("10.0.0.53").route("0.0.0.0/0", "10.0.0.53")
}

async fn found(host: &Host, name: &str) -> Result<Vec<String>, ErrorKind> {
    let found = host.scope(lookup_host((name, 80))).await;
    let found = found.map(|found| found.map(|address| address.ip().to_string()).collect());
    found.map_err(|error| error.kind())
}

#[tokio::test(start_paused = true)]
async fn names_are_found_where_a_fifth_of_all_packets_is_lost() {
    let lossy = Netem {
        loss: Loss::Random(0.2),
        delay: Duration::from_millis(20),
        ..Netem::NONE
    };
    let (mut tries, mut slow) = (0, 0);
    for seed in 0..60 {
        let (host, _names, server) = world(&lossy, seed, Server::default(), usual);
        let begun = tokio::time::Instant::now();
        assert_eq!(
            found(&host, "www.example").await.unwrap(),
            ["192.0.2.80", "2001:db8::80"],
            "seed {seed}"
        );
        assert_eq!(found(&host, "many.example").await.unwrap().len(), 200, "seed {seed}");
        assert_eq!(
            found(&host, "nobody.example").await,
            Err(ErrorKind::NotFound),
            "seed {seed}"
        );
        tries += server.asked();
        slow += usize::from(begun.elapsed() > Duration::from_secs(8));
    }
    assert!(tries > 60 * 7 + 60, "nothing was lost: {tries}");
    assert!(slow < 12, "{slow} of 60 took longer than 8 s");
}

#[tokio::test(start_paused = true)]
async fn answers_are_kept_as_long_as_they_say_and_so_is_nothing() {
    let (host, _names, server) = world(&Netem::NONE, 1, Server::default(), usual);
    for name in ["www.example", "WWW.Example", "www.example."] {
        assert_eq!(found(&host, name).await.unwrap().len(), 2);
    }
    assert_eq!(server.asked(), 2);
    for _ in 0..2 {
        assert_eq!(found(&host, "nobody.example").await, Err(ErrorKind::NotFound));
    }
    assert_eq!(server.asked(), 4);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(found(&host, "nobody.example").await, Err(ErrorKind::NotFound));
    assert_eq!(found(&host, "www.example").await.unwrap().len(), 2);
    assert_eq!(server.asked(), 6);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(found(&host, "www.example").await.unwrap().len(), 2);
    assert_eq!(server.asked(), 8);
}

#[tokio::test(start_paused = true)]
async fn aliases_are_followed_and_what_was_not_asked_for_is_left() {
    let (host, _names, _server) = world(&Netem::NONE, 1, Server::default(), usual);
    assert_eq!(found(&host, "alias.example").await.unwrap(), ["192.0.2.80"]);
}

#[tokio::test(start_paused = true)]
async fn what_udp_cuts_off_comes_over_tcp() {
    let (host, _names, server) = world(&Netem::NONE, 1, Server::default(), usual);
    assert_eq!(found(&host, "many.example").await.unwrap().len(), 200);
    assert_eq!(server.by_stream.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn forged_answers_are_passed_over() {
    let forged = Server {
        forged: true,
        ..Server::default()
    };
    let (host, _names, server) = world(&Netem::NONE, 1, forged, usual);
    assert_eq!(found(&host, "v4.example").await.unwrap(), ["192.0.2.80"]);
    assert_eq!(server.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_search_list_completes_short_names() {
    let search = |builder: crate::HostBuilder| usual(builder).search("inside.test").search("example");
    let (host, _names, server) = world(&Netem::NONE, 1, Server::default(), search);
    assert_eq!(found(&host, "host").await.unwrap(), ["192.0.2.80"]);
    assert_eq!(server.asked(), 2);
    // Not in the first domain, but in the second.
    assert_eq!(found(&host, "v4").await.unwrap(), ["192.0.2.80"]);
    // As it is, since it ends in a dot; as it is first, since it has one.
    assert_eq!(found(&host, "host.").await, Err(ErrorKind::NotFound));
    assert_eq!(found(&host, "v4.example").await.unwrap(), ["192.0.2.80"]);

    let conf = "# comment\nnameserver 10.0.0.53\nsearch inside.test example\noptions ndots:2 rotate\n";
    let (host, _names, server) = world(&Netem::NONE, 1, Server::default(), |builder| builder.resolv_conf(conf));
    assert_eq!(found(&host, "host").await.unwrap(), ["192.0.2.80"]);
    assert_eq!(server.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_next_server_answers_for_one_that_does_not() {
    let silent = |builder: crate::HostBuilder| builder.name_server("10.0.0.77").name_server("10.0.0.53:53");
    let (host, _names, _server) = world(&Netem::NONE, 1, Server::default(), silent);
    let begun = tokio::time::Instant::now();
    assert_eq!(found(&host, "v4.example").await.unwrap(), ["192.0.2.80"]);
    assert!(begun.elapsed() < Duration::from_secs(2));
    // One that says that nobody has the port is passed over at once.
    let closed = |builder: crate::HostBuilder| builder.name_server("10.0.0.53:54").name_server("10.0.0.53");
    let (host, _names, _server) = world(&Netem::NONE, 1, Server::default(), closed);
    let begun = tokio::time::Instant::now();
    assert_eq!(found(&host, "v4.example").await.unwrap(), ["192.0.2.80"]);
    assert!(begun.elapsed() < Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn silence_and_failure_are_errors_in_bounded_time() {
    let nobody = |builder: crate::HostBuilder| builder.name_server("10.0.0.77");
    let (host, _names, _server) = world(&Netem::NONE, 1, Server::default(), nobody);
    let bounded = timeout(Duration::from_secs(20), found(&host, "v4.example")).await;
    assert_eq!(bounded.unwrap(), Err(ErrorKind::TimedOut));
    let broken = Server {
        broken: true,
        ..Server::default()
    };
    let (host, _names, _server) = world(&Netem::NONE, 1, broken, usual);
    assert_eq!(found(&host, "v4.example").await, Err(ErrorKind::Other));
    let alone = Host::builder().build().unwrap();
    let error = alone.tcp_connect("v4.example:80").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("name_server"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn connections_by_name_and_the_hosts_own_table_come_first() {
    let own = |builder: crate::HostBuilder| usual(builder).hosts("10.0.0.53\twww.example server # ours\n\n# none\n");
    let (host, names, server) = world(&Netem::NONE, 1, Server::default(), own);
    let listener = names.tcp_listen("0.0.0.0:80").await.unwrap();
    for name in ["server:80", "www.example:80"] {
        let (stream, accepted) = tokio::join!(host.tcp_connect(name), listener.accept());
        assert_eq!(stream.unwrap().local_addr().unwrap(), accepted.unwrap().1);
    }
    assert_eq!(server.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn lookups_that_are_dropped_leave_nothing() {
    let nobody = |builder: crate::HostBuilder| builder.name_server("10.0.0.77");
    let (host, _names, _server) = world(&Netem::NONE, 1, Server::default(), nobody);
    for _ in 0..5 {
        assert!(
            timeout(Duration::from_millis(1_500), found(&host, "v4.example"))
                .await
                .is_err()
        );
    }
    host.shard().look(|stack| {
        assert_eq!(stack.waiters.count(), 0);
        assert_eq!(stack.next_deadline(), None);
    });
}

#[tokio::test(start_paused = true)]
async fn the_cache_does_not_grow_without_end() {
    let (host, _names, _server) = world(&Netem::NONE, 1, Server::default(), usual);
    let resolver = Resolver::new(
        Settings {
            servers: vec!["10.0.0.53:53".parse().unwrap()],
            ..Settings::default()
        },
        1,
    );
    for n in 0..700 {
        assert!(resolver.lookup(&host, &format!("n{n}.example")).await.is_err());
    }
    assert_eq!(resolver.cache().len(), KEPT);
}

#[test]
fn threads_without_a_runtime_look_names_up_too() {
    let (left, right) = link::pair();
    let names = Host::builder()
        .address("10.0.0.53/24")
        .link(right)
        .build_on_thread()
        .unwrap();
    let host = Host::builder()
        .address("10.0.0.2/24")
        .link(left)
        .name_server("10.0.0.53");
    let host = host.build_on_thread().unwrap();
    let server = Server::default();
    let socket = {
        let _entered = names.enter();
        crate::blocking::UdpSocket::bind("0.0.0.0:53").unwrap()
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut buf = [0; 2_000];
            for _ in 0..2 {
                let (n, from) = socket.recv_from(&mut buf).unwrap();
                socket.send_to(&server.answer(&buf[..n], true), from).unwrap();
            }
        });
        let _entered = host.enter();
        let found = crate::bsd::gethostbyname("v4.example").unwrap();
        assert_eq!(found.addresses, [IpAddr::from([192, 0, 2, 80])]);
    });
}

#[tokio::test]
async fn what_is_wrong_with_names_and_servers_is_told() {
    let build = |builder: crate::HostBuilder| builder.build().unwrap_err();
    let server = build(Host::builder().name_server("ns.example"));
    assert_eq!(server, BuildError::NameServer("ns.example".to_owned()));
    let table = build(Host::builder().hosts("www.example 192.0.2.80"));
    assert_eq!(table, BuildError::Address("www.example".to_owned()));
    let long = "a".repeat(300);
    assert_eq!(build(Host::builder().search(&long)), BuildError::Name(long));
}
