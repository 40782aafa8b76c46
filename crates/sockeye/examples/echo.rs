//! An echo server and a client: two hosts, joined by a link in memory. Each line given is echoed; without any, `hello`.
//!
//! `cargo run --example echo -- one two`

use sockeye::net::{TcpListener, TcpStream};
use sockeye::{Host, link};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn serve(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (mut stream, from) = listener.accept().await?;
        println!("{from} is here");
        tokio::spawn(async move {
            let (mut read, mut write) = stream.split();
            tokio::io::copy(&mut read, &mut write).await
        });
    }
}

async fn ask(words: &[String]) -> std::io::Result<()> {
    let mut stream = TcpStream::connect("echo.example:7").await?;
    for word in words {
        stream.write_all(word.as_bytes()).await?;
        let mut back = vec![0; word.len()];
        stream.read_exact(&mut back).await?;
        println!("{word} -> {}", String::from_utf8_lossy(&back));
    }
    Ok(())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    if words.is_empty() {
        words.push("hello".to_owned());
    }
    let (left, right) = link::pair();
    let server = Host::builder().address("10.0.0.1/24").link(left).build()?;
    let client = Host::builder().address("10.0.0.2/24").link(right);
    let client = client.name("echo.example", [10, 0, 0, 1]).build()?;
    let listener = server.scope(TcpListener::bind("0.0.0.0:7")).await?;
    tokio::spawn(serve(listener));
    client.scope(ask(&words)).await
}
