//! An Internet host for Rust programs, in user space: TCP and UDP sockets shaped like tokio's, over whatever carries your packets.
//!
//! # Sockets over packets that you hold
//!
//! A [`Host`] has addresses and [links](link); its [sockets](net) are tokio's, name for name: change `use tokio::net` to `use sockeye::net` and say
//! which host is meant, and hyper, axum, quinn, rustls and tungstenite run. This client and server speak TCP over two packet channels; a VPN, a
//! microVM or a [TUN device](link::Tun) would carry the packets just as well:
//!
//! ```
//! use sockeye::{Host, link};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> std::io::Result<()> {
//!     let ((left, a), (right, b)) = (link::channel(1_500), link::channel(1_500));
//!     let server = Host::builder().address("10.0.0.1/24").link(left).build()?;
//!     let client = Host::builder().address("10.0.0.2/24").link(right).build()?;
//!     tokio::spawn(async move { tokio::join!(a.carry_to(&b), b.carry_to(&a)) });
//!     let listener = server.tcp_listen("10.0.0.1:7").await?;
//!     let mut here = client.tcp_connect("10.0.0.1:7").await?;
//!     let (mut there, _) = listener.accept().await?;
//!     here.write_all(b"hello").await?;
//!     let mut heard = [0; 5];
//!     there.read_exact(&mut heard).await?;
//!     assert_eq!(&heard, b"hello");
//!     Ok(())
//! }
//! ```
//!
//! For threads there is [`blocking`], for programs in the style of BSD's calls [`bsd`], and for loops of one's own, without runtime or thread,
//! a [`Pump`]: packets in, packets out, and the next deadline.
//!
//! # A bad network, in virtual time
//!
//! With tokio's clock paused, hours of network pass in milliseconds, and a seed gives the same loss again:
//!
//! ```
//! use sockeye::{Host, link, sockeye_core::netem::{Loss, Netem}};
//! use std::time::Duration;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?.block_on(async {
//! let bad = Netem { loss: Loss::Random(0.05), delay: Duration::from_millis(40), ..Netem::NONE };
//! let (left, right) = link::pair();
//! let server = Host::builder().address("10.0.0.1/24").link(left).seed(1).build()?;
//! let right = link::Impaired::new(right, &bad, &bad, 7); // the seed
//! let client = Host::builder().address("10.0.0.2/24").link(right).seed(2).build()?;
//! let listener = server.tcp_listen("10.0.0.1:80").await?;
//! let mut here = client.tcp_connect("10.0.0.1:80").await?;
//! let (mut there, _) = listener.accept().await?;
//! tokio::spawn(async move { here.write_all(&[7; 1_000_000]).await });
//! let mut all = Vec::new();
//! there.read_to_end(&mut all).await?;
//! assert_eq!(all.len(), 1_000_000);
//! assert!(client.counters().tcp_retrans_segs > 0);
//! # std::io::Result::Ok(()) })?;
//! # std::io::Result::Ok(())
//! ```
//!
//! # The Internet of a program that you run
//!
//! A [`Gateway`](gateway::Gateway) answers for any address and relays to the machine's own sockets what its policy allows, or hands it to you.
//! What is behind it may be a sandbox, a virtual machine, or a host of this crate:
//!
//! ```
//! use sockeye::gateway::{Decision, Gateway, GatewayConfig};
//! use sockeye::{Host, link};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let (inside, outside) = link::pair();
//! let mut gateway = Gateway::new(GatewayConfig::default())?;
//! gateway.set_policy(|flow| match (flow.name, flow.outside.port()) {
//!     (Some("crates.io"), 443) => Decision::Allow,
//!     _ => Decision::Refuse,
//! });
//! tokio::spawn(gateway.run(outside));
//! let program = Host::builder().address("10.0.2.15/24").route("0.0.0.0/0", "10.0.2.2").link(inside).build()?;
//! assert!(program.tcp_connect("192.0.2.1:443").await.is_err()); // no name led there
//! # Ok(()) }
//! ```
//!
//! `docs/memory.md` tells what connections take and where the limits are. Beside all that: [names], and the small built-in [services].

#![forbid(unsafe_code)]

pub mod addresses;
pub mod blocking;
pub mod bsd;
pub mod gateway;
pub mod host;
pub mod link;
pub mod names;
pub mod net;
pub mod services;
pub mod services_registry;
#[cfg(feature = "sim")]
pub mod sim;

pub use host::{Host, HostBuilder, Interface, Pump};
pub use sockeye_core::{self, Instant};
