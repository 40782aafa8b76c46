//! node: http, fetch and dgram.

use super::{published, source};
use crate::footer::Footer;
use crate::need::have;
use crate::outside::{Web, ask, free_port, get};
use crate::process::{Running, finish, sockeye_run};

#[test]
fn fetch_and_http_ask() {
    if !have(&["node"]) {
        return;
    }
    let web = Web::start("127.0.0.1");
    let command = ["node", &source("node/client.js"), &web.url("100000")];
    let ended = finish(&mut sockeye_run(&[], &command)).success();
    assert_eq!(
        ended.text(),
        "fetch: 200, 100000 bytes\nhttp: 200, 100000 bytes\nhello: 200, 4321 bytes\nrefused: ECONNREFUSED\n",
        "{ended}"
    );
    Footer::of(&ended).through(3, 40);
}

#[test]
fn http_serves_the_machine() {
    if !have(&["node"]) {
        return;
    }
    let mut server = Running::start(&mut sockeye_run(&[], &["node", &source("node/server.js")]));
    let address = published(&mut server);
    for _ in 0..5 {
        let (head, body) = get(address, "/");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(String::from_utf8_lossy(&body), "you are 10.0.2.2\n");
    }
    server.terminate();
    Footer::of(&server.finish()).through(5, 30);
}

#[test]
fn dgram_answers_the_machine_and_itself() {
    if !have(&["node"]) {
        return;
    }
    let mut server = Running::start(&mut sockeye_run(
        &[],
        &["node", &source("node/dgram.js"), &free_port().to_string()],
    ));
    let address = published(&mut server);
    assert_eq!(ask(address, b"from outside"), b"FROM OUTSIDE");
    let ended = server.finish().success().says("heard myself: from inside\n");
    assert!(Footer::of(&ended).link("packets") >= 3);
}
