//! A static binary of C: busybox.

use crate::footer::Footer;
use crate::need::have;
use crate::outside::{Web, pattern};
use crate::process::{finish, sockeye_run};

#[test]
fn busybox_fetches() {
    if !have(&["busybox"]) {
        return;
    }
    let web = Web::start("127.0.0.1");
    let ended = finish(&mut sockeye_run(
        &[],
        &["busybox", "wget", "-q", "-O", "-", &web.url("50000")],
    ))
    .success();
    assert!(ended.stdout == pattern(50_000), "the bytes differ");
    Footer::of(&ended).through(1, 10);
    let ended = finish(&mut sockeye_run(
        &[],
        &["busybox", "wget", "-q", "-O", "-", "http://10.0.2.2/bytes/777"],
    ))
    .success();
    assert_eq!(ended.stdout.len(), 777);
}

#[test]
fn busybox_serves_itself() {
    if !have(&["busybox"]) {
        return;
    }
    let script = "busybox nc -l -p 5005 -e busybox cat & \
                  until printf hello | busybox nc 127.0.0.1 5005 2>/dev/null; do :; done";
    let ended = finish(&mut sockeye_run(&["--no-host-loopback"], &["sh", "-c", script])).success();
    assert!(ended.text().ends_with("hello"), "{ended}");
    Footer::of(&ended).through(2, 6);
}
