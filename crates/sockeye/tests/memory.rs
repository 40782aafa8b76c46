//! What `docs/memory.md` says that things take, measured. Time is virtual.

use sockeye::net::TcpStream;
use sockeye::{Host, link};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

const MANY: usize = 100;

fn two() -> (Host, Host) {
    let (left, right) = link::pair();
    let server = Host::builder().address("10.0.0.1/24").link(left).build().unwrap();
    let client = Host::builder().address("10.0.0.2/24").link(right).build().unwrap();
    (server, client)
}

async fn connected(server: &Host, client: &Host, port: u16) -> (TcpStream, TcpStream) {
    let listener = server.tcp_listen(("10.0.0.1", port)).await.unwrap();
    let (here, there) = tokio::join!(client.tcp_connect(("10.0.0.1", port)), listener.accept());
    (here.unwrap(), there.unwrap().0)
}

/// The page has this row.
fn assert_row(what: &str, bytes: u64) {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/memory.md")).unwrap();
    let row = format!("| {what} | {bytes} |");
    assert!(page.contains(&row), "docs/memory.md has no row `{row}`");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection() {
    let (server, client) = two();
    let mut ends = Vec::new();
    for n in 0..MANY {
        ends.push(connected(&server, &client, 1_000 + n as u16).await);
    }
    let memory = server.memory();
    assert_eq!(memory.buffers, 0);
    assert_row(
        "a connection that has nothing to do, a side",
        memory.connections / MANY as u64,
    );
    // One that was used is as small again once it is quiet.
    for (here, there) in &mut ends {
        let (sent, mut got) = (vec![1; 50_000], vec![0; 50_000]);
        let (written, read) = tokio::join!(here.write_all(&sent), there.read_exact(&mut got));
        written.unwrap();
        read.unwrap();
    }
    sleep(Duration::from_secs(120)).await;
    assert_eq!((client.memory().buffers, server.memory().buffers), (0, 0));
    assert_eq!(server.memory(), memory);
    // Closed first here: TIME-WAIT.
    for (here, there) in ends {
        drop(here);
        sleep(Duration::from_millis(10)).await;
        drop(there);
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!((client.memory().connections, server.memory().total()), (0, 0));
    assert_row(
        "a connection in TIME-WAIT, for 60 s",
        client.memory().time_wait / MANY as u64,
    );
}

#[tokio::test(start_paused = true)]
async fn a_half_open_connection() {
    let ((left, a), (right, b)) = (link::channel(1_500), link::channel(1_500));
    let server = Host::builder().address("10.0.0.1/24").link(left).build().unwrap();
    let client = Host::builder().address("10.0.0.2/24").link(right).build().unwrap();
    // What the server answers is lost.
    tokio::spawn(async move { tokio::join!(b.carry_to(&a), async { while a.packet_out().await.is_some() {} }) });
    let _listener = server.tcp_listen("10.0.0.1:7").await.unwrap();
    let connects = (0..MANY).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.tcp_connect("10.0.0.1:7").await.map(drop) })
    });
    let connects: Vec<_> = connects.collect();
    sleep(Duration::from_millis(500)).await;
    assert_row("a half-open connection", server.memory().half_open / MANY as u64);
    connects.into_iter().for_each(|connect| connect.abort());
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_reader_is_stuck() {
    let (server, client) = two();
    let (mut here, _there) = connected(&server, &client, 7).await;
    let stuck = timeout(Duration::from_secs(60), here.write_all(&vec![1; 64 << 20])).await;
    assert!(stuck.is_err(), "64 MiB fit");
    let settings = (4 << 20, 6 << 20); // The last numbers of tcp_wmem and tcp_rmem.
    assert!(client.memory().buffers <= settings.0 + 65_536, "{:?}", client.memory());
    assert!(server.memory().buffers <= settings.1 + 65_536, "{:?}", server.memory());
}

#[tokio::test(start_paused = true)]
async fn the_budget_holds() {
    let (left, right) = link::pair();
    let server = Host::builder()
        .address("10.0.0.1/24")
        .link(left)
        .max_memory(8 << 20)
        .build()
        .unwrap();
    let client = Host::builder().address("10.0.0.2/24").link(right).build().unwrap();
    let mut ends = Vec::new();
    for n in 0..50 {
        ends.push(connected(&server, &client, 1_000 + n).await);
    }
    // Fifty writers, and nobody reads.
    let (writers, readers): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
    for mut writer in writers {
        tokio::spawn(async move { writer.write_all(&vec![1; 4 << 20]).await });
    }
    for _ in 0..60 {
        sleep(Duration::from_secs(1)).await;
        let used = server.memory().buffers;
        assert!(used <= 9 << 20, "{used} bytes, of a budget of 8 MiB");
    }
    drop(readers);
}
