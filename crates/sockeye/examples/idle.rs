//! A million idle connections, both ends in this process, and what they take: `cargo run --release --example idle`, or with a number.

use sockeye::{Host, link};
use std::io::{Error, Result};
use std::time::Instant;

/// Ports that the server listens on, and how many connections of one client fit between it and one port.
const PORTS: usize = 20;
const PER_PORT: usize = 60_000;

/// Pages of memory that the process holds, in bytes.
fn resident() -> Result<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.map(|pages| pages * 4_096).ok_or_else(|| Error::other(statm))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let wanted = std::env::args().nth(1).map_or(Ok(1_000_000), |n| n.parse::<usize>());
    let wanted = wanted.map_err(Error::other)?.min(PORTS * PER_PORT);
    let (left, right) = link::pair();
    let server = Host::builder().address("10.0.0.1/24").link(left).build()?;
    let client = Host::builder().address("10.0.0.2/24").link(right);
    let client = client.sysctl("net.ipv4.ip_local_port_range", "1024 65535").build()?;
    let (before, start) = (resident()?, Instant::now());
    let (mut listeners, mut ends) = (Vec::new(), Vec::with_capacity(2 * wanted));
    for n in 0..wanted {
        if n % PER_PORT == 0 {
            listeners.push(server.tcp_listen(("10.0.0.1", 1_000 + listeners.len() as u16)).await?);
        }
        let listener = &listeners[n / PER_PORT];
        let (here, there) = tokio::join!(client.tcp_connect(listener.local_addr()?), listener.accept());
        ends.extend([here?, there?.0]);
    }
    let (took, sides) = (start.elapsed(), ends.len().max(1));
    let memory = (server.memory().total() + client.memory().total()) as usize;
    println!("{wanted} connections in {:.1} s", took.as_secs_f64());
    println!("{} bytes a side, as the hosts count", memory / sides);
    println!(
        "{} bytes a side, of the whole process",
        resident()?.saturating_sub(before) / sides
    );
    Ok(())
}
