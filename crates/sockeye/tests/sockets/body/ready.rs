//! Readiness: what a socket is ready for, waiting for it, and trying without.

use super::*;
use std::future::poll_fn;
use tokio::io::Interest;

/// tokio may call a new stream readable until it was tried; from then on it is right.
fn nothing_yet(stream: &TcpStream) {
    assert_eq!(stream.try_read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// Waits until the end of what the other side sends is known.
async fn read_closed(stream: &TcpStream, interest: Interest) -> tokio::io::Ready {
    loop {
        let ready = stream.ready(interest).await.unwrap();
        if ready.is_read_closed() {
            return ready;
        }
        tokio::task::yield_now().await;
    }
}

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

#[tokio::test]
async fn a_new_connection_is_writable_only() {
    let world = World::new().await;
    let (client, _server) = connected(&world).await;
    nothing_yet(&client);
    let ready = client.ready(BOTH).await.unwrap();
    assert!(ready.is_writable() && !ready.is_readable(), "{ready:?}");
}

#[tokio::test]
async fn reading_nothing_would_block() {
    let world = World::new().await;
    let (client, _server) = connected(&world).await;
    let error = client.try_read(&mut [0; 1]).unwrap_err();
    assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::WouldBlock, None));
}

#[tokio::test]
async fn readable_waits_for_bytes() {
    let world = World::new().await;
    let (mut client, server) = connected(&world).await;
    nothing_yet(&server);
    must_wait(server.readable()).await;
    client.write_all(b"abc").await.unwrap();
    server.readable().await.unwrap();
    let mut buf = [0; 8];
    assert_eq!(server.try_read(&mut buf).unwrap(), 3);
    assert_eq!(server.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    must_wait(server.readable()).await;
}

#[tokio::test]
async fn readable_stays_while_bytes_are_left() {
    let world = World::new().await;
    let (mut client, server) = connected(&world).await;
    client.write_all(b"abc").await.unwrap();
    for want in [b"a", b"b", b"c"] {
        server.readable().await.unwrap();
        let mut buf = [0; 1];
        assert_eq!((server.try_read(&mut buf).unwrap(), &buf), (1, want));
    }
}

#[tokio::test]
async fn the_end_is_readable() {
    let world = World::new().await;
    let (client, server) = connected(&world).await;
    drop(client);
    let ready = read_closed(&server, Interest::READABLE).await;
    assert!(ready.is_readable(), "{ready:?}");
    assert_eq!(server.try_read(&mut [0; 1]).unwrap(), 0);
    server.readable().await.unwrap();
}

#[tokio::test]
async fn a_half_closed_connection_is_still_writable() {
    let world = World::new().await;
    let (mut client, server) = connected(&world).await;
    client.shutdown().await.unwrap();
    let ready = read_closed(&server, BOTH).await;
    assert!(ready.is_writable() && !ready.is_write_closed(), "{ready:?}");
}

#[tokio::test]
async fn a_reset_connection_is_ready_for_everything() {
    let world = World::new().await;
    let (client, server) = connected(&world).await;
    reset(server);
    let ready = read_closed(&client, BOTH).await;
    assert!(
        ready.is_readable() && ready.is_writable() && ready.is_write_closed(),
        "{ready:?}"
    );
}

#[tokio::test]
async fn a_full_connection_is_writable_when_it_was_read_from() {
    let world = World::new().await;
    let (client, mut server) = connected(&world).await;
    let sent = fill(&client).await;
    must_wait(client.writable()).await;
    let reading = async {
        let mut left = sent;
        let mut buf = vec![0; 65_536];
        while left > 0 {
            left -= server.read(&mut buf).await.unwrap();
        }
    };
    let (writable, ()) = tokio::join!(client.writable(), reading);
    writable.unwrap();
    client.writable().await.unwrap();
    assert!(client.try_write(&[5; 10]).unwrap() > 0);
}

#[tokio::test]
async fn several_tasks_wait_for_one_stream() {
    let world = World::new().await;
    let (mut client, server) = connected(&world).await;
    let write = async { client.write_all(b"x").await.unwrap() };
    let (one, two, three, ()) = tokio::join!(
        server.readable(),
        server.readable(),
        server.ready(Interest::READABLE),
        write
    );
    one.unwrap();
    two.unwrap();
    assert!(three.unwrap().is_readable());
}

#[tokio::test]
async fn polling_for_readiness() {
    let world = World::new().await;
    let (mut client, server) = connected(&world).await;
    poll_fn(|cx| server.poll_write_ready(cx)).await.unwrap();
    nothing_yet(&server);
    must_wait(poll_fn(|cx| server.poll_read_ready(cx))).await;
    client.write_all(b"x").await.unwrap();
    poll_fn(|cx| server.poll_read_ready(cx)).await.unwrap();
}

#[tokio::test]
async fn try_io_asks_only_when_ready() {
    let world = World::new().await;
    let (mut client, server) = connected(&world).await;
    nothing_yet(&server);
    let asked = server.try_io(Interest::READABLE, || -> io::Result<()> { panic!("it is not ready") });
    assert_eq!(asked.unwrap_err().kind(), ErrorKind::WouldBlock);
    client.write_all(b"x").await.unwrap();
    server.readable().await.unwrap();
    assert_eq!(server.try_io(Interest::READABLE, || Ok(7)).unwrap(), 7);
    let refused = server.try_io(Interest::READABLE, || -> io::Result<()> {
        Err(ErrorKind::Other.into())
    });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Other);
}

#[tokio::test]
async fn async_io_asks_until_it_does_not_block() {
    let world = World::new().await;
    let (client, _server) = connected(&world).await;
    assert_eq!(client.async_io(Interest::WRITABLE, || Ok(7)).await.unwrap(), 7);
}

#[tokio::test]
async fn owned_halves_tell_readiness_too() {
    let world = World::new().await;
    let (client, server) = connected(&world).await;
    let (read, write) = server.into_split();
    write.writable().await.unwrap();
    nothing_yet(read.as_ref());
    must_wait(read.readable()).await;
    assert_eq!(client.try_write(b"abc").unwrap(), 3);
    read.readable().await.unwrap();
    let mut buf = [0; 8];
    assert_eq!(read.try_read(&mut buf).unwrap(), 3);
    assert_eq!(write.try_write(b"d").unwrap(), 1);
    assert!(write.ready(Interest::WRITABLE).await.unwrap().is_writable());
    client.readable().await.unwrap();
}

#[tokio::test]
async fn a_reader_that_never_waits_lets_others_run() {
    let world = World::new().await;
    let (mut client, mut server) = connected(&world).await;
    let other = tokio::spawn(async {});
    let writing = tokio::spawn(async move { while client.write(&[0; 1_000]).await.is_ok() {} });
    let mut buf = [0; 1_000];
    while !other.is_finished() {
        assert!(server.read(&mut buf).await.unwrap() > 0);
    }
    drop(server);
    writing.await.unwrap();
}
