//! A complete sans-I/O loop: packets in, packets out, and when to look again. No runtime, no thread; time leaps to whatever comes next.
use sockeye::Host;
use std::future::Future;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn main() -> std::io::Result<()> {
    let (server, mut a) = Host::builder().address("10.0.0.1/24").pump(1_500)?;
    let (client, mut b) = Host::builder().address("10.0.0.2/24").pump(1_500)?;
    let mut talk = std::pin::pin!(async {
        let listener = server.tcp_listen("10.0.0.1:7").await?;
        let mut stream = client.tcp_connect("10.0.0.1:7").await?;
        stream.write_all(b"hello").await?;
        let mut heard = [0; 5];
        listener.accept().await?.0.read_exact(&mut heard).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&heard).into_owned())
    });
    let mut now = sockeye::Instant::ZERO;
    loop {
        if let Poll::Ready(heard) = talk.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return heard.map(|heard| println!("the server heard: {heard}"));
        }
        let mut idle = true;
        while let Some(packet) = a.packet_out() {
            idle = b.packet_in(packet).is_err();
        }
        while let Some(packet) = b.packet_out() {
            idle = a.packet_in(packet).is_err();
        }
        if idle {
            let next = [a.next_deadline(), b.next_deadline()];
            now = next.into_iter().flatten().min().unwrap_or(now);
        }
        a.advance(now);
        b.advance(now);
    }
}
