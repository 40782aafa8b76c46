//! Name servers: dig, and the C library's own lookups.

use crate::footer::Footer;
use crate::need::have;
use crate::process::{finish, sockeye_run};

#[test]
fn dig_asks_over_udp_and_tcp() {
    if !have(&["dig"]) {
        return;
    }
    for (arguments, answer) in [
        (&["@10.0.2.3", "+short", "hello.sockeye.test"][..], "10.0.2.2\n"),
        (&["@10.0.2.3", "+short", "+tcp", "hello.sockeye.test"], "10.0.2.2\n"),
        (&["@fd00::3", "+short", "hello.sockeye.test", "AAAA"], "fd00::2\n"),
        (&["@10.0.2.3", "+short", "-x", "10.0.2.2"], "hello.sockeye.test.\n"),
        // Whatever server the machine names is the built-in one.
        (&["+short", "hello.sockeye.test"], "10.0.2.2\n"),
    ] {
        let command: Vec<&str> = ["dig"].iter().chain(arguments).copied().collect();
        let ended = finish(&mut sockeye_run(&[], &command)).success();
        assert_eq!(ended.text(), answer, "{ended}");
        assert!(Footer::of(&ended).link("packets") >= 2, "{ended}");
    }
}

#[test]
fn dig_hears_that_there_is_no_such_name() {
    if !have(&["dig"]) {
        return;
    }
    let _ = finish(&mut sockeye_run(&[], &["dig", "@10.0.2.3", "nobody.invalid"]))
        .success()
        .says("NXDOMAIN");
}

#[test]
fn names_given_by_the_user_win() {
    if !have(&["python3"]) {
        return;
    }
    let script = "import socket; print(sorted({a[4][0] for a in socket.getaddrinfo('api.example', 80)}))";
    let flags = ["--host", "api.example=192.0.2.7", "--host", "api.example=2001:db8::7"];
    for (version, answer) in [
        (&[][..], "['192.0.2.7', '2001:db8::7']\n"),
        (&["-4"], "['192.0.2.7']\n"),
        (&["-6"], "['2001:db8::7']\n"),
    ] {
        let flags: Vec<&str> = flags.iter().chain(version).copied().collect();
        let ended = finish(&mut sockeye_run(&flags, &["python3", "-c", script])).success();
        assert_eq!(ended.text(), answer, "{version:?}");
    }
}

#[test]
fn a_server_that_does_not_answer_ends_in_an_error() {
    if !have(&["python3"]) {
        return;
    }
    // Bound, so that nobody else takes it, and never read.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let server = silent.local_addr().expect("bound").to_string();
    let script =
        "import socket\ntry: socket.getaddrinfo('www.example', 80)\nexcept socket.gaierror as e: print('gaierror')";
    let ended = finish(&mut sockeye_run(&["--dns", &server], &["python3", "-c", script])).success();
    assert_eq!(ended.text(), "gaierror\n");
}
