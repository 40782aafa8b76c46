//! Wrong values: one clear line that says what is accepted, status 125, and never a program that runs anyway.

use crate::process::{finish, sockeye, sockeye_run};
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_wrong_value_says_what_is_accepted() {
    for (flags, says) in [
        (&["--loss", "2"][..], "2% or 0.02?"),
        (&["--loss", "up:2"], "2% or 0.02?"),
        (&["--loss", "101%"], "0% to 100%"),
        (&["--loss", "lots"], "say 2% or 0.02"),
        (&["--loss", "left:2%"], "up: and down:"),
        (&["--rate", "10mbps"], "10mbit or 80mbit?"),
        (&["--rate", "10"], "10mbit"),
        (&["--rate", "fast"], "say 10mbit"),
        (&["--delay", "20"], "20ms"),
        (&["--delay", "20parsecs"], "ms, s"),
        (&["--delay", "-1ms"], "-1ms"),
        (&["--rtt", "up:100ms"], "--delay up:100ms"),
        (&["--rtt", "100ms", "--delay", "50ms"], "--delay"),
        (&["--jitter", "x"], "say 50ms"),
        (&["--distribution", "flat"], "uniform, normal, pareto"),
        (&["--queue", "none"], "queue"),
        (&["--rate", "1mbit", "--ecn", "lots"], "say 20 (packets) or 5ms"),
        (&["--ecn", "20"], "--rate"),
        (&["--rate", "1mbit", "--codel=now"], "target TIME"),
        (&["--reorder", "5"], "5% or 0.05?"),
        (&["--duplicate", "5"], "5% or 0.05?"),
        (&["--corrupt", "5"], "5% or 0.05?"),
        (&["--mtu", "5"], "mtu"),
        (&["--blackhole", "10s"], "10s..25s"),
        (&["--blackhole", "20s..10s"], "10s..25s"),
        (&["--to", "http://api/"], "HOST[:PORT]"),
        (&["--seed", "many"], "seed"),
        (&["--publish", "http"], "8080:80"),
        (&["-p", "1:2:3:4"], "8080:80"),
        (&["--dns", "dns.example"], "9.9.9.9"),
        (&["--host", "db"], "NAME=ADDR"),
        (&["--sysctl", "tcp_sack"], "NAME=VALUE"),
        (&["--sysctl", "net.ipv4.tcp_sac=0"], "net.ipv4.tcp_sack is"),
        (&["--sysctl", "net.ipv4.tcp_low_latency=1"], "is no setting here"),
        (&["--sysctl", "net.ipv4.tcp_sack=maybe"], "0 or 1 is"),
        (&["--sysctl", "net.ipv4.tcp_rmem=4096"], "3 rising numbers"),
        (&["-4", "-6"], "-6"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["--pcap", "/no/such/folder/x.pcapng"], "/no/such/folder/x.pcapng"),
    ] {
        let arguments: Vec<&str> = ["run"]
            .iter()
            .chain(flags)
            .chain(&["--", "echo", "ran"])
            .copied()
            .collect();
        let ended = finish(&mut sockeye(&arguments)).status_is(125);
        assert!(
            ended.stdout.is_empty(),
            "the program ran, or a message is on standard output; {ended}"
        );
        let first = ended.stderr.lines().next().unwrap_or_default();
        assert!(
            first.starts_with("sockeye: "),
            "{flags:?}: `{first}` does not say who speaks"
        );
        assert!(ended.stderr.contains(says), "{flags:?} does not say `{says}`; {ended}");
        assert!(!ended.stderr.contains("panicked"), "{ended}");
    }
}

#[test]
fn a_host_that_cannot_be_says_what_can() {
    for (arguments, says) in [
        (&["--addr", "10.9.0.2/24"][..], "--tun"),
        (&["--tun", "tun0"], "--addr"),
        (&["--tun", "tun0", "--addr", "10.9.0.2"], "say 10.9.0.2/24"),
        (
            &["--tun", "tun0", "--addr", "10.9.0.0/24"],
            "not the address of one host",
        ),
        (
            &["--tun", "tun0", "--addr", "10.9.0.2/24", "fd09::/64"],
            "not the address of one host",
        ),
        (
            &["--tun", "tun0", "--addr", "10.9.0.2/24", "--addr", "10.9.0.2/16"],
            "given twice",
        ),
        (&["--tun", "a/b", "--addr", "10.9.0.2/24"], "no name for a device"),
        (
            &["--tun", "sixteen-letters!", "--addr", "10.9.0.2/24"],
            "no name for a device",
        ),
        (&["--tun", "tun0", "--addr", "10.9.0.2/24", "--queues", "0"], "1 to 256"),
    ] {
        let arguments: Vec<&str> = ["host"].iter().chain(arguments).copied().collect();
        let ended = finish(&mut sockeye(&arguments)).status_is(125);
        assert!(
            ended.stderr.contains(says) && ended.stderr.lines().count() == 1,
            "`{says}` is missing; {ended}"
        );
    }
}

#[test]
fn a_wrong_value_takes_one_line() {
    for flags in [["--loss", "2"], ["--rate", "10mbps"], ["--pcap", "/no/such/folder/x"]] {
        let ended = finish(&mut sockeye(&["run", flags[0], flags[1], "--", "true"])).status_is(125);
        assert_eq!(ended.stderr.lines().count(), 1, "{ended}");
    }
}

#[test]
fn no_program_is_a_mistake() {
    for arguments in [&["run"][..], &["run", "--loss", "2%", "--"], &[], &["no-such-command"]] {
        let ended = finish(&mut sockeye(arguments)).status_is(125);
        assert!(ended.stderr.starts_with("sockeye: ") || arguments.is_empty(), "{ended}");
    }
}

#[test]
fn a_program_that_cannot_be_run_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "not a program").expect("a file");
    std::fs::set_permissions(&plain, std::fs::Permissions::from_mode(0o644)).expect("its own");
    let here = folder.path().to_str().expect("text");
    let plain = plain.to_str().expect("text");
    for (program, status) in [
        ("no-such-program", 127),
        ("/no/such/program", 127),
        (plain, 126),
        (here, 126),
    ] {
        let ended = finish(&mut sockeye(&["run", "--", program])).status_is(status);
        assert_eq!(ended.stderr.lines().count(), 1, "{ended}");
        assert!(
            ended.stderr.starts_with("sockeye: ") && ended.stderr.contains(program),
            "{ended}"
        );
    }
}

#[test]
fn a_port_that_is_taken_cannot_be_published() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let rule = format!("127.0.0.1:{port}:80");
    let ended = finish(&mut sockeye(&["run", "-p", &rule, "--", "echo", "ran"])).status_is(125);
    assert!(ended.stdout.is_empty(), "{ended}");
    assert!(
        ended.stderr.starts_with("sockeye: ") && ended.stderr.contains(&port),
        "{ended}"
    );
    assert_eq!(ended.stderr.lines().count(), 1, "{ended}");
}

#[test]
fn a_full_disk_is_told_and_the_program_goes_on() {
    let fetch = "import urllib.request as u; print(len(u.urlopen('http://hello.sockeye.test/bytes/100000').read()))";
    if !crate::need::have(&["python3"]) {
        return;
    }
    let ended = finish(&mut sockeye_run(&["--pcap", "/dev/full"], &["python3", "-c", fetch])).success();
    assert_eq!(ended.text(), "100000\n", "{ended}");
    let told = ended
        .stderr
        .lines()
        .filter(|line| line.starts_with("sockeye: ") && line.contains("/dev/full"));
    assert_eq!(told.count(), 1, "{ended}");
}
