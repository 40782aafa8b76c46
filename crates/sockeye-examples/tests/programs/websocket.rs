//! WebSockets by tokio-tungstenite.

use super::{assert_repaired, numbered};
use futures_util::{SinkExt, StreamExt};
use sockeye::net::{TcpListener, TcpStream};
use sockeye_examples::bad_link;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, client_async};

#[tokio::test(start_paused = true)]
async fn websockets_over_a_bad_link() {
    let (server, user) = bad_link(1_500).unwrap();
    let listener = server.scope(TcpListener::bind("0.0.0.0:80")).await.unwrap();
    let serving = tokio::spawn(async move {
        let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
        let mut heard = 0;
        while let Some(message) = socket.next().await {
            match message.unwrap() {
                message @ (Message::Text(_) | Message::Binary(_)) => socket.send(message).await.unwrap(),
                _ => continue,
            }
            heard += 1;
        }
        heard
    });
    user.scope(async {
        let stream = TcpStream::connect("server.example:80").await.unwrap();
        let (mut socket, response) = client_async("ws://server.example/chat", stream).await.unwrap();
        assert_eq!(response.status(), 101);
        for n in 0..100 {
            let message = if n % 10 == 0 {
                Message::binary(numbered(n * 1_000))
            } else {
                Message::text(format!("message {n}"))
            };
            socket.send(message.clone()).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), message);
        }
        socket.close(None).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await;
    assert_eq!(serving.await.unwrap(), 100);
    assert_repaired(&server);
}
