//! Big files over bad networks: every byte arrives, once, in order.

use crate::footer::Footer;
use crate::need::have;
use crate::outside::{Web, pattern, sum};
use crate::process::{Running, sockeye_run};
use std::time::Duration;

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

/// One transfer, however slow the network makes it.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// How many seeds to try: `SOCKEYE_SEEDS`, or a few.
fn seeds() -> u64 {
    let text = std::env::var("SOCKEYE_SEEDS").unwrap_or_default();
    text.parse().unwrap_or(2)
}

/// Bytes of the file: 64 MiB when seeds are asked for, else what takes seconds and not minutes. Where one packet in twenty is lost, TCP's
/// congestion control sends about 200 kB a second, and waits for the rest of the time: so all seeds are tried at once.
fn size() -> usize {
    if std::env::var_os("SOCKEYE_SEEDS").is_some() {
        64 << 20
    } else {
        2 << 20
    }
}

/// Runs `check` once for each seed, at the same time.
fn each_seed(check: impl Fn(&str) + Sync) {
    std::thread::scope(|scope| {
        let runs: Vec<_> = (1..=seeds())
            .map(|seed| {
                let check = &check;
                scope.spawn(move || check(&seed.to_string()))
            })
            .collect();
        let failed = runs.into_iter().filter_map(|run| run.join().err()).count();
        assert_eq!(failed, 0, "so many seeds failed");
    });
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
    each_seed(|seed| {
        let file = folder.path().join(seed);
        let command = [
            "curl",
            "-sS",
            "-o",
            file.to_str().expect("text"),
            &web.url(&size().to_string()),
        ];
        let run = Running::start(&mut sockeye_run(&flags(seed), &command)).within(LIMIT);
        let ended = run.finish().success();
        assert!(
            std::fs::read(&file).expect("a file") == content,
            "seed {seed}: the bytes differ"
        );
        impaired(&Footer::of(&ended), seed);
        println!("down {on}, seed {seed}: {:?}", ended.took);
    });
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
    each_seed(|seed| {
        let command = ["curl", "-sS", "-T", file.to_str().expect("text"), &web.url("upload")];
        let run = Running::start(&mut sockeye_run(&flags(seed), &command)).within(LIMIT);
        let ended = run.finish().success();
        assert_eq!(ended.text(), want, "seed {seed}");
        impaired(&Footer::of(&ended), seed);
        println!("up {on}, seed {seed}: {:?}", ended.took);
    });
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
