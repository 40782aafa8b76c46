use super::*;
use bytes::Bytes;

/// A block as a reader sees it: type and body.
fn blocks(mut file: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut blocks = Vec::new();
    while !file.is_empty() {
        let len = word(file, 4) as usize;
        assert!(
            len.is_multiple_of(4) && word(file, len - 4) as usize == len,
            "lengths differ"
        );
        blocks.push((word(file, 0), file[8..len - 4].to_vec()));
        file = &file[len..];
    }
    blocks
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn options(mut bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut options = Vec::new();
    loop {
        let (code, len) = (word(bytes, 0) as u16, (word(bytes, 0) >> 16) as usize);
        if code == END_OF_OPTIONS {
            assert_eq!((len, bytes.len()), (0, 4));
            return options;
        }
        options.push((code, bytes[4..4 + len].to_vec()));
        bytes = &bytes[4 + len.next_multiple_of(4)..];
    }
}

#[test]
fn a_reader_finds_what_was_written() {
    // Whatever the buffer held before.
    let mut file = b"odd".to_vec();
    let mut writer = Writer::new(1_000_000_000_000_000_000, &mut file);
    let lo = writer.interface("lo", Medium::Ip, &mut file);
    let eth = writer.interface("eth0", Medium::Ethernet { address: [2; 6] }, &mut file);
    let mut packet = Packet::with_payload(Bytes::from_static(b"hello, world"));
    packet.head.prepend(3).copy_from_slice(&[1, 2, 3]);
    let at = Instant::from_nanos(123_456_789);
    writer.packet(at, eth, Direction::Out, &packet, Some("netem: lost"), &mut file);
    writer.packet(at, lo, Direction::In, &packet, None, &mut file);

    let blocks = blocks(&file[3..]);
    let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(
        kinds,
        [
            SECTION_HEADER,
            INTERFACE_DESCRIPTION,
            INTERFACE_DESCRIPTION,
            ENHANCED_PACKET,
            ENHANCED_PACKET
        ]
    );
    assert_eq!(word(&blocks[0].1, 0), 0x1A2B_3C4D);
    for (block, link, name) in [(1, LINKTYPE_RAW, "lo"), (2, LINKTYPE_ETHERNET, "eth0")] {
        let body = &blocks[block].1;
        assert_eq!((word(body, 0), word(body, 4)), (u32::from(link), 0));
        assert_eq!(
            options(&body[8..]),
            [(IF_NAME, name.as_bytes().to_vec()), (IF_TSRESOL, vec![9])]
        );
    }
    for (block, interface, flags, comment) in [(3, 1, 2, Some("netem: lost")), (4, 0, 1, None)] {
        let body = &blocks[block].1;
        assert_eq!(word(body, 0), interface);
        let time = u64::from(word(body, 4)) << 32 | u64::from(word(body, 8));
        assert_eq!(time, 1_000_000_000_123_456_789);
        assert_eq!((word(body, 12), word(body, 16)), (15, 15));
        assert_eq!(&body[20..35], b"\x01\x02\x03hello, world");
        let mut want = vec![(EPB_FLAGS, vec![flags, 0, 0, 0])];
        want.extend(comment.map(|comment| (COMMENT, comment.as_bytes().to_vec())));
        assert_eq!(options(&body[36..]), want);
    }
}
