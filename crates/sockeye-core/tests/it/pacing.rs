//! Pacing as its users see it: SO_MAX_PACING_RATE, what TCP_INFO says, and what a queue on the way is spared.

use sockeye_core::netem::Netem;
use sockeye_core::settings::Settings;
use sockeye_core::sim::{Flow, Flows, LinkConfig, Part, Plan, Sim};
use sockeye_core::socket::{TcpInfo, TcpOptions};
use sockeye_core::time::{Duration, MS, SECOND};
use sockeye_core::{HostConfig, Instant};
use std::net::SocketAddr;

/// A transfer of `bytes` bytes: how long it took, what TCP_INFO said half a second after its start, and packets that found a queue full.
fn transfer(line: &str, settings: &Settings, options: TcpOptions, bytes: u64) -> (Duration, Option<TcpInfo>, u64) {
    let there: Netem = line.parse().expect("a good line");
    let config = LinkConfig {
        back: Netem {
            delay: there.delay,
            ..Netem::NONE
        },
        there,
        ..LinkConfig::default()
    };
    let mut sim = Sim::new(1);
    let [a, b] = ["a", "b"].map(|name| {
        let settings = settings.clone();
        let config = HostConfig {
            settings,
            ..HostConfig::default()
        };
        sim.host_with(name, config)
    });
    let link = sim.connect(a, b, &config);
    let mut flows = Flows::new();
    let plan = Plan {
        client: a,
        server: b,
        to: SocketAddr::new(sim.address(b, link, false), 2_000),
        up: Part {
            options,
            ..Part::sends(bytes)
        },
        down: Part::sends(0),
        excused: None,
    };
    flows.start(&mut sim, plan);
    while sim.now() < Instant::from_millis(500) && sim.next_time().is_some() {
        let _ = sim.step();
        flows.poll(&mut sim);
    }
    let client = flows.iter().next().and_then(Flow::client);
    let info = client.and_then(|id| sim.look(a).tcp_info(sim.now(), id));
    flows.run(&mut sim, 100 * SECOND).expect("it comes to its end");
    let time = flows.iter().next().and_then(Flow::time).expect("it is over");
    (time, info, sim.netem(link).0.queue_dropped)
}

/// SO_MAX_PACING_RATE holds from the first byte to the last, on any path, and TCP_INFO counts the time as busy.
#[test]
fn the_rate_that_the_user_allows() {
    for line in ["", "delay 10ms", "delay 1ms rate 100mbit"] {
        let options = TcpOptions {
            max_pacing_rate: Some(1_000_000),
            ..TcpOptions::default()
        };
        let (time, info, _) = transfer(line, &Settings::default(), options, 2_000_000);
        let info = info.expect("it takes longer");
        assert!(time > 1_980 * MS && time < 2_100 * MS, "{line}: {time:?}");
        assert_eq!(info.pacing_rate, 1_000_000, "{line}");
        assert!(info.busy_time > 400_000, "{line}: {} us", info.busy_time);
        assert!(
            (440_000..510_000).contains(&info.bytes_acked),
            "{line}: {}",
            info.bytes_acked
        );
    }
}

/// A path that is memory is not paced: there is no time to spread anything over.
#[test]
fn memory_is_not_paced() {
    let (time, _, _) = transfer("", &Settings::default(), TcpOptions::default(), 8 << 20);
    assert!(time < MS, "{time:?}");
}

/// Slow start over a queue that holds a quarter of the path: thrown at it by the window, it loses; spread over the round trip, it does not.
#[test]
fn a_short_queue_is_spared() {
    let off = Settings {
        tcp_pacing_ss_ratio: 0,
        tcp_pacing_ca_ratio: 0,
        ..Settings::default()
    };
    let line = "rate 100mbit delay 50ms queue 208";
    let (unpaced, _, lost) = transfer(line, &off, TcpOptions::default(), 32 << 20);
    let (paced, _, spared) = transfer(line, &Settings::default(), TcpOptions::default(), 32 << 20);
    println!("unpaced {unpaced:?}, {lost} lost; paced {paced:?}, {spared} lost");
    assert!(spared * 3 < lost, "{spared} of {lost}");
    assert!(
        paced.as_secs_f64() < 0.8 * unpaced.as_secs_f64(),
        "{paced:?} of {unpaced:?}"
    );
}
