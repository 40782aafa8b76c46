//! An axum application, and hyper as its client.

use super::{assert_repaired, numbered};
use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::routing::{get, post};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use sockeye::net::{TcpListener, TcpStream};
use sockeye_examples::{Web, bad_link};

async fn client() -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect("server.example:80").await.unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    drop(tokio::spawn(connection));
    sender
}

async fn ask(sender: &mut SendRequest<Full<Bytes>>, method: &str, path: &str, body: Vec<u8>) -> (StatusCode, Bytes) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "server.example");
    let response = sender
        .send_request(request.body(Full::new(Bytes::from(body))).unwrap())
        .await
        .unwrap();
    let status = response.status();
    (status, response.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test(start_paused = true)]
async fn axum_serves_over_a_bad_link() {
    let (server, user) = bad_link(1_500).unwrap();
    let application = Router::new()
        .route(
            "/hello/{name}",
            get(|Path(name): Path<String>| async move { format!("hello {name}") }),
        )
        .route("/echo", post(|body: Bytes| async move { body }));
    let listener = server.scope(TcpListener::bind("0.0.0.0:80")).await.unwrap();
    let serving = tokio::spawn(async { axum::serve(Web(listener), application).await });
    let body = numbered(500_000);
    user.scope(async {
        let mut one = client().await;
        for n in 0..20 {
            let (status, text) = ask(&mut one, "GET", &format!("/hello/{n}"), Vec::new()).await;
            assert_eq!((status, &text[..]), (StatusCode::OK, format!("hello {n}").as_bytes()));
        }
        let (status, back) = ask(&mut one, "POST", "/echo", body.clone()).await;
        assert!(status == StatusCode::OK && back == body);
        assert_eq!(
            ask(&mut client().await, "GET", "/other", Vec::new()).await.0,
            StatusCode::NOT_FOUND
        );
    })
    .await;
    assert_repaired(&server);
    serving.abort();
}
