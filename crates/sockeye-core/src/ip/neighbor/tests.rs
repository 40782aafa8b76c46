use super::*;
use crate::time::SECOND;
use bytes::Bytes;

const MAC: Mac = [2, 0, 0, 0, 0, 1];
const OTHER: Mac = [2, 0, 0, 0, 0, 2];
const ANSWER: Advert = Advert {
    mac: Some(MAC),
    solicited: true,
    overrides: true,
};

fn neighbor(n: u32) -> Neighbor {
    Neighbor {
        interface: InterfaceId(1),
        address: std::net::Ipv4Addr::from(0x0a00_0000 + n).into(),
    }
}

fn packet(n: u8) -> Packet {
    Packet::with_payload(Bytes::copy_from_slice(&[n]))
}

fn numbers(packets: Unparked) -> Vec<u8> {
    packets.into_iter().map(|packet| packet.body[0][0]).collect()
}

/// A cache and the clock that runs it.
struct Script {
    cache: Neighbors,
    now: Instant,
}

impl Script {
    fn new() -> Self {
        Self {
            cache: Neighbors::new(&Keys::new(1, "neighbor")),
            now: Instant::ZERO,
        }
    }

    /// With neighbour 1 known and confirmed at time 0.
    fn reachable() -> Self {
        let mut script = Self::new();
        assert!(script.cache.park(script.now, neighbor(1), packet(1)).is_none());
        assert_eq!(script.solicits(), [None]);
        assert_eq!(numbers(script.cache.on_advert(script.now, neighbor(1), ANSWER)), [1]);
        script
    }

    /// With neighbour 1 known but in doubt.
    fn stale() -> Self {
        let mut script = Self::reachable();
        script.run(46 * SECOND);
        assert!(matches!(script.state(), Some(State::Stale { .. })));
        script
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.cache.poll_timeout().filter(|at| *at <= end) {
            self.now = at;
            self.cache.handle_timeout(at);
        }
        self.now = end;
    }

    fn state(&self) -> Option<&State> {
        self.cache.entries.get(&neighbor(1)).map(|entry| &entry.state)
    }

    fn solicits(&mut self) -> Vec<Option<Mac>> {
        std::iter::from_fn(|| self.cache.poll_solicit())
            .map(|solicit| solicit.to)
            .collect()
    }

    fn failed(&mut self) -> Vec<u8> {
        std::iter::from_fn(|| self.cache.poll_failed())
            .map(|(_, packet)| packet.body[0][0])
            .collect()
    }
}

#[test]
fn asks_three_times_and_gives_up() {
    let mut script = Script::new();
    assert_eq!(script.cache.lookup(script.now, neighbor(1)), None);
    for n in 1..=5 {
        let pushed_out = script.cache.park(script.now, neighbor(1), packet(n));
        assert_eq!(
            pushed_out.map(|packet| packet.body[0][0]),
            n.checked_sub(3).filter(|n| *n > 0),
            "the oldest makes room"
        );
    }
    assert_eq!(script.solicits(), [None]);
    for second in 1..=2 {
        script.run(SECOND);
        assert_eq!(script.solicits(), [None], "second {second}");
    }
    assert_eq!(script.failed(), [0_u8; 0]);
    script.run(SECOND);
    assert_eq!(script.solicits(), []);
    assert_eq!(script.failed(), [3, 4, 5]);
    assert_eq!(script.cache.poll_timeout(), None);
    assert!(script.state().is_none());
}

#[test]
fn an_answer_frees_what_waits() {
    let mut script = Script::reachable();
    assert_eq!(script.cache.lookup(script.now, neighbor(1)), Some(MAC));
    script.run(14 * SECOND);
    assert!(matches!(script.state(), Some(State::Reachable { .. })));
    script.run(32 * SECOND);
    assert!(matches!(script.state(), Some(State::Stale { .. })));
    assert_eq!(
        (script.solicits(), script.cache.poll_timeout()),
        (vec![], None),
        "nobody asks about an unused neighbour"
    );
}

#[test]
fn use_of_a_stale_neighbour_makes_it_be_asked() {
    let mut script = Script::stale();
    assert_eq!(script.cache.lookup(script.now, neighbor(1)), Some(MAC));
    script.run(4 * SECOND);
    assert_eq!(script.solicits(), []);
    script.run(SECOND);
    assert_eq!(script.solicits(), [Some(MAC)]);
    assert_eq!(
        script.cache.lookup(script.now, neighbor(1)),
        Some(MAC),
        "packets go on meanwhile"
    );
    let answer = Advert { mac: None, ..ANSWER };
    assert!(script.cache.on_advert(script.now, neighbor(1), answer).is_empty());
    assert!(matches!(script.state(), Some(State::Reachable { mac: MAC })));
}

#[test]
fn a_silent_neighbour_is_forgotten() {
    let mut script = Script::stale();
    let _ = script.cache.lookup(script.now, neighbor(1));
    script.run(8 * SECOND);
    assert_eq!(script.solicits(), [Some(MAC); 3]);
    assert!(script.state().is_none());
    assert!(script.cache.park(script.now, neighbor(1), packet(9)).is_none());
    assert_eq!(script.solicits(), [None], "everyone is asked anew");
}

/// RFC 4861 appendix C, the rows for advertisements.
#[test]
fn adverts_table() {
    type Make = fn() -> Script;
    let advert = |mac, solicited, overrides| Advert {
        mac,
        solicited,
        overrides,
    };
    let cases: [(&str, Make, Advert, &str); 10] = [
        ("unknown neighbour", Script::new, ANSWER, "none"),
        (
            "confirmed",
            Script::stale,
            advert(Some(MAC), true, false),
            "reachable 1",
        ),
        (
            "no address, confirmed",
            Script::stale,
            advert(None, true, false),
            "reachable 1",
        ),
        (
            "unasked, same",
            Script::reachable,
            advert(Some(MAC), false, true),
            "reachable 1",
        ),
        (
            "unasked, other, override",
            Script::reachable,
            advert(Some(OTHER), false, true),
            "stale 2",
        ),
        (
            "unasked, other, no override",
            Script::reachable,
            advert(Some(OTHER), false, false),
            "stale 1",
        ),
        (
            "asked, other, no override",
            Script::stale,
            advert(Some(OTHER), true, false),
            "stale 1",
        ),
        (
            "asked, other, override",
            Script::stale,
            advert(Some(OTHER), true, true),
            "reachable 2",
        ),
        (
            "a group's address",
            Script::reachable,
            advert(Some([0xff; 6]), true, true),
            "reachable 1",
        ),
        (
            "nobody's address",
            Script::reachable,
            advert(Some([0; 6]), true, true),
            "reachable 1",
        ),
    ];
    for (case, make, advert, want) in cases {
        let mut script = make();
        let _ = script.cache.on_advert(script.now, neighbor(1), advert);
        let got = match script.state() {
            None => "none".to_owned(),
            Some(State::Reachable { mac }) => format!("reachable {}", mac[5]),
            Some(State::Stale { mac }) => format!("stale {}", mac[5]),
            Some(other) => format!("{other:?}"),
        };
        assert_eq!(got, want, "{case}");
    }
}

#[test]
fn an_unasked_announcement_answers_too() {
    let mut script = Script::new();
    let _ = script.cache.park(script.now, neighbor(1), packet(1));
    let advert = Advert {
        solicited: false,
        ..ANSWER
    };
    assert_eq!(numbers(script.cache.on_advert(script.now, neighbor(1), advert)), [1]);
    assert!(matches!(script.state(), Some(State::Stale { mac: MAC })));
    assert_eq!(script.cache.poll_timeout(), None);
}

#[test]
fn mentions() {
    let mut script = Script::new();
    let _ = script.cache.on_mention(script.now, neighbor(1), MAC, false);
    assert!(script.state().is_none(), "not for us: not remembered");
    let _ = script.cache.park(script.now, neighbor(1), packet(1));
    assert_eq!(
        numbers(script.cache.on_mention(script.now, neighbor(1), MAC, false)),
        [1]
    );
    assert!(matches!(script.state(), Some(State::Stale { mac: MAC })));
    let mut script = Script::reachable();
    let _ = script.cache.on_mention(script.now, neighbor(1), MAC, true);
    assert!(
        matches!(script.state(), Some(State::Reachable { mac: MAC })),
        "nothing new"
    );
    let _ = script.cache.on_mention(script.now, neighbor(1), OTHER, true);
    assert!(matches!(script.state(), Some(State::Stale { mac: OTHER })));
    let _ = script.cache.on_mention(script.now, neighbor(1), [0xff; 6], true);
    assert!(matches!(script.state(), Some(State::Stale { mac: OTHER })));
}

#[test]
fn a_scan_of_the_network_stays_within_the_limits() {
    let mut script = Script::new();
    for n in 0..5_000 {
        let _ = script.cache.park(script.now, neighbor(n), packet(0));
        let _ = script.cache.park(script.now, neighbor(n), packet(1));
        while script.cache.poll_solicit().is_some() {}
        script.run(Duration::from_millis(1));
    }
    assert_eq!(script.cache.incomplete, INCOMPLETE_MAX);
    assert!(script.cache.asked.len() <= 2 * INCOMPLETE_MAX);
    assert_eq!(script.failed().len(), 2 * (5_000 - INCOMPLETE_MAX));
    for n in 10_000..20_000 {
        let _ = script.cache.on_mention(script.now, neighbor(n), MAC, true);
        script.run(Duration::from_micros(1));
    }
    assert!(script.cache.entries.len() <= ENTRIES_MAX);
    assert!(script.cache.entries.contains_key(&neighbor(19_999)));
    script.run(10 * SECOND);
    assert_eq!((script.cache.incomplete, script.cache.poll_timeout()), (0, None));
}

/// Whatever happens, in whatever order: the counts add up and every packet comes out exactly once.
#[test]
fn random_scripts() {
    for seed in 0..200 {
        let mut rng = Keys::new(seed, "neighbor").stream("script");
        let mut script = Script::new();
        let (mut parked, mut out) = (0, 0);
        for _ in 0..2_000 {
            let one = neighbor(below(&mut rng, 8) as u32);
            let mac = [MAC, OTHER][below(&mut rng, 2) as usize];
            match below(&mut rng, 5) {
                0 | 1 if script.cache.lookup(script.now, one).is_none() => {
                    parked += 1;
                    out += usize::from(script.cache.park(script.now, one, packet(0)).is_some());
                }
                2 => {
                    let create = below(&mut rng, 2) == 0;
                    out += script.cache.on_mention(script.now, one, mac, create).len();
                }
                3 => {
                    let bits = below(&mut rng, 8);
                    let advert = Advert {
                        mac: (bits & 1 == 0).then_some(mac),
                        solicited: bits & 2 == 0,
                        overrides: bits & 4 == 0,
                    };
                    out += script.cache.on_advert(script.now, one, advert).len();
                }
                _ => script.run(Duration::from_millis(below(&mut rng, 3_000))),
            }
            while script.cache.poll_solicit().is_some() {}
            out += script.failed().len();
            let incomplete = script
                .cache
                .entries
                .values()
                .filter(|entry| entry.state.mac().is_none())
                .count();
            assert_eq!(incomplete, script.cache.incomplete, "seed {seed}");
            let armed = script
                .cache
                .entries
                .values()
                .filter(|entry| entry.due.is_some())
                .count();
            assert_eq!(armed, script.cache.due.len(), "seed {seed}");
        }
        script.run(120 * SECOND);
        out += script.failed().len();
        assert_eq!(parked, out, "seed {seed}");
    }
}
