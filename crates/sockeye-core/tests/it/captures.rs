//! A capture of a bad link opens in tshark: no malformed frame, no wrong checksum, and its counts are the link's.

use sockeye_core::sim::{Flows, LinkConfig, LinkMedium, Part, Plan, Sim};
use sockeye_core::time::SECOND;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

/// Runs tshark over a capture; one line a packet. `None` where there is no tshark.
fn tshark(capture: &[u8], arguments: &[&str]) -> Option<Vec<String>> {
    let mut child = Command::new("tshark")
        .args(["-r", "-"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take().expect("a pipe was asked for");
    let bytes = capture.to_vec();
    let output = std::thread::scope(|scope| {
        let _ = scope.spawn(move || stdin.write_all(&bytes));
        child.wait_with_output()
    });
    let output = output.expect("tshark ran");
    assert!(output.status.success(), "tshark: {}", output.status);
    let text = String::from_utf8(output.stdout).expect("tshark writes text");
    Some(text.lines().map(str::to_owned).collect())
}

#[test]
fn tshark_reads_what_was_captured() {
    for (medium, v6) in [(LinkMedium::Ip, false), (LinkMedium::Ethernet, true)] {
        let mut sim = Sim::new(11);
        let (a, b) = (sim.host("a"), sim.host("b"));
        let netem = "loss 3% duplicate 2% corrupt 1% reorder 2% delay 5ms jitter 1ms"
            .parse()
            .expect("a good line");
        let link = sim.connect(
            a,
            b,
            &LinkConfig {
                medium,
                ..LinkConfig::both(netem)
            },
        );
        sim.capture(link);
        let mut flows = Flows::new();
        let to = SocketAddr::new(sim.address(b, link, v6), 80);
        let (up, down) = (Part::sends(300_000), Part::sends(50_000));
        flows.start(
            &mut sim,
            Plan {
                client: a,
                server: b,
                to,
                up,
                down,
                excused: None,
            },
        );
        flows
            .run(&mut sim, 600 * SECOND)
            .unwrap_or_else(|stuck| panic!("{stuck}"));
        let capture = sim.end_capture(link);
        let checks = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"];
        let fields = [
            "-T",
            "fields",
            "-e",
            "frame.comment",
            "-e",
            "_ws.malformed",
            "-e",
            "tcp.checksum.status",
            "-e",
            "tcp.len",
        ];
        let Some(lines) = tshark(&capture, &[&checks[..], &fields].concat()) else {
            println!("skipped: there is no tshark here");
            return;
        };
        let (there, back) = sim.netem(link);
        assert_eq!(
            lines.len() as u64,
            there.packets + there.duplicated + back.packets + back.duplicated
        );
        let rows: Vec<Vec<&str>> = lines.iter().map(|line| line.split('\t').collect()).collect();
        let with = |text: &str| rows.iter().filter(|row| row[0].contains(text)).count() as u64;
        assert_eq!(with("netem: lost"), there.lost + back.lost);
        assert_eq!(with("netem: duplicate"), there.duplicated + back.duplicated);
        for row in rows.iter().filter(|row| row.len() > 3) {
            assert!(row[1].is_empty(), "malformed: {row:?}");
            assert!(row[2] == "1" || row[3].is_empty(), "a wrong checksum: {row:?}");
        }
        // To tshark, which sees them side by side, a retransmission soon after is a segment out of order.
        let filter = "tcp.analysis.retransmission || tcp.analysis.out_of_order";
        let again = tshark(&capture, &["-Y", filter]).expect("it was there just now");
        assert!(!again.is_empty(), "3% are lost and nothing is retransmitted");
    }
}
