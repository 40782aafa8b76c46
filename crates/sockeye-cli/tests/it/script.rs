//! `sockeye script`: what it prints, and with which status it ends.

use crate::process::{finish, sockeye};
use std::fs;

const HOLDS: &str = "\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 65535 <mss 1000>
+0 > S. 0:0(0) ack 1 <mss 1460>
";

#[test]
fn a_line_a_script_and_the_place_of_what_does_not_hold() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path.to_str().expect("a name").to_owned()
    };
    let holds = file("holds.pkt", HOLDS);
    let fails = file("fails.pkt", &HOLDS.replace("mss 1460", "mss 1400"));
    let unreadable = file("unreadable.pkt", &format!("{HOLDS}+0 > Q 0:0(0)\n"));

    let ended = finish(&mut sockeye(&["script", &holds])).status_is(0);
    assert_eq!(ended.text(), format!("ok    {holds}\n"));
    let ended = finish(&mut sockeye(&["script", "--quiet", &holds])).status_is(0);
    assert_eq!(ended.text(), "");

    let ended = finish(&mut sockeye(&["script", &fails, &holds])).status_is(1);
    let said = ended.text();
    let first = said.lines().next().unwrap_or_default();
    assert!(
        first.starts_with(&format!(
            "FAIL  {fails}:5:1: its options are <mss 1460>, not <mss 1400>"
        )),
        "{first}"
    );
    assert!(
        ended.text().contains("    0.000000 < S 0:0(0) win 65535 <mss 1000>\n"),
        "{ended}"
    );
    assert!(ended.text().ends_with(&format!("ok    {holds}\n")), "{ended}");

    let ended = finish(&mut sockeye(&["script", &unreadable])).status_is(125);
    assert!(
        ended.stderr.contains(&format!("{unreadable}:6:6: TCP flags")),
        "{ended}"
    );
    let ended = finish(&mut sockeye(&["script", "/no/such/file.pkt"])).status_is(125);
    assert!(ended.stderr.contains("/no/such/file.pkt"), "{ended}");
}
