//! The first socket programs (`examples/python`): each prints the same natively and under `sockeye run`, addresses and chosen ports aside.

use crate::footer::Footer;
use crate::need::have;
use crate::outside::free_port;
use crate::process::{Finished, Running, finish, sockeye_run};
use std::process::Command;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/python");
const BAD: [&str; 6] = ["--loss", "5%", "--reorder", "5%", "--duplicate", "2%"];

/// Programs that are complete by themselves, whether all they do is TCP, and the connections they make.
const ALONE: [(&str, bool, u64); 7] = [
    ("services.py", true, 0),
    ("ports.py", true, 6),
    ("descriptor.py", true, 2),
    ("families.py", true, 2),
    ("values.py", true, 2),
    ("kinds.py", false, 2),
    ("errors.py", false, 1),
];

fn script(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

/// `python3 SCRIPT ARGUMENTS`, natively or, with flags, under `sockeye run`.
fn python(flags: Option<&[&str]>, arguments: &[&str]) -> Command {
    match flags {
        None => {
            let mut command = Command::new("python3");
            command.args(arguments);
            command
        }
        Some(flags) => {
            let words: Vec<&str> = ["python3"].iter().chain(arguments).copied().collect();
            sockeye_run(flags, &words)
        }
    }
}

/// Output with addresses and chosen ports made alike: `10.0.2.15` is ADDRESS, a number above 9999 is PORT.
fn normal(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        out += &rest[..at];
        let number = &rest[at..];
        let end = number
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(number.len());
        let word = number[..end].trim_end_matches('.');
        match word {
            _ if word.parse::<std::net::Ipv4Addr>().is_ok() => out += "ADDRESS",
            _ if word.parse::<u32>().is_ok_and(|number| number > 9_999) => out += "PORT",
            _ => out += word,
        }
        rest = &number[word.len()..];
    }
    out + rest
}

#[test]
fn addresses_and_ports_are_made_alike() {
    assert_eq!(normal("from 10.0.2.15 port 49153."), "from ADDRESS port PORT.");
    assert_eq!(
        normal("('127.0.0.1', 32768) 1000 lines, 2.5"),
        "('ADDRESS', PORT) 1000 lines, 2.5"
    );
}

fn natively(name: &str) -> String {
    normal(&finish(&mut python(None, &[&script(name)])).success().text())
}

#[test]
fn each_prints_the_same() {
    if !have(&["python3"]) {
        return;
    }
    for (name, _, connections) in ALONE {
        let ended = finish(&mut python(Some(&["--no-host-loopback"]), &[&script(name)])).success();
        assert_eq!(normal(&ended.text()), natively(name), "{name}: {ended}");
        Footer::of(&ended).through(connections, connections * 3);
    }
}

#[test]
fn what_is_tcp_prints_the_same_over_a_bad_network() {
    if !have(&["python3"]) {
        return;
    }
    for (name, _, connections) in ALONE.into_iter().filter(|(_, tcp, _)| *tcp) {
        let want = natively(name);
        for seed in ["1", "2", "3"] {
            let flags: Vec<&str> = BAD.iter().copied().chain(["--delay", "5ms", "--seed", seed]).collect();
            let ended = finish(&mut python(Some(&flags), &[&script(name)])).success();
            assert_eq!(normal(&ended.text()), want, "{name} with seed {seed}: {ended}");
            Footer::of(&ended).through(connections, connections * 3);
        }
    }
}

/// What a server and its client print.
#[track_caller]
fn pair(flags: Option<&[&str]>, server: &str, client: &str) -> [String; 2] {
    let port = free_port().to_string();
    let mut serving = Running::start(&mut python(flags, &[&script(server), "127.0.0.1", &port]));
    let port: String = serving.wait_for("a port", |line| {
        Some(line.strip_prefix("listening on port ")?.to_owned())
    });
    let asked: Finished = finish(&mut python(flags, &[&script(client), "localhost", &port])).success();
    let served = serving.finish().success();
    if flags.is_some() {
        assert!(Footer::of(&asked).link("packets") >= 6, "{asked}");
        assert!(Footer::of(&served).link("packets") >= 6, "{served}");
    }
    [normal(&served.text()), normal(&asked.text())]
}

#[test]
fn udp_server_and_client() {
    if !have(&["python3"]) {
        return;
    }
    let programs = ("udp_echo_server.py", "udp_echo_client.py");
    let native = pair(None, programs.0, programs.1);
    assert_eq!(pair(Some(&[]), programs.0, programs.1), native);
}

#[test]
fn tcp_server_and_client() {
    if !have(&["python3"]) {
        return;
    }
    let programs = ("tcp_echo_server.py", "tcp_client_by_name.py");
    let native = pair(None, programs.0, programs.1);
    assert_eq!(pair(Some(&[]), programs.0, programs.1), native);
    assert_eq!(pair(Some(&BAD), programs.0, programs.1), native);
}

#[test]
fn the_built_in_services_answer_the_clients() {
    if !have(&["python3"]) {
        return;
    }
    for client in ["udp_echo_client.py", "tcp_client_by_name.py"] {
        let ended = finish(&mut python(Some(&[]), &[&script(client), "hello.sockeye.test", "7"])).success();
        assert!(!ended.text().contains("False"), "{ended}");
    }
}
