//! TLS by rustls, through tokio-rustls.

use super::{assert_repaired, numbered};
use rustls::pki_types::ServerName;
use sockeye::net::{TcpListener, TcpStream};
use sockeye_examples::{Identity, bad_link};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Echoes half a megabyte through TLS; an echo of a flight of that size fills windows both ways.
async fn tls_at(mtu: u32) {
    let (server, user) = bad_link(mtu).unwrap();
    let identity = Identity::new("server.example").unwrap();
    let acceptor = TlsAcceptor::from(identity.server(&[]).unwrap());
    let connector = TlsConnector::from(identity.client(&[]).unwrap());
    let listener = server.scope(TcpListener::bind("0.0.0.0:443")).await.unwrap();
    let serving = tokio::spawn(async move {
        let stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        let (mut read, mut write) = tokio::io::split(stream);
        tokio::io::copy(&mut read, &mut write).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let sent = numbered(500_000);
    let got = user
        .scope(async {
            let stream = TcpStream::connect("server.example:443").await.unwrap();
            let name = ServerName::try_from("server.example").unwrap();
            let stream = connector.connect(name, stream).await.unwrap();
            let mss = stream.get_ref().0.info().unwrap().snd_mss;
            assert!(mss + 40 <= mtu, "a segment of {mss} is longer than a packet of {mtu}");
            let (mut read, mut write) = tokio::io::split(stream);
            let (mut got, sent) = (Vec::new(), sent.clone());
            let (written, read) = tokio::join!(
                async {
                    write.write_all(&sent).await?;
                    write.shutdown().await
                },
                read.read_to_end(&mut got)
            );
            written.unwrap();
            read.unwrap();
            got
        })
        .await;
    assert!(got == sent, "{} of {} bytes, or others", got.len(), sent.len());
    serving.await.unwrap();
    assert_repaired(&server);
}

#[tokio::test(start_paused = true)]
async fn tls_over_a_bad_link() {
    tls_at(1_500).await;
}

#[tokio::test(start_paused = true)]
async fn tls_at_an_mtu_of_1280() {
    tls_at(1_280).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_trusts_another_certificate_refuses() {
    let (server, user) = bad_link(1_500).unwrap();
    let acceptor = TlsAcceptor::from(Identity::new("server.example").unwrap().server(&[]).unwrap());
    let stranger = Identity::new("server.example").unwrap();
    let connector = TlsConnector::from(stranger.client(&[]).unwrap());
    let listener = server.tcp_listen("0.0.0.0:443").await.unwrap();
    let serving = tokio::spawn(async move { acceptor.accept(listener.accept().await.unwrap().0).await.map(drop) });
    let stream = user.tcp_connect("server.example:443").await.unwrap();
    let name = ServerName::try_from("server.example").unwrap();
    let error = connector.connect(name, stream).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    // The client's alert reaches the server.
    let error = serving.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("alert"), "{error}");
}
