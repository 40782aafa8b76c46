//! `--sysctl` changes the TCP of a program, A to B; `sockeye sysctl` lists what can be changed.

use crate::need::have;
use crate::process::{finish, sockeye, sockeye_run};

/// Options that the built-in page sees of the program's connection, and the program's own congestion control.
fn seen(flags: &[&str]) -> String {
    let script = "\
import json, socket, urllib.request as u
r = u.Request('http://hello.sockeye.test/', headers={'Accept': 'application/json'})
print(*json.load(u.urlopen(r))['tcp']['options'], end='; ')
s = socket.create_connection(('hello.sockeye.test', 7))
print(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b'\\0').decode())";
    finish(&mut sockeye_run(flags, &["python3", "-c", script]))
        .success()
        .text()
}

#[test]
fn a_flag_changes_the_programs_tcp() {
    if !have(&["python3"]) {
        return;
    }
    assert_eq!(seen(&[]), "timestamps sack window scaling; cubic\n");
    let sysctl = "--sysctl";
    assert_eq!(
        seen(&[sysctl, "net.ipv4.tcp_sack=0"]),
        "timestamps window scaling; cubic\n"
    );
    let both = [
        sysctl,
        "tcp_timestamps=0",
        sysctl,
        "net/ipv4/tcp_congestion_control=reno",
    ];
    assert_eq!(seen(&both), "sack window scaling; reno\n");
    // The last one counts.
    let again = [
        sysctl,
        "tcp_sack=0",
        sysctl,
        "tcp_window_scaling=0",
        sysctl,
        "tcp_sack=1",
    ];
    assert_eq!(seen(&again), "timestamps sack; cubic\n");
}

#[test]
fn the_listing_is_what_can_be_set() {
    let all = finish(&mut sockeye(&["sysctl"])).success().text();
    assert!(all.lines().count() > 40, "{all}");
    for line in all.lines() {
        let (set, _) = line.split_once(" (").expect("what is accepted");
        let (name, value) = set.split_once(" = ").expect("name and value");
        let flag = format!("{name}={}", value.trim());
        let _ = finish(&mut sockeye(&["run", "--quiet", "--sysctl", &flag, "--", "true"])).success();
    }
    let one = finish(&mut sockeye(&["sysctl", "tcp_sack"])).success().text();
    assert!(
        one.starts_with("net.ipv4.tcp_sack = 1 ") && one.lines().count() == 1,
        "{one}"
    );
    let some = finish(&mut sockeye(&["sysctl", "keepalive"])).success().text();
    assert_eq!(some.lines().count(), 3, "{some}");
    let _ = finish(&mut sockeye(&["sysctl", "tcp_ecn", "--json"]))
        .success()
        .says("\"accepted\":\"0 to 2\"");
    let none = finish(&mut sockeye(&["sysctl", "tcp_sac_k"])).status_is(1);
    assert!(
        none.stderr.starts_with("sockeye: ") && none.stderr.contains("net.ipv4.tcp_sack is"),
        "{none}"
    );
}
