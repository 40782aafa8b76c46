//! How long packets to the remote may be, found out where no router says so: packetization-layer path MTU discovery. Spec: RFC 4821, RFC 8899.
//!
//! Full segments that are lost twice running, the second time up to a timeout, fall into a black hole, perhaps: then segments become shorter.
//! Whenever the path may carry more than is in use, a longer segment of new data is sent now and then; that it is lost says that it was too
//! long, and nothing about congestion. What is found out is shared through the host's table of path MTUs, from where a connection also gets
//! what others and ICMP have told (RFC 1191, RFC 8201).

use super::input::Cx;
use super::recovery::Phase;
use super::sent::{Fate, Scoreboard, Sent};
use super::seq::SeqNumber;
use super::tcb::{Bits, Flow, Tcb};
use crate::settings::Settings;
use crate::time::{Duration, Instant};
use crate::wire::tcp::{HEADER_LEN, Options};

/// Sizes that paths often carry, tried before others (RFC 4821 §7.3): IPv6's least, tunnels', PPPoE's, Ethernet's, jumbo frames, FDDI, loopback.
const COMMON: [u16; 13] = [
    576, 1_280, 1_400, 1_420, 1_480, 1_492, 1_500, 2_002, 4_352, 8_166, 9_000, 17_914, 65_535,
];
/// No IPv6 path carries less. RFC 8200 §5.
const LEAST_V6: u16 = 1_280;
/// Segments behind a probe that show quickly whether it is lost. RFC 4821 §7.4.
const FOLLOWERS: u32 = 3;
/// Timeouts running before sizes are tried that few paths ask for.
const PATIENCE: u8 = 2;

/// The search of one connection. What is in use, `search_low` and `eff_pmtu` of RFC 4821 §7.1, is `Tcb::path_mtu`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Search {
    /// `search_high`: the longest packet that is worth trying.
    high: u16,
    /// The probe that is out.
    probe: Option<Probe>,
    /// What was lost for being too long: no sign of congestion until it is sent again.
    excused: Option<(SeqNumber, SeqNumber)>,
    /// No probe before this.
    not_before: Instant,
    /// `Tcb::retries` at which a size is given up that was lowered to before.
    patience: u8,
    /// The size before that, and what was out then: should the timeouts have been in error.
    before: Option<(u16, SeqNumber)>,
    /// Something was found out that the host does not know yet.
    news: bool,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    start: SeqNumber,
    end: SeqNumber,
    size: u16,
}

impl Search {
    /// Everything that is lost was too long for the path: RFC 4821 §7.6.2, RFC 8201 §4.
    pub(super) fn excuses(&self, sent: &Scoreboard) -> bool {
        let Some((start, end)) = self.excused else { return false };
        let mut lost = sent.runs().filter(|run| run.fate == Fate::Lost);
        lost.all(|run| !run.resent && start.at_or_before(run.start) && run.end().at_or_before(end))
    }
}

/// Packets whose size is agreed on at `tcp_base_mss`: likely to get through. RFC 4821 §7.2.
fn base(tcb: &Tcb, settings: &Settings) -> u16 {
    let size = settings.tcp_base_mss.saturating_add(headers(tcb));
    if tcb.tuple.is_v4() { size } else { size.max(LEAST_V6) }
}

/// The least that a black hole is believed to let through.
fn floor(tcb: &Tcb, settings: &Settings) -> u16 {
    let size = settings.tcp_mtu_probe_floor.saturating_add(headers(tcb));
    if tcb.tuple.is_v4() { size } else { size.max(LEAST_V6) }
}

/// IP and TCP, without options.
fn headers(tcb: &Tcb) -> u16 {
    HEADER_LEN as u16 + if tcb.tuple.is_v4() { 20 } else { 40 }
}

/// The next size to try above `low`, up to `high`: the middle one of the common sizes between, else half way.
fn next_size(low: u16, high: u16) -> u16 {
    let between = || COMMON.iter().filter(|size| (low + 1..=high).contains(*size));
    let middle = between().count().saturating_sub(1) / 2;
    between()
        .nth(middle)
        .copied()
        .unwrap_or_else(|| low + (high - low).div_ceil(2))
}

impl Tcb {
    /// With `tcp_mtu_probing` at 2 a connection begins with short segments and works its way up.
    pub(super) fn begin_low(&mut self, settings: &Settings) {
        if settings.tcp_mtu_probing >= 2 {
            self.path_mtu = self.path_mtu.min(base(self, settings));
        }
    }

    /// What the host knows of the path: packets of `mtu` bytes get through, up to `ceiling` it is worth trying.
    pub(crate) fn on_path(&mut self, mtu: u32, ceiling: u32) {
        if let Some(flow) = self.flow.as_deref_mut() {
            flow.search.high = ceiling.min(u32::from(u16::MAX)) as u16;
        }
        self.on_path_mtu(mtu);
    }

    /// The path carries no more than `mtu` bytes a packet: shorter segments from now on, and what was too long goes again. RFC 1191 §6.4, RFC 8201 §5.4.
    pub(crate) fn on_path_mtu(&mut self, mtu: u32) {
        let mtu = mtu.min(u32::from(u16::MAX)) as u16;
        if mtu >= self.path_mtu {
            return;
        }
        let before = self.mss;
        self.path_mtu = mtu;
        if self.mss > 0 {
            self.settle_mss();
            if self.mss < before
                && let Some(flow) = self.flow.as_deref_mut()
            {
                // Not a sign of congestion: the window stays. RFC 8201 §4.
                flow.search.excused = Some((self.snd_una, self.snd_nxt));
                let mss = u32::from(self.mss);
                let _ = flow.sent.mark_lost(|run| run.len.div_ceil(run.segs.max(1)) > mss);
            }
        }
    }

    /// True when the segment an ICMP error quotes is outstanding: the error can be believed. RFC 5927 §4.1.
    pub(crate) fn quotes_flight(&self, seq: u32) -> bool {
        let seq = SeqNumber(seq);
        self.snd_una.at_or_before(seq) && seq.before(self.snd_nxt)
    }

    /// What was found out since the last call: the longest packet that gets through, and up to where the search goes on.
    pub(crate) fn take_path_news(&mut self) -> Option<(u32, u32)> {
        let search = &mut self.flow.as_deref_mut()?.search;
        std::mem::take(&mut search.news).then(|| (self.path_mtu.into(), search.high.max(self.path_mtu).into()))
    }
}

/// Packets of `size` bytes from now on.
fn settle(tcb: &mut Tcb, search: &mut Search, size: u16) {
    tcb.path_mtu = size;
    tcb.settle_mss();
    search.news = true;
}

/// Is it time to try a longer segment, and of how many bytes? `unsent` bytes wait, `window` fit in the remote's window, `pipe` are in flight.
pub(super) fn due(
    tcb: &Tcb,
    flow: &Flow,
    cx: &Cx<'_>,
    options: &Options,
    unsent: u32,
    window: u32,
    pipe: u32,
) -> Option<u32> {
    // The one test that nearly every segment ends at.
    if flow.search.high <= tcb.path_mtu {
        return None;
    }
    let size = probe_size(tcb, &flow.search, cx.settings)?;
    let (mss, len) = (
        u32::from(tcb.mss),
        u32::from(size - headers(tcb)) - options.len() as u32,
    );
    let needed = len + FOLLOWERS * mss;
    let ready = tcb.bits.has(Bits::SACK)
        && flow.recovery.phase == Phase::Open
        && flow.search.probe.is_none()
        && flow.sent.lost() == 0
        && flow.sent.sacked() == 0
        && options.sack.is_empty()
        && flow.search.not_before <= cx.now
        && unsent.min(window).min(tcb.cwnd) >= needed
        && tcb.cwnd.saturating_sub(pipe) >= len;
    ready.then_some(len)
}

/// The next size to try; `None` once it makes no difference worth a loss. RFC 4821 §7.3.
fn probe_size(tcb: &Tcb, search: &Search, settings: &Settings) -> Option<u16> {
    let most = tcb.peer_mss.min(tcb.opt().max_segment.unwrap_or(u16::MAX));
    let high = search.high.min(most.saturating_add(headers(tcb)));
    let open = settings.tcp_mtu_probing > 0 && high >= tcb.path_mtu.saturating_add(settings.tcp_probe_threshold.max(1));
    open.then(|| next_size(tcb.path_mtu, high))
}

/// The segment `[start, end)` left as a probe.
pub(super) fn on_sent(tcb: &Tcb, flow: &mut Flow, start: SeqNumber, options: &Options) {
    let end = tcb.snd_nxt;
    let size = end.after(start) as u16 + headers(tcb) + options.len() as u16;
    flow.search.probe = Some(Probe { start, end, size });
    tracing::debug!(tuple = ?tcb.tuple, size, "path MTU probe");
}

/// After losses were looked for: what became of the probe? RFC 4821 §7.6.
pub(super) fn judge(tcb: &mut Tcb, flow: &mut Flow, cx: &mut Cx<'_>) {
    if flow
        .search
        .excused
        .is_some_and(|(_, end)| end.at_or_before(tcb.snd_una))
    {
        flow.search.excused = None;
    }
    if flow.search.before.is_some_and(|(_, end)| end.at_or_before(tcb.snd_una)) {
        flow.search.before = None;
    }
    let Some(probe) = flow.search.probe else { return };
    let fate = flow
        .sent
        .runs()
        .find(|run| probe.start.before(run.end()))
        .map(|run| run.fate);
    if probe.end.at_or_before(tcb.snd_una) || fate == Some(Fate::Sacked) {
        flow.search.probe = None;
        flow.search.patience = 0;
        cx.counters.tcp_mtup_success += 1;
        if probe.size > tcb.path_mtu {
            settle(tcb, &mut flow.search, probe.size);
        }
    } else if fate == Some(Fate::Lost) {
        flow.search.probe = None;
        flow.search.excused = Some((probe.start, probe.end));
        if flow.search.excuses(&flow.sent) {
            cx.counters.tcp_mtup_fail += 1;
            flow.search.high = probe.size - 1;
            flow.search.not_before = cx.now + rest(tcb);
            flow.search.news = true;
        } else {
            // Others are lost too: that is congestion, and says nothing about this one. §7.6.4.
            flow.search.excused = None;
        }
    }
}

/// How long no further loss may be excused: as many round trips as the window has segments. RFC 4821 §7.6.2.
fn rest(tcb: &Tcb) -> Duration {
    let srtt = tcb.rtt.srtt().unwrap_or(Duration::from_secs(1));
    srtt * (tcb.cwnd / u32::from(tcb.mss.max(1))).max(1)
}

/// Nothing was lost after all: long segments get through.
pub(super) fn forgive(tcb: &mut Tcb, flow: &mut Flow) {
    if let Some((size, _)) = flow.search.before.take()
        && size > tcb.path_mtu
    {
        settle(tcb, &mut flow.search, size);
    }
}

/// The retransmission timer fired: a probe that was out tells nothing (RFC 4821 §7.6.3), and when full segments were sent twice in vain, the
/// second time as a tail loss probe or as a repeat of the first, they may be too long for the path (§7.7).
///
/// That section waits for R1 of RFC 1122, three timeouts; a TLS handshake would then take several seconds. To be wrong costs shorter segments for
/// some round trips.
pub(super) fn on_timeout(tcb: &mut Tcb, flow: &mut Flow, cx: &mut Cx<'_>) {
    let search = &mut flow.search;
    search.excused = None;
    if search.probe.take().is_some() {
        search.not_before = cx.now + 5 * rest(tcb);
    }
    if cx.settings.tcp_mtu_probing > 0
        && let Some(lower) = hole(tcb, flow, cx.settings)
    {
        let search = &mut flow.search;
        search.before = search.before.or(Some((tcb.path_mtu, tcb.snd_nxt)));
        search.patience = tcb.retries.saturating_add(PATIENCE);
        cx.counters.tcp_mtup_black_holes += 1;
        settle(tcb, &mut flow.search, lower);
        tracing::debug!(tuple = ?tcb.tuple, lower, "path MTU black hole suspected");
    }
}

/// The size to go down to, when that makes the first segment shorter and enough of its size have been sent in vain: the base, or after more
/// timeouts half of that or of what is in use.
fn hole(tcb: &Tcb, flow: &Flow, settings: &Settings) -> Option<u16> {
    let (base, floor) = (base(tcb, settings), floor(tcb, settings));
    let first = flow.sent.first().filter(|run| run.fate != Fate::Sacked)?;
    let room = |size: u16| u32::from(size - headers(tcb));
    let to_base = tcb.path_mtu > base && first.len.min(tcb.mss.into()) > room(base);
    let (lower, patience) = if to_base {
        (base, 0)
    } else {
        ((tcb.path_mtu.min(base) / 2).max(floor), PATIENCE)
    };
    let too_long = |run: &Sent| run.fate != Fate::Sacked && run.len.min(tcb.mss.into()) > room(lower);
    let probed = || flow.recovery.tail_probe.is_out() && flow.sent.runs().next_back().is_some_and(too_long);
    let again = || flow.sent.runs().any(|run| run.resent && too_long(run));
    let in_vain = lower < tcb.path_mtu && too_long(first) && (again() || probed());
    (in_vain && tcb.retries >= patience.max(flow.search.patience)).then_some(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4821 §7.3: common sizes first, then halves; each search ends at the size that gets through, within the threshold.
    #[test]
    fn searches_end() {
        for (low, high, true_mtu, most) in [
            (1_064, 1_500, 1_500, 3),
            (1_064, 1_500, 1_280, 7),
            (1_064, 1_500, 1_420, 6),
            (1_280, 1_500, 1_280, 7),
            (1_064, 9_000, 9_000, 4),
            (1_064, 9_000, 1_500, 11),
            (552, 65_535, 576, 11),
            (1_064, 65_535, 65_535, 4),
        ] {
            let (mut low, mut high, mut probes) = (low, high, 0);
            while high - low >= 8 {
                let size = next_size(low, high);
                assert!(low < size && size <= high);
                if size <= true_mtu {
                    low = size;
                } else {
                    high = size - 1;
                }
                probes += 1;
            }
            assert!(low <= true_mtu && true_mtu - low < 8, "{true_mtu}: {low}");
            assert!(probes <= most, "{true_mtu}: {probes} probes");
        }
    }
}
