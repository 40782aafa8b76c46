//! What the examples (`examples/`) and tests (`tests/`) of this crate share: the few lines that axum and quinn want to know Sockeye's sockets
//! by, a certificate, and a bad link. hyper, rustls and tungstenite take [`sockeye::net::TcpStream`] as it is.

#![forbid(unsafe_code)]

mod quic;
mod tls;
mod web;

pub use quic::Quic;
pub use tls::Identity;
pub use web::Web;

use sockeye::link::{self, Impaired};
use sockeye::{Host, host::BuildError};
use sockeye_core::netem::{Loss, Netem};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// A server at 10.0.0.1 and a client at 10.0.0.2, which knows the server as `server.example`. One packet in fifty is lost between them, each
/// way, and the others take 15 to 25 ms.
///
/// # Errors
/// See [`BuildError`]: the MTU may be wrong, or there is no runtime.
pub fn bad_link(mtu: u32) -> Result<(Host, Host), BuildError> {
    let bad = Netem {
        loss: Loss::Random(0.02),
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(5),
        ..Netem::NONE
    };
    let (left, right) = link::pair();
    let server = Host::builder()
        .address("10.0.0.1/24")
        .seed(1)
        .link(left.mtu(mtu))
        .build()?;
    let client = Host::builder()
        .address("10.0.0.2/24")
        .name("server.example", IpAddr::from(Ipv4Addr::new(10, 0, 0, 1)))
        .seed(2)
        .link(Impaired::new(right.mtu(mtu), &bad, &bad, 3))
        .build()?;
    Ok((server, client))
}
