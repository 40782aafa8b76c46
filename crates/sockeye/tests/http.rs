//! hyper, server and client, as written for tokio's sockets: here over a link in memory that loses one packet in fifty. Time is virtual.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use hyper_util::rt::TokioIo;
use sockeye::link::{self, Impaired};
use sockeye::net::{TcpListener, TcpStream};
use sockeye::{Host, net::lookup_host};
use sockeye_core::netem::{Loss, Netem};
use std::convert::Infallible;
use std::time::Duration;

/// Gives back what was posted, and says who it was.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    Ok(Response::builder()
        .header("x-path", path)
        .body(Full::new(body))
        .unwrap())
}

async fn serve(listener: TcpListener) -> std::io::Result<Infallible> {
    loop {
        let (stream, _) = listener.accept().await?;
        drop(tokio::spawn(async move {
            let service = service_fn(echo);
            server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
        }));
    }
}

async fn fetch(authority: &str, path: &str, body: Vec<u8>) -> Bytes {
    let stream = TcpStream::connect(authority).await.unwrap();
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    drop(tokio::spawn(connection));
    let request = Request::post(path)
        .header("host", authority)
        .body(Full::new(Bytes::from(body)));
    let response = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-path"], path);
    response.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test(start_paused = true)]
async fn hyper_over_a_bad_link() {
    let bad = Netem {
        loss: Loss::Random(0.02),
        delay: Duration::from_millis(15),
        jitter: Duration::from_millis(5),
        ..Netem::NONE
    };
    let (left, right) = link::pair();
    let web = Host::builder()
        .address("10.0.0.1/24")
        .link(left)
        .seed(1)
        .build()
        .unwrap();
    let user = Host::builder()
        .address("10.0.0.2/24")
        .link(Impaired::new(right, &bad, &bad, 3))
        .name("web.example", "10.0.0.1".parse::<std::net::IpAddr>().unwrap())
        .seed(2)
        .build()
        .unwrap();
    let listener = web.scope(TcpListener::bind("0.0.0.0:80")).await.unwrap();
    let serving = tokio::spawn(serve(listener));
    user.scope(async {
        assert_eq!(lookup_host("web.example:80").await.unwrap().count(), 1);
        let one = fetch("web.example:80", "/small", b"hello".to_vec());
        let two = fetch(
            "10.0.0.1:80",
            "/large",
            (0..500_000_u32).map(|n| (n % 251) as u8).collect(),
        );
        let (one, two) = tokio::join!(one, two);
        assert_eq!(&one[..], b"hello");
        assert_eq!(two.len(), 500_000);
        assert!(two.iter().zip(0_u32..).all(|(byte, n)| u32::from(*byte) == n % 251));
    })
    .await;
    assert!(user.counters().tcp_retrans_segs > 0, "the link was not bad");
    serving.abort();
}
