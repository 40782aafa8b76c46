//! The simulation as a whole: what it promises about time, faults, and being the same again.

use super::*;
use crate::net::{TcpListener, TcpStream};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Answers every connection with what it says.
async fn echo() -> io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        spawn(async move {
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await
        });
    }
}

/// Says something to `to` and hears it again.
async fn call(to: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect((to, 80)).await?;
    stream.write_all(b"anybody there?").await?;
    stream.shutdown().await?;
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await?;
    Ok(heard)
}

async fn two(net: Net) -> Result {
    let (a, b) = (net.host("a")?, net.host("b")?);
    net.link(
        &a,
        &b,
        "delay 20ms jitter 10ms loss 10% duplicate 2% reorder 2% corrupt 1%",
    )?;
    a.spawn(echo());
    for _ in 0..5 {
        assert_eq!(b.spawn(call("a")).await??, "anybody there?");
    }
    Ok(())
}

#[test]
fn the_same_seed_gives_the_same_bytes_captured_or_not() {
    let limit = Duration::from_secs(3_600);
    let digests: Vec<u64> = (1..=20)
        .map(|seed| {
            let [plain, again, captured] = [false, false, true].map(|capture| seeds::once(seed, capture, limit, &two));
            assert_eq!(plain.result, Ok(()));
            assert_eq!(
                (plain.digest, plain.elapsed),
                (again.digest, again.elapsed),
                "seed {seed}"
            );
            assert_eq!(
                (plain.digest, plain.elapsed),
                (captured.digest, captured.elapsed),
                "seed {seed}"
            );
            assert!(plain.pcapng.is_empty() && captured.pcapng.len() > 1_000);
            plain.digest
        })
        .collect();
    let mut different = digests.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), digests.len(), "seeds differ");
}
