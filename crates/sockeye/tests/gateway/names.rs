use crate::world::World;
use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use sockeye::gateway::GatewayConfig;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

const SERVER: &str = "10.0.2.3:53";

fn query(id: u16, name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.id = id;
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.set_edns(Edns::new());
    message.to_vec().unwrap()
}

/// Asks over UDP and returns the answer, which must come from the address asked.
fn ask(world: &mut World, server: &str, question: &[u8]) -> Message {
    let server: SocketAddr = server.parse().unwrap();
    let id = world.udp(if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" });
    world.send_to(id, server, question);
    let answer = world.recv(id);
    assert_eq!(answer.from, server);
    world.program.udp_close(id);
    Message::from_vec(&answer.data).unwrap()
}

fn with_dns(servers: Vec<SocketAddr>) -> World {
    World::with(GatewayConfig {
        dns: Some(servers),
        ..GatewayConfig::default()
    })
}

/// The machine's resolver, played by a thread: answers `count` questions.
fn reply(bytes: &[u8]) -> Vec<u8> {
    let mut message = Message::from_vec(bytes).unwrap();
    message.metadata.message_type = MessageType::Response;
    let name = message.queries[0].name().clone();
    match name.to_ascii().as_str() {
        "long.example." => {
            let text = |n: usize| RData::TXT(TXT::new(vec![format!("{n:0200}")]));
            message.add_answers((0..50).map(|n| Record::from_rdata(name.clone(), 5, text(n))));
        }
        "missing.example." => message.metadata.response_code = ResponseCode::NXDomain,
        "broken.example." => message.metadata.response_code = ResponseCode::ServFail,
        _ => {
            message.add_answer(Record::from_rdata(name, 5, RData::A(A([192, 0, 2, 80].into()))));
        }
    }
    message.to_vec().unwrap()
}

fn resolver(count: usize) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    thread::spawn(move || {
        for _ in 0..count {
            let mut buf = [0; 2048];
            let (n, from) = socket.recv_from(&mut buf).unwrap();
            socket.send_to(&reply(&buf[..n]), from).unwrap();
        }
    });
    at
}

#[test]
fn the_gateway_knows_its_own_names() {
    let mut world = with_dns(vec![]);
    for server in [SERVER, "[fd00::3]:53"] {
        let answer = ask(&mut world, server, &query(7, "hello.sockeye.test.", RecordType::A));
        assert_eq!((answer.metadata.id, answer.answers.len()), (7, 1));
        assert_eq!(answer.answers[0].data, RData::A(A([10, 0, 2, 2].into())));
    }
    assert_eq!(world.gateway.name_of([10, 0, 2, 2].into()), Some("hello.sockeye.test"));
    assert_eq!(world.gateway.answers().addresses_of("hello.sockeye.test").count(), 1);
}

#[test]
fn the_machines_server_is_asked_for_the_rest() {
    let mut world = with_dns(vec![resolver(3)]);
    let answer = ask(&mut world, SERVER, &query(0xabcd, "www.example.", RecordType::A));
    assert_eq!((answer.metadata.id, answer.answers.len()), (0xabcd, 1));
    assert_eq!(world.gateway.name_of([192, 0, 2, 80].into()), Some("www.example"));
    let answer = ask(&mut world, SERVER, &query(1, "missing.example.", RecordType::A));
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    let answer = ask(&mut world, SERVER, &query(2, "long.example.", RecordType::TXT));
    assert!(answer.metadata.truncation && answer.answers.is_empty());
}

#[test]
fn servers_listed_in_resolv_conf_are_played_by_the_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("resolv.conf");
    std::fs::write(&path, "nameserver 127.0.0.53\nnameserver 192.0.2.53\n").unwrap();
    let mut world = World::with(GatewayConfig {
        resolv_conf: path,
        dns: Some(vec![resolver(1)]),
        ..GatewayConfig::default()
    });
    for server in ["127.0.0.53:53", "192.0.2.53:53"] {
        let answer = ask(&mut world, server, &query(9, "hello.sockeye.test.", RecordType::A));
        assert_eq!(answer.answers.len(), 1, "{server}");
    }
    let answer = ask(&mut world, "192.0.2.53:53", &query(9, "www.example.", RecordType::A));
    assert_eq!(answer.answers.len(), 1);
}

#[test]
fn a_silent_or_dead_server_is_followed_by_the_next() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut world = with_dns(vec![dead, silent.local_addr().unwrap(), resolver(1)]);
    let id = world.udp("0.0.0.0:0");
    world.send_to(id, SERVER.parse().unwrap(), &query(3, "www.example.", RecordType::A));
    let mut buf = [0; 512];
    silent.set_nonblocking(true).unwrap();
    world.until("the silent server to be asked", |_| silent.recv(&mut buf).ok());
    world.skip(Duration::from_secs(3));
    let answer = Message::from_vec(&world.recv(id).data).unwrap();
    assert_eq!((answer.metadata.id, answer.answers.len()), (3, 1));
}

#[test]
fn without_a_server_the_answer_is_a_failure_at_once() {
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for servers in [vec![], vec![dead]] {
        let mut world = with_dns(servers);
        let begin = std::time::Instant::now();
        let answer = ask(&mut world, SERVER, &query(4, "www.example.", RecordType::A));
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
        assert!(answer.edns.is_some_and(|edns| edns.option(15.into()).is_some()));
        assert!(begin.elapsed() < Duration::from_secs(3));
        let answer = ask(&mut world, SERVER, &query(5, "nobody.invalid.", RecordType::A));
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    }
}

#[test]
fn a_server_that_fails_is_believed_when_no_other_knows_more() {
    let mut world = with_dns(vec![resolver(1), resolver(1)]);
    let answer = ask(&mut world, SERVER, &query(6, "broken.example.", RecordType::A));
    assert_eq!(
        (answer.metadata.id, answer.metadata.response_code),
        (6, ResponseCode::ServFail)
    );
}

#[test]
fn long_answers_come_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut question).unwrap();
        let reply = reply(&question);
        stream.write_all(&(reply.len() as u16).to_be_bytes()).unwrap();
        stream.write_all(&reply).unwrap();
    });
    let mut world = with_dns(vec![at]);
    let id = world.connect(SERVER.parse().unwrap()).unwrap();
    for question in [
        query(1, "long.example.", RecordType::TXT),
        query(2, "hello.sockeye.test.", RecordType::A),
    ] {
        world.write(id, &(question.len() as u16).to_be_bytes());
        world.write(id, &question);
    }
    let mut answers = [0; 3];
    for _ in 0..2 {
        let length = world.read(id, 2).unwrap();
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let answer = Message::from_vec(&world.read(id, length).unwrap()).unwrap();
        answers[usize::from(answer.metadata.id)] = answer.answers.len();
    }
    assert_eq!(answers, [0, 50, 1]);
    world.shutdown(id);
    assert_eq!(world.read_all(id), b"");
}

#[test]
fn a_version_of_ip_that_is_off_has_no_addresses() {
    let mut world = World::with(GatewayConfig {
        ipv6: false,
        dns: Some(vec![resolver(1)]),
        ..GatewayConfig::default()
    });
    for (name, kind, want) in [
        ("www.example.", RecordType::AAAA, 0),
        ("www.example.", RecordType::A, 1),
        ("hello.sockeye.test.", RecordType::AAAA, 0),
    ] {
        let answer = ask(&mut world, SERVER, &query(8, name, kind));
        assert_eq!(
            (answer.metadata.response_code, answer.answers.len()),
            (ResponseCode::NoError, want),
            "{name} {kind}"
        );
    }
}
