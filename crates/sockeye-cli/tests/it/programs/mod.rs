//! Real programs, unmodified: each test fails when the program did not go through Sockeye.
//!
//! What went through is told by the footer (connections, packets and bytes of the link), and by addresses that exist only inside.

mod fetchers;
mod golang;
mod iperf;
mod names;
mod netcat;
mod nginx;
mod node;
mod python;
mod redis;
mod static_binaries;

use crate::process::Running;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A program of ours that a test runs with an interpreter or a compiler.
fn source(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "sources", name].iter().collect();
    path.to_str().expect("a path that is text").to_owned()
}

/// The port in a server's line `listening on port N`, on the machine's loopback.
#[track_caller]
fn published(server: &mut Running) -> SocketAddr {
    let port = server.wait_for("a port", |line| {
        line.split_once("listening on port ")?.1.trim().parse().ok()
    });
    SocketAddr::from(([127, 0, 0, 1], port))
}
