//! However a socket, a task or a host goes, its peers see what a kernel's would show them, and nothing is left. Time is virtual.

use sockeye::net::{TcpListener, TcpStream};
use sockeye::{Host, link};
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

struct World {
    server: Host,
    client: Host,
    listener: TcpListener,
}

impl World {
    async fn new() -> Self {
        let (left, right) = link::pair();
        let server = Host::builder().address("10.0.0.1/24").link(left).build().unwrap();
        let client = Host::builder().address("10.0.0.2/24").link(right).build().unwrap();
        let listener = server.tcp_listen("0.0.0.0:80").await.unwrap();
        Self {
            server,
            client,
            listener,
        }
    }

    /// The client's end, then the server's.
    async fn connected(&self) -> (TcpStream, TcpStream) {
        let (here, there) = tokio::join!(self.client.tcp_connect("10.0.0.1:80"), self.listener.accept());
        (here.unwrap(), there.unwrap().0)
    }

    /// All that connections took is given back, in time.
    async fn leaves_nothing(self) {
        drop(self.listener);
        let idle = async {
            while self.server.memory().total() + self.client.memory().total() > 0 {
                sleep(SECOND).await;
            }
        };
        let left = timeout(3_600 * SECOND, idle).await;
        assert!(left.is_ok(), "{:?} {:?}", self.server.memory(), self.client.memory());
    }
}

/// What a read of the other end gives: how many bytes, then FIN, or RST.
async fn what_comes(mut stream: TcpStream) -> Result<usize, ErrorKind> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.map_err(|error| error.kind())
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_delivers_and_ends() {
    let world = World::new().await;
    let (mut here, there) = world.connected().await;
    here.write_all(&[1; 100_000]).await.unwrap();
    drop(here);
    assert_eq!(what_comes(there).await, Ok(100_000));
    world.leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_with_unread_bytes_resets() {
    let world = World::new().await;
    let (here, mut there) = world.connected().await;
    there.write_all(b"unread").await.unwrap();
    here.readable().await.unwrap();
    drop(here);
    assert_eq!(what_comes(there).await, Err(ErrorKind::ConnectionReset));
    world.leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_a_drop_is_answered_with_a_reset() {
    let world = World::new().await;
    let (here, mut there) = world.connected().await;
    drop(here);
    assert_eq!(there.read(&mut [0; 1]).await.unwrap(), 0);
    there.write_all(b"late").await.unwrap();
    sleep(SECOND).await;
    assert_eq!(there.write(b"later").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    drop(there);
    world.leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn an_aborted_task_closes_its_stream_in_the_middle() {
    let world = World::new().await;
    let (mut here, there) = world.connected().await;
    let writing = tokio::spawn(async move { here.write_all(&vec![1; 64 << 20]).await });
    sleep(SECOND).await;
    writing.abort();
    assert!(writing.await.unwrap_err().is_cancelled());
    let came = what_comes(there).await.unwrap();
    assert!(came > 0 && came < 64 << 20, "{came} bytes");
    world.leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_listener_resets_who_waits_and_refuses_who_comes() {
    let World {
        server,
        client,
        listener,
    } = World::new().await;
    let waiting = client.tcp_connect("10.0.0.1:80").await.unwrap();
    drop(listener);
    assert_eq!(what_comes(waiting).await, Err(ErrorKind::ConnectionReset));
    let error = client.tcp_connect("10.0.0.1:80").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(server.memory().total() + client.memory().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_is_given_up_leaves_no_connection() {
    let world = World::new().await;
    {
        let mut connecting = std::pin::pin!(world.client.tcp_connect("10.0.0.1:80"));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(connecting.as_mut().poll(&mut cx).is_pending());
    }
    sleep(SECOND).await;
    let accepted = timeout(SECOND, world.listener.accept()).await;
    // It may have been established before it was given up: then it is found reset or ended.
    if let Ok(accepted) = accepted {
        assert!(matches!(
            what_comes(accepted.unwrap().0).await,
            Ok(0) | Err(ErrorKind::ConnectionReset)
        ));
    }
    world.leaves_nothing().await;
}

/// Its writer goes while the window is closed: the rest is probed for as Linux's orphans do, and then given up.
#[tokio::test(start_paused = true)]
async fn a_reader_that_never_reads_holds_nobody_for_ever() {
    let world = World::new().await;
    let (mut here, there) = world.connected().await;
    let stuck = timeout(10 * SECOND, here.write_all(&vec![1; 64 << 20])).await;
    assert!(stuck.is_err(), "64 MiB fit into a window");
    drop(here);
    let freed = async {
        while world.client.memory().total() > 0 {
            sleep(SECOND).await;
        }
    };
    assert!(
        timeout(3_600 * SECOND, freed).await.is_ok(),
        "{:?}",
        world.client.memory()
    );
    drop(there);
    world.leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_host_ends_all_its_connections() {
    let World {
        server,
        client,
        listener,
    } = World::new().await;
    let mut ends = Vec::new();
    for n in 0..50_u8 {
        let (here, there) = tokio::join!(client.tcp_connect("10.0.0.1:80"), listener.accept());
        let (mut here, mut there) = (here.unwrap(), there.unwrap().0);
        there.write_all(&vec![n; 1_000]).await.unwrap();
        if n % 2 == 1 {
            here.write_all(b"never read").await.unwrap();
            there.readable().await.unwrap();
        }
        ends.push((here, there));
    }
    let mut waiting = client.tcp_connect("10.0.0.1:80").await.unwrap();
    let (ours, theirs): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
    drop((server, listener, theirs));
    for (n, end) in ours.into_iter().enumerate() {
        let want = if n % 2 == 1 {
            Err(ErrorKind::ConnectionReset)
        } else {
            Ok(1_000)
        };
        assert_eq!(what_comes(end).await, want, "connection {n}");
    }
    let error = waiting.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    drop(waiting);
    sleep(61 * SECOND).await;
    assert_eq!(client.memory().total(), 0, "{:?}", client.memory());
}

/// A thousand tasks in all states of reading, writing, accepting and connecting, all aborted at once.
#[tokio::test(start_paused = true)]
async fn a_thousand_aborted_tasks_leave_nothing() {
    let world = World::new().await;
    let mut tasks = Vec::new();
    for n in 0..250 {
        let (mut here, mut there) = world.connected().await;
        let client = world.client.clone();
        tasks.push(tokio::spawn(
            async move { drop(here.write_all(&vec![0; 8 << 20]).await) },
        ));
        tasks.push(tokio::spawn(async move {
            let mut buf = vec![0; 1_000];
            for _ in 0..n {
                drop(there.read(&mut buf).await);
            }
            std::future::pending::<()>().await;
        }));
        tasks.push(tokio::spawn(
            async move { drop(client.tcp_connect("10.0.0.99:1").await) },
        ));
    }
    sleep(SECOND).await;
    for task in &tasks {
        task.abort();
    }
    for task in tasks {
        assert!(task.await.unwrap_err().is_cancelled());
    }
    world.leaves_nothing().await;
}
