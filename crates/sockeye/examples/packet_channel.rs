//! TCP over packets that pass through your hands.
use sockeye::{Host, link};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let ((left, a), (right, b)) = (link::channel(1_500), link::channel(1_500));
    let server = Host::builder().address("10.0.0.1/24").link(left).build()?;
    let client = Host::builder().address("10.0.0.2/24").link(right).build()?;
    tokio::spawn(async move { tokio::join!(a.carry_to(&b), b.carry_to(&a)) });
    let listener = server.tcp_listen("10.0.0.1:7").await?;
    let mut here = client.tcp_connect("10.0.0.1:7").await?;
    let (mut there, _) = listener.accept().await?;
    here.write_all(b"hello").await?;
    let mut heard = [0; 5];
    there.read_exact(&mut heard).await?;
    println!("the server heard: {}", String::from_utf8_lossy(&heard));
    Ok(())
}
