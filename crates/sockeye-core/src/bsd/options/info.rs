//! `struct tcp_info`, byte by byte as linux/tcp.h lays it out.

use crate::socket::TcpInfo;

/// Linux 6.7's size: what it has learned since is about AccECN.
const LEN: usize = 248;

/// The structure as `getsockopt(TCP_INFO)` gives it, up to and including `tcpi_total_rto_time`.
pub fn tcp_info(info: &TcpInfo) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LEN);
    bytes.extend([
        info.state,
        info.ca_state,
        info.retransmits,
        info.probes,
        info.backoff,
        info.options,
    ]);
    bytes.push(info.snd_wscale & 0xf | info.rcv_wscale << 4);
    bytes.push(u8::from(info.delivery_rate_app_limited));
    let words = [
        info.rto,
        info.ato,
        info.snd_mss,
        info.rcv_mss,
        info.unacked,
        info.sacked,
        info.lost,
        info.retrans,
        0, // fackets
        info.last_data_sent,
        0, // last_ack_sent
        info.last_data_recv,
        info.last_ack_recv,
        info.pmtu,
        info.rcv_ssthresh,
        info.rtt,
        info.rttvar,
        info.snd_ssthresh,
        info.snd_cwnd,
        info.advmss,
        info.reordering,
        info.rcv_rtt,
        info.rcv_space,
        info.total_retrans,
    ];
    push(&mut bytes, &words);
    push_long(
        &mut bytes,
        &[
            info.pacing_rate,
            info.max_pacing_rate,
            info.bytes_acked,
            info.bytes_received,
        ],
    );
    later_members(info, &mut bytes);
    debug_assert_eq!(bytes.len(), LEN);
    bytes
}

/// From `tcpi_segs_out` on: what Linux added since 4.2.
fn later_members(info: &TcpInfo, bytes: &mut Vec<u8>) {
    let segments = [
        info.segs_out,
        info.segs_in,
        info.notsent_bytes,
        info.min_rtt,
        info.data_segs_in,
        info.data_segs_out,
    ];
    push(bytes, &segments);
    push_long(
        bytes,
        &[
            info.delivery_rate,
            info.busy_time,
            info.rwnd_limited,
            info.sndbuf_limited,
        ],
    );
    push(bytes, &[info.delivered, info.delivered_ce]);
    push_long(bytes, &[info.bytes_sent, info.bytes_retrans]);
    push(
        bytes,
        &[
            info.dsack_dups,
            info.reord_seen,
            info.rcv_ooopack,
            info.snd_wnd,
            info.rcv_wnd,
            info.rehash,
        ],
    );
    bytes.extend(info.total_rto.to_ne_bytes());
    bytes.extend(info.total_rto_recoveries.to_ne_bytes());
    push(bytes, &[info.total_rto_time]);
}

fn push(bytes: &mut Vec<u8>, words: &[u32]) {
    bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
}

fn push_long(bytes: &mut Vec<u8>, words: &[u64]) {
    bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offsets that a C compiler gives for linux/tcp.h; those after `tcpi_snd_wnd` follow from the members that Linux 6.2 and 6.7 added.
    #[test]
    fn fields_lie_where_linux_has_them() {
        let info = TcpInfo {
            state: 1,
            ca_state: 2,
            retransmits: 3,
            probes: 4,
            backoff: 5,
            options: 6,
            snd_wscale: 7,
            rcv_wscale: 9,
            delivery_rate_app_limited: true,
            rto: 8,
            lost: 32,
            retrans: 36,
            last_data_sent: 44,
            last_data_recv: 52,
            last_ack_recv: 56,
            rtt: 68,
            reordering: 88,
            rcv_space: 96,
            total_retrans: 100,
            pacing_rate: 104,
            max_pacing_rate: 112,
            bytes_received: 128,
            notsent_bytes: 144,
            min_rtt: 148,
            data_segs_out: 156,
            delivery_rate: 160,
            busy_time: 168,
            sndbuf_limited: 184,
            delivered_ce: 196,
            bytes_sent: 200,
            bytes_retrans: 208,
            dsack_dups: 216,
            rcv_ooopack: 224,
            snd_wnd: 228,
            rcv_wnd: 232,
            total_rto: 240,
            total_rto_recoveries: 242,
            total_rto_time: 244,
            ..TcpInfo::default()
        };
        let bytes = tcp_info(&info);
        assert_eq!(bytes[..8], [1, 2, 3, 4, 5, 6, 0x97, 1]);
        let short = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        let word = |at: usize| u32::from(short(at)) | u32::from(short(at + 2)) << 16;
        for at in [
            8, 32, 36, 44, 52, 56, 68, 88, 96, 100, 104, 112, 128, 144, 148, 156, 160, 168, 184, 196, 200, 208, 216,
            224, 228, 232, 244,
        ] {
            assert_eq!(word(at), at as u32);
        }
        assert_eq!((short(240), short(242), bytes.len()), (240, 242, LEN));
    }
}
