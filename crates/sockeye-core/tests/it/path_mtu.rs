//! Paths that carry less than their first link and do not say so: RFC 4821. And routers that say so, or claim to: RFC 1191, RFC 5927.

use bytes::Bytes;
use sockeye_core::HostConfig;
use sockeye_core::buf::Rope;
use sockeye_core::settings::Settings;
use sockeye_core::sim::{HostId, LinkConfig, LinkId, Sim};
use sockeye_core::socket::{BindOptions, TcpId, TcpInfo, TcpOptions};
use sockeye_core::time::{Duration, SECOND};
use std::net::SocketAddr;

/// Two hosts and their conversation.
struct Talk {
    sim: Sim,
    hosts: [HostId; 2],
    ids: [TcpId; 2],
    link: LinkId,
}

impl Talk {
    fn new(config: &LinkConfig, v6: bool, settings: &Settings) -> Self {
        let mut sim = Sim::new(1);
        let hosts = ["a", "b"].map(|name| {
            let settings = settings.clone();
            sim.host_with(
                name,
                HostConfig {
                    settings,
                    ..HostConfig::default()
                },
            )
        });
        let link = sim.connect(hosts[0], hosts[1], config);
        let to = SocketAddr::new(sim.address(hosts[1], link, v6), 443);
        let ids = connect(&mut sim, hosts, to);
        Self { sim, hosts, ids, link }
    }

    /// Host `from` writes so many bytes and the other reads them.
    fn say(&mut self, from: usize, bytes: usize) {
        let mut data = Bytes::from(vec![7; bytes]);
        let mut rope = Rope::new();
        let (hosts, ids) = (self.hosts, self.ids);
        let done = self.sim.run_while(100 * SECOND, |sim| {
            if !data.is_empty() {
                let _ = sim.on(hosts[from], |host, now| host.tcp_write(now, ids[from], &mut data));
            }
            sim.on(hosts[1 - from], |host, now| {
                while host.tcp_read(now, ids[1 - from], usize::MAX, &mut rope) > 0 {}
            });
            rope.len() >= bytes
        });
        assert!(done, "{} of {bytes} bytes after {:?}", rope.len(), self.sim.now());
    }

    fn info(&self, host: usize) -> TcpInfo {
        let host_ref = self.sim.look(self.hosts[host]);
        host_ref.tcp_info(self.sim.now(), self.ids[host]).expect("it exists")
    }

    /// Hello, certificates, and finish: what TLS says before the first request. Then a request and its answer, and an upload.
    fn tls(&mut self) -> Duration {
        let start = self.sim.now();
        for (from, bytes) in [
            (0, 500),
            (1, 5_000),
            (0, 300),
            (0, 400),
            (1, 20_000),
            (0, 20_000),
            (1, 400),
        ] {
            self.say(from, bytes);
        }
        self.sim.now().since(start)
    }
}

fn connect(sim: &mut Sim, hosts: [HostId; 2], to: SocketAddr) -> [TcpId; 2] {
    let [a, b] = hosts;
    let listener = sim.on(b, |host, now| {
        let binding = host.tcp_bind(to, BindOptions::default()).expect("the port is free");
        host.tcp_listen(now, binding, 16, TcpOptions::default())
            .expect("nobody else listens")
    });
    let client = sim
        .on(a, |host, now| host.tcp_connect(now, None, to, TcpOptions::default()))
        .expect("a route exists");
    let accepted = |sim: &mut Sim| sim.look(b).listener_pending(listener) > 0;
    assert!(sim.run_while(60 * SECOND, accepted), "no connection");
    let server = sim
        .on(b, |host, now| host.tcp_accept(now, listener))
        .expect("it is pending");
    [client, server]
}

/// RFC 4821 §7.7 with nothing set: a black hole of 1280 bytes behind a link of 1500 delays a TLS exchange, and does not stop it.
#[test]
fn a_black_hole_carries_tls_within_three_seconds() {
    for v6 in [false, true] {
        for (there, back) in [
            ("mtu 1280 silent", "mtu 1280 silent"),
            ("mtu 1280 silent", ""),
            ("", "mtu 1280 silent"),
        ] {
            for delay in [1, 10, 25, 50] {
                let netem = |line: &str| format!("{line} delay {delay}ms").parse().expect("a good line");
                let config = LinkConfig {
                    there: netem(there),
                    back: netem(back),
                    ..LinkConfig::default()
                };
                let mut talk = Talk::new(&config, v6, &Settings::default());
                let time = talk.tls();
                println!("v6 {v6} {there:16}|{back:16} {delay:3} ms: {time:?}");
                assert!(time < 3 * SECOND, "IPv6 {v6}, {there}|{back}, {delay} ms: {time:?}");
                let (there, back) = talk.sim.netem(talk.link);
                assert!(there.too_big + back.too_big > 0, "nothing was too long");
            }
        }
    }
}

fn both(line: &str) -> LinkConfig {
    LinkConfig::both(line.parse().expect("a good line"))
}

fn probing(tcp_mtu_probing: u8) -> Settings {
    Settings {
        tcp_mtu_probing,
        ..Settings::default()
    }
}

/// Without probing such a path carries nothing longer than it takes, ever: what the others test is no illusion.
#[test]
fn without_probing_a_black_hole_is_one() {
    let mut talk = Talk::new(&both("mtu 1280 silent delay 10ms"), false, &probing(0));
    talk.say(0, 500);
    let (hosts, ids) = (talk.hosts, talk.ids);
    let mut data = Bytes::from(vec![7; 5_000]);
    let _ = talk
        .sim
        .on(hosts[1], |host, now| host.tcp_write(now, ids[1], &mut data));
    talk.sim.run_for(60 * SECOND);
    assert!(talk.sim.look(hosts[0]).tcp_readiness(ids[0]).readable < 1_448);
}

/// RFC 4821 §7.6: after the hole is found, probes climb to what the path carries; those that are lost cost neither window nor timeouts.
#[test]
fn probes_find_what_the_path_carries() {
    for (v6, mtu, least) in [
        (false, 1_280, 1_272),
        (false, 1_420, 1_412),
        (false, 1_337, 1_329),
        // Far from the common sizes it takes longer.
        (false, 700, 600),
        (true, 1_280, 1_280),
        (true, 1_420, 1_412),
        (true, 1_337, 1_329),
    ] {
        let config = both(&format!("mtu {mtu} silent delay 10ms rate 50mbit"));
        let mut talk = Talk::new(&config, v6, &Settings::default());
        talk.say(0, 100_000);
        let client = talk.hosts[0];
        let at_first = talk.sim.look(client).counters().clone();
        assert!(at_first.tcp_mtup_black_holes > 0, "{mtu}: no hole was found");
        for _ in 0..60 {
            talk.say(0, 1_000_000);
        }
        let found = talk.info(0).pmtu;
        println!("IPv6 {v6}, {mtu}: {found} found");
        assert!((least..=mtu).contains(&found), "IPv6 {v6}, {mtu}: {found} found");
        let counters = talk.sim.look(client).counters();
        assert!(
            counters.tcp_mtup_fail > 0 || mtu == 1_280 && v6,
            "{mtu}: no probe was too long"
        );
        assert_eq!(
            (
                counters.tcp_timeouts,
                counters.tcp_sack_recovery,
                counters.tcp_mtup_black_holes
            ),
            (
                at_first.tcp_timeouts,
                at_first.tcp_sack_recovery,
                at_first.tcp_mtup_black_holes
            ),
            "IPv6 {v6}, {mtu}: a lost probe is no congestion"
        );
    }
}

/// RFC 4821 §5.2: what one connection has found out, the next one to the same place begins with.
#[test]
fn the_next_connection_knows() {
    let mut talk = Talk::new(
        &both("mtu 1280 silent delay 10ms rate 50mbit"),
        false,
        &Settings::default(),
    );
    talk.say(0, 20_000_000);
    assert!((1_272..=1_280).contains(&talk.info(0).pmtu));
    let before = talk.sim.look(talk.hosts[0]).counters().tcp_timeouts;
    let to = SocketAddr::new(talk.sim.address(talk.hosts[1], talk.link, false), 444);
    talk.ids = connect(&mut talk.sim, talk.hosts, to);
    let start = talk.sim.now();
    talk.say(0, 20_000);
    assert!(talk.sim.now().since(start) < SECOND / 4);
    assert_eq!(talk.sim.look(talk.hosts[0]).counters().tcp_timeouts, before);
}

/// RFC 4821 §7.3: ten minutes after the search ended a longer packet is tried again, and a path that has become wider is found to be.
#[test]
fn a_wider_path_is_found_in_time() {
    let mut talk = Talk::new(
        &both("mtu 1280 silent delay 10ms rate 50mbit"),
        false,
        &Settings::default(),
    );
    talk.say(0, 80_000_000);
    let narrow = talk.info(0).pmtu;
    talk.sim.set_netem(
        talk.hosts[0],
        talk.link,
        &"delay 10ms rate 50mbit".parse().expect("a good line"),
    );
    talk.sim.run_for(300 * SECOND);
    talk.say(0, 1_000_000);
    assert_eq!(talk.info(0).pmtu, narrow, "not before its time");
    talk.sim.run_for(310 * SECOND);
    talk.say(0, 3_000_000);
    assert_eq!(talk.info(0).pmtu, 1_500);
    assert_eq!(talk.sim.look(talk.hosts[0]).counters().tcp_mtup_black_holes, 1);
}

/// `tcp_mtu_probing` 2: who begins with short segments never falls in.
#[test]
fn probing_from_the_start_needs_no_timeout() {
    for (line, least) in [
        ("mtu 1280 silent delay 10ms rate 20mbit queue 30", 1_272),
        ("delay 10ms", 1_500),
    ] {
        for v6 in [false, true] {
            let mut talk = Talk::new(&both(line), v6, &probing(2));
            assert_eq!(talk.info(0).pmtu, if v6 { 1_280 } else { 1_064 });
            let time = talk.tls();
            assert!(time < SECOND, "{line}: {time:?}");
            talk.say(0, 40_000_000);
            assert!(talk.info(0).pmtu >= least, "{line}: {}", talk.info(0).pmtu);
            assert_eq!(talk.sim.look(talk.hosts[0]).counters().tcp_timeouts, 0, "{line}");
        }
    }
}

/// An outage is no narrow path: once it is over, segments become full again within some round trips, and no search result stays behind.
#[test]
fn after_an_outage_segments_are_full_again() {
    let mut talk = Talk::new(&both("delay 10ms rate 50mbit"), false, &Settings::default());
    talk.say(0, 1_000_000);
    let netem = |talk: &mut Talk, line: &str| {
        let line = line.parse().expect("a good line");
        talk.sim.set_netem(talk.hosts[0], talk.link, &line);
    };
    netem(&mut talk, "loss 100%");
    let mut data = Bytes::from(vec![7; 60_000]);
    let (hosts, ids) = (talk.hosts, talk.ids);
    let _ = talk
        .sim
        .on(hosts[0], |host, now| host.tcp_write(now, ids[0], &mut data));
    talk.sim.run_for(10 * SECOND);
    assert!(talk.info(0).pmtu < 1_500, "it cannot know");
    netem(&mut talk, "delay 10ms rate 50mbit");
    talk.sim.run_for(20 * SECOND);
    talk.say(0, 500_000);
    assert_eq!(talk.info(0).pmtu, 1_500);
    let to = SocketAddr::new(talk.sim.address(talk.hosts[1], talk.link, false), 444);
    talk.ids = connect(&mut talk.sim, talk.hosts, to);
    assert_eq!(talk.info(0).pmtu, 1_500);
}

/// RFC 8201 §4: what was lost for being too long goes again at once when a router says so, and the window stays.
#[test]
fn a_router_that_speaks_costs_no_window() {
    for v6 in [false, true] {
        let mut talk = Talk::new(&both("mtu 1280 delay 10ms rate 50mbit"), v6, &Settings::default());
        let start = talk.sim.now();
        talk.say(0, 100_000);
        assert_eq!(talk.info(0).pmtu, 1_280);
        let counters = talk.sim.look(talk.hosts[0]).counters();
        assert!(counters.tcp_retrans_segs > 0);
        assert_eq!((counters.tcp_timeouts, counters.tcp_sack_recovery), (0, 0));
        let time = talk.sim.now().since(start);
        assert!(time < SECOND / 5, "{time:?}");
    }
}
