//! Tokio's side of Sockeye: sockets in tasks, on one thread.

use bytes::{BufMut as _, Bytes, BytesMut};
use sockeye::Host;
use sockeye::link::{self, Caps, Link, packet};
use sockeye::net::TcpStream;
use sockeye_core::{Instant, Packet};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;

/// Two hosts on one runtime, and a task that answers.
pub(crate) struct Asking {
    runtime: Runtime,
    stream: TcpStream,
    _hosts: [Host; 2],
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime needs little")
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte).await?;
        stream.write_all(&byte).await?;
    }
}

impl Asking {
    pub(crate) fn new() -> Self {
        let runtime = runtime();
        let made: io::Result<_> = runtime.block_on(async {
            let (left, right) = link::pair();
            let client = Host::builder().address("10.0.0.1/24").link(left).build()?;
            let server = Host::builder().address("10.0.0.2/24").link(right).build()?;
            let listener = server.tcp_listen("10.0.0.2:7").await?;
            let stream = client.tcp_connect("10.0.0.2:7").await?;
            stream.set_nodelay(true)?;
            let (accepted, _) = listener.accept().await?;
            let _ends_with_the_runtime = tokio::spawn(answer(accepted));
            Ok((stream, [client, server]))
        });
        let (stream, hosts) = made.expect("two hosts in memory connect");
        Self {
            runtime,
            stream,
            _hosts: hosts,
        }
    }

    /// Some transactions; how many.
    pub(crate) fn work(&mut self) -> u64 {
        let Self { runtime, stream, .. } = self;
        let done: io::Result<()> = runtime.block_on(async {
            let mut byte = [1];
            for _ in 0..64 {
                stream.write_all(&byte).await?;
                stream.read_exact(&mut byte).await?;
            }
            Ok(())
        });
        done.expect("the other end answers");
        64
    }
}

/// A link to where every connection is accepted, whatever the address, and nothing is ever said: whoever answers keeps no memory.
#[derive(Default)]
struct Yes {
    answers: VecDeque<Packet>,
    waker: Option<Waker>,
}

impl Link for Yes {
    fn caps(&self) -> Caps {
        Caps::ip(1_500)
    }

    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        _: Instant,
        batch: &mut Vec<Packet>,
        max: usize,
    ) -> Poll<io::Result<()>> {
        if self.answers.is_empty() {
            self.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        batch.extend(self.answers.drain(..max.min(self.answers.len())));
        Poll::Ready(Ok(()))
    }

    fn poll_send(&mut self, _: &mut Context<'_>, _: Instant, batch: &mut VecDeque<Packet>) -> Poll<io::Result<()>> {
        self.answers
            .extend(batch.drain(..).filter_map(|packet| accept(&packet.to_vec())));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Poll::Ready(Ok(()))
    }
}

/// The SYN-ACK to a SYN: IPv4, no options but the largest segment.
fn accept(syn: &[u8]) -> Option<Packet> {
    const SYN: u8 = 2;
    let (ip, tcp) = (syn.get(..20)?, syn.get(20..40)?);
    if tcp[13] != SYN {
        return None;
    }
    let seq = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
    let mut answer = BytesMut::with_capacity(44);
    answer.put_slice(&[0x45, 0, 0, 44, 0, 0, 0x40, 0, 64, 6, 0, 0]);
    answer.put_slice(&ip[16..20]);
    answer.put_slice(&ip[12..16]);
    answer.put_slice(&tcp[2..4]);
    answer.put_slice(&tcp[..2]);
    answer.put_u32(1);
    answer.put_u32(seq.wrapping_add(1));
    answer.put_slice(&[0x60, 0x12, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 5, 0xb4]);
    let check = sockeye_core::wire::checksum::checksum(&answer[..20]);
    answer[10..12].copy_from_slice(&check.to_be_bytes());
    let (src, dst) = ([ip[16], ip[17], ip[18], ip[19]], [ip[12], ip[13], ip[14], ip[15]]);
    let check = sockeye_core::wire::checksum::transport(src.into(), dst.into(), 6, [&answer[20..]], 24);
    answer[36..38].copy_from_slice(&check.to_be_bytes());
    Some(packet(Bytes::from(answer)))
}

/// Bytes of memory that each of `count` tasks takes, which holds a connection and waits for it to say something.
pub(crate) fn idle(count: u32) -> f64 {
    let before = super::memory::resident();
    let runtime = runtime();
    let host = runtime.block_on(async {
        Host::builder()
            .address("10.0.0.1/8")
            .link(Yes::default())
            .build()
            .expect("a host in memory")
    });
    let local = async {
        for nth in 0..count {
            let host = host.clone();
            let [_, high, mid, low] = nth.to_be_bytes();
            let _waits_forever = tokio::spawn(async move {
                let stream = host.tcp_connect(SocketAddr::from(([10, 1 + high, mid, low], 7))).await;
                let mut byte = [0];
                match stream {
                    Ok(mut stream) => stream.read_exact(&mut byte).await.map(drop),
                    Err(error) => Err(error),
                }
            });
            if nth % 64 == 63 {
                tokio::task::yield_now().await;
            }
        }
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
        // Whatever belongs to opening goes in the meantime.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    };
    runtime.block_on(local);
    let memory = host.memory();
    assert!(
        memory.connections > u64::from(count) * 100,
        "not all are connected: {memory:?}"
    );
    (super::memory::resident() - before) / f64::from(count)
}
