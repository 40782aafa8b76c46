//! Any bytes into every parser: no panic, and what was parsed and can be built again says the same.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sockeye_core::host::Medium;
use sockeye_core::packet::Head;
use sockeye_core::wire::icmp::Family;
use sockeye_core::wire::{arp, ethernet, icmp, ipv4, ipv6, layout, ndp, packet_from_bytes, tcp, udp};
use std::net::Ipv6Addr;

fuzz_target!(|data: &[u8]| {
    let _ = (ethernet::parse(data), arp::parse(data), udp::parse(data));
    if let Ok(header) = ipv4::parse(data) {
        let end = usize::from(header.header_len).min(data.len());
        let _ = (ipv4::check_options(&data[..end]), ipv4::verify(&data[..end]));
    }
    if let Ok(header) = ipv6::parse(data) {
        let _ = ipv6::walk(header.next_header, &data[40..]);
    }
    for family in [Family::V4, Family::V6] {
        if let Ok(message) = icmp::parse(family, data) {
            let _ = icmp::fields(family, message);
        }
    }
    let (src, dst) = (Ipv6Addr::LOCALHOST, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
    let _ = ndp::parse(src, dst, 255, data);
    if let Ok((header, options, length)) = tcp::parse(data) {
        assert!(length <= data.len(), "a header longer than the bytes");
        // Options packed without the padding that everybody gives them may be more than fit with it.
        if options.len() <= tcp::MAX_OPTIONS {
            let mut head = Head::for_output();
            tcp::build(&mut head, &header, &options);
            let (again, same, _) = tcp::parse(head.as_slice()).expect("what we build can be read");
            assert_eq!(
                (again.seq, again.ack, again.window),
                (header.seq, header.ack, header.window)
            );
            assert_eq!(same, options);
        }
    }
    let _ = layout::Layout::find(data, 0).map(|place| place.addresses(data));
    for medium in [Medium::Ip, Medium::Ethernet { address: [2; 6] }] {
        let packet = packet_from_bytes(Bytes::copy_from_slice(data), medium);
        assert_eq!(packet.to_vec(), data, "no byte is lost");
    }
});
