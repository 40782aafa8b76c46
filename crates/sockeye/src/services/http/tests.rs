use super::page::Tcp;
use super::*;
use sockeye_core::buf::Rope;
use sockeye_core::socket::TcpInfo;

fn report() -> Report {
    Report {
        client: "10.0.2.15:49152".parse().unwrap(),
        server: "10.0.2.2:80".parse().unwrap(),
        tcp: Tcp::new(&TcpInfo {
            options: 7,
            rtt: 40_000,
            snd_mss: 1448,
            ..TcpInfo::default()
        }),
        link: "loss 2%, <delay> 20ms".to_owned(),
        did: Some(crate::gateway::LinkReport::default()),
        version: "0",
    }
}

/// Feeds `input` in pieces of `piece` bytes and collects what is answered; the client then closes. Moves time when the server waits.
fn converse(input: &[u8], piece: usize) -> (String, Step) {
    let mut http = Http::new();
    let (mut rope, mut output, mut answer) = (Rope::new(), Rope::new(), Vec::new());
    let mut now = Instant::ZERO;
    let mut pieces = input.chunks(piece);
    loop {
        let next = pieces.next();
        rope.append(next.unwrap_or(&[]));
        loop {
            let mut io = Io {
                input: &mut rope,
                ended: next.is_none(),
                output: &mut output,
                now,
                report: &report,
            };
            let step = http.step(&mut io);
            let mut bytes = vec![0; output.len()];
            output.read(&mut bytes);
            answer.extend(bytes);
            match step {
                Step::Close => return (String::from_utf8_lossy(&answer).into_owned(), step),
                Step::GoUntil(at) if next.is_none() => now = at,
                Step::Go if next.is_none() => {}
                Step::Go | Step::GoUntil(_) => break,
            }
        }
    }
}

fn get(request: &str) -> (String, String) {
    let (whole, _) = converse(request.as_bytes(), usize::MAX);
    for piece in [1, 7] {
        let other = converse(request.as_bytes(), piece).0;
        let undated = |text: &str| {
            text.lines()
                .filter(|line| !line.starts_with("Date: "))
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert_eq!(undated(&other), undated(&whole), "in pieces of {piece}");
    }
    let (head, body) = whole.split_once("\r\n\r\n").unwrap_or((&whole, ""));
    (head.to_owned(), body.to_owned())
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[test]
fn every_request_gets_its_status() {
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(20_000));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(101));
    for (request, want) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        ("GET / HTTP/1.0\r\n\r\n", 200),
        ("GET http://hello.sockeye.test/ HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        ("HEAD /bytes/10 HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        ("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab", 405),
        ("GET /upload HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        ("OPTIONS /upload HTTP/1.1\r\nHost: x\r\n\r\n", 204),
        ("GET /bytes/ten HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("GET /bytes/11g HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("GET /bytes/99999999999999999999g HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("GET /status/418 HTTP/1.1\r\nHost: x\r\n\r\n", 418),
        ("GET /status/99 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("GET /delay/-1 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("GET /delay/nan HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("GET /slow?rate=0 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (
            "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            400,
        ),
        ("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc", 400),
        ("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc", 400),
        (
            "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
        ),
        (
            "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n",
            400,
        ),
        (
            "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
            400,
        ),
        (
            "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
            400,
        ),
        ("POST /upload HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\n\r\n", 417),
        ("GET / HTTP/2.0\r\n\r\n", 505),
        ("\0\0\0\0garbage\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost", 400),
        (&long, 431),
        (&many, 431),
    ] {
        let (head, _) = get(request);
        assert_eq!(status(&head), want, "{}", &request[..request.len().min(80)]);
    }
}

#[test]
fn the_page_shows_the_connection() {
    let (head, body) = get("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(head.contains("Content-Type: text/html"), "{head}");
    assert!(
        body.contains("10.0.2.15:49152") && body.contains("&lt;delay&gt;") && body.contains("40.0 ms"),
        "{body}"
    );
    let (head, body) = get("GET / HTTP/1.1\r\nHost: x\r\nAccept: application/json;q=0.9\r\n\r\n");
    assert!(head.contains("Content-Type: application/json"), "{head}");
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&json["tcp"]["rtt_ms"], &json["client"]),
        (&40.0.into(), &"10.0.2.15:49152".into())
    );
    assert_eq!(json["tcp"]["options"][1], "sack");
    let (head, _) = get("GET / HTTP/1.1\r\nHost: x\r\nAccept: text/html, application/json\r\n\r\n");
    assert!(head.contains("text/html"), "{head}");
}

#[test]
fn bytes_and_ranges_of_them() {
    let fetch = |range: &str| {
        let request = format!("GET /bytes/200k HTTP/1.1\r\nHost: x\r\n{range}\r\n");
        let (whole, _) = converse_bytes(request.as_bytes());
        let at = whole.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        (String::from_utf8(whole[..at].to_vec()).unwrap(), whole[at..].to_vec())
    };
    let (head, all) = fetch("");
    assert_eq!((status(&head), all.len()), (200, 200 << 10));
    assert!(head.contains("Content-Length: 204800\r\n"), "{head}");
    let pattern = response::pattern();
    assert!(
        all.iter()
            .enumerate()
            .all(|(n, byte)| *byte == pattern[n % pattern.len()])
    );
    for (range, want) in [
        ("0-9", 0..10),
        ("65520-65600", 65_520..65_601),
        ("204799-", 204_799..204_800),
        ("-5", 204_795..204_800),
    ] {
        let (head, part) = fetch(&format!("Range: bytes={range}\r\n"));
        assert_eq!((status(&head), &part[..]), (206, &all[want]), "{range}");
    }
    assert_eq!(status(&fetch("Range: bytes=204800-\r\n").0), 416);
    assert_eq!(status(&fetch("Range: bytes=9-3\r\n").0), 200);
    assert_eq!(status(&fetch("Range: lines=1-2\r\n").0), 200);
}

fn converse_bytes(request: &[u8]) -> (Vec<u8>, Step) {
    let mut http = Http::new();
    let (mut rope, mut output, mut answer) = (Rope::new(), Rope::new(), Vec::new());
    rope.append(request);
    loop {
        let mut io = Io {
            input: &mut rope,
            ended: true,
            output: &mut output,
            now: Instant::ZERO,
            report: &report,
        };
        let step = http.step(&mut io);
        assert!(output.len() <= crate::services::OUTPUT);
        let mut bytes = vec![0; output.len()];
        output.read(&mut bytes);
        answer.extend(bytes);
        if step == Step::Close {
            return (answer, step);
        }
    }
}

#[test]
fn uploads_are_counted_and_summed() {
    let want = "{\"bytes\":9,\"crc32\":\"cbf43926\"}\n";
    let fixed = "PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123456789";
    assert_eq!(get(fixed).1, want);
    let chunked = "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
        4;note=x\r\n1234\r\n05 \r\n56789\r\n0\r\nTrailer: y\r\n\r\n";
    assert_eq!(get(chunked).1, want);
    let expects = "PUT /upload HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n123456789";
    let (first, rest) = get(expects);
    assert_eq!((status(&first), status(&rest)), (100, 200));
    assert!(rest.ends_with(want));
    let hopeless = "PUT /nowhere HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";
    assert_eq!(status(&get(hopeless).0), 404);
}

#[test]
fn one_connection_carries_many_requests() {
    let two = "GET /status/201 HTTP/1.1\r\nHost: x\r\n\r\nGET /status/202 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET / ";
    let (_, rest) = get(two);
    assert!(rest.starts_with("201 Created\nHTTP/1.1 202 Accepted\r\n"), "{rest}");
    assert!(
        rest.contains("Connection: close\r\n") && rest.ends_with("\r\n\r\n202 Accepted\n"),
        "{rest}"
    );
    let (head, rest) =
        get("GET /status/200 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /status/204 HTTP/1.0\r\n\r\n");
    assert!(head.contains("Connection: keep-alive"), "{head}");
    assert!(
        rest.contains("HTTP/1.1 204 No Content\r\n") && rest.ends_with("Connection: close\r\n\r\n"),
        "{rest}"
    );
    assert_eq!(get("").0, "");
}

#[test]
fn slow_answers_take_their_time() {
    let mut http = Http::new();
    let (mut rope, mut output) = (Rope::new(), Rope::new());
    rope.append(b"GET /slow?rate=100&bytes=250 HTTP/1.1\r\nHost: x\r\n\r\n");
    let (mut now, mut steps) = (Instant::ZERO, 0);
    loop {
        let mut io = Io {
            input: &mut rope,
            ended: true,
            output: &mut output,
            now,
            report: &report,
        };
        match http.step(&mut io) {
            Step::GoUntil(at) => {
                assert!(at > now);
                now = at;
            }
            Step::Go => panic!("waits for nothing"),
            Step::Close => break,
        }
        steps += 1;
    }
    assert!((2_400..=2_600).contains(&now.as_millis()), "{now}");
    assert!((10..=100).contains(&steps), "{steps}");
    let mut all = vec![0; output.len()];
    output.read(&mut all);
    assert!(all.ends_with(&response::pattern()[..250]));
}

#[test]
fn a_silent_client_is_let_go() {
    let mut http = Http::new();
    let (mut rope, mut output) = (Rope::new(), Rope::new());
    rope.append(b"GET / HT");
    let mut step = |now| {
        let mut io = Io {
            input: &mut rope,
            ended: false,
            output: &mut output,
            now,
            report: &report,
        };
        http.step(&mut io)
    };
    let Step::GoUntil(at) = step(Instant::ZERO) else {
        panic!("no patience set")
    };
    assert_eq!(at, Instant::ZERO + IDLE);
    assert_eq!(step(at), Step::Close);
}

#[test]
fn mutated_requests_end_without_a_panic() {
    use sockeye_core::keys::{Keys, below};
    let bases = [
        "PUT /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4;a=b\r\n1234\r\n5\r\n56789\r\n0\r\nT: y\r\n\r\n",
        "POST /upload HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n123456789GET / HTTP/1.1\r\n",
        "GET /delay/1.5 HTTP/1.0\r\nConnection: keep-alive, close\r\nAccept: */*\r\n\r\n",
        "HEAD /status/204?x=1&y HTTP/1.1\r\nHost: [fd00::2]:80\r\nRange: bytes=1-2\r\n\r\n",
    ];
    let mut rng = Keys::new(1, "http").stream("mutations");
    let mut draw = |n: usize| below(&mut rng, n as u64) as usize;
    for _ in 0..20_000 {
        let mut bytes = bases[draw(bases.len())].as_bytes().to_vec();
        for _ in 0..=draw(4) {
            let at = draw(bytes.len());
            match draw(4) {
                0 => bytes[at] ^= 1 << draw(8),
                1 => bytes.truncate(at + 1),
                2 => bytes.insert(at, b"\r\n:,;0f\0\xff "[draw(10)]),
                _ => bytes.extend_from_within(at..),
            }
        }
        converse(&bytes, 1 + draw(40));
    }
}
