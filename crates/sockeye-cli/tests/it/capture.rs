//! `--pcap`: tshark reads it without complaint, and counts what the footer counts.

use crate::footer::Footer;
use crate::need::have;
use crate::process::{finish, shell, sockeye, sockeye_run};
use std::path::Path;
use std::process::Command;

/// How many packets of a capture a display filter takes.
#[track_caller]
fn count(file: &Path, filter: &str) -> u64 {
    let mut command = Command::new("tshark");
    command
        // Wrong sums show packets that the link corrupted.
        .args([
            "-o",
            "ip.check_checksum:TRUE",
            "-o",
            "tcp.check_checksum:TRUE",
            "-o",
            "udp.check_checksum:TRUE",
        ])
        .args(["-Y", filter, "-T", "fields", "-e", "frame.number", "-r"])
        .arg(file);
    let ended = finish(&mut command).success();
    ended.text().lines().count() as u64
}

#[track_caller]
fn capture(flags: &[&str], program: &[&str]) -> (tempfile::TempDir, Footer) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("run.pcapng");
    let flags: Vec<&str> = flags
        .iter()
        .copied()
        .chain(["--pcap", file.to_str().expect("text")])
        .collect();
    let ended = finish(&mut sockeye_run(&flags, program)).success();
    (folder, Footer::of(&ended))
}

#[test]
fn a_clean_link_is_captured_whole() {
    if !have(&["tshark", "curl"]) {
        return;
    }
    let program = [
        "curl",
        "-sS",
        "-o",
        "/dev/null",
        "http://hello.sockeye.test/bytes/300000",
    ];
    let (folder, footer) = capture(&[], &program);
    let file = folder.path().join("run.pcapng");
    assert_eq!(count(&file, "_ws.malformed"), 0, "malformed");
    assert_eq!(count(&file, "tcp.analysis.retransmission"), 0, "retransmissions");
    assert_eq!(
        count(&file, "tcp.checksum.status == \"Bad\" || ip.checksum.status == \"Bad\""),
        0,
        "bad sums"
    );
    assert_eq!(count(&file, "tcp.flags.syn == 1 && tcp.flags.ack == 0"), 1);
    assert!(count(&file, "dns") >= 2, "the name was asked for");
    assert_eq!(
        footer.number("/retransmissions/program") + footer.number("/retransmissions/gateway"),
        0
    );
}

#[test]
fn a_bad_link_is_counted_alike() {
    if !have(&["tshark", "curl"]) {
        return;
    }
    let program = ["curl", "-4", "-sS", "-o", "/dev/null", "http://10.0.2.2/bytes/2000000"];
    let (folder, footer) = capture(
        &["--loss", "3%", "--duplicate", "1%", "--delay", "5ms", "--seed", "11"],
        &program,
    );
    let file = folder.path().join("run.pcapng");
    // What HTTP makes of a stream whose pieces come again and in another order is not for the frames to answer.
    assert_eq!(count(&file, "_ws.malformed && !http"), 0, "malformed");
    // What was lost and what was doubled stands in the comments of packets.
    let lost = count(&file, "frame.comment contains \"lost\"");
    assert_eq!(lost, footer.link("lost"), "{footer:?}");
    let doubled = count(&file, "frame.comment contains \"duplicate\"");
    assert_eq!(doubled, footer.link("duplicated"), "{footer:?}");
    // tshark's own eye for repetitions sees what the two hosts say they repeated, and the copies that the link made.
    let again = footer.number("/retransmissions/program") + footer.number("/retransmissions/gateway");
    let said = count(
        &file,
        "frame.comment contains \"retransmission\" && !(frame.comment contains \"duplicate\")",
    );
    assert_eq!(said, again, "{footer:?}");
    let seen = "tcp.analysis.retransmission || tcp.analysis.fast_retransmission || tcp.analysis.spurious_retransmission \
                || tcp.analysis.out_of_order";
    let repeated = count(&file, &format!("({seen}) && tcp.len > 0"));
    let copies = count(&file, "frame.comment contains \"duplicate\" && tcp.len > 0");
    assert!(
        again > 0 && repeated.abs_diff(again + copies) <= 1 + again / 20,
        "{repeated} for {again} + {copies}: {footer:?}"
    );
}

#[test]
fn standard_output_takes_a_capture() {
    if !have(&["tshark", "curl"]) {
        return;
    }
    let script = format!(
        "'{}' run -q --pcap - -- curl -sS -o /dev/null http://10.0.2.2/ | tshark -r - -T fields -e tcp.dstport -Y http.request",
        env!("CARGO_BIN_EXE_sockeye")
    );
    let ended = finish(&mut shell(&script)).success();
    assert_eq!(ended.text(), "80\n", "{ended}");
}

#[test]
fn a_capture_changes_nothing() {
    // Which packets are lost follows from the seed alone.
    if !have(&["python3"]) {
        return;
    }
    let script = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
                  for i in range(100): s.sendto(b'%d' % i, ('10.0.2.2', 9))\n";
    let program = ["python3", "-c", script];
    let flags = ["--loss", "up:30%", "--seed", "3"];
    let (_folder, with) = capture(&flags, &program);
    let without = Footer::of(&finish(&mut sockeye_run(&flags, &program)).success());
    assert_eq!(with.number("/link/up/lost"), without.number("/link/up/lost"));
}

#[test]
fn help_shows_how_to_capture() {
    let _ = finish(&mut sockeye(&["run", "--help"])).success().says("--pcap");
}
