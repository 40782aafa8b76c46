//! Neighbor Discovery messages (RFC 4861 §4): bytes to fields and back, with the validity rules of RFC 4861 §6.1, §7.1 and §8.1.
//!
//! A message that breaks a rule is never acted upon, so there is no half-valid value. What follows from a message is for `ip::neighbor`.

use super::ethernet::Mac;
use crate::counters::DropReason;
use crate::packet::Head;
use std::net::Ipv6Addr;

/// ICMPv6 types. RFC 4861 §4.
pub const ROUTER_SOLICITATION: u8 = 133;
/// See [`ROUTER_SOLICITATION`].
pub const ROUTER_ADVERTISEMENT: u8 = 134;
/// See [`ROUTER_SOLICITATION`].
pub const NEIGHBOR_SOLICITATION: u8 = 135;
/// See [`ROUTER_SOLICITATION`].
pub const NEIGHBOR_ADVERTISEMENT: u8 = 136;
/// See [`ROUTER_SOLICITATION`].
pub const REDIRECT: u8 = 137;
/// The hop limit that proves that no router was in between. RFC 4861 §3.1.
pub const HOP_LIMIT: u8 = 255;

/// Length of a solicitation or advertisement with one link-layer address option.
pub const NEIGHBOR_LEN: usize = 32;

const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;
const PREFIX_INFORMATION: u8 = 3;
const MTU: u8 = 5;
/// Options read in one message, at most.
const MAX_OPTIONS: usize = 32;

const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// A valid message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// A host asks for routers. RFC 4861 §4.1.
    RouterSolicitation {
        /// Link-layer address of the asker.
        source: Option<Mac>,
    },
    /// A router tells of itself. RFC 4861 §4.2.
    RouterAdvertisement(RouterAdvertisement),
    /// Who has `target`? RFC 4861 §4.3.
    NeighborSolicitation {
        /// The address that is asked for.
        target: Ipv6Addr,
        /// Link-layer address of the asker.
        source: Option<Mac>,
    },
    /// The sender has `target`. RFC 4861 §4.4.
    NeighborAdvertisement(NeighborAdvertisement),
    /// A better first hop. RFC 4861 §4.5.
    Redirect {
        /// The better first hop; the destination itself when it is on the link.
        target: Ipv6Addr,
        /// Whose first hop it is.
        destination: Ipv6Addr,
        /// Link-layer address of the target.
        mac: Option<Mac>,
    },
}

/// What a router tells of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouterAdvertisement {
    /// Hop limit to use; 0 when it says nothing.
    pub hop_limit: u8,
    /// Seconds for which it is a default router; 0 when it is none.
    pub lifetime: u16,
    /// Link-layer address of the router.
    pub source: Option<Mac>,
    /// MTU of the link.
    pub mtu: Option<u32>,
    /// The first prefix that it tells of.
    pub prefix: Option<Prefix>,
}

/// A prefix of the link. RFC 4861 §4.6.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The prefix.
    pub network: Ipv6Addr,
    /// Its length in bits.
    pub len: u8,
    /// Addresses with it are on the link.
    pub on_link: bool,
    /// Hosts may form addresses with it.
    pub autonomous: bool,
    /// Seconds for which it holds.
    pub valid: u32,
}

/// The answer to a neighbor solicitation, or an unasked announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighborAdvertisement {
    /// Whose link-layer address it is.
    pub target: Ipv6Addr,
    /// The link-layer address.
    pub mac: Option<Mac>,
    /// The sender is a router.
    pub router: bool,
    /// It answers a solicitation.
    pub solicited: bool,
    /// It replaces what is known.
    pub overrides: bool,
}

/// Reads a whole ICMPv6 message of types 133..=137 that came from `src` to `dst` with this hop limit. The checksum is the caller's to verify.
///
/// # Errors
/// `Truncated` when the message is shorter than its type or an option wants, `Malformed` when it breaks another validity rule.
pub fn parse(src: Ipv6Addr, dst: Ipv6Addr, hop_limit: u8, message: &[u8]) -> Result<Message, DropReason> {
    let &[kind, code, ..] = message else {
        return Err(DropReason::Truncated);
    };
    if hop_limit != HOP_LIMIT || code != 0 {
        return Err(DropReason::Malformed);
    }
    let fixed = match kind {
        ROUTER_SOLICITATION => 8,
        ROUTER_ADVERTISEMENT => 16,
        NEIGHBOR_SOLICITATION | NEIGHBOR_ADVERTISEMENT => 24,
        REDIRECT => 40,
        _ => return Err(DropReason::Malformed),
    };
    let (fields, options) = message.split_at_checked(fixed).ok_or(DropReason::Truncated)?;
    let options = Options::read(options)?;
    match kind {
        ROUTER_SOLICITATION => router_solicitation(src, &options),
        ROUTER_ADVERTISEMENT => router_advertisement(src, fields, &options),
        NEIGHBOR_SOLICITATION => neighbor_solicitation(src, dst, fields, &options),
        NEIGHBOR_ADVERTISEMENT => neighbor_advertisement(dst, fields, &options),
        _ => redirect(src, fields, &options),
    }
}

/// Prepends a neighbor solicitation for `target`, naming our own link-layer address unless it is for duplicate detection. Checksum left 0.
pub fn build_solicitation(head: &mut Head, target: Ipv6Addr, source: Option<Mac>) {
    if let Some(mac) = source {
        link_layer_option(head, SOURCE_LINK_LAYER, mac);
    }
    let out = head.prepend(24);
    out.fill(0);
    out[0] = NEIGHBOR_SOLICITATION;
    out[8..24].copy_from_slice(&target.octets());
}

/// Prepends a neighbor advertisement. Checksum left 0.
pub fn build_advertisement(head: &mut Head, advert: &NeighborAdvertisement) {
    if let Some(mac) = advert.mac {
        link_layer_option(head, TARGET_LINK_LAYER, mac);
    }
    let out = head.prepend(24);
    out.fill(0);
    out[0] = NEIGHBOR_ADVERTISEMENT;
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    out[4] = flag(advert.router, ROUTER) | flag(advert.solicited, SOLICITED) | flag(advert.overrides, OVERRIDE);
    out[8..24].copy_from_slice(&advert.target.octets());
}

/// The group that hears solicitations for `address`. RFC 4291 §2.7.1.
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let o = address.octets();
    Ipv6Addr::new(
        0xff02,
        0,
        0,
        0,
        0,
        1,
        0xff00 | u16::from(o[13]),
        u16::from_be_bytes([o[14], o[15]]),
    )
}

fn link_layer_option(head: &mut Head, kind: u8, mac: Mac) {
    let out = head.prepend(8);
    out[0] = kind;
    out[1] = 1;
    out[2..8].copy_from_slice(&mac);
}

/// RFC 4861 §6.1.1.
fn router_solicitation(src: Ipv6Addr, options: &Options) -> Result<Message, DropReason> {
    if src.is_unspecified() && options.source.is_some() {
        return Err(DropReason::Malformed);
    }
    Ok(Message::RouterSolicitation { source: options.source })
}

/// RFC 4861 §6.1.2.
fn router_advertisement(src: Ipv6Addr, fields: &[u8], options: &Options) -> Result<Message, DropReason> {
    if !src.is_unicast_link_local() {
        return Err(DropReason::Malformed);
    }
    Ok(Message::RouterAdvertisement(RouterAdvertisement {
        hop_limit: fields[4],
        lifetime: u16::from_be_bytes([fields[6], fields[7]]),
        source: options.source,
        mtu: options.mtu,
        prefix: options.prefix,
    }))
}

/// RFC 4861 §7.1.1.
fn neighbor_solicitation(
    src: Ipv6Addr,
    dst: Ipv6Addr,
    fields: &[u8],
    options: &Options,
) -> Result<Message, DropReason> {
    let target = address(fields, 8);
    let for_duplicates = src.is_unspecified();
    if target.is_multicast() || for_duplicates && (options.source.is_some() || dst != solicited_node(target)) {
        return Err(DropReason::Malformed);
    }
    Ok(Message::NeighborSolicitation {
        target,
        source: options.source,
    })
}

/// RFC 4861 §7.1.2.
fn neighbor_advertisement(dst: Ipv6Addr, fields: &[u8], options: &Options) -> Result<Message, DropReason> {
    let (target, flags) = (address(fields, 8), fields[4]);
    if target.is_multicast() || dst.is_multicast() && flags & SOLICITED != 0 {
        return Err(DropReason::Malformed);
    }
    Ok(Message::NeighborAdvertisement(NeighborAdvertisement {
        target,
        mac: options.target,
        router: flags & ROUTER != 0,
        solicited: flags & SOLICITED != 0,
        overrides: flags & OVERRIDE != 0,
    }))
}

/// RFC 4861 §8.1. That it comes from the current first hop is the caller's to know.
fn redirect(src: Ipv6Addr, fields: &[u8], options: &Options) -> Result<Message, DropReason> {
    let (target, destination) = (address(fields, 8), address(fields, 24));
    let target_fits = target.is_unicast_link_local() || target == destination;
    if !src.is_unicast_link_local() || destination.is_multicast() || !target_fits {
        return Err(DropReason::Malformed);
    }
    Ok(Message::Redirect {
        target,
        destination,
        mac: options.target,
    })
}

/// The options that we know; others are skipped (RFC 4861 §4.6).
#[derive(Default)]
struct Options {
    source: Option<Mac>,
    target: Option<Mac>,
    mtu: Option<u32>,
    prefix: Option<Prefix>,
}

impl Options {
    fn read(mut bytes: &[u8]) -> Result<Self, DropReason> {
        let mut options = Self::default();
        for _ in 0..MAX_OPTIONS {
            let &[kind, len, ..] = bytes else {
                return if bytes.is_empty() {
                    Ok(options)
                } else {
                    Err(DropReason::Truncated)
                };
            };
            if len == 0 {
                return Err(DropReason::Malformed);
            }
            let (option, rest) = bytes
                .split_at_checked(usize::from(len) * 8)
                .ok_or(DropReason::Truncated)?;
            options.take(kind, option);
            bytes = rest;
        }
        Err(DropReason::Malformed)
    }

    /// One option, of a length that is a multiple of 8. One of an unfit length is skipped.
    fn take(&mut self, kind: u8, option: &[u8]) {
        let number = |at: usize| u32::from_be_bytes([option[at], option[at + 1], option[at + 2], option[at + 3]]);
        let mac = || [option[2], option[3], option[4], option[5], option[6], option[7]];
        match (kind, option.len()) {
            (SOURCE_LINK_LAYER, 8) => self.source = Some(mac()),
            (TARGET_LINK_LAYER, 8) => self.target = Some(mac()),
            (MTU, 8) => self.mtu = Some(number(4)),
            (PREFIX_INFORMATION, 32) if option[2] <= 128 && self.prefix.is_none() => {
                self.prefix = Some(Prefix {
                    network: address(option, 16),
                    len: option[2],
                    on_link: option[3] & 0x80 != 0,
                    autonomous: option[3] & 0x40 != 0,
                    valid: number(4),
                });
            }
            _ => {}
        }
    }
}

fn address(bytes: &[u8], at: usize) -> Ipv6Addr {
    bytes[at..]
        .first_chunk::<16>()
        .map_or(Ipv6Addr::UNSPECIFIED, |octets| Ipv6Addr::from(*octets))
}

#[cfg(test)]
mod tests {
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
}
