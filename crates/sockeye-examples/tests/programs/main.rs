//! Programs by other people's libraries, as written for tokio's sockets: here over a link in memory that loses one packet in fifty, in virtual
//! time. hyper alone is in `crates/sockeye/tests/http.rs`.

mod axum;
mod quinn;
mod rustls;
mod websocket;

use sockeye::Host;

/// Bytes that show when one of them is missing or another's.
fn numbered(len: usize) -> Vec<u8> {
    (0_u32..).map(|n| (n % 251) as u8).take(len).collect()
}

/// There was loss, and it was made up for.
fn assert_repaired(host: &Host) {
    assert!(host.counters().tcp_retrans_segs > 0, "the link was not bad");
}
