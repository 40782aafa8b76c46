//! A SOCKS5 proxy (RFC 1928) from the machine's loopback into a network of Sockeye's: `cargo run --example socks5`, and then
//! `curl -x socks5h://127.0.0.1:1080 http://hello.example/`. Another port may be given; 0 takes a free one.

use sockeye::{Host, link, services::Services};
use std::io::{Error, Result};
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

const CONNECT: u8 = 1;

/// Reads the greeting and the request: the host and port that the client wants.
async fn request(client: &mut TcpStream) -> Result<(String, u16)> {
    let [5, methods] = client.read_u16().await?.to_be_bytes() else {
        return Err(Error::other("no SOCKS5 client"));
    };
    client.read_exact(&mut vec![0; methods.into()]).await?;
    client.write_all(&[5, 0]).await?; // no authentication
    let [_, CONNECT, _, kind] = client.read_u32().await?.to_be_bytes() else {
        return Err(Error::other("only CONNECT is served"));
    };
    let host = match kind {
        1 => Ipv4Addr::from(client.read_u32().await?).to_string(),
        4 => std::net::Ipv6Addr::from(client.read_u128().await?).to_string(),
        _ => {
            let mut name = vec![0; client.read_u8().await?.into()];
            client.read_exact(&mut name).await?;
            String::from_utf8_lossy(&name).into_owned()
        }
    };
    Ok((host, client.read_u16().await?))
}

async fn serve(mut client: TcpStream, host: Host) -> Result<()> {
    let (name, port) = request(&mut client).await?;
    let remote = host.tcp_connect((name.as_str(), port)).await;
    let reply = if remote.is_ok() { 0 } else { 5 }; // succeeded, or refused
    client.write_all(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    copy_bidirectional(&mut client, &mut remote?).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let (left, right) = link::pair();
    let web = Host::builder().address("10.0.0.1/24").link(left).build()?;
    let own = Host::builder().address("10.0.0.2/24").link(right);
    let own = own.name("hello.example", [10, 0, 0, 1]).build()?;
    tokio::spawn(Services::bind(&web, [Ipv4Addr::new(10, 0, 0, 1).into()]).await?.run());
    let port = std::env::args().nth(1).unwrap_or_else(|| "1080".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("socks5h://{}", listener.local_addr()?);
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(serve(client, own.clone()));
    }
}
