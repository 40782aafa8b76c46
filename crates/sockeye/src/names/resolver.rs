//! Names asked of name servers, over the host's own sockets: search list, retries over every server, TCP for what UDP cuts off, and a cache.
//!
//! Written on hickory's messages rather than with its resolver: that brings sixty more packages, and timers of tokio's, which a host without a
//! runtime has not. RFC 1035, RFC 1123 §6.1, RFC 2308 (what is not there), RFC 5452 (who may answer), RFC 7766 (TCP), RFC 9715 (lengths),
//! resolv.conf(5).

use super::message;
use crate::Host;
use crate::net::{TcpStream, UdpSocket};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use sockeye_core::Instant;
use sockeye_core::keys::{Key, Keys};
use sockeye_core::socket::{BindOptions, TcpOptions};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What we take over UDP, in bytes. RFC 9715 §3.
const PAYLOAD: u16 = 1_232;
/// How long each round over all servers waits for each of them, in milliseconds: where a fifth of all packets is lost, three in ten thousand
/// questions find no answer; a silent server takes 15 s.
const ROUNDS: [u64; 8] = [500, 500, 1_000, 1_000, 2_000, 2_000, 4_000, 4_000];
/// How long one exchange over TCP may take.
const BY_STREAM: Duration = Duration::from_secs(10);
/// Answers kept, and for how long at most: RFC 8767 §4 would have a week, RFC 2308 §5 three hours for what is not there.
const KEPT: usize = 1_024;
const LONGEST_KEPT: Duration = Duration::from_secs(86_400);
const LONGEST_NOTHING: Duration = Duration::from_secs(900);

/// Whom a host asks, and what they said.
#[derive(Debug)]
pub(crate) struct Resolver {
    servers: Vec<SocketAddr>,
    search: Vec<Name>,
    ndots: usize,
    /// Makes identifiers of a number that counts.
    ids: Key,
    asked: AtomicU64,
    cache: Mutex<BTreeMap<(Name, RecordType), (Instant, Answer)>>,
}

/// What is known of a name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// Its addresses; none when it has none of this type.
    Addresses(Vec<IpAddr>),
    NoSuchName,
}

/// What the builder was told about name servers.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) servers: Vec<SocketAddr>,
    pub(crate) search: Vec<Name>,
    pub(crate) ndots: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
        }
    }
}

impl Resolver {
    pub(crate) fn new(settings: Settings, seed: u64) -> Self {
        let Settings { servers, search, ndots } = settings;
        Self {
            servers,
            search,
            ndots,
            ids: Keys::new(seed, "names").key("ids"),
            asked: AtomicU64::new(0),
            cache: Mutex::default(),
        }
    }

    /// The addresses of a name: one at least, those that the host can reach first, IPv6 before IPv4.
    pub(crate) async fn lookup(&self, host: &Host, name: &str) -> io::Result<Vec<IpAddr>> {
        if self.servers.is_empty() {
            let text = format!("this host knows no `{name}`, and has no name server to ask: HostBuilder::name_server");
            return Err(not_found(&text));
        }
        let given = Name::from_utf8(name).map_err(|_| not_found(&format!("`{name}` is no name")))?;
        let mut silent = None;
        for candidate in self.candidates(&given) {
            let (v6, v4) = both(
                self.ask(host, &candidate, RecordType::AAAA),
                self.ask(host, &candidate, RecordType::A),
            )
            .await;
            let mut found = Vec::new();
            let mut failed = None;
            let mut is_there = true;
            for answer in [v6, v4] {
                match answer {
                    Ok(Answer::Addresses(addresses)) => found.extend(addresses),
                    // RFC 8020: a name that is not there has nothing of any type.
                    Ok(Answer::NoSuchName) => is_there = false,
                    Err(error) => failed = Some(error),
                }
            }
            silent = failed.filter(|_| is_there).or(silent);
            if !found.is_empty() {
                found.sort_by_key(|address| host.shard().look(|stack| stack.host.source_address(*address).is_none()));
                return Ok(found);
            }
        }
        Err(silent.unwrap_or_else(|| not_found(&format!("name servers know no `{name}`"))))
    }

    /// The full names that a name may mean, in order. resolv.conf(5): search, ndots.
    fn candidates(&self, given: &Name) -> Vec<Name> {
        let mut as_is = given.clone();
        as_is.set_fqdn(true);
        if given.is_fqdn() {
            return vec![as_is];
        }
        let searched = self
            .search
            .iter()
            .filter_map(|domain| given.clone().append_domain(domain).ok());
        let dots = usize::from(given.num_labels()).saturating_sub(1);
        if dots >= self.ndots {
            std::iter::once(as_is).chain(searched).collect()
        } else {
            searched.chain(std::iter::once(as_is)).collect()
        }
    }

    /// What the cache has, else what the first server says that says something.
    async fn ask(&self, host: &Host, name: &Name, kind: RecordType) -> io::Result<Answer> {
        let key = (name.to_lowercase(), kind);
        let now = host.now();
        if let Some((until, answer)) = self.cache().get(&key)
            && *until > now
        {
            return Ok(answer.clone());
        }
        let mut last = None;
        for wait in ROUNDS.map(Duration::from_millis) {
            for server in &self.servers {
                let query = self.query(name, kind);
                let exchange = self.exchange(host, *server, &query, wait).await;
                match exchange.and_then(|reply| read(&reply, name, kind)) {
                    Ok((answer, keep)) => {
                        self.keep(key, host.now(), keep, &answer);
                        return Ok(answer);
                    }
                    Err(error) => {
                        tracing::debug!(%server, %name, %kind, %error, "name server");
                        last = Some(error);
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| io::ErrorKind::TimedOut.into()))
    }

    /// A query with an identifier that nobody can guess. RFC 5452 §9.2; the port, which is new each time, is the host's choice.
    fn query(&self, name: &Name, kind: RecordType) -> Vec<u8> {
        let id = self.ids.hash(&[self.asked.fetch_add(1, Ordering::Relaxed)]) as u16;
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(name.clone(), kind));
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        message.set_edns(edns);
        // A message of one name that was parsed can be written.
        message.to_vec().unwrap_or_default()
    }

    /// One question to one server: over UDP, and over TCP when the answer was cut off.
    async fn exchange(&self, host: &Host, server: SocketAddr, query: &[u8], wait: Duration) -> io::Result<Vec<u8>> {
        let reply = host.within(wait, by_datagram(host, server, query)).await;
        let reply = reply.ok_or_else(|| silent(server))??;
        if reply[2] & 0x02 == 0 {
            return Ok(reply);
        }
        let whole = host.within(BY_STREAM, by_stream(host, server, query)).await;
        whole.ok_or_else(|| silent(server))?
    }

    fn keep(&self, key: (Name, RecordType), now: Instant, time: Duration, answer: &Answer) {
        if time.is_zero() {
            return;
        }
        let mut cache = self.cache();
        if cache.len() >= KEPT {
            cache.retain(|_, (until, _)| *until > now);
        }
        if cache.len() >= KEPT {
            // Any will do: names that are asked for come back.
            cache.pop_first();
        }
        cache.insert(key, (now + time, answer.clone()));
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, BTreeMap<(Name, RecordType), (Instant, Answer)>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_found(text: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("failed to lookup address information: {text}"),
    )
}

fn silent(server: SocketAddr) -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("failed to lookup address information: name server {server} does not answer"),
    )
}

async fn by_datagram(host: &Host, server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let any = if server.is_ipv4() {
        IpAddr::from(Ipv4Addr::UNSPECIFIED)
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::open(host, SocketAddr::new(any, 0), BindOptions::default())?;
    socket.connect_to(server)?;
    socket.send(query).await?;
    let mut reply = vec![0; usize::from(u16::MAX)];
    loop {
        let n = socket.recv(&mut reply).await?;
        // What answers something else is not from whom we asked. RFC 5452 §9.1.
        if message::answers(&reply[..n], query) {
            reply.truncate(n);
            return Ok(reply);
        }
    }
}

/// RFC 7766 §8: each message with its length before it.
async fn by_stream(host: &Host, server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::begin(host, None, server, TcpOptions::default())?;
    stream.established().await?;
    let len = u16::try_from(query.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    write_all(&mut stream, &[&len.to_be_bytes()[..], query].concat()).await?;
    let mut len = [0; 2];
    read_exact(&mut stream, &mut len).await?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
    read_exact(&mut stream, &mut reply).await?;
    if message::answers(&reply, query) {
        Ok(reply)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "an answer to another question",
        ))
    }
}

async fn write_all(stream: &mut TcpStream, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        let n = std::future::poll_fn(|cx| pin!(&mut *stream).poll_write(cx, data)).await?;
        data = &data[n..];
    }
    Ok(())
}

async fn read_exact(stream: &mut TcpStream, buf: &mut [u8]) -> io::Result<()> {
    let mut buf = ReadBuf::new(buf);
    while buf.remaining() > 0 {
        let before = buf.filled().len();
        std::future::poll_fn(|cx| pin!(&mut *stream).poll_read(cx, &mut buf)).await?;
        if buf.filled().len() == before {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// What a reply says, and how long that holds.
fn read(reply: &[u8], name: &Name, kind: RecordType) -> io::Result<(Answer, Duration)> {
    let wrong = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    let message = Message::from_vec(reply).map_err(|error| wrong(error.to_string()))?;
    match message.metadata.response_code {
        ResponseCode::NoError => {}
        ResponseCode::NXDomain => return Ok((Answer::NoSuchName, nothing_for(&message))),
        code => {
            return Err(io::Error::other(format!(
                "failed to lookup address information: the name server says: {code}"
            )));
        }
    }
    let mut owner = name.to_lowercase();
    let mut keep = LONGEST_KEPT;
    let mut found = Vec::new();
    // An alias comes before what it stands for, and as often as there are records at most.
    for record in &message.answers {
        if record.name.to_lowercase() != owner {
            continue;
        }
        let address = match &record.data {
            RData::CNAME(alias) => {
                owner = alias.0.to_lowercase();
                None
            }
            RData::A(a) if kind == RecordType::A => Some(IpAddr::V4(a.0)),
            RData::AAAA(aaaa) if kind == RecordType::AAAA => Some(IpAddr::V6(aaaa.0)),
            _ => continue,
        };
        keep = keep.min(Duration::from_secs(record.ttl.into()));
        found.extend(address);
    }
    if found.is_empty() {
        return Ok((Answer::Addresses(found), nothing_for(&message)));
    }
    Ok((Answer::Addresses(found), keep))
}

/// How long nothing stays nothing. RFC 2308 §5: as the SOA says, which is why one without is not kept.
fn nothing_for(message: &Message) -> Duration {
    let soa = message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(soa.minimum.min(record.ttl)),
        _ => None,
    });
    Duration::from_secs(soa.unwrap_or(0).into()).min(LONGEST_NOTHING)
}

/// Runs both to their ends.
async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    std::future::poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(output) = a.as_mut().poll(cx)
        {
            first = Some(output);
        }
        if second.is_none()
            && let Poll::Ready(output) = b.as_mut().poll(cx)
        {
            second = Some(output);
        }
        match (first.take(), second.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (one, other) => {
                (first, second) = (one, other);
                Poll::Pending
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests;
