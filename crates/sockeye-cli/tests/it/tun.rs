//! `sockeye host --tun`: the machine's own TCP/IP, in a network of its own, with a host at the other end of a TUN device. As root; elsewhere,
//! and where the kernel gives no such thing, these tests are skipped.

use crate::need::have;
use crate::process::{Running, finish, shell, sockeye};
use rustix::process::Signal;
use sockeye_sys::tun::{Tun, own_network};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

/// Runs `test` in a network of its own, whose device sk0 has 10.9.0.1/24 and fd09::1/64, made for `user` and with `flags`.
#[track_caller]
fn with_device(flags: &str, test: impl FnOnce() + Send) {
    if !have(&["ip", "curl", "setpriv"]) {
        return;
    }
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    std::thread::scope(|scope| {
        let run = || {
            if let Err(error) = own_network().and_then(|()| Tun::open("probe")) {
                // Not a thing to install: an ordinary user never has it.
                let _ = writeln!(
                    std::io::stderr(),
                    "skipped {name}: no network of its own, or no TUN: {error}"
                );
                return;
            }
            ip(&format!(
                "ip link set lo up; ip tuntap add dev sk0 {flags}; ip addr add 10.9.0.1/24 dev sk0
                ip addr add fd09::1/64 dev sk0 nodad; ip link set sk0 up"
            ));
            test();
        };
        let ended = std::thread::Builder::new().name(name.clone()).spawn_scoped(scope, run);
        if let Err(panic) = ended.expect("a thread").join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn ip(script: &str) {
    let _ = finish(&mut shell(script)).success();
}

/// A host on sk0, up and running.
fn host(flags: &[&str]) -> Running {
    let base = ["host", "--tun", "sk0", "--addr", "10.9.0.2/24", "fd09::2/64"];
    let mut host = Running::start(&mut sockeye(&[&base, flags].concat()));
    let _ = host.wait_for_line("sockeye: host 10.9.0.2/24 fd09::2/64 on sk0");
    host
}

/// Tells the host to end, and has it end well.
fn end(host: Running) {
    host.signal(Signal::INT);
    let ended = host.finish().success();
    assert_eq!(ended.stderr.lines().count(), 1, "more than one line; {ended}");
}

fn curl(arguments: &str) -> Vec<u8> {
    finish(&mut shell(&format!("curl -sS -m 60 {arguments}")))
        .success()
        .stdout
}

/// Sends bytes to the echo service and back while more are sent: both ways at once, through the kernel's TCP.
fn echo(address: &str, bytes: &[u8]) {
    let stream = TcpStream::connect(address).expect("the echo service");
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a timeout");
    std::thread::scope(|scope| {
        let _ = scope.spawn(|| {
            (&stream).write_all(bytes).expect("written");
            stream.shutdown(std::net::Shutdown::Write).expect("shut down");
        });
        let mut back = Vec::new();
        let _ = (&stream).read_to_end(&mut back).expect("read");
        assert!(back == bytes, "{} of {} bytes came back right", back.len(), bytes.len());
    });
}

#[test]
fn the_kernels_programs_reach_it_with_and_without_offload() {
    with_device("mode tun", || {
        let bytes: Vec<u8> = (0..3_000_000_u32)
            .flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 16).to_ne_bytes())
            .collect();
        let mut contents = Vec::new();
        for (flags, offload) in [
            (&[][..], "offload: TCP segmentation"),
            (&["--no-offload"], "offload: none"),
        ] {
            let mut host = host(flags);
            let _ = host.wait_for_line(offload);
            let page = String::from_utf8(curl("http://10.9.0.2/")).expect("text");
            assert!(
                page.contains("Hello from Sockeye") && page.contains("10.9.0.1:") && page.contains(offload),
                "{page}"
            );
            let json = String::from_utf8(curl("-H 'Accept: application/json' http://[fd09::2]/")).expect("text");
            assert!(json.contains("\"client\": \"[fd09::1]:"), "{json}");
            contents.push(curl("http://10.9.0.2/bytes/5m"));
            contents.push(curl("http://[fd09::2]/bytes/5m"));
            echo("10.9.0.2:7", &bytes);
            echo("[fd09::2]:7", &bytes);
            for (ours, echo) in [("10.9.0.1:0", "10.9.0.2:7"), ("[fd09::1]:0", "[fd09::2]:7")] {
                let socket = UdpSocket::bind(ours).expect("a socket");
                socket
                    .set_read_timeout(Some(Duration::from_secs(20)))
                    .expect("a timeout");
                socket.connect(echo).expect("connected");
                let mut back = [0; 2_000];
                for len in [1, 1_400, 1_900] {
                    let _ = socket.send(&bytes[..len]).expect("sent");
                    assert_eq!(socket.recv(&mut back).expect("an echo"), len);
                    assert_eq!(back[..len], bytes[..len]);
                }
            }
            end(host);
        }
        assert_eq!(contents[0].len(), 5 << 20);
        assert!(contents.iter().all(|content| *content == contents[0]));
    });
}

/// `sockeye` as an ordinary user, who may open /dev/net/tun with `mode`: udev makes it 666, and without udev it may be otherwise.
fn as_nobody(mode: &str, arguments: &[&str]) -> std::process::Command {
    const SCRIPT: &str = "mount -t tmpfs -o mode=755 tmpfs /dev/net && mknod /dev/net/tun c 10 200 && chmod $0 /dev/net/tun &&
        exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs \"$@\"";
    let mut command = std::process::Command::new("unshare");
    command
        .args(["-m", "sh", "-c", SCRIPT, mode, env!("CARGO_BIN_EXE_sockeye")])
        .args(arguments);
    command
}

#[test]
fn an_ordinary_user_opens_what_was_made_for_it_and_nothing_else() {
    with_device("mode tun user 65534", || {
        if finish(&mut as_nobody("666", &["--version"])).status != 0 {
            let _ = writeln!(
                std::io::stderr(),
                "skipped the rest: an ordinary user cannot reach this binary"
            );
            return;
        }
        let mut host = Running::start(&mut as_nobody(
            "666",
            &["host", "--tun", "sk0", "--addr", "10.9.0.2/24"],
        ));
        let _ = host.wait_for_line("on sk0");
        assert!(curl("http://10.9.0.2/").starts_with(b"<!doctype html>"));
        host.terminate();
        let _ = host.finish().success();
        ip("ip tuntap add dev sk1 mode tun user 1");
        for (mode, device, says) in [
            ("666", "sk1", "sk1 belongs to another user"),
            ("666", "sk2", "sudo ip tuntap add dev sk2 mode tun user $USER"),
            ("600", "sk0", "sudo chmod 666 /dev/net/tun"),
        ] {
            refused(
                &mut as_nobody(mode, &["host", "--tun", device, "--addr", "10.9.0.2/24"]),
                says,
            );
        }
    });
}

#[track_caller]
fn refused(command: &mut std::process::Command, says: &str) {
    let ended = finish(command).status_is(125);
    assert!(ended.stderr.contains(says), "`{says}` is missing; {ended}");
    assert_eq!(ended.stderr.lines().count(), 1, "more than one line; {ended}");
}

#[test]
fn what_cannot_be_says_what_to_do() {
    with_device("mode tun", || {
        ip(
            "ip tuntap add dev tap0 mode tap; ip tuntap add dev many0 mode tun multi_queue; ip tuntap add dev taps0 mode tap multi_queue",
        );
        ip("ip addr add 10.9.1.7/24 dev lo");
        let running = host(&[]);
        for (arguments, says) in [
            (
                &["tap0", "--addr", "10.9.2.2/24"][..],
                "tap0 is a TAP (Ethernet), and a TUN is needed: sudo ip tuntap add",
            ),
            (&["taps0", "--addr", "10.9.2.2/24"], "taps0 is a TAP (Ethernet)"),
            (&["many0", "--addr", "10.9.2.2/24"], "multi_queue"),
            (&["tap0", "--addr", "10.9.2.2/24", "--queues", "1"], "tap0 is a TAP"),
            (&["sk0", "--addr", "10.9.2.2/24"], "sk0 is in use by another program"),
            (
                &["sk0", "--addr", "10.9.2.2/24", "--queues", "1"],
                "leave --queues away",
            ),
            (&["lo", "--addr", "10.9.2.2/24"], "lo is no TUN device"),
            (
                &["sk3", "--addr", "10.9.1.7/24"],
                "10.9.1.7 is in use, by this machine itself (on lo)",
            ),
            (
                &["sk3", "--addr", "10.9.0.1/24"],
                "10.9.0.1 is in use, by this machine itself (on sk0)",
            ),
        ] {
            refused(&mut sockeye(&[&["host", "--tun"], arguments].concat()), says);
        }
        let mut many = Running::start(&mut sockeye(&[
            "host",
            "--tun",
            "many0",
            "--queues",
            "2",
            "--addr",
            "10.9.3.2/24",
        ]));
        let _ = many.wait_for_line("on many0");
        ip("ip addr add 10.9.3.1/24 dev many0; ip link set many0 up");
        assert_eq!(curl("http://10.9.3.2/bytes/300k").len(), 300 << 10);
        many.terminate();
        let _ = many.finish().success();
        ip("ip link del sk0");
        let ended = running.finish().status_is(125);
        assert!(ended.stderr.contains("sk0 is gone"), "{ended}");
    });
}
