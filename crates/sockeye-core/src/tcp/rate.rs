//! How fast the path delivers: a sample with each acknowledgement, out of what is noted of every departure. It decides nothing.
//!
//! Spec: draft-ietf-ccwg-bbr §4.1 (before that draft-cheng-iccrg-delivery-rate-estimation). The bytes delivered between the departure and the
//! acknowledgement of a run are divided by the longer of two times: the one in which they were sent and the one in which they were acknowledged. So
//! neither acknowledgements that come in a bunch nor bursts of ours make the path seem faster than it is.

use super::sent::{Delivered, Sent};
use crate::time::{Duration, Instant};

/// What is noted of a departure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Bytes delivered on the connection until then, and when the last of them were.
    pub(super) delivered: u64,
    delivered_at: Instant,
    /// Departure of what was delivered last: the sending of this sample's bytes began there.
    first_at: Instant,
    /// Bytes taken for lost until then.
    pub(super) lost: u64,
    /// Bytes in flight then, itself included.
    pub(super) in_flight: u32,
    /// The application, not the path, was what held us back.
    app_limited: bool,
}

/// The connection's counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delivery {
    pub(super) delivered: u64,
    delivered_at: Instant,
    first_at: Instant,
    /// Bytes taken for lost so far, and how many of them congestion control knows of.
    pub(super) lost: u64,
    told: u64,
    /// While fewer bytes than this are delivered, samples tell of the application's rate. 0: they tell of the path's.
    limited_until: u64,
    /// The latest rate in bytes a second, and whether the application limited it: for TCP_INFO.
    pub(super) rate: u64,
    pub(super) app_limited: bool,
}

/// What one acknowledgement tells of the path.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RateSample {
    /// Bytes a second; 0 when the time was too short to say.
    pub(super) rate: u64,
    /// Bytes delivered, and (once settled) bytes taken for lost, since the newest run that was delivered now had left.
    pub(super) delivered: u64,
    pub(super) lost: u64,
    /// What was noted of its departure.
    pub(super) stamp: Stamp,
    /// The application, not the path, was what held us back.
    pub(super) app_limited: bool,
}

impl Delivery {
    /// A run of `len` bytes is about to leave, with `in_flight` bytes on their way.
    pub(super) fn stamp(&mut self, now: Instant, len: u32, in_flight: u32) -> Stamp {
        if in_flight == 0 {
            // A new flight: time in which nothing was on its way does not count.
            (self.first_at, self.delivered_at) = (now, now);
        }
        Stamp {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_at: self.first_at,
            lost: self.lost,
            in_flight: in_flight.saturating_add(len),
            app_limited: self.limited_until != 0,
        }
    }

    /// The application gave less than there was room for, with `in_flight` bytes on their way.
    pub(super) fn on_app_limited(&mut self, in_flight: u32) {
        self.limited_until = (self.delivered + u64::from(in_flight)).max(1);
    }

    /// Loss detection has run since the sample was taken: brings it up to date, and returns the bytes newly taken for lost.
    pub(super) fn settle(&mut self, sample: &mut RateSample) -> u32 {
        sample.lost = self.lost - sample.stamp.lost;
        let news = self.lost - self.told;
        self.told = self.lost;
        u32::try_from(news).unwrap_or(u32::MAX)
    }

    /// An acknowledgement told of bytes that arrived: a sample, if there were any.
    pub(super) fn on_told(&mut self, now: Instant, told: &Delivered, min_rtt: Duration) -> Option<RateSample> {
        let newest = told.newest.as_ref()?;
        Some(self.on_ack(now, told.bytes, newest, min_rtt))
    }

    /// `bytes` bytes arrived, of which `newest` left last. A rate over less than the shortest round trip is none: something else than this path
    /// has acknowledged.
    fn on_ack(&mut self, now: Instant, bytes: u32, newest: &Sent, min_rtt: Duration) -> RateSample {
        self.delivered += u64::from(bytes);
        self.delivered_at = now;
        if self.delivered > self.limited_until {
            self.limited_until = 0;
        }
        let stamp = newest.stamp;
        self.first_at = newest.at;
        let sending = newest.at.since(stamp.first_at);
        let interval = sending.max(now.since(stamp.delivered_at));
        let mut sample = RateSample {
            rate: 0,
            delivered: self.delivered - stamp.delivered,
            lost: 0,
            stamp,
            app_limited: stamp.app_limited,
        };
        if interval >= min_rtt && !interval.is_zero() {
            let rate = u128::from(sample.delivered) * 1_000_000_000 / interval.as_nanos();
            sample.rate = u64::try_from(rate).unwrap_or(u64::MAX);
            // As Linux has it: what the application limited is told only when it is more than what was known.
            if !stamp.app_limited || sample.rate >= self.rate {
                (self.rate, self.app_limited) = (sample.rate, stamp.app_limited);
            }
        }
        sample
    }
}

#[cfg(test)]
mod tests {
    use super::super::sent::Fate;
    use super::super::seq::SeqNumber;
    use super::*;

    const MSS: u32 = 1_000;

    fn run(stamp: Stamp, at: Instant) -> Sent {
        Sent {
            start: SeqNumber(0),
            len: MSS,
            segs: 1,
            fate: Fate::Flying,
            resent: false,
            at,
            stamp,
        }
    }

    /// Ten segments leave 10 ms apart and are acknowledged in one bunch: that they took 90 ms to send is what counts.
    #[test]
    fn a_bunch_of_acknowledgements_is_no_fast_path() {
        let mut delivery = Delivery::default();
        let at = |n: u32| Instant::from_millis(100 + 10 * u64::from(n));
        let runs: Vec<Sent> = (0..10)
            .map(|n| run(delivery.stamp(at(n), MSS, n * MSS), at(n)))
            .collect();
        let mut rates = Vec::new();
        for run in &runs {
            let sample = delivery.on_ack(Instant::from_millis(300), MSS, run, Duration::from_millis(100));
            rates.push(sample.rate);
        }
        // 200 ms after the first departure, 1000 bytes, up to 10,000 bytes.
        assert_eq!(rates.first(), Some(&5_000));
        assert_eq!(rates.last(), Some(&50_000));
        // The next flight was sent in the meantime; the bunch it meets is over in no time.
        let stamp = delivery.stamp(Instant::from_millis(300), MSS, 0);
        let later = run(stamp, Instant::from_millis(300));
        let sample = delivery.on_ack(Instant::from_millis(310), MSS, &later, Duration::from_millis(100));
        assert_eq!(sample.rate, 0, "faster than the path");
    }

    #[test]
    fn an_idle_application_is_remembered_until_its_bytes_have_arrived() {
        let mut delivery = Delivery::default();
        let mut now = Instant::from_millis(1);
        let first = run(delivery.stamp(now, MSS, 0), now);
        delivery.on_app_limited(MSS);
        let second = run(delivery.stamp(now, MSS, MSS), now);
        now = Instant::from_millis(101);
        let min = Duration::from_millis(100);
        assert!(!delivery.on_ack(now, MSS, &first, min).app_limited);
        let third = run(delivery.stamp(now, MSS, MSS), now);
        assert!(delivery.on_ack(now, MSS, &second, min).app_limited);
        let fourth = run(delivery.stamp(now, MSS, MSS), now);
        now = Instant::from_millis(201);
        assert!(delivery.on_ack(now, MSS, &third, min).app_limited);
        assert!(!delivery.on_ack(now, MSS, &fourth, min).app_limited);
    }
}
