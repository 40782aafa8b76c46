//! Bytes: reading, writing, halves, the ends of a stream.

use super::*;
use std::io::{IoSlice, IoSliceMut};
use tokio::io::AsyncWrite;

#[tokio::test]
async fn bytes_go_both_ways() {
    let world = World::new().await;
    let (mut client, mut server) = connected(&world).await;
    client.write_all(b"ping").await.unwrap();
    let mut buf = [0; 4];
    server.read_exact(&mut buf).await.unwrap();
    assert_eq!(&buf, b"ping");
    server.write_all(b"pong").await.unwrap();
    client.read_exact(&mut buf).await.unwrap();
    assert_eq!(&buf, b"pong");
}

#[tokio::test]
async fn megabytes_go_both_ways_at_once() {
    let world = World::new().await;
    let (client, server) = connected(&world).await;
    let data: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let exchange = |stream: TcpStream| {
        let data = data.clone();
        async move {
            let (mut read, mut write) = stream.into_split();
            let wanted = data.clone();
            let writing = tokio::spawn(async move {
                write.write_all(&data).await.unwrap();
                write.shutdown().await.unwrap();
            });
            let mut got = Vec::new();
            read.read_to_end(&mut got).await.unwrap();
            writing.await.unwrap();
            assert!(got == wanted);
        }
    };
    tokio::join!(exchange(client), exchange(server));
}

#[tokio::test]
async fn a_closed_stream_ends_and_stays_so() {
    let world = World::new().await;
    let (mut client, server) = connected(&world).await;
    drop(server);
    for _ in 0..3 {
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn what_was_written_before_a_close_arrives() {
    let world = World::new().await;
    let (mut client, mut server) = connected(&world).await;
    server.write_all(&[7; 100_000]).await.unwrap();
    drop(server);
    let mut got = Vec::new();
    assert_eq!(client.read_to_end(&mut got).await.unwrap(), 100_000);
}

#[tokio::test]
async fn half_close() {
    let world = World::new().await;
    let (mut client, mut server) = connected(&world).await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = String::new();
    server.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "question");
    server.write_all(b"answer").await.unwrap();
    drop(server);
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "answer");
}

#[tokio::test]
async fn no_writing_after_shutdown() {
    let world = World::new().await;
    let (mut client, _server) = connected(&world).await;
    client.shutdown().await.unwrap();
    let error = client.write(b"late").await.unwrap_err();
    assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::BrokenPipe, Some(32)));
}

#[tokio::test]
async fn shutdown_twice_is_fine() {
    let world = World::new().await;
    let (mut client, _server) = connected(&world).await;
    client.shutdown().await.unwrap();
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn shutdown_after_the_other_side_closed() {
    let world = World::new().await;
    let (mut client, server) = connected(&world).await;
    drop(server);
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn shutdown_of_a_reset_connection() {
    let world = World::new().await;
    let (mut client, server) = connected(&world).await;
    reset(server);
    assert_eq!(
        client.read(&mut [0; 1]).await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_reset_is_told_once_to_the_reader() {
    let world = World::new().await;
    let (mut client, server) = connected(&world).await;
    reset(server);
    let error = client.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.raw_os_error()),
        (ErrorKind::ConnectionReset, Some(104))
    );
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(client.write(b"late").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_reset_is_told_once_to_the_writer() {
    let world = World::new().await;
    let (mut client, server) = connected(&world).await;
    reset(server);
    client.readable().await.unwrap();
    assert_eq!(
        client.write(b"late").await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    assert_eq!(client.write(b"late").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_reset_leaves_what_was_received() {
    let world = World::new().await;
    let (mut client, mut server) = connected(&world).await;
    server.write_all(b"before").await.unwrap();
    client.readable().await.unwrap();
    reset(server);
    // The reset has come when both directions have ended.
    let ended = tokio::io::Interest::WRITABLE;
    while !client.ready(ended).await.unwrap().is_write_closed() {
        tokio::task::yield_now().await;
    }
    let mut buf = [0; 16];
    assert_eq!(client.read(&mut buf).await.unwrap(), 6);
    assert_eq!(
        client.read(&mut buf).await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}

#[tokio::test]
async fn unread_bytes_reset_the_sender() {
    let world = World::new().await;
    let (mut client, server) = connected(&world).await;
    client.write_all(b"never read").await.unwrap();
    server.readable().await.unwrap();
    drop(server);
    let error = client.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_writer_hears_that_nobody_reads_any_more() {
    let world = World::new().await;
    let (mut client, server) = connected(&world).await;
    drop(server);
    let error = loop {
        if let Err(error) = client.write(&[0; 1_000]).await {
            break error;
        }
    };
    assert!(
        matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
        "{error}"
    );
}

#[tokio::test]
async fn a_blocked_writer_hears_of_a_reset() {
    let world = World::new().await;
    let (mut client, server) = connected(&world).await;
    let writing = tokio::spawn(async move {
        loop {
            if let Err(error) = client.write(&[0; 100_000]).await {
                return error;
            }
        }
    });
    server.readable().await.unwrap();
    reset(server);
    assert_eq!(writing.await.unwrap().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn an_ended_connection_has_no_peer() {
    let world = World::new().await;
    let (mut client, server) = connected(&world).await;
    reset(server);
    let _reset = client.read(&mut [0; 1]).await;
    assert_eq!(client.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
}

#[tokio::test]
async fn nothing_is_read_into_nothing() {
    let world = World::new().await;
    let (mut client, mut server) = connected(&world).await;
    server.write_all(b"x").await.unwrap();
    client.readable().await.unwrap();
    assert_eq!(client.read(&mut []).await.unwrap(), 0);
    assert_eq!(client.try_read(&mut []).unwrap(), 0);
    assert_eq!(client.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn nothing_is_written_as_nothing() {
    let world = World::new().await;
    let (mut client, _server) = connected(&world).await;
    assert_eq!(client.write(&[]).await.unwrap(), 0);
    assert_eq!(client.try_write(&[]).unwrap(), 0);
}

#[tokio::test]
async fn an_end_in_the_middle() {
    let world = World::new().await;
    let (mut client, mut server) = connected(&world).await;
    server.write_all(b"half").await.unwrap();
    drop(server);
    let error = client.read_exact(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn flush_has_nothing_to_do() {
    let world = World::new().await;
    let (mut client, _server) = connected(&world).await;
    client.write_all(b"x").await.unwrap();
    client.flush().await.unwrap();
}

#[tokio::test]
async fn vectored_writes() {
    let world = World::new().await;
    let (mut client, mut server) = connected(&world).await;
    assert!(client.is_write_vectored());
    let parts = [
        IoSlice::new(b"one, "),
        IoSlice::new(b""),
        IoSlice::new(b"two, "),
        IoSlice::new(b"three"),
    ];
    assert_eq!(client.write_vectored(&parts).await.unwrap(), 15);
    assert_eq!(client.try_write_vectored(&parts).unwrap(), 15);
    client.shutdown().await.unwrap();
    let mut heard = String::new();
    server.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "one, two, threeone, two, three");
}

#[tokio::test]
async fn large_vectored_writes() {
    let world = World::new().await;
    let (mut client, mut server) = connected(&world).await;
    let (one, two) = (vec![1; 9_000], vec![2; 9_000]);
    let n = client
        .write_vectored(&[IoSlice::new(&one), IoSlice::new(&two)])
        .await
        .unwrap();
    client.shutdown().await.unwrap();
    let mut got = Vec::new();
    server.read_to_end(&mut got).await.unwrap();
    let all = [one, two].concat();
    assert!(n > 0 && got == all[..n]);
}

#[tokio::test]
async fn vectored_reads() {
    let world = World::new().await;
    let (mut client, server) = connected(&world).await;
    client.write_all(b"abcdefgh").await.unwrap();
    server.readable().await.unwrap();
    let (mut one, mut two) = ([0; 3], [0; 8]);
    let n = server
        .try_read_vectored(&mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)])
        .unwrap();
    assert_eq!((n, &one, &two[..5]), (8, b"abc", &b"defgh"[..]));
}

#[tokio::test]
async fn reads_into_growing_buffers() {
    let world = World::new().await;
    let (mut client, mut server) = connected(&world).await;
    client.write_all(b"grow").await.unwrap();
    let mut buf = Vec::new();
    assert_eq!(server.read_buf(&mut buf).await.unwrap(), 4);
    client.write_all(b"more").await.unwrap();
    server.readable().await.unwrap();
    assert_eq!(server.try_read_buf(&mut buf).unwrap(), 4);
    assert_eq!(buf, b"growmore");
}

#[tokio::test]
async fn small_reads_of_large_writes() {
    let world = World::new().await;
    let (mut client, mut server) = connected(&world).await;
    let data: Vec<u8> = (0..20_000_u32).map(|n| (n % 251) as u8).collect();
    client.write_all(&data).await.unwrap();
    for chunk in data.chunks(7) {
        let mut buf = vec![0; chunk.len()];
        server.read_exact(&mut buf).await.unwrap();
        assert_eq!(buf, chunk);
    }
}

#[tokio::test]
async fn small_writes_of_a_large_read() {
    let world = World::new().await;
    let (mut client, mut server) = connected(&world).await;
    for n in 0..2_000_u32 {
        client.write_u32(n).await.unwrap();
    }
    client.shutdown().await.unwrap();
    let mut got = Vec::new();
    server.read_to_end(&mut got).await.unwrap();
    let want: Vec<u8> = (0..2_000_u32).flat_map(u32::to_be_bytes).collect();
    assert!(got == want);
}

#[tokio::test]
async fn peek_leaves_the_bytes() {
    let world = World::new().await;
    let (mut client, mut server) = connected(&world).await;
    client.write_all(b"look").await.unwrap();
    let mut buf = [0; 16];
    assert_eq!(server.peek(&mut buf).await.unwrap(), 4);
    assert_eq!(server.peek(&mut buf[..2]).await.unwrap(), 2);
    assert_eq!(&buf[..4], b"look");
    assert_eq!(server.read(&mut buf).await.unwrap(), 4);
}

#[tokio::test]
async fn peek_waits_and_a_dropped_one_takes_nothing() {
    let world = World::new().await;
    let (mut client, server) = connected(&world).await;
    must_wait(server.peek(&mut [0; 1])).await;
    client.write_all(b"x").await.unwrap();
    let mut buf = [0; 1];
    assert_eq!((server.peek(&mut buf).await.unwrap(), buf), (1, *b"x"));
}

#[tokio::test]
async fn peek_at_the_end_and_after_a_reset() {
    let world = World::new().await;
    let (client, server) = connected(&world).await;
    drop(client);
    assert_eq!(server.peek(&mut [0; 1]).await.unwrap(), 0);
    let (client, server) = connected(&world).await;
    reset(client);
    assert_eq!(
        server.peek(&mut [0; 1]).await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}

#[tokio::test]
async fn poll_peek_does_as_peek() {
    let world = World::new().await;
    let (mut client, server) = connected(&world).await;
    client.write_all(b"abc").await.unwrap();
    let mut buf = [0; 2];
    let n = std::future::poll_fn(|cx| server.poll_peek(cx, &mut tokio::io::ReadBuf::new(&mut buf)))
        .await
        .unwrap();
    assert_eq!((n, &buf), (2, b"ab"));
}

#[tokio::test]
async fn borrowed_halves_work_at_once() {
    let world = World::new().await;
    let (mut client, mut server) = connected(&world).await;
    let (mut read, mut write) = client.split();
    assert_eq!(read.local_addr().unwrap(), write.local_addr().unwrap());
    assert_eq!(read.peer_addr().unwrap(), write.peer_addr().unwrap());
    let echo = async {
        let mut buf = [0; 5];
        server.read_exact(&mut buf).await.unwrap();
        server.write_all(&buf).await.unwrap();
    };
    let mut buf = [0; 5];
    let (wrote, got, ()) = tokio::join!(write.write_all(b"split"), read.read_exact(&mut buf), echo);
    wrote.unwrap();
    got.unwrap();
    assert_eq!(&buf, b"split");
}

#[tokio::test]
async fn a_dropped_owned_write_half_is_an_end() {
    let world = World::new().await;
    let (client, mut server) = connected(&world).await;
    let (mut read, mut write) = client.into_split();
    write.write_all(b"last").await.unwrap();
    drop(write);
    let mut heard = String::new();
    server.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "last");
    server.write_all(b"answer").await.unwrap();
    let mut buf = [0; 6];
    read.read_exact(&mut buf).await.unwrap();
    assert_eq!(&buf, b"answer");
}

#[tokio::test]
async fn a_forgotten_write_half_is_none() {
    let world = World::new().await;
    let (client, mut server) = connected(&world).await;
    let (read, write) = client.into_split();
    write.forget();
    must_wait(server.read_u8()).await;
    drop(read);
    assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_dropped_read_half_does_not_matter() {
    let world = World::new().await;
    let (client, mut server) = connected(&world).await;
    let (read, mut write) = client.into_split();
    drop(read);
    write.write_all(b"on").await.unwrap();
    let mut buf = [0; 2];
    server.read_exact(&mut buf).await.unwrap();
    assert_eq!(&buf, b"on");
}

#[tokio::test]
async fn owned_halves_go_to_two_tasks_and_come_back() {
    let world = World::new().await;
    let (client, mut server) = connected(&world).await;
    let (mut read, mut write) = client.into_split();
    let reading = tokio::spawn(async move {
        assert_eq!(read.read_u8().await.unwrap(), b'b');
        read
    });
    let writing = tokio::spawn(async move {
        write.write_u8(b'a').await.unwrap();
        write
    });
    assert_eq!(server.read_u8().await.unwrap(), b'a');
    server.write_u8(b'b').await.unwrap();
    let mut client = reading.await.unwrap().reunite(writing.await.unwrap()).unwrap();
    client.write_u8(b'c').await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'c');
}

#[tokio::test]
async fn halves_of_two_streams_do_not_fit() {
    let world = World::new().await;
    let (client, server) = connected(&world).await;
    let ((read, _write), (_read, write)) = (client.into_split(), server.into_split());
    let error = read.reunite(write).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tried to reunite halves that are not from the same socket"
    );
}

#[tokio::test]
async fn a_dropped_read_takes_nothing() {
    let world = World::new().await;
    let (mut client, mut server) = connected(&world).await;
    for n in 0..50_u8 {
        must_wait(server.read_u8()).await;
        client.write_u8(n).await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), n);
    }
}

#[tokio::test]
async fn a_proxy_of_tokio_works() {
    let world = World::new().await;
    let (client, mut near) = connected(&world).await;
    let (mut far, mut server) = connected(&world).await;
    let proxy = tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await.unwrap() });
    let mut client = client;
    client.write_all(&[1; 10_000]).await.unwrap();
    client.shutdown().await.unwrap();
    let mut got = Vec::new();
    server.read_to_end(&mut got).await.unwrap();
    server.write_all(&[2; 20_000]).await.unwrap();
    drop(server);
    let mut back = Vec::new();
    client.read_to_end(&mut back).await.unwrap();
    assert_eq!(
        (got.len(), back.len(), proxy.await.unwrap()),
        (10_000, 20_000, (10_000, 20_000))
    );
}
