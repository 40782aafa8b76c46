//! A link of your own: packets in the datagrams of a Unix socket, as monitors of microVMs have them. `cargo run -p sockeye --example custom_link`

use sockeye::Host;
use sockeye::link::{Caps, Link, packet};
use sockeye_core::{Instant, Packet};
use std::task::{Context, Poll, ready};
use std::{collections::VecDeque, error::Error, io};
use tokio::io::ReadBuf;
use tokio::net::UnixDatagram;

struct Unix(UnixDatagram);

impl Link for Unix {
    fn caps(&self) -> Caps {
        Caps::ip(1_500) // each packet complete, with its checksum, and no longer than this
    }

    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        _: Instant,
        batch: &mut Vec<Packet>,
        max: usize,
    ) -> Poll<io::Result<()>> {
        let before = batch.len();
        while batch.len() < before + max {
            let mut bytes = vec![0; 2_048];
            let mut buf = ReadBuf::new(&mut bytes);
            match self.0.poll_recv(cx, &mut buf) {
                Poll::Ready(Ok(())) => batch.push(packet(buf.filled().to_vec())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)), // the end of this link
                Poll::Pending if batch.len() > before => break,            // what came so far
                Poll::Pending => return Poll::Pending,                     // nothing: the socket wakes us
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, _: Instant, batch: &mut VecDeque<Packet>) -> Poll<io::Result<()>> {
        while let Some(packet) = batch.front() {
            let _lost_like_any_packet = ready!(self.0.poll_send(cx, &packet.to_vec()));
            batch.pop_front(); // only now: while it is pending, it stays
        }
        Poll::Ready(Ok(()))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (left, right) = UnixDatagram::pair()?;
    let server = Host::builder().address("10.0.0.1/24").link(Unix(left)).build()?;
    let client = Host::builder().address("10.0.0.2/24").link(Unix(right)).build()?;
    let listener = server.tcp_listen("10.0.0.1:7").await?;
    let asks = client.tcp_connect("10.0.0.1:7").await?;
    asks.write_chunk("hello".into()).await?;
    let heard = listener.accept().await?.0.read_chunk(usize::MAX).await?;
    assert_eq!(heard, Some("hello".into()));
    Ok(())
}
