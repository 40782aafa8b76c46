//! axum serves any listener that implements its trait; this is ours.

use sockeye::net::{TcpListener, TcpStream};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// A listener for [`axum::serve()`].
#[derive(Debug)]
pub struct Web(pub TcpListener);

impl axum::serve::Listener for Web {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok(accepted) => return accepted,
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await, // As axum does with tokio's.
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
