//! The services on a host's sockets: a listener for each, a task for each connection.

use super::http::{Report, Tcp};
use super::{INPUT, Io, OUTPUT, Service, Step, datagram};
use crate::Host;
use crate::net::{TcpListener, TcpStream, UdpSocket};
use bytes::Bytes;
use sockeye_core::buf::Rope;
use sockeye_core::socket::Shutdown;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Ports with a service over TCP, and those that have it over UDP too.
const TCP_PORTS: [u16; 5] = [7, 9, 13, 19, 80];
const UDP_PORTS: [u16; 4] = [7, 9, 13, 19];
/// Connections that one host serves at a time; one more is closed at once.
const CONNECTIONS: usize = 4_096;
/// How long a client may take to close after we did, so that the rest of what it sends does not turn our last answer into a reset.
const LINGER: Duration = Duration::from_secs(2);
/// When to look again at a service that waits for nothing that will come.
const SOON: Duration = Duration::from_millis(1);
/// What accepting waits after it failed, until sockets may be free again.
const PAUSE: Duration = Duration::from_millis(20);

/// Echo, discard, daytime, chargen and HTTP on all addresses of a host, over TCP and UDP.
///
/// ```
/// use sockeye::{Host, link, services::Services};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (left, right) = link::pair();
/// let server = Host::builder().address("10.0.0.1/24").link(left).build()?;
/// let client = Host::builder().address("10.0.0.2/24").link(right).build()?;
/// let services = Services::bind(&server, ["10.0.0.1".parse()?]).await?;
/// tokio::spawn(services.run());
/// let mut stream = client.tcp_connect("10.0.0.1:7").await?;
/// stream.write_all(b"hello").await?;
/// let mut echo = [0; 5];
/// stream.read_exact(&mut echo).await?;
/// assert_eq!(&echo, b"hello");
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "run() serves"]
pub struct Services {
    listeners: Vec<TcpListener>,
    sockets: Vec<UdpSocket>,
    /// What the page says of the link.
    link: Arc<str>,
}

impl Services {
    /// Takes the services' ports: those of TCP for all of the host's addresses, those of UDP for each of `addresses`, so that answers come
    /// from the address that was asked.
    ///
    /// # Errors
    /// When one is taken, or an address is none of the host's.
    pub async fn bind(host: &Host, addresses: impl IntoIterator<Item = IpAddr>) -> io::Result<Self> {
        let mut listeners = Vec::new();
        for port in TCP_PORTS {
            listeners.push(host.tcp_listen((Ipv6Addr::UNSPECIFIED, port)).await?);
        }
        let own = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
        let mut sockets = Vec::new();
        for address in addresses.into_iter().chain(own) {
            for port in UDP_PORTS {
                sockets.push(host.udp_bind((address, port)).await?);
            }
        }
        Ok(Self {
            listeners,
            sockets,
            link: Arc::from(""),
        })
    }

    /// What the web page is to say of the link: `a TUN device`.
    pub fn link(mut self, words: &str) -> Self {
        self.link = Arc::from(words);
        self
    }

    /// Serves, for ever. Dropped, it drops the connections too.
    pub async fn run(self) {
        let mut tasks = JoinSet::new();
        for socket in self.sockets {
            tasks.spawn(answer(socket));
        }
        for listener in self.listeners {
            tasks.spawn(accept(listener, Arc::clone(&self.link)));
        }
        // They end when their host is gone.
        while tasks.join_next().await.is_some() {}
    }
}

/// Serves the clients of one port.
async fn accept(listener: TcpListener, link: Arc<str>) {
    let Ok(local) = listener.local_addr() else { return };
    let mut clients = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while clients.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) if clients.len() < CONNECTIONS => {
                let Some(service) = Service::at(local.port()) else {
                    return;
                };
                clients.spawn(serve(stream, service, Arc::clone(&link)));
            }
            Ok((stream, _)) => drop(stream),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Answers the datagrams to one port of one address.
async fn answer(socket: UdpSocket) {
    let Ok(local) = socket.local_addr() else { return };
    let mut buffer = vec![0; 1 << 16];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((len, from)) => {
                if let Some(Some(answer)) = datagram(local.port(), &Bytes::copy_from_slice(&buffer[..len])) {
                    // Nobody hears of an answer that is lost.
                    let _ = socket.send_to(&answer, from).await;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return,
            // Someone that we answered is not there.
            Err(_) => {}
        }
    }
}

/// One connection, to its end.
async fn serve(stream: TcpStream, mut service: Service, link: Arc<str>) -> io::Result<()> {
    // Who asked over IPv4 is shown so.
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (local, remote) = (plain(stream.local_addr()?), plain(stream.peer_addr()?));
    let (mut input, mut output, mut ended) = (Rope::new(), Rope::new(), false);
    loop {
        let report = || report(&stream, local, remote, &link);
        let step = service.step(&mut Io {
            input: &mut input,
            ended,
            output: &mut output,
            now: stream.host().shard().clock().now(),
            report: &report,
        });
        let full = output.len() >= OUTPUT / 2;
        while let Some(chunk) = output.pop_chunk(usize::MAX) {
            stream.write_chunk(chunk).await?;
        }
        let patience = match step {
            Step::Close => break,
            Step::Go => None,
            Step::GoUntil(at) => Some(at.since(stream.host().shard().clock().now())),
        };
        // Who gave as much as it could gives more, and hears between only what has come already.
        let patience = if full { Some(Duration::ZERO) } else { patience };
        let room = INPUT.saturating_sub(input.len());
        if ended || room == 0 {
            tokio::time::sleep(patience.unwrap_or(SOON)).await;
            continue;
        }
        let heard = match patience {
            Some(patience) => match timeout(patience, stream.read_chunk(room)).await {
                Ok(heard) => heard?,
                Err(_) => continue,
            },
            None => stream.read_chunk(room).await?,
        };
        match heard {
            Some(chunk) => input.push(chunk),
            None => ended = true,
        }
    }
    stream.end(Shutdown::Write);
    let rest = async { while let Ok(Some(_)) = stream.read_chunk(INPUT).await {} };
    let _ = timeout(LINGER, rest).await;
    Ok(())
}

/// What the web page shows of a connection.
fn report(stream: &TcpStream, server: SocketAddr, client: SocketAddr, link: &str) -> Report {
    Report {
        client,
        server,
        tcp: stream.info().map_or_else(|_| Tcp::default(), |info| Tcp::new(&info)),
        link: link.to_owned(),
        did: None,
        version: env!("CARGO_PKG_VERSION"),
    }
}
