//! iperf3: up, down, both ways, and over UDP.

use crate::footer::Footer;
use crate::need::have;
use crate::outside::free_port;
use crate::process::{Finished, Running, finish, sockeye_run};
use serde_json::Value;
use std::process::Command;

fn report(ended: &Finished) -> Value {
    serde_json::from_slice(&ended.stdout).unwrap_or_else(|error| panic!("no report: {error}; {ended}"))
}

fn number(report: &Value, path: &str) -> u64 {
    let value = report.pointer(path).and_then(Value::as_f64);
    value.unwrap_or_else(|| panic!("no {path} in {report:#}")) as u64
}

/// Runs a client inside against a server outside.
fn client(flags: &[&str], arguments: &[&str]) -> (Value, Footer) {
    let port = free_port().to_string();
    let mut server = Running::start(Command::new("iperf3").args(["-s", "-1", "--forceflush", "-p", &port]));
    let _ = server.wait_for_line("Server listening");
    let command = ["iperf3", "-c", "127.0.0.1", "-p", &port, "-J"];
    let command: Vec<&str> = command.iter().chain(arguments).copied().collect();
    let ended = finish(&mut sockeye_run(flags, &command)).success();
    let _ = server.finish().success();
    (report(&ended), Footer::of(&ended))
}

#[test]
fn iperf3_sends_and_receives() {
    if !have(&["iperf3"]) {
        return;
    }
    for (arguments, up, down) in [
        (&["-n", "20M"][..], 20 << 20, 0),
        (&["-n", "20M", "-R"], 0, 20 << 20),
        (&["-t", "2", "--bidir"], 1 << 20, 1 << 20),
        (&["-n", "10M", "-P", "4"], 10 << 20, 0),
    ] {
        let (report, footer) = client(&[], arguments);
        assert!(
            number(&report, "/end/sum_received/bytes") > 1 << 20,
            "{arguments:?} {report:#}"
        );
        assert!(footer.number("/link/up/bytes") >= up, "{arguments:?} {footer:?}");
        assert!(footer.number("/link/down/bytes") >= down, "{arguments:?} {footer:?}");
        footer.through(2, 20);
    }
}

#[test]
fn iperf3_over_udp() {
    if !have(&["iperf3"]) {
        return;
    }
    for arguments in [&["-u", "-b", "5M", "-t", "2"][..], &["-u", "-b", "5M", "-t", "2", "-R"]] {
        let (report, footer) = client(&[], arguments);
        let (packets, lost) = (
            number(&report, "/end/sum/packets"),
            number(&report, "/end/sum/lost_packets"),
        );
        assert!(
            packets > 50 && lost * 10 < packets,
            "{arguments:?}: {lost} of {packets} lost"
        );
        assert!(footer.link("packets") >= packets, "{footer:?}");
    }
}

#[test]
fn iperf3_sees_the_loss_that_was_asked_for() {
    if !have(&["iperf3"]) {
        return;
    }
    // Segments of the control connection are lost too, and sent again; datagrams are not.
    let (report, footer) = client(&["--loss", "up:20%", "--seed", "5"], &["-u", "-b", "5M", "-t", "2"]);
    let (packets, lost) = (
        number(&report, "/end/sum/packets"),
        number(&report, "/end/sum/lost_packets"),
    );
    assert!(
        lost * 100 > packets * 10 && lost * 100 < packets * 30,
        "{lost} of {packets} lost"
    );
    assert!(footer.number("/link/up/lost") >= lost, "{footer:?}");
    assert_eq!(footer.number("/link/down/lost"), 0, "{footer:?}");
}

#[test]
fn iperf3_serves_the_machine() {
    if !have(&["iperf3"]) {
        return;
    }
    let port = free_port().to_string();
    let mut server = Running::start(&mut sockeye_run(
        &[],
        &["iperf3", "-s", "-1", "--forceflush", "-p", &port],
    ));
    let _ = server.wait_for_line("Server listening");
    let ended = finish(Command::new("iperf3").args(["-c", "127.0.0.1", "-p", &port, "-t", "1", "-J"])).success();
    // What the server had not read when the client said that it was over is not counted: buffers on the way hold megabytes.
    let received = number(&report(&ended), "/end/sum_received/bytes");
    assert!(received > 1 << 20, "{ended}");
    let ended = server.finish().success();
    let footer = Footer::of(&ended);
    assert!(footer.number("/link/down/bytes") >= received, "{footer:?}");
    footer.through(2, 20);
}
