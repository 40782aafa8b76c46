//! Static Go programs: no C library, system calls made by hand.

use super::{published, source};
use crate::footer::Footer;
use crate::need::{have, skip};
use crate::outside::{Web, get};
use crate::process::{Running, finish, sockeye_run};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

/// The program, built once; `None` where there is no Go.
fn program() -> Option<&'static str> {
    static BUILT: OnceLock<Result<TempDir, String>> = OnceLock::new();
    if !have(&["go"]) {
        return None;
    }
    let built = BUILT.get_or_init(build);
    let path = match built {
        Ok(folder) => Path::new(folder.path()).join("gohttp"),
        Err(why) => {
            skip(why);
            return None;
        }
    };
    Some(Box::leak(path.to_str()?.to_owned().into_boxed_str()))
}

fn build() -> Result<TempDir, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut command = Command::new("go");
    command
        .args(["build", "-o"])
        .arg(folder.path().join("gohttp"))
        .arg("main.go")
        .current_dir(source("go"))
        .envs([("CGO_ENABLED", "0"), ("GO111MODULE", "off"), ("GOFLAGS", "")])
        // A cache that is ours, whoever runs the tests.
        .env("GOCACHE", folder.path().join("cache"))
        .env("HOME", folder.path());
    // The first build makes the standard library, too.
    let ended = Running::start(&mut command).within(Duration::from_secs(900)).finish();
    if ended.status == 0 {
        Ok(folder)
    } else {
        Err(format!("go cannot build; {ended}"))
    }
}

#[test]
fn a_static_client_fetches() {
    let Some(program) = program() else { return };
    let web = Web::start("127.0.0.1");
    let ended = finish(&mut sockeye_run(&[], &[program, "get", &web.url("70000"), "20"])).success();
    assert_eq!(ended.text(), "20 answers of 70000 bytes\n", "{ended}");
    Footer::of(&ended).through(1, 200);
    let ended = finish(&mut sockeye_run(
        &[],
        &[program, "get", "http://hello.sockeye.test/bytes/1234", "1"],
    ))
    .success();
    assert_eq!(ended.text(), "1 answers of 1234 bytes\n", "{ended}");
    Footer::of(&ended).through(1, 6);
}

#[test]
fn a_static_server_serves_the_machine() {
    let Some(program) = program() else { return };
    let mut server = Running::start(&mut sockeye_run(&[], &[program, "serve"]));
    let address = published(&mut server);
    for _ in 0..5 {
        let (head, body) = get(address, "/");
        assert!(head.contains("200 OK"), "{head}");
        assert_eq!(String::from_utf8_lossy(&body), "you are 10.0.2.2\n");
    }
    server.terminate();
    Footer::of(&server.finish()).through(5, 30);
}

#[test]
fn a_static_program_serves_and_asks_itself() {
    let Some(program) = program() else { return };
    let ended = finish(&mut sockeye_run(&["--loss", "2%"], &[program, "both", "200"])).success();
    assert_eq!(ended.text(), "200 answers from myself\n", "{ended}");
    Footer::of(&ended).through(2, 200);
}
