//! curl and wget.

use crate::footer::Footer;
use crate::need::have;
use crate::outside::{Web, pattern, sum};
use crate::process::{finish, sockeye_run};

const SIZE: usize = 1 << 20;

#[test]
fn curl_shows_the_built_in_page() {
    if !have(&["curl"]) {
        return;
    }
    let ended = finish(&mut sockeye_run(&[], &["curl", "-sS", "http://hello.sockeye.test/"])).success();
    let ended = ended
        .says("Hello from Sockeye")
        .says("[fd00::15]:")
        .says("timestamps, sack");
    Footer::of(&ended).through(1, 6);
}

#[test]
fn curl_fetches_from_outside() {
    if !have(&["curl"]) {
        return;
    }
    for on in ["127.0.0.1", "::1"] {
        let web = Web::start(on);
        let ended = finish(&mut sockeye_run(&[], &["curl", "-sS", &web.url(&SIZE.to_string())])).success();
        assert!(ended.stdout == pattern(SIZE), "the bytes differ");
        let footer = Footer::of(&ended);
        footer.through(1, 20);
        assert!(footer.number("/link/down/bytes") >= SIZE as u64, "{footer:?}");
    }
}

#[test]
fn curl_uploads() {
    if !have(&["curl"]) {
        return;
    }
    let web = Web::start("127.0.0.1");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("upload");
    std::fs::write(&file, pattern(SIZE)).expect("a file");
    let file = file.to_str().expect("text");
    let ended = finish(&mut sockeye_run(&[], &["curl", "-sS", "-T", file, &web.url("upload")])).success();
    let ended = ended.says(&format!("{SIZE} bytes, sum {}", sum(&pattern(SIZE))));
    assert!(Footer::of(&ended).number("/link/up/bytes") >= SIZE as u64);
}

#[test]
fn curl_makes_many_connections_at_once() {
    if !have(&["curl"]) {
        return;
    }
    let command = [
        "curl",
        "-sS",
        "-Z",
        "--parallel-immediate",
        "-o",
        "/dev/null",
        "http://hello.sockeye.test/bytes/[1000-1039]",
    ];
    let ended = finish(&mut sockeye_run(&[], &command)).success();
    Footer::of(&ended).through(20, 200);
}

#[test]
fn wget_fetches() {
    if !have(&["wget"]) {
        return;
    }
    let web = Web::start("127.0.0.1");
    for (url, size) in [
        (web.url(&SIZE.to_string()), SIZE),
        ("http://hello.sockeye.test/bytes/300000".to_owned(), 300_000),
    ] {
        let ended = finish(&mut sockeye_run(&[], &["wget", "-q", "-O", "-", &url])).success();
        assert_eq!(ended.stdout.len(), size, "{url}");
        Footer::of(&ended).through(1, 20);
    }
}
