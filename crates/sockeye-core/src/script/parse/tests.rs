use super::*;

fn fault(text: &str) -> String {
    Script::parse("a.pkt", text).unwrap_err().to_string()
}

#[test]
fn packetdrill_scripts_are_read() {
    let text = r#"
// What it shows.
--tolerance_usecs=10000
`sysctl -q net.ipv4.tcp_sack=1`
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
   +0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
   +0 setsockopt(3, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0
   +0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
   +0 bind(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.168.0.1")}, ...) = 0
   +0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
  +.1 < [ect0] S. 0:0(0) ack 1 win 32792 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
   +0~+.2 > SEW 0:0(0) <...>
0.1...0.2 read(4, ..., 2000) = 2000
    * > P. 1:1461(1460) ack 1 win 5 <nop,nop,sack 1:1001 2001:3001>
   +0 < icmp unreachable frag_needed mtu 1200 [1:1461(1460)]
   +0 < [1:1461(1460)] icmp unreachable frag_needed mtu 1200
   +0 < udp (100)
   +0 > FP. 1:1(0) ack 1 <FO 0123456789abcdef,nop,nop>
   +0 < - 1:1(0) win 4
   +0 < P.U 1:2(1) ack 1 win 4 urg 1 <uto 30s,0xfd04abcd>
   +0 %{ assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd }%
   +0 sendmsg(4, {msg_name(...)=..., msg_iov(2)=[{..., 100}, {"ab", 2}], msg_flags=0}, 0) = 102
   +0 poll([{fd=3, events=POLLIN, revents=POLLIN|POLLHUP}], 1, 0) = 1
"#;
    let script = Script::parse("a.pkt", text).unwrap();
    assert_eq!(script.head, ["What it shows."]);
    assert_eq!(script.events.len(), 20);
    assert_eq!(script.setup().unwrap().tolerance, Duration::from_millis(10));
}

#[test]
fn what_is_wrong_is_said_with_file_line_and_column() {
    for (text, place, word) in [
        ("0 socket(..., SOCK_STREAM) 3", "a.pkt:1:28:", "`=` is expected"),
        ("\n+0 < S 0:0(1)", "a.pkt:2:8:", "0:1(1) would"),
        ("+0 < Q 0:0(0)", "a.pkt:1:6:", "TCP flags"),
        ("+0 < S 0:0(0) <mss 1460,frob>", "a.pkt:1:25:", "no TCP option"),
        ("+0 < S 0:0(0) <mss 70000>", "a.pkt:1:20:", "out of range"),
        ("+0 < S 0:0(0) <mss 1460", "a.pkt:1:24:", "the end of the script"),
        ("+0 < [frob] S 0:0(0)", "a.pkt:1:7:", "no IP field"),
        ("+0 frob(1", "a.pkt:1:10:", "`,` or `)`"),
        ("+.1~.2 > S 0:0(0)", "a.pkt:1:5:", "both ends"),
        ("0.2~0.1 > S 0:0(0)", "a.pkt:1:5:", "before"),
        ("x", "a.pkt:1:1:", "a time"),
        ("99999999999 close(3) = 0", "a.pkt:1:1:", "a year"),
        ("+0 close(3) = 0 %{", "a.pkt:1:17:", "}%"),
        ("+0 %{ assert 1 + }%", "a.pkt:1:18:", "expected"),
    ] {
        let said = fault(text);
        assert!(said.starts_with(place) && said.contains(word), "{text}: {said}");
    }
    let missing = Script::parse("a.pkt", "--mss")
        .unwrap()
        .setup()
        .unwrap_err()
        .to_string();
    assert!(missing.starts_with("a.pkt:1:1:"), "{missing}");
    let flag = Script::parse("a.pkt", "--frob=1")
        .unwrap()
        .setup()
        .unwrap_err()
        .to_string();
    assert!(flag.starts_with("a.pkt:1:1: --frob is not known"), "{flag}");
}

#[test]
fn deep_nesting_is_refused() {
    for open in ["[", "{", "a("] {
        let text = format!("+0 f({}", open.repeat(100_000));
        assert!(fault(&text).contains("deeply"));
    }
    let chain = format!("+0 f({}1) = 0", "1|".repeat(100_000));
    assert!(fault(&chain).contains("deeply"));
    for code in ["(", "-", "not ", "1 + ", "1 or ", "2 ** "] {
        let text = format!("+0 %{{ assert {} }}%", code.repeat(100_000));
        assert!(fault(&text).contains("deeply"), "{code}");
    }
}
