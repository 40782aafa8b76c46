//! A replicated counter under 500 bad networks: three replicas that gossip over TCP, a partition and its healing, in virtual time.
//!
//! `cargo run -p sockeye --example counter`, or as a test: `cargo test -p sockeye --example counter`. A seed that fails tells how to replay it.

use sockeye::net::{TcpListener, TcpStream};
use sockeye::sim::{self, Net};
use std::{cell::Cell, error::Error, io, rc::Rc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

/// What each replica counted itself, as far as one of them knows: merging takes the larger number, so hearing it twice does no harm.
type Counts = Rc<[Cell<u64>; 3]>;

async fn exchange(stream: &mut TcpStream, counts: &Counts) -> io::Result<()> {
    for count in counts.iter() {
        stream.write_u64(count.get()).await?;
    }
    for count in counts.iter() {
        let theirs = stream.read_u64().await?;
        count.set(count.get().max(theirs));
    }
    Ok(())
}

async fn serve(counts: Counts) -> io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let counts = Rc::clone(&counts);
        sim::spawn(async move { exchange(&mut stream, &counts).await });
    }
}

async fn gossip(counts: Counts, with: &str) {
    loop {
        let tell = async { exchange(&mut TcpStream::connect((with, 80)).await?, &counts).await };
        let _next_time_then = timeout(Duration::from_secs(5), tell).await;
        sleep(Duration::from_secs(1)).await;
    }
}

async fn survives_partition(net: Net) -> Result<(), Box<dyn Error>> {
    let (names, replicas) = (["a", "b", "c"], [(); 3].map(|()| Counts::default()));
    for (name, counts) in names.iter().zip(&replicas) {
        net.host(name)?.spawn(serve(Rc::clone(counts)));
    }
    for (one, other) in [(0, 1), (1, 2), (2, 0)] {
        net.link(names[one], names[other], "delay 40ms jitter 20ms loss 5%")?;
        net.machine(names[one])?
            .spawn(gossip(Rc::clone(&replicas[one]), names[other]));
    }
    net.partition(&["a"], &["b", "c"])?;
    for own in (0..100).map(|_| net.random(3) as usize) {
        replicas[own][own].set(replicas[own][own].get() + 1);
        sleep(Duration::from_millis(50)).await;
    }
    net.heal();
    sleep(Duration::from_secs(20)).await; // virtual: it costs next to nothing
    let sums = replicas.map(|counts| counts.iter().map(Cell::get).sum::<u64>());
    let all = sums == [100; 3];
    all.then_some(()).ok_or_else(|| format!("they count {sums:?}").into())
}

#[cfg_attr(test, test)]
fn main() -> Result<(), sim::Failure> {
    let passed = sim::seeds(1..=500).name("counter").run(survives_partition)?;
    println!("{passed}");
    Ok(())
}
