//! QUIC by quinn over Sockeye's UDP, on a link that loses one packet in fifty.

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, ServerConfig};
use sockeye::net::UdpSocket;
use sockeye_examples::{Identity, Quic, bad_link};
use std::error::Error;
use std::sync::Arc;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Answers each stream with what came on it, in capitals.
async fn serve(endpoint: Endpoint) -> Result<()> {
    let connection = endpoint.accept().await.ok_or("the endpoint was closed")?.await?;
    loop {
        let (mut send, mut recv) = connection.accept_bi().await?;
        let text = String::from_utf8(recv.read_to_end(1_000_000).await?)?;
        send.write_all(text.to_uppercase().as_bytes()).await?;
        send.finish()?;
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let (server, user) = bad_link(1_500)?;
    let identity = Identity::new("server.example")?;
    let config = QuicServerConfig::try_from(identity.server(&["capitals"])?)?;
    let socket = server.scope(UdpSocket::bind("0.0.0.0:443")).await?;
    let endpoint = Quic::endpoint(socket, Some(ServerConfig::with_crypto(Arc::new(config))))?;
    tokio::spawn(serve(endpoint));

    let config = QuicClientConfig::try_from(identity.client(&["capitals"])?)?;
    let socket = user.scope(UdpSocket::bind("0.0.0.0:0")).await?;
    let mut endpoint = Quic::endpoint(socket, None)?;
    endpoint.set_default_client_config(ClientConfig::new(Arc::new(config)));
    let connection = endpoint.connect("10.0.0.1:443".parse()?, "server.example")?.await?;
    for text in ["hello".to_owned(), "hello again, ".repeat(10_000)] {
        let (mut send, mut recv) = connection.open_bi().await?;
        send.write_all(text.as_bytes()).await?;
        send.finish()?;
        let answer = String::from_utf8(recv.read_to_end(1_000_000).await?)?;
        println!("{} bytes: {:.20}", answer.len(), answer);
    }
    println!("{} packets were lost", connection.stats().path.lost_packets);
    Ok(())
}
