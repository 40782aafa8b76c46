//! redis-server with redis-cli: each of them inside, and both.

use crate::footer::Footer;
use crate::need::have;
use crate::outside::free_port;
use crate::process::{Running, finish, sockeye_run};
use std::process::Command;

/// The protected mode would refuse the machine: a client of a published port is 10.0.2.2, and not the loopback.
fn server(port: u16) -> Vec<String> {
    let text = format!(
        "redis-server --port {port} --bind 127.0.0.1 --save --appendonly no --dir /tmp --daemonize no --protected-mode no"
    );
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    // `--save ""`: write nothing to disk.
    let save = words.iter().position(|word| word == "--save").expect("there");
    words.insert(save + 1, String::new());
    words
}

#[test]
fn redis_server_serves_the_machine() {
    if !have(&["redis-server", "redis-cli"]) {
        return;
    }
    let port = free_port();
    let words = server(port);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut server = Running::start(&mut sockeye_run(&[], &words));
    let _ = server.wait_for_line("Ready to accept connections");
    let cli = |arguments: &[&str]| {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &port.to_string()]).args(arguments);
        finish(&mut command).success().text()
    };
    assert_eq!(cli(&["set", "fish", "sockeye"]), "OK\n");
    assert_eq!(cli(&["get", "fish"]), "sockeye\n");
    assert!(cli(&["client", "list"]).contains("addr=10.0.2.2:"));
    let _ = cli(&["shutdown", "nosave"]);
    Footer::of(&server.finish()).through(4, 30);
}

#[test]
fn redis_cli_asks_the_machine() {
    if !have(&["redis-server", "redis-cli"]) {
        return;
    }
    let port = free_port();
    let words = server(port);
    let mut server = Running::start(Command::new(&words[0]).args(&words[1..]));
    let _ = server.wait_for_line("Ready to accept connections");
    let port = port.to_string();
    let script =
        format!("for i in 1 2 3; do redis-cli -p {port} incr visits; done; redis-cli -p {port} --no-raw get visits");
    let ended = finish(&mut sockeye_run(&["--delay", "2ms"], &["sh", "-c", &script])).success();
    assert_eq!(ended.text(), "1\n2\n3\n\"3\"\n", "{ended}");
    Footer::of(&ended).through(4, 30);
    server.terminate();
    let _ = server.finish();
}

#[test]
fn redis_benchmark_in_one_run() {
    if !have(&["redis-server", "redis-cli", "redis-benchmark"]) {
        return;
    }
    let port = free_port();
    let words = server(port)
        .iter()
        .map(|word| format!("'{word}'"))
        .collect::<Vec<_>>()
        .join(" ");
    let script = format!(
        "{words} >/dev/null & until redis-cli -p {port} ping 2>/dev/null; do :; done; \
         redis-benchmark -p {port} -q -t set,get -n 2000 -c 20; redis-benchmark -p {port} -q -t set -n 2000 -P 16; \
         redis-cli -p {port} shutdown nosave; wait"
    );
    let ended = finish(&mut sockeye_run(&["--no-host-loopback"], &["sh", "-c", &script])).success();
    assert!(ended.text().matches("requests per second").count() == 3, "{ended}");
    Footer::of(&ended).through(40, 4_000);
}
