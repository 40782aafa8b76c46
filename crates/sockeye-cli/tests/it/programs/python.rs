//! Python 3: http.server, urllib and asyncio. The first socket programs have a test of their own (`examples`).

use super::{published, source};
use crate::footer::Footer;
use crate::need::have;
use crate::outside::{Web, ask, free_port, get, pattern, sum};
use crate::process::{Running, finish, sockeye_run};
use std::net::SocketAddr;

#[test]
fn http_server_serves_the_machine() {
    if !have(&["python3"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let content = pattern(300_000);
    std::fs::write(folder.path().join("file"), &content).expect("a file");
    let (port, folder) = (free_port(), folder.path().to_str().expect("text"));
    let command = [
        "python3",
        "-u",
        "-m",
        "http.server",
        "-b",
        "0.0.0.0",
        "-d",
        folder,
        &port.to_string(),
    ];
    let mut server = Running::start(&mut sockeye_run(&[], &command));
    let _ = server.wait_for_line("Serving HTTP");
    let (head, body) = get(SocketAddr::from(([127, 0, 0, 1], port)), "/file");
    assert!(head.starts_with("HTTP/1.0 200 "), "{head}");
    assert!(body == content, "the bytes differ");
    // It logs who asked.
    let line = server.wait_for_line("GET /file");
    assert!(line.starts_with("10.0.2.2 "), "{line}");
    server.terminate();
    Footer::of(&server.finish()).through(1, 20);
}

#[test]
fn urllib_fetches_and_sends() {
    if !have(&["python3"]) {
        return;
    }
    let web = Web::start("127.0.0.1");
    let script = format!(
        "import urllib.request as u\n\
         body = u.urlopen('{}').read()\n\
         print(len(body))\n\
         print(u.urlopen('{}', data=body).read().decode(), end='')\n\
         print(u.urlopen('http://hello.sockeye.test/bytes/5000').read().__len__())\n",
        web.url("200000"),
        web.url("upload")
    );
    let ended = finish(&mut sockeye_run(&[], &["python3", "-c", &script])).success();
    assert_eq!(
        ended.text(),
        format!("200000\n200000 bytes, sum {}\n5000\n", sum(&pattern(200_000)))
    );
    Footer::of(&ended).through(3, 50);
}

#[test]
fn asyncio_serves_and_asks_itself() {
    if !have(&["python3"]) {
        return;
    }
    for flags in [&[][..], &["--loss", "3%", "--delay", "5ms"]] {
        let ended = finish(&mut sockeye_run(
            flags,
            &["python3", &source("python/asyncio_echo.py"), "30"],
        ))
        .success();
        assert_eq!(
            ended.text(),
            "30 conversations, all as sent\nover a datagram endpoint: question\n",
            "{ended}"
        );
        Footer::of(&ended).through(60, 150);
    }
}

#[test]
fn a_udp_server_answers_the_machine() {
    if !have(&["python3"]) {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/python/udp_echo_server.py");
    let mut server = Running::start(&mut sockeye_run(
        &[],
        &["python3", script, "0.0.0.0", &free_port().to_string(), "1"],
    ));
    let address = published(&mut server);
    assert_eq!(ask(address, b"question"), b"question");
    let ended = server.finish().success().says("'question' from 10.0.2.2 ");
    assert!(Footer::of(&ended).link("packets") >= 2);
}

#[test]
fn processes_and_threads_share_a_listener() {
    if !have(&["python3"]) {
        return;
    }
    let ended = finish(&mut sockeye_run(
        &[],
        &["python3", &source("python/shared_listener.py")],
    ))
    .success();
    assert_eq!(
        ended.text(),
        "24 answers from 4 processes, a descriptor passed: hello\n",
        "{ended}"
    );
    Footer::of(&ended).through(48, 200);
}

#[test]
fn a_host_that_cannot_be_reached_is_an_error_with_the_same_number() {
    if !have(&["python3"]) {
        return;
    }
    let ended = finish(&mut sockeye_run(&[], &["python3", &source("python/errors.py")])).success();
    assert_eq!(
        ended.text(),
        "refused outside: ECONNREFUSED\nrefused inside: ECONNREFUSED\nrefused over UDP: ECONNREFUSED\nreset: ECONNRESET\n",
        "{ended}"
    );
}

#[test]
fn no_host_loopback_closes_the_machines_own_servers() {
    if !have(&["python3"]) {
        return;
    }
    let web = Web::start("127.0.0.1");
    let script = format!(
        "import socket\ntry: socket.create_connection(('127.0.0.1', {}))\nexcept ConnectionRefusedError: print('refused')",
        web.address.port()
    );
    let ended = finish(&mut sockeye_run(&["--no-host-loopback"], &["python3", "-c", &script])).success();
    assert_eq!(ended.text(), "refused\n", "{ended}");
    let ended = finish(&mut sockeye_run(&[], &["python3", "-c", &script])).success();
    assert_eq!(ended.text(), "", "{ended}");
}
