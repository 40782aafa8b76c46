use super::*;
use crate::time::{MS, SECOND};

#[test]
fn good_values() {
    for (text, want) in [
        ("2%", 0.02),
        ("0.02", 0.02),
        ("0", 0.0),
        ("0%", 0.0),
        ("100%", 1.0),
        ("0.5 %", 0.005),
        (".5", 0.5),
    ] {
        assert_eq!(parse_percent(text), Ok(want), "{text}");
    }
    for (text, want) in [
        ("50ms", 50 * MS),
        ("1.5s", 1500 * MS),
        ("200us", MS / 5),
        ("7ns", Duration::from_nanos(7)),
        ("2min", 120 * SECOND),
        ("0", Duration::ZERO),
        ("10 ms", 10 * MS),
    ] {
        assert_eq!(parse_duration(text), Ok(want), "{text}");
    }
    for (text, want) in [
        ("10mbit", 10_000_000),
        ("10Mbit", 10_000_000),
        ("10Mbps", 10_000_000),
        ("1.5gbit", 1_500_000_000),
        ("800kbit/s", 800_000),
        ("9600bit", 9600),
        ("1kibit", 1024),
        ("3 Gbps", 3_000_000_000),
    ] {
        assert_eq!(parse_rate(text), Ok(want), "{text}");
    }
    for (text, want) in [
        ("1500", 1500),
        ("64k", 65_536),
        ("64KiB", 65_536),
        ("1.5M", 1_572_864),
        ("9B", 9),
    ] {
        assert_eq!(parse_size(text), Ok(want), "{text}");
    }
    for (text, start, end) in [
        ("10s..25s", 10 * SECOND, 25 * SECOND),
        ("..5s", Duration::ZERO, 5 * SECOND),
        ("500ms..", 500 * MS, Duration::MAX),
    ] {
        assert_eq!(parse_window(text), Ok(Window { start, end }), "{text}");
    }
}

#[test]
fn bad_values_say_what_is_accepted() {
    let error = |result: Result<(), ParseError>| result.unwrap_err().to_string();
    for (text, want) in [
        ("2", "`2`: 2% or 0.02?"),
        ("1", "`1`: 1% or 0.01?"),
        ("200%", "200% is more than everything: 0% to 100% is accepted"),
        ("lots", "`lots` is not a share: say 2% or 0.02"),
        ("-1%", "`-1%` is not a share: say 2% or 0.02"),
        ("", "`` is not a share: say 2% or 0.02"),
        ("nan", "`nan` is not a share: say 2% or 0.02"),
    ] {
        assert_eq!(error(parse_percent(text).map(drop)), want);
    }
    for (text, want) in [
        ("50", "`50` has no unit: 50ms, 50s or 50us?"),
        (
            "50parsec",
            "`50parsec`: unknown unit `parsec`; ns, us, ms, s, min and h are accepted",
        ),
        ("fast", "`fast` is not a time: say 50ms, 1.5s or 200us"),
        ("1.2.3s", "`1.2.3s` is not a time: say 50ms, 1.5s or 200us"),
        ("9999999h", "9999999h is too long: at most 30 years"),
    ] {
        assert_eq!(error(parse_duration(text).map(drop)), want);
    }
    for (text, want) in [
        (
            "10mbps",
            "`10mbps`: 10mbit or 80mbit? (tc reads mbps as bytes a second)",
        ),
        (
            "100kbps",
            "`100kbps`: 100kbit or 800kbit? (tc reads kbps as bytes a second)",
        ),
        ("1gbps", "`1gbps`: 1gbit or 8gbit? (tc reads gbps as bytes a second)"),
        ("10MB/s", "`10MB/s` is in bytes: rates are in bits, so 80mbit"),
        ("10MBps", "`10MBps` is in bytes: rates are in bits, so 80mbit"),
        ("10", "`10` has no unit: 10mbit, 10kbit or 10bit?"),
        (
            "10furlong",
            "`10furlong`: unknown unit `furlong`; bit, kbit, mbit, gbit, Kbps, Mbps and Gbps are accepted",
        ),
        ("0mbit", "0mbit is no rate to send at: 1bit to 1000tbit is accepted"),
        ("quick", "`quick` is not a rate: say 10mbit or 800kbit"),
    ] {
        assert_eq!(error(parse_rate(text).map(drop)), want);
    }
    for (text, want) in [
        ("10s", "`10s` is not a stretch of time: say 10s..25s"),
        ("25s..10s", "`25s..10s` ends before it begins: say 10s..25s"),
        ("10..25", "`10` has no unit: 10ms, 10s or 10us?"),
    ] {
        assert_eq!(error(parse_window(text).map(drop)), want);
    }
}

#[test]
fn whole_lines() {
    let line = "rate 10mbit queue 100 codel target 2ms ecn delay 20ms jitter 2ms normal loss gemodel 1% 10% reorder 1% gap 3 duplicate 0.1% corrupt 0.1% \
                mtu 1400 silent blackhole 1s..2s blackhole 5s..6s keep-order";
    let want = Netem {
        blackhole: vec![
            Window {
                start: SECOND,
                end: 2 * SECOND,
            },
            Window {
                start: 5 * SECOND,
                end: 6 * SECOND,
            },
        ],
        loss: Loss::GilbertElliott {
            p: 0.01,
            r: 0.1,
            bad: 1.0,
            good: 0.0,
        },
        mtu: Some(1400),
        mtu_silent: true,
        corrupt: 0.001,
        duplicate: 0.001,
        rate: Some(10_000_000),
        queue: 100,
        discipline: Discipline::Codel(Codel {
            target: 2 * MS,
            interval: 100 * MS,
            ecn: true,
        }),
        delay: 20 * MS,
        jitter: 2 * MS,
        distribution: Distribution::Normal,
        reorder: 0.01,
        reorder_gap: 3,
        keep_order: true,
    };
    assert_eq!(line.parse(), Ok(want));
    assert_eq!("".parse(), Ok(Netem::NONE));
    assert_eq!("none".parse(), Ok(Netem::NONE));
    let discipline = |line: &str| line.parse::<Netem>().map(|netem| netem.discipline);
    assert_eq!(discipline("ecn 20"), Ok(Discipline::Step(Step::Packets(20))));
    assert_eq!(discipline("ecn 5ms"), Ok(Discipline::Step(Step::Wait(5 * MS))));
    assert_eq!(discipline("codel delay 1ms"), Ok(Discipline::Codel(Codel::default())));
    for (text, want) in [
        ("2%", Loss::Random(0.02)),
        ("random 2%", Loss::Random(0.02)),
        (
            "gemodel 5%",
            Loss::GilbertElliott {
                p: 0.05,
                r: 0.95,
                bad: 1.0,
                good: 0.0,
            },
        ),
        (
            "gemodel 1% 10% 70% 0.1%",
            Loss::GilbertElliott {
                p: 0.01,
                r: 0.1,
                bad: 0.7,
                good: 0.001,
            },
        ),
        ("every 10", Loss::Every(10)),
        ("list 7,3,3", Loss::List(vec![3, 7])),
        ("none", Loss::None),
    ] {
        assert_eq!(text.parse(), Ok(want), "{text}");
    }
}

#[test]
fn bad_lines_name_the_word() {
    for (line, want) in [
        ("loss 2", "loss: `2`: 2% or 0.02?"),
        ("loss", "loss: say 2%, gemodel 1% 10%, every 10 or list 3,7"),
        ("loss gemodel", "loss: gemodel: its value is missing"),
        ("loss gemodel 1% 10", "loss: `10`: 10% or 0.1?"),
        ("ecn 0", "ecn: `0` is not a number of packets: 1 to 131072 is accepted"),
        (
            "ecn much",
            "ecn: `much` is no length of a queue: say 20 (packets) or 5ms",
        ),
        ("codel target 5", "codel: target: `5` has no unit: 5ms, 5s or 5us?"),
        (
            "codel interval 0",
            "codel: interval: a time longer than 0 is accepted: say 100ms",
        ),
        ("delay", "delay: its value is missing"),
        ("delay 10", "delay: `10` has no unit: 10ms, 10s or 10us?"),
        ("mtu 20", "mtu: `20` is not a number of bytes: 68 to 65535 is accepted"),
        (
            "queue 0",
            "queue: `0` is not a number of packets: 1 to 131072 is accepted",
        ),
        (
            "distribution gauss",
            "distribution: unknown distribution `gauss`: uniform, normal, pareto and paretonormal are accepted",
        ),
        (
            "speed 9",
            "unknown word `speed`: delay, jitter, distribution, loss, rate, queue, ecn, codel, reorder, duplicate, corrupt, mtu, \
             blackhole and keep-order are accepted",
        ),
    ] {
        assert_eq!(line.parse::<Netem>().unwrap_err().to_string(), want);
    }
    assert_eq!("2% 3".parse::<Loss>().unwrap_err().to_string(), "loss: `3` is too much");
}
