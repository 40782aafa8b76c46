//! An axum application on a Sockeye host, and a client that speaks HTTP by hyper, over a link that loses one packet in fifty.

use axum::{Router, body::Body, extract::Path, routing::get};
use http_body_util::BodyExt;
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use sockeye::net::{TcpListener, TcpStream}; // the one line that changes
use sockeye_examples::{Web, bad_link};
use std::error::Error;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (server, user) = bad_link(1_500)?;
    let hello = |Path(name): Path<String>| async move { format!("hello {name}") };
    let application = Router::new().route("/hello/{name}", get(hello));
    let listener = server.scope(TcpListener::bind("0.0.0.0:80")).await?;
    tokio::spawn(async { axum::serve(Web(listener), application).await });

    let stream = user.scope(TcpStream::connect("server.example:80")).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    for name in ["world", "again"] {
        let request = Request::get(format!("/hello/{name}")).header("host", "server.example");
        sender.ready().await?; // The connection may still be ending the request before.
        let response = sender.send_request(request.body(Body::empty())?).await?;
        let (status, body) = (response.status(), response.into_body().collect().await?);
        println!("{status}: {}", String::from_utf8_lossy(&body.to_bytes()));
    }
    Ok(())
}
