//! nc, as client and as server, over TCP and UDP.

use crate::footer::Footer;
use crate::need::have;
use crate::outside::{connect, free_port};
use crate::process::{Running, finish, sockeye_run};
use std::io::{Read, Write};
use std::net::SocketAddr;

#[test]
fn nc_asks_the_echo_service() {
    if !have(&["nc"]) {
        return;
    }
    for version in ["-4", "-6"] {
        let script = format!("printf 'one\\ntwo\\n' | nc {version} -N hello.sockeye.test 7");
        let ended = finish(&mut sockeye_run(&[], &["sh", "-c", &script])).success();
        assert_eq!(ended.text(), "one\ntwo\n", "{ended}");
        Footer::of(&ended).through(1, 6);
    }
}

#[test]
fn nc_asks_over_udp() {
    if !have(&["nc"]) {
        return;
    }
    let script = "echo question | nc -u -W 1 -w 5 hello.sockeye.test 7";
    let ended = finish(&mut sockeye_run(&[], &["sh", "-c", script])).says("question\n");
    assert!(Footer::of(&ended).link("packets") >= 2);
}

#[test]
fn nc_serves_the_machine() {
    if !have(&["nc"]) {
        return;
    }
    let port = free_port();
    let script = format!("echo from inside | nc -n -v -N -l 127.0.0.1 {port}");
    let mut server = Running::start(&mut sockeye_run(&[], &["sh", "-c", &script]));
    let _ = server.wait_for_line("Listening on");
    let mut stream = connect(SocketAddr::from(([127, 0, 0, 1], port)));
    stream.write_all(b"from outside\n").expect("sent");
    stream.shutdown(std::net::Shutdown::Write).expect("half closed");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).expect("the answer");
    assert_eq!(answer, "from inside\n");
    let ended = server.finish().success().says("from outside\n");
    assert!(ended.stderr.contains("10.0.2.2"), "the client is the gateway; {ended}");
    Footer::of(&ended).through(1, 6);
}

#[test]
fn nc_scans_ports() {
    if !have(&["nc"]) {
        return;
    }
    // 80 is open, 81 is closed: it must be refused at once.
    let ended = finish(&mut sockeye_run(
        &[],
        &["nc", "-z", "-v", "-w", "20", "10.0.2.2", "80-81"],
    ));
    assert!(
        ended.stderr.contains("80 port [tcp/") && ended.stderr.contains("succeeded"),
        "{ended}"
    );
    assert!(ended.stderr.contains("refused"), "{ended}");
}
