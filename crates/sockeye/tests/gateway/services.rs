use crate::world::{World, numbered};
use sockeye_core::socket::Close;
use std::net::SocketAddr;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn the_page_comes_over_both_versions_of_ip() {
    for at in ["10.0.2.2:80", "[fd00::2]:80"] {
        let mut world = World::new();
        let id = world.connect(address(at)).unwrap();
        world.write(
            id,
            b"GET / HTTP/1.1\r\nHost: hello.sockeye.test\r\nConnection: close\r\nAccept: application/json\r\n\r\n",
        );
        let answer = String::from_utf8(world.read_all(id)).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(json["server"], at);
        assert_eq!(json["client"], world.program.tcp_local(id).unwrap().to_string());
        assert_eq!(json["tcp"]["options"].as_array().unwrap().len(), 3, "{body}");
        world.close(id, Close::Graceful);
        assert_eq!(world.gateway.counters().http_requests, 1);
    }
}

#[test]
fn a_long_answer_arrives_whole() {
    let mut world = World::new();
    let id = world.connect(address("10.0.2.2:80")).unwrap();
    world.write(id, b"GET /bytes/16m HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = world.read_all(id);
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let body = &answer[at..];
    assert_eq!(body.len(), 16 << 20);
    assert!(body[65_521..] == body[..body.len() - 65_521]);
}

#[test]
fn a_long_upload_is_counted() {
    let mut world = World::new();
    let id = world.connect(address("[fd00::2]:80")).unwrap();
    world.write(
        id,
        b"PUT /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 8388608\r\n\r\n",
    );
    world.write(id, &numbered(8 << 20));
    let answer = String::from_utf8(world.read_all(id)).unwrap();
    assert!(answer.contains("{\"bytes\":8388608,"), "{answer}");
}

#[test]
fn an_early_answer_is_not_lost_to_a_reset() {
    let mut world = World::new();
    let id = world.connect(address("10.0.2.2:80")).unwrap();
    world.write(id, b"GET / HTTP/7.0\r\n\r\n");
    world.write(id, &numbered(1 << 20));
    let answer = String::from_utf8(world.read_all(id)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 505 "), "{answer}");
}

#[test]
fn the_simple_services_of_tcp() {
    let mut world = World::new();
    let data = numbered(1 << 20);
    let echo = world.connect(address("10.0.2.2:7")).unwrap();
    let mut got = Vec::new();
    for part in data.chunks(100_000) {
        world.write(echo, part);
        got.extend(world.read(echo, part.len()).unwrap());
    }
    assert!(got == data);
    world.shutdown(echo);
    assert_eq!(world.read_all(echo), b"");

    let discard = world.connect(address("10.0.2.2:9")).unwrap();
    world.write(discard, &data);
    world.shutdown(discard);
    assert_eq!(world.read_all(discard), b"");

    let daytime = world.connect(address("10.0.2.2:13")).unwrap();
    let text = String::from_utf8(world.read_all(daytime)).unwrap();
    assert!(text.ends_with("-UTC\r\n") && text.len() > 30, "{text}");

    let chargen = world.connect(address("[fd00::2]:19")).unwrap();
    let lines = world.read(chargen, 74 * 200).unwrap();
    assert!(lines.starts_with(b" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFG") && lines[74..].starts_with(b"!\"#"));
    assert!(lines.chunks(74).all(|line| line.ends_with(b"\r\n")) && lines[..74] == lines[74 * 95..74 * 96]);
    world.close(chargen, Close::Graceful);
}

#[test]
fn the_simple_services_of_udp() {
    let mut world = World::new();
    let id = world.udp("0.0.0.0:0");
    world.send_to(id, address("10.0.2.2:7"), b"echo");
    let answer = world.recv(id);
    assert_eq!((&answer.data[..], answer.from), (&b"echo"[..], address("10.0.2.2:7")));
    world.send_to(id, address("10.0.2.2:13"), b"");
    assert!(world.recv(id).data.ends_with(b"-UTC\r\n"));
    world.send_to(id, address("10.0.2.2:9"), b"nothing");
    world.send_to(id, address("10.0.2.2:19"), &[0; 100]);
    let answer = world.recv(id);
    assert_eq!((answer.data.len(), answer.from), (100, address("10.0.2.2:19")));
}
