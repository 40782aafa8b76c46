//! Big files over bad networks: every byte arrives, once, in order.

use crate::footer::Footer;
use crate::need::have;
use crate::outside::{Web, pattern, sum};
use crate::process::{finish, sockeye_run};

const BAD: [&str; 12] = [
    "--loss",
    "5%",
    "--reorder",
    "5%",
    "--duplicate",
    "2%",
    "--corrupt",
    "0.5%",
    "--delay",
    "10ms",
    "--jitter",
    "5ms",
];

/// How many seeds to try: `SOCKEYE_SEEDS`, or a few.
fn seeds() -> u64 {
    let text = std::env::var("SOCKEYE_SEEDS").unwrap_or_default();
    text.parse().unwrap_or(2)
}

/// Bytes of the file: the whole 64 MiB when seeds are asked for, or a quarter.
fn size() -> usize {
    if std::env::var_os("SOCKEYE_SEEDS").is_some() {
        64 << 20
    } else {
        16 << 20
    }
}

fn flags(seed: &str) -> Vec<&str> {
    BAD.iter().copied().chain(["--seed", seed]).collect()
}

fn impaired(footer: &Footer, seed: &str) {
    for what in ["lost", "delayed", "reordered", "duplicated", "corrupted"] {
        assert!(footer.link(what) > 0, "seed {seed}: nothing was {what}: {footer:?}");
    }
}

#[track_caller]
fn check_down(on: &str) {
    if !have(&["curl"]) {
        return;
    }
    let web = Web::start(on);
    let content = pattern(size());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("got");
    for seed in 1..=seeds() {
        let seed = seed.to_string();
        let command = [
            "curl",
            "-sS",
            "-o",
            file.to_str().expect("text"),
            &web.url(&size().to_string()),
        ];
        let ended = finish(&mut sockeye_run(&flags(&seed), &command)).success();
        assert!(
            std::fs::read(&file).expect("a file") == content,
            "seed {seed}: the bytes differ"
        );
        impaired(&Footer::of(&ended), &seed);
        eprintln!("down {on}, seed {seed}: {:?}", ended.took);
    }
}

#[track_caller]
fn check_up(on: &str) {
    if !have(&["curl"]) {
        return;
    }
    let web = Web::start(on);
    let content = pattern(size());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sent");
    std::fs::write(&file, &content).expect("a file");
    let want = format!("{} bytes, sum {}\n", content.len(), sum(&content));
    for seed in 1..=seeds() {
        let seed = seed.to_string();
        let command = ["curl", "-sS", "-T", file.to_str().expect("text"), &web.url("upload")];
        let ended = finish(&mut sockeye_run(&flags(&seed), &command)).success();
        assert_eq!(ended.text(), want, "seed {seed}");
        impaired(&Footer::of(&ended), &seed);
        eprintln!("up {on}, seed {seed}: {:?}", ended.took);
    }
}

#[test]
fn down_over_ipv4() {
    check_down("127.0.0.1");
}

#[test]
fn down_over_ipv6() {
    check_down("::1");
}

#[test]
fn up_over_ipv4() {
    check_up("127.0.0.1");
}

#[test]
fn up_over_ipv6() {
    check_up("::1");
}
