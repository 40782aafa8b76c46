use super::*;
use crate::keys::{Keys, below};

const MAC: Mac = [2, 0, 0, 0, 0, 0x15];

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

#[test]
fn solicitation_round_trip() {
    let (us, target) = (ip("fe80::1"), ip("fd00::15"));
    for source in [Some(MAC), None] {
        let mut head = Head::for_output();
        build_solicitation(&mut head, target, source);
        let got = parse(us, solicited_node(target), HOP_LIMIT, head.as_slice());
        assert_eq!(got, Ok(Message::NeighborSolicitation { target, source }));
    }
}

#[test]
fn advertisement_round_trip() {
    for bits in 0..8 {
        let advert = NeighborAdvertisement {
            target: ip("fd00::15"),
            mac: (bits & 1 == 0).then_some(MAC),
            router: bits & 1 != 0,
            solicited: bits & 2 != 0,
            overrides: bits & 4 != 0,
        };
        let mut head = Head::for_output();
        build_advertisement(&mut head, &advert);
        let got = parse(ip("fd00::15"), ip("fd00::2"), HOP_LIMIT, head.as_slice());
        assert_eq!(got, Ok(Message::NeighborAdvertisement(advert)));
    }
}

/// RFC 4861 §6.1, §7.1, §8.1: each broken rule makes the message invalid.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn validity_rules() {
    use DropReason::{Malformed, Truncated};
    let message = |kind: u8, len: usize, set: &[(usize, u8)]| {
        let mut bytes = vec![0; len];
        bytes[0] = kind;
        for (at, value) in set {
            bytes[*at] = *value;
        }
        bytes
    };
    let (router, host, unspecified, all) = ("fe80::2", "fd00::15", "::", "ff02::1");
    let cases = [
        ("hop limit", host, host, 254, message(135, 24, &[]), Malformed),
        ("code", host, host, 255, message(135, 24, &[(1, 1)]), Malformed),
        ("type", host, host, 255, message(138, 24, &[]), Malformed),
        ("short", host, host, 255, message(135, 23, &[]), Truncated),
        ("half an option", host, host, 255, message(135, 25, &[]), Truncated),
        (
            "option of no length",
            host,
            host,
            255,
            message(135, 32, &[(24, 1)]),
            Malformed,
        ),
        (
            "option beyond the end",
            host,
            host,
            255,
            message(135, 32, &[(24, 1), (25, 2)]),
            Truncated,
        ),
        (
            "multicast target",
            host,
            host,
            255,
            message(135, 24, &[(8, 0xff)]),
            Malformed,
        ),
        (
            "probe to unicast",
            unspecified,
            host,
            255,
            message(135, 24, &[]),
            Malformed,
        ),
        (
            "probe with address",
            unspecified,
            "ff02::1:ff00:0",
            255,
            message(135, 32, &[(24, 1), (25, 1)]),
            Malformed,
        ),
        (
            "solicited to a group",
            host,
            all,
            255,
            message(136, 24, &[(4, 0x40)]),
            Malformed,
        ),
        (
            "advert of a group",
            host,
            host,
            255,
            message(136, 24, &[(8, 0xff)]),
            Malformed,
        ),
        (
            "router not link-local",
            host,
            all,
            255,
            message(134, 16, &[]),
            Malformed,
        ),
        (
            "solicitation without address",
            unspecified,
            all,
            255,
            message(133, 16, &[(8, 1), (9, 1)]),
            Malformed,
        ),
        (
            "redirect not from a router",
            host,
            host,
            255,
            message(137, 40, &[]),
            Malformed,
        ),
        (
            "redirect of a group",
            router,
            host,
            255,
            message(137, 40, &[(24, 0xff)]),
            Malformed,
        ),
        (
            "redirect to far away",
            router,
            host,
            255,
            message(137, 40, &[(8, 0x20)]),
            Malformed,
        ),
    ];
    for (case, src, dst, hops, bytes, want) in cases {
        assert_eq!(parse(ip(src), ip(dst), hops, &bytes), Err(want), "{case}");
    }
}

#[test]
fn router_advertisement_with_options() {
    let mut bytes = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend([1, 1, 2, 0, 0, 0, 0, 0x15]);
    bytes.extend([5, 1, 0, 0, 0, 0, 5, 0xdc]);
    bytes.extend([3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(ip("fd00::").octets());
    let want = RouterAdvertisement {
        hop_limit: 64,
        lifetime: 1800,
        source: Some(MAC),
        mtu: Some(1500),
        prefix: Some(Prefix {
            network: ip("fd00::"),
            len: 64,
            on_link: true,
            autonomous: true,
            valid: 3600,
        }),
    };
    assert_eq!(
        parse(ip("fe80::2"), ip("ff02::1"), 255, &bytes),
        Ok(Message::RouterAdvertisement(want))
    );
}

#[test]
fn solicited_node_group() {
    assert_eq!(solicited_node(ip("fd00::1234:5678:9abc")), ip("ff02::1:ff78:9abc"));
}

#[test]
fn any_bytes() {
    let mut rng = Keys::new(1, "ndp").stream("bytes");
    for _ in 0..100_000 {
        let mut bytes: Vec<u8> = (0..below(&mut rng, 80)).map(|_| below(&mut rng, 256) as u8).collect();
        if bytes.len() > 1 {
            bytes[0] = 133 + below(&mut rng, 5) as u8;
            bytes[1] = 0;
        }
        for at in (8..bytes.len()).step_by(8) {
            bytes[at] %= 6;
            if let Some(len) = bytes.get_mut(at + 1) {
                *len %= 5;
            }
        }
        let _ = parse(ip("fe80::1"), ip("fd00::15"), 255, &bytes);
    }
}
