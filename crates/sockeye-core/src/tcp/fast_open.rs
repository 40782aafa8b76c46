//! Fast Open: data in the SYN, for a remote that was there before. Spec: RFC 7413.
//!
//! The server's side: cookies are keyed hashes of both addresses, good for one to two periods of the key's clock; a SYN with a good one makes a
//! connection at once, whose data can be read before the handshake ends, as long as not too many such are pending. The client's side: a cache of
//! cookies, and of paths on which Fast Open did harm. What opens connections is `open`, what sends the SYN `output`; both ask here.
//! On the wire the experimental form of the option (RFC 7413 appendix A) is read too; ours is the assigned one.

use super::congestion::initial_window;
use super::input::{Cx, Segment};
use super::open::TcpKeys;
use super::tcb::{Bits, Rexmit, Tcb};
use crate::buf::Rope;
use crate::settings::{FastOpenKey, Settings};
use crate::socket::State;
use crate::time::{Duration, Instant};
use crate::tuple::{FourTuple, halves, mapped};
use crate::wire::tcp::FastOpen;
use siphasher::sip::SipHasher24;
use std::collections::{BTreeMap, VecDeque};
use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};

/// `net.ipv4.tcp_fastopen`, as Linux's documentation has its bits.
pub(crate) mod enable {
    /// Clients may.
    pub(crate) const CLIENT: u32 = 1;
    /// Listeners that ask for it may.
    pub(crate) const SERVER: u32 = 2;
    /// Clients send data without having a cookie.
    pub(crate) const CLIENT_NO_COOKIE: u32 = 4;
    /// Listeners take data without a cookie.
    pub(crate) const SERVER_NO_COOKIE: u32 = 0x200;
    /// All listeners, asked for or not.
    pub(crate) const ALL_LISTENERS: u32 = 0x400;
}

/// How long the server's cookies stay the same; one more period they are still good. RFC 7413 §4.1.2 (5).
const PERIOD: Duration = Duration::from_secs(6 * 3_600);
/// Remotes whose cookies are kept, and paths whose failures are, at most; the oldest goes.
const CACHE: usize = 1_024;
/// Wait after a second failure in a row; it doubles with each. RFC 7413 §4.1.3.1 "at least temporarily"; the figures are Linux's.
const BACK_OFF: Duration = Duration::from_secs(60);
/// Doublings at most.
const BACK_OFF_MAX: u32 = 6;
/// How long a pending connection that was reset still counts. RFC 7413 §5.1.
const RESET_COUNTS: Duration = Duration::from_secs(60);

impl TcpKeys {
    /// The cookie for the remote of `tuple`, now or `ago` periods ago.
    fn cookie_of(&self, tuple: &FourTuple, now: Instant, ago: u64) -> Option<FastOpen> {
        let period = (now.as_millis() / PERIOD.as_millis() as u64).checked_sub(ago)?;
        let [local, remote] = [tuple.local(), tuple.remote()].map(|at| halves(&mapped(at.ip())));
        let tag = self.fast_open.hash(&[local[0], local[1], remote[0], remote[1], period]);
        Some(FastOpen::cookie(&tag.to_be_bytes()))
    }

    /// GetCookie: with a given key the same for good. RFC 7413 §4.1.2.
    pub(crate) fn fast_open_cookie(
        &self,
        tuple: &FourTuple,
        key: Option<FastOpenKey>,
        now: Instant,
    ) -> Option<FastOpen> {
        match key {
            Some(key) => Some(shared_cookie(tuple, key)),
            None => self.cookie_of(tuple, now, 0),
        }
    }

    /// IsCookieValid. RFC 7413 §4.1.2.
    pub(crate) fn is_fast_open_cookie(
        &self,
        tuple: &FourTuple,
        key: Option<FastOpenKey>,
        cookie: &FastOpen,
        now: Instant,
    ) -> bool {
        let same = |good: FastOpen| good.as_slice() == cookie.as_slice();
        match key {
            Some(key) => same(shared_cookie(tuple, key)),
            None => (0..2).any(|ago| self.cookie_of(tuple, now, ago).is_some_and(same)),
        }
    }
}

/// The cookie that all hosts with this key give: SipHash-2-4 of both addresses, the client's first.
fn shared_cookie(tuple: &FourTuple, key: FastOpenKey) -> FastOpen {
    let [a, b, c, d] = key.0.map(u64::from);
    let mut hasher = SipHasher24::new_with_keys(a | b << 32, c | d << 32);
    for address in [tuple.remote().ip(), tuple.local().ip()] {
        match address {
            IpAddr::V4(address) => hasher.write(&address.octets()),
            IpAddr::V6(address) => hasher.write(&address.octets()),
        }
    }
    FastOpen::cookie(&hasher.finish().to_le_bytes())
}

/// PendingFastOpenRequests of one listener. RFC 7413 §4.2, §5.1.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    count: u32,
    /// Pending ones that were reset: they count until then.
    resets: VecDeque<Instant>,
}

impl Pending {
    /// Is there room for one more under `limit`?
    pub(crate) fn has_room(&mut self, now: Instant, limit: u32) -> bool {
        while self.resets.front().is_some_and(|until| *until <= now) {
            let _ = self.resets.pop_front();
        }
        self.count as usize + self.resets.len() < limit as usize
    }

    pub(crate) fn begin(&mut self) {
        self.count += 1;
    }

    /// One is no longer pending: established, or gone.
    pub(crate) fn end(&mut self, now: Instant, established: bool) {
        self.count = self.count.saturating_sub(1);
        if !established {
            self.resets.push_back(now + RESET_COUNTS);
        }
    }
}

/// What a client knows of a server's address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) cookie: FastOpen,
    /// The MSS it announced.
    pub(crate) mss: u16,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A cookie came, with this MSS.
    Cookie(FastOpen, u16),
    /// The SYN was lost, refused, or its data not taken and no better cookie given.
    Failed,
    /// Data in the SYN was acknowledged.
    Worked,
}

/// The client's memory. RFC 7413 §4.1.3.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    cookies: BTreeMap<(IpAddr, IpAddr), Known>,
    /// In the order they came.
    order: VecDeque<(IpAddr, IpAddr)>,
    failures: BTreeMap<(IpAddr, SocketAddr), Failures>,
    failed: VecDeque<(IpAddr, SocketAddr)>,
}

/// Failures in a row on a path, port included: §4.1.3.1.
#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    count: u32,
    until: Instant,
}

impl Cache {
    /// What to send data with to the remote of `tuple`.
    pub(crate) fn known(&self, tuple: &FourTuple) -> Option<Known> {
        self.cookies.get(&hosts(tuple)).copied()
    }

    /// Fast Open is to be left alone on this path for now.
    pub(crate) fn is_refused(&self, tuple: &FourTuple, now: Instant) -> bool {
        self.failures
            .get(&path(tuple))
            .is_some_and(|failures| now < failures.until)
    }

    pub(crate) fn note(&mut self, tuple: &FourTuple, news: News, now: Instant) {
        match news {
            News::Cookie(cookie, mss) => {
                let key = hosts(tuple);
                if self.cookies.insert(key, Known { cookie, mss }).is_none() {
                    self.order.push_back(key);
                }
                if self.order.len() > CACHE
                    && let Some(oldest) = self.order.pop_front()
                {
                    let _ = self.cookies.remove(&oldest);
                }
            }
            News::Worked => {
                // Its place in `failed` goes when its turn comes.
                let _ = self.failures.remove(&path(tuple));
            }
            News::Failed => self.note_failure(tuple, now),
        }
    }

    /// One may be mere loss; from the second on the path is left alone, twice as long each time.
    fn note_failure(&mut self, tuple: &FourTuple, now: Instant) {
        let key = path(tuple);
        let failures = self.failures.entry(key).or_default();
        failures.count += 1;
        if failures.count == 1 {
            self.failed.push_back(key);
        } else {
            failures.until = now + BACK_OFF.saturating_mul(1 << (failures.count - 2).min(BACK_OFF_MAX));
        }
        if self.failed.len() > CACHE
            && let Some(oldest) = self.failed.pop_front()
        {
            let _ = self.failures.remove(&oldest);
        }
    }
}

fn hosts(tuple: &FourTuple) -> (IpAddr, IpAddr) {
    (tuple.local().ip(), tuple.remote().ip())
}

fn path(tuple: &FourTuple) -> (IpAddr, SocketAddr) {
    (tuple.local().ip(), tuple.remote())
}

/// What a client's SYN is to carry, until it was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Early {
    /// The cookie; empty to ask for one.
    pub(super) option: Option<FastOpen>,
    /// Payload that the SYN may carry, options not counted. RFC 7413 §4.1.3.
    pub(super) most: u16,
    /// What the answer told.
    cookie: Option<(FastOpen, u16)>,
}

impl Tcb {
    /// An active open that asks for a cookie, or waits for data to send with one. RFC 7413 §4.2.1, §4.2.2.
    pub(crate) fn open_fast(&mut self, known: Option<Known>, cx: &mut Cx<'_>) {
        let without = cx.settings.tcp_fastopen & enable::CLIENT_NO_COOKIE != 0;
        let (default, usual) = if self.tuple.is_v4() {
            (536, 1_460)
        } else {
            (1_220, 1_440)
        };
        let early = Early {
            option: match known {
                Some(known) => Some(known.cookie),
                None if without => None,
                None => Some(FastOpen::default()),
            },
            most: known.map_or(default, |known| known.mss.min(usual)).min(self.adv_mss),
            cookie: None,
        };
        self.flow(cx.now, cx.settings).early = Some(Box::new(early));
        self.bits.set(Bits::FAST_OPEN_ASKED);
        if known.is_some() || without {
            self.bits.set(Bits::DEFERRED);
            self.bits.clear(Bits::ACK_NOW);
            self.rexmit = Rexmit::Off;
            self.snd_nxt = self.iss;
            self.tell();
        }
    }

    /// True while the SYN waits for the first data.
    pub(crate) fn is_deferred(&self) -> bool {
        self.bits.has(Bits::DEFERRED)
    }

    /// True when the application may take the connection for established although its handshake has not ended.
    pub(super) fn is_usable_early(&self) -> bool {
        self.may_write_early() || (self.state == State::SynSent && self.queued() > 0)
    }

    /// True when the application may write although the handshake has not ended: the SYN waits for it, or brought a question.
    pub(super) fn may_write_early(&self) -> bool {
        self.is_deferred() || self.is_pending_fast_open()
    }

    /// The first data is there, or none will come: the SYN leaves.
    pub(crate) fn end_deferral(&mut self) {
        if self.bits.take(Bits::DEFERRED) {
            self.bits.set(Bits::ACK_NOW);
        }
    }

    /// What the next SYN is to carry: only the first one carries anything. RFC 7413 §4.2.2.
    pub(super) fn early(&self) -> Option<Early> {
        let early = self.flow.as_ref()?.early.as_deref()?;
        (self.state == State::SynSent && self.retries == 0).then_some(*early)
    }

    /// The SYN-ACK of an attempt: how much of the data it took, and what it says of cookies. RFC 7413 §4.2.2 "Receiving SYN-ACK".
    pub(super) fn on_fast_open_answer(&mut self, seg: &Segment) {
        let first = self.iss + 1;
        let (carried, taken) = (self.snd_nxt.after(first), seg.ack.after(first));
        if taken > 0 {
            self.take_early_acknowledgement(taken);
        }
        // What was not taken is sent again, as if for the first time.
        self.snd_nxt = seg.ack;
        let mss = seg.options.mss.unwrap_or(self.peer_mss);
        let Some(early) = self.flow.as_mut().and_then(|flow| flow.early.as_deref_mut()) else {
            return;
        };
        early.cookie = seg
            .options
            .fast_open
            .filter(|cookie| !cookie.is_request())
            .map(|cookie| (cookie, mss));
        if carried > 0 && taken == 0 && early.cookie.is_none() && self.retries == 0 {
            self.bits.set(Bits::FAST_OPEN_FAILED);
        }
    }

    /// Data that went with the SYN, or was answered to one, leaves the send rope.
    fn take_early_acknowledgement(&mut self, taken: u32) {
        self.bits.set(Bits::SYN_DATA);
        if let Some(tx) = &mut self.tx {
            tx.drop_front(tx.len().min(taken as usize));
            if tx.is_empty() {
                self.tx = None;
            }
        }
        self.stats.get_or_insert_default().bytes_acked += u64::from(taken);
    }

    /// The SYN is lost or refused: perhaps for what it carried. RFC 7413 §4.1.3.1.
    pub(super) fn on_fast_open_silence(&mut self) {
        if self.early().is_some() && !self.is_deferred() {
            self.bits.set(Bits::FAST_OPEN_FAILED);
        }
    }

    /// True when somebody outside has to hear of Fast Open on this connection.
    pub(crate) fn has_fast_open_news(&self) -> bool {
        self.bits.has(Bits::FAST_OPEN) || self.bits.has(Bits::FAST_OPEN_ASKED) || self.bits.has(Bits::FAST_OPEN_FAILED)
    }

    /// What there is to remember of an attempt, once.
    pub(crate) fn fast_open_news(&mut self) -> Option<News> {
        if self.bits.take(Bits::FAST_OPEN_FAILED) {
            return Some(News::Failed);
        }
        if !self.is_synchronized() || !self.bits.has(Bits::SYN_ACKED) {
            return None;
        }
        self.bits.clear(Bits::FAST_OPEN_ASKED);
        let early = self.flow.as_mut()?.early.take()?;
        match early.cookie {
            Some((cookie, mss)) => Some(News::Cookie(cookie, mss)),
            None if self.bits.has(Bits::SYN_DATA) => Some(News::Worked),
            None => None,
        }
    }

    /// True when data that went in our SYN was acknowledged.
    pub(crate) fn sent_data_in_syn(&self) -> bool {
        self.bits.has(Bits::SYN_DATA)
    }

    /// A SYN with a good cookie: its data is the application's before the handshake ends, and answers may leave. RFC 7413 §4.2.2 steps 4 and 6.
    pub(crate) fn take_early_data(&mut self, cx: &mut Cx<'_>, seg: Segment) {
        cx.counters.tcp_fast_open_passive += 1;
        self.bits.set(Bits::FAST_OPEN);
        self.cwnd = initial_window(u32::from(self.mss), cx.settings.tcp_init_cwnd);
        let mut text = Rope::new();
        let room = self.rcv_edge.after(self.rcv_nxt) as usize;
        for mut slice in seg.body {
            slice.truncate(room.saturating_sub(text.len()));
            text.push(slice);
        }
        if text.is_empty() {
            return;
        }
        self.bits.set(Bits::SYN_DATA);
        self.rcv_nxt += text.len() as u32;
        self.stats.get_or_insert_default().bytes_in += text.len() as u64;
        self.rx.get_or_insert_default().keep(text, seg.pins as usize);
        self.tell();
    }

    /// True for a connection made by a SYN with data whose handshake has not ended.
    pub(crate) fn is_pending_fast_open(&self) -> bool {
        self.bits.has(Bits::FAST_OPEN) && self.state == State::SynReceived
    }

    /// True once for such a connection, when its handshake has ended, in whatever way.
    pub(crate) fn ends_pending_fast_open(&mut self) -> bool {
        self.state != State::SynReceived && self.bits.take(Bits::FAST_OPEN)
    }
}

/// How many pending connections a listener with this `TCP_FASTOPEN` may have; 0 is none.
pub(crate) fn pending_limit(asked: u32, backlog: u32, settings: &Settings) -> u32 {
    let on = settings.tcp_fastopen;
    match asked {
        _ if on & enable::SERVER == 0 => 0,
        0 if on & enable::ALL_LISTENERS != 0 => backlog.max(1),
        asked => asked.min(settings.somaxconn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Keys;

    fn tuple(port: u16, last: u8) -> FourTuple {
        FourTuple::new(
            SocketAddr::from(([10, 0, 0, 1], 5_000)),
            SocketAddr::from(([10, 0, 0, last], port)),
        )
    }

    #[test]
    fn cookies_of_a_shared_key_are_linuxs() {
        let keys = TcpKeys::new(&Keys::new(1, "a"));
        let ends = |local: &str, remote: &str| {
            let at = |ip: &str, port| SocketAddr::new(ip.parse().unwrap(), port);
            FourTuple::new(at(local, 80), at(remote, 4_000))
        };
        for (key, local, remote, want) in [
            (
                "a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4",
                "192.168.0.1",
                "192.0.2.1",
                "3021b9d889017eeb",
            ),
            (
                "00000000-00000000-00000000-00000000",
                "192.168.0.1",
                "192.0.2.1",
                "b7c12350a90dc8f5",
            ),
            (
                "a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4",
                "fd3d:a0b:17d6::1",
                "fd3d:fa7b:d17d::1",
                "c1d1e9742a47a9bc",
            ),
        ] {
            let mut settings = Settings::default();
            settings.set("net.ipv4.tcp_fastopen_key", key).unwrap();
            let tuple = ends(local, remote);
            let cookie = keys
                .fast_open_cookie(&tuple, settings.tcp_fastopen_key, Instant::ZERO)
                .unwrap();
            assert_eq!(format!("{cookie:?}"), want, "{remote}");
            let later = Instant::ZERO + PERIOD.saturating_mul(9);
            assert!(keys.is_fast_open_cookie(&tuple, settings.tcp_fastopen_key, &cookie, later));
            assert!(!keys.is_fast_open_cookie(&tuple, None, &cookie, later));
        }
    }

    #[test]
    fn cookies_are_of_the_addresses_and_do_not_last() {
        let keys = TcpKeys::new(&Keys::new(1, "keys"));
        let start = Instant::ZERO + PERIOD.saturating_mul(3);
        let cookie = keys.fast_open_cookie(&tuple(80, 2), None, start).unwrap();
        assert!(
            keys.is_fast_open_cookie(&tuple(81, 2), None, &cookie, start),
            "ports do not count"
        );
        assert!(!keys.is_fast_open_cookie(&tuple(80, 3), None, &cookie, start));
        assert!(keys.is_fast_open_cookie(&tuple(80, 2), None, &cookie, start + PERIOD));
        assert!(!keys.is_fast_open_cookie(&tuple(80, 2), None, &cookie, start + PERIOD.saturating_mul(2)));
        assert!(!keys.is_fast_open_cookie(&tuple(80, 2), None, &FastOpen::default(), start));
    }

    /// RFC 7413 §4.1.3.1: a path that fails again is left alone for longer and longer; another port of the same server is another path.
    #[test]
    fn paths_that_fail_are_left_alone() {
        let mut cache = Cache::default();
        let mut now = Instant::from_millis(1);
        cache.note(&tuple(80, 2), News::Failed, now);
        assert!(!cache.is_refused(&tuple(80, 2), now), "one loss is no black hole");
        for minutes in [1, 2, 4, 8, 16, 32, 64, 64] {
            cache.note(&tuple(80, 2), News::Failed, now);
            let wait = Duration::from_secs(60 * minutes);
            assert!(cache.is_refused(&tuple(80, 2), now + wait - Duration::from_millis(1)));
            assert!(!cache.is_refused(&tuple(443, 2), now));
            now += wait;
            assert!(!cache.is_refused(&tuple(80, 2), now));
        }
        cache.note(&tuple(80, 2), News::Worked, now);
        cache.note(&tuple(80, 2), News::Failed, now);
        assert!(!cache.is_refused(&tuple(80, 2), now));
    }

    #[test]
    fn the_cache_is_bounded() {
        let mut cache = Cache::default();
        for n in 0..3_000_u16 {
            let tuple = FourTuple::new(
                SocketAddr::from(([10, 0, 0, 1], 5_000)),
                SocketAddr::from(([10, 1, (n >> 8) as u8, n as u8], 80)),
            );
            cache.note(&tuple, News::Cookie(FastOpen::cookie(&[1; 8]), 1_460), Instant::ZERO);
            cache.note(&tuple, News::Failed, Instant::ZERO);
            assert!(cache.known(&tuple).is_some());
        }
        assert_eq!((cache.cookies.len(), cache.order.len()), (CACHE, CACHE));
        assert_eq!((cache.failures.len(), cache.failed.len()), (CACHE, CACHE));
    }

    #[test]
    fn resets_count_for_a_while() {
        let mut pending = Pending::default();
        let now = Instant::from_millis(1);
        for _ in 0..3 {
            assert!(pending.has_room(now, 3));
            pending.begin();
        }
        assert!(!pending.has_room(now, 3));
        pending.end(now, true);
        pending.end(now, false);
        assert!(pending.has_room(now, 3));
        pending.begin();
        assert!(!pending.has_room(now, 3));
        assert!(pending.has_room(now + RESET_COUNTS, 3));
    }
}
