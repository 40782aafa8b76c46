//! nginx with two workers, serving curl and wrk, from outside and from inside the same run.

use crate::footer::Footer;
use crate::need::{find, have};
use crate::outside::{free_port, get, pattern};
use crate::process::{Running, finish, sockeye_run};
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use tempfile::TempDir;

const SIZE: usize = 100_000;

/// A folder with a configuration and a file to serve.
fn site(port: u16) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().to_str().expect("text");
    fs::write(folder.path().join("file"), pattern(SIZE)).expect("a file");
    fs::write(folder.path().join("small"), "small\n").expect("a file");
    // Root's workers would become another user, who cannot read the folder.
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {root}/{kind};"))
        .concat();
    let text = format!(
        "{user} daemon off; worker_processes 2; pid {root}/pid; error_log stderr notice;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log {root}/access; sendfile on; tcp_nopush on; {temporary}\n\
           server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
    );
    fs::write(folder.path().join("nginx.conf"), text).expect("a file");
    folder
}

fn start(folder: &TempDir) -> Running {
    let conf = folder.path().join("nginx.conf");
    let program = find("nginx").expect("looked for before");
    let command = [program.to_str().expect("text"), "-c", conf.to_str().expect("text")];
    let mut server = Running::start(&mut sockeye_run(&[], &command));
    let _ = server.wait_for("two workers", |line| {
        let id = line.split_once(": start worker process ")?.1;
        Some(id.to_owned())
    });
    server
}

/// Whether wrk saw nothing but good answers. Late ones it counts as well, and on a busy machine there are some.
fn content(text: &str) -> bool {
    let errors = text.lines().find(|line| line.contains("Socket errors"));
    let only_late = errors.is_none_or(|line| line.contains("connect 0, read 0, write 0,"));
    text.contains("requests in") && only_late && !text.contains("Non-2xx")
}

#[test]
fn nginx_serves_curl_and_wrk_of_the_machine() {
    if !have(&["nginx", "curl", "wrk"]) {
        return;
    }
    let port = free_port();
    let folder = site(port);
    let server = start(&folder);
    let url = |path: &str| format!("http://127.0.0.1:{port}/{path}");
    let ended = finish(Command::new("curl").args(["-sS", &url("file")])).success();
    assert!(ended.stdout == pattern(SIZE), "the bytes differ");
    let (_, body) = get(SocketAddr::from(([127, 0, 0, 1], port)), "/file");
    assert!(body == pattern(SIZE), "the bytes differ");
    let ended = finish(Command::new("wrk").args(["-t2", "-c20", "-d2s", &url("small")])).success();
    assert!(content(&ended.text()), "{ended}");
    server.terminate();
    let footer = Footer::of(&server.finish());
    footer.through(20, 500);
    let log = fs::read_to_string(folder.path().join("access")).expect("a log");
    assert!(log.lines().all(|line| line.starts_with("10.0.2.2 ")), "{log}");
}

#[test]
fn nginx_and_wrk_in_one_run() {
    if !have(&["nginx", "wrk"]) {
        return;
    }
    let port = free_port();
    let folder = site(port);
    let root = folder.path().to_str().expect("text");
    let nginx = find("nginx").expect("looked for before");
    // curl's retries wait for the server to listen.
    let script = format!(
        "{} -c {root}/nginx.conf & \
         curl -sS --retry 50 --retry-delay 1 --retry-connrefused -o {root}/got http://127.0.0.1:{port}/file && \
         wrk -t2 -c10 -d2s http://127.0.0.1:{port}/file; status=$?; kill -QUIT $!; wait; exit $status",
        nginx.display()
    );
    let ended = finish(&mut sockeye_run(&["--no-host-loopback"], &["sh", "-c", &script])).success();
    assert!(
        fs::read(folder.path().join("got")).expect("a file") == pattern(SIZE),
        "the bytes differ"
    );
    assert!(content(&ended.text()), "{ended}");
    Footer::of(&ended).through(20, 500);
    let log = fs::read_to_string(folder.path().join("access")).expect("a log");
    assert!(log.lines().all(|line| line.starts_with("127.0.0.1 ")), "{log}");
}
