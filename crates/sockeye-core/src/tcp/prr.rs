//! How fast to send while repairing losses: proportional rate reduction. Spec: RFC 9937 §6 (obsoletes RFC 6937).

/// Bytes delivered and sent since recovery began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Prr {
    delivered: u64,
    out: u64,
    /// FlightSize when recovery began (`RecoverFS`).
    recover_fs: u32,
}

impl Prr {
    pub(super) fn new(flight: u32) -> Self {
        Self {
            delivered: 0,
            out: 0,
            recover_fs: flight.max(1),
        }
    }

    pub(super) fn on_sent(&mut self, bytes: u32) {
        self.out += u64::from(bytes);
    }

    /// The congestion window after an acknowledgement that delivered `delivered` bytes and left `pipe` in flight. `safe` when it also moved
    /// `snd_una` and told of no further loss: SafeACK. RFC 9937 §6.2.
    pub(super) fn on_ack(&mut self, delivered: u32, pipe: u32, ssthresh: u32, mss: u32, safe: bool) -> u32 {
        self.delivered += u64::from(delivered);
        let room = if pipe > ssthresh {
            // Proportional: ssthresh bytes leave for every RecoverFS bytes that arrive.
            (self.delivered * u64::from(ssthresh))
                .div_ceil(u64::from(self.recover_fs))
                .saturating_sub(self.out)
        } else {
            // The bound: conserve packets, or grow as in slow start where it is safe.
            let conserved = self.delivered.saturating_sub(self.out).max(u64::from(delivered));
            let limit = conserved + if safe { u64::from(mss) } else { 0 };
            limit.min(u64::from(ssthresh - pipe))
        };
        // The first retransmission always goes out.
        let room = if self.out == 0 { room.max(u64::from(mss)) } else { room };
        // Never so little that nothing could ever be sent again.
        pipe.saturating_add(u32::try_from(room).unwrap_or(u32::MAX)).max(mss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_comes_down_in_proportion_to_what_arrives() {
        let (mss, ssthresh) = (1000, 14_000);
        let mut prr = Prr::new(20_000);
        let mut pipe = 19_000_u32;
        let mut sent = 0;
        for _ in 0..19 {
            pipe -= mss.min(pipe);
            let room = prr.on_ack(mss, pipe, ssthresh, mss, false) - pipe;
            let burst = room / mss * mss;
            prr.on_sent(burst);
            pipe += burst;
            sent += burst;
        }
        assert!((12_000..=14_000).contains(&sent), "{sent}");
        assert!(pipe <= ssthresh, "{pipe}");
    }
}
