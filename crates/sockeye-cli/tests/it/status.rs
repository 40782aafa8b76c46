//! How a run ends: the program's own status, its output untouched, and no network without a supervisor.

use crate::need::have;
use crate::outside::pattern;
use crate::process::{Running, finish, shell, sockeye, sockeye_run};
use rustix::process::Signal;

#[test]
fn the_status_is_the_programs_own() {
    for (script, status) in [
        ("exit 0", 0),
        ("exit 1", 1),
        ("exit 77", 77),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
    ] {
        let _ = finish(&mut sockeye(&["run", "-q", "--", "sh", "-c", script])).status_is(status);
    }
}

#[test]
fn standard_output_is_the_programs_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bytes");
    std::fs::write(&file, pattern(1 << 20)).expect("a file");
    for flags in [
        &["run"][..],
        &["run", "-q"],
        &["run", "-v"],
        &["run", "--json"],
        &["run", "--loss", "5%"],
    ] {
        let ended = finish(sockeye(flags).arg("--").arg("cat").arg(&file)).success();
        assert!(ended.stdout == pattern(1 << 20), "{flags:?} changed the output");
        assert_eq!(
            ended.stderr.is_empty(),
            flags.contains(&"-q"),
            "{flags:?} {}",
            ended.stderr
        );
    }
}

#[test]
fn standard_input_is_the_programs() {
    let script = format!(
        "printf 'a\\nb\\n' | '{}' run -q -- cat -n",
        env!("CARGO_BIN_EXE_sockeye")
    );
    let ended = finish(&mut shell(&script)).success();
    assert_eq!(ended.text(), "     1\ta\n     2\tb\n");
}

#[test]
fn the_footer_is_for_people_too() {
    if !have(&["curl"]) {
        return;
    }
    let page = [
        "--",
        "curl",
        "-sS",
        "-o",
        "/dev/null",
        "http://hello.sockeye.test/bytes/500000",
    ];
    let flags = ["run", "--loss", "2%", "--delay", "5ms", "--seed", "7"];
    let arguments: Vec<&str> = flags.into_iter().chain(page).collect();
    let ended = finish(&mut sockeye(&arguments)).success();
    assert!(
        ended.stderr.lines().all(|line| line.starts_with("sockeye: ")),
        "{ended}"
    );
    for word in ["connection", "packets", "lost", "delay", "retransmi", "RTT", "seed 7"] {
        assert!(
            ended.stderr.contains(word),
            "the footer does not speak of `{word}`; {ended}"
        );
    }
}

#[test]
fn one_seed_gives_the_same_chances() {
    // The chances of the first packets are the same; which packets there are depends on the clock, so a short exchange is compared.
    if !have(&["python3"]) {
        return;
    }
    let script = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
                  for i in range(200): s.sendto(b'%d' % i, ('10.0.2.2', 9))\n";
    let lost = |seed: &str| {
        let ended = finish(&mut sockeye_run(
            &["--loss", "up:30%", "--seed", seed],
            &["python3", "-c", script],
        ))
        .success();
        let footer = crate::footer::Footer::of(&ended);
        assert_eq!(footer.number("/seed").to_string(), seed);
        footer.number("/link/up/lost")
    };
    let (first, again) = (lost("7"), lost("7"));
    assert!((30..=90).contains(&first), "{first} of 200 lost");
    assert_eq!(first, again);
}

#[test]
fn without_its_supervisor_a_program_has_no_network() {
    if !have(&["python3"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let go = folder.path().join("go");
    let go = go.to_str().expect("text");
    let _ = finish(std::process::Command::new("mkfifo").arg(go)).success();
    // A server outside that a program must not reach any more.
    let web = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = web.local_addr().expect("bound").port();
    let script = format!(
        "import socket, sys\n\
         s = socket.create_connection(('10.0.2.2', 7))\n\
         print('connected', flush=True)\n\
         open('{go}').read()\n\
         def attempt(what, f):\n\
         \x20   try: print(what, 'worked:', f(), flush=True)\n\
         \x20   except OSError as e: print(what, 'failed', flush=True)\n\
         print('the old socket has ended:', s.recv(1) == b'', flush=True)\n\
         attempt('a new socket', lambda: socket.create_connection(('127.0.0.1', {port}), timeout=5))\n\
         attempt('a new UDP socket', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))\n\
         print('over', flush=True)\n"
    );
    let mut run = Running::start(&mut sockeye(&["run", "--", "python3", "-c", &script]));
    let _ = run.wait_for_line("connected");
    run.signal_one(Signal::KILL);
    std::fs::write(go, "go\n").expect("somebody reads");
    let ended = run.finish();
    let text = ended.text();
    assert!(!text.contains("worked"), "{ended}");
    // It may have been ended with its supervisor; if it lives on, each attempt fails.
    assert!(
        text == "connected\n" || text.ends_with("a new socket failed\na new UDP socket failed\nover\n"),
        "{ended}"
    );
    web.set_nonblocking(true).expect("ours");
    assert!(web.accept().is_err(), "the program reached the machine's network");
}

#[test]
fn an_interrupt_ends_the_program_and_the_run_tells() {
    if !have(&["python3"]) {
        return;
    }
    // Whoever runs the tests in the background has them ignore the signal, and their children too.
    let script = "import signal, socket\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n\
                  l = socket.create_server(('127.0.0.1', 0))\nprint('ready', flush=True)\nl.accept()";
    let mut run = Running::start(&mut sockeye_run(&[], &["python3", "-c", script]));
    let _ = run.wait_for_line("ready");
    // As a terminal does: to the whole group.
    run.signal(Signal::INT);
    let ended = run.finish().status_is(130);
    assert!(ended.stderr.contains("KeyboardInterrupt"), "{ended}");
    let _ = crate::footer::Footer::of(&ended);
}

#[test]
fn a_run_inside_a_run_says_why_not() {
    let inner = env!("CARGO_BIN_EXE_sockeye");
    let ended = finish(&mut sockeye(&["run", "-q", "--", inner, "run", "--", "true"])).status_is(125);
    assert!(ended.stderr.starts_with("sockeye: "), "{ended}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended}");
}

#[test]
fn doctor_says_that_run_works_here() {
    let ended = finish(&mut sockeye(&["doctor"])).success();
    assert!(
        ended
            .text()
            .lines()
            .any(|line| line.starts_with("run") && line.contains("ok")),
        "{ended}"
    );
    let ended = finish(&mut sockeye(&["doctor", "--json"])).success();
    let parsed: Result<serde_json::Value, _> = serde_json::from_slice(&ended.stdout);
    assert!(parsed.is_ok_and(|value| value.is_object()), "{ended}");
}

#[test]
fn services_are_known_without_a_file() {
    for (name, parts) in [
        ("http", &["80", "tcp", "well known"][..]),
        ("443", &["https", "well known"]),
        ("postgresql", &["5432", "registered"]),
        ("50000", &["dynamic"]),
    ] {
        let ended = finish(&mut sockeye(&["services", name])).success();
        assert!(parts.iter().all(|part| ended.text().contains(part)), "{name}: {ended}");
    }
    let ended = finish(&mut sockeye(&["services", "htpp"])).status_is(1);
    assert!(ended.stderr.contains("http"), "no suggestion; {ended}");
}
