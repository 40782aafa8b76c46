//! `struct tcp_info`, byte by byte as linux/tcp.h lays it out.

use crate::socket::TcpInfo;

/// The structure as `getsockopt(TCP_INFO)` gives it, up to and including `tcpi_snd_wnd` and `tcpi_rcv_wnd`.
pub fn tcp_info(info: &TcpInfo) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(240);
    bytes.extend([
        info.state,
        info.ca_state,
        info.retransmits,
        info.probes,
        info.backoff,
        info.options,
    ]);
    bytes.push(info.snd_wscale & 0xf | info.rcv_wscale << 4);
    bytes.push(0);
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
        &[info.pacing_rate, u64::MAX, info.bytes_acked, info.bytes_received],
    );
    let segments = [
        info.segs_out,
        info.segs_in,
        info.notsent_bytes,
        info.min_rtt,
        info.data_segs_in,
        info.data_segs_out,
    ];
    push(&mut bytes, &segments);
    push_long(
        &mut bytes,
        &[
            info.delivery_rate,
            info.busy_time,
            info.rwnd_limited,
            info.sndbuf_limited,
        ],
    );
    push(&mut bytes, &[info.delivered, info.delivered_ce]);
    push_long(&mut bytes, &[info.bytes_sent, info.bytes_retrans]);
    push(
        &mut bytes,
        &[
            info.dsack_dups,
            info.reord_seen,
            info.rcv_ooopack,
            info.snd_wnd,
            info.rcv_wnd,
            0,
        ],
    );
    bytes
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

    #[test]
    fn fields_lie_where_linux_has_them() {
        let info = TcpInfo {
            state: 1,
            snd_wscale: 7,
            rcv_wscale: 9,
            rtt: 20_000,
            pacing_rate: 5,
            min_rtt: 6,
            delivery_rate: 7,
            bytes_sent: 8,
            rcv_wnd: 9,
            ..TcpInfo::default()
        };
        let bytes = tcp_info(&info);
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((bytes[0], bytes[6]), (1, 0x97));
        assert_eq!(
            (word(68), word(104), word(148), word(160), word(200), word(232)),
            (20_000, 5, 6, 7, 8, 9)
        );
        assert_eq!(bytes.len(), 240);
    }
}
