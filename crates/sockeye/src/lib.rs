//! An Internet host for Rust programs, in user space: TCP and UDP sockets shaped like tokio's, over whatever carries your packets.
//!
//! A [`Host`] has addresses and [links](link); its [sockets](net) are tokio's, name for name. This client and server speak TCP over two packet
//! channels, and all their packets pass through your hands:
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
//!     tokio::spawn(async move {
//!         loop {
//!             tokio::select! {
//!                 Some(packet) = a.packet_out() => b.packet_in(packet).unwrap_or(()), // a full queue drops
//!                 Some(packet) = b.packet_out() => a.packet_in(packet).unwrap_or(()),
//!             }
//!         }
//!     });
//!     let listener = server.tcp_listen("10.0.0.1:7").await?;
//!     let mut stream = client.tcp_connect("10.0.0.1:7").await?;
//!     stream.write_all(b"hello").await?;
//!     let mut heard = [0; 5];
//!     listener.accept().await?.0.read_exact(&mut heard).await?;
//!     assert_eq!(&heard, b"hello");
//!     Ok(())
//! }
//! ```
//!
//! Beside that: the gateway between an inside network and the machine's own, names, and the small built-in services.

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
