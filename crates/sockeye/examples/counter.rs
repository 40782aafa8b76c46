//! A counter on 500 bad networks: three replicas that gossip over TCP, through a partition. `cargo test -p sockeye --example counter`
use sockeye::net::{TcpListener, TcpStream};
use sockeye::sim::{self, Net};
use std::{cell::Cell, error::Error, io, rc::Rc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

type Counts = Rc<[Cell<u64>; 3]>; // of each replica; merging takes the larger number, so hearing it twice does no harm
async fn exchange(mut stream: TcpStream, counts: Counts) -> io::Result<()> {
    for count in counts.iter() {
        stream.write_u64(count.get()).await?;
        let theirs = stream.read_u64().await?;
        count.set(count.get().max(theirs));
    }
    Ok(())
}

async fn serve(counts: Counts) -> io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        sim::spawn(exchange(listener.accept().await?.0, Rc::clone(&counts)));
    }
}

async fn gossip(counts: Counts, with: &str) {
    loop {
        let tell = async { exchange(TcpStream::connect((with, 80)).await?, Rc::clone(&counts)).await };
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
        let machine = net.machine(names[one])?;
        machine.spawn(gossip(Rc::clone(&replicas[one]), names[other]));
    }
    net.partition(&["a"], &["b", "c"])?;
    for own in (0..50).map(|_| net.random(3) as usize) {
        replicas[own][own].set(replicas[own][own].get() + 1);
        sleep(Duration::from_millis(50)).await;
    }
    net.heal();
    sleep(Duration::from_secs(12)).await; // virtual
    let all = |counts: &Counts| counts.iter().map(Cell::get).sum::<u64>() == 50;
    assert!(replicas.iter().all(all), "something was forgotten: {replicas:?}");
    Ok(())
}

#[cfg_attr(test, test)]
fn main() -> Result<(), sim::Failure> {
    let passed = sim::seeds(1..=500).name("counter").run(survives_partition);
    passed.map(|passed| println!("{passed}"))
}
