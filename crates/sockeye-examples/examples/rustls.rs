//! TLS by rustls through a link with an MTU of 1280 bytes, as in tunnels, that loses one packet in fifty.

use rustls::pki_types::ServerName;
use sockeye::net::{TcpListener, TcpStream}; // the one line that changes
use sockeye_examples::{Identity, bad_link};
use std::error::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

async fn serve(listener: TcpListener, acceptor: TlsAcceptor) -> Result<()> {
    let mut stream = acceptor.accept(listener.accept().await?.0).await?;
    stream.write_all("hello over TLS; ".repeat(20_000).as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

#[tokio::main]
async fn main() -> Result<()> {
    let (server, user) = bad_link(1_280)?;
    let identity = Identity::new("server.example")?;
    let listener = server.scope(TcpListener::bind("0.0.0.0:443")).await?;
    tokio::spawn(serve(listener, TlsAcceptor::from(identity.server(&[])?)));

    let connector = TlsConnector::from(identity.client(&[])?);
    let stream = user.scope(TcpStream::connect("server.example:443")).await?;
    let mut stream = connector
        .connect(ServerName::try_from("server.example")?, stream)
        .await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let (tcp, tls) = stream.get_ref();
    println!("{} bytes: {:.14}", text.len(), text);
    println!(
        "{:?}, segments of {} bytes",
        tls.protocol_version(),
        tcp.info()?.rcv_mss
    );
    Ok(())
}
