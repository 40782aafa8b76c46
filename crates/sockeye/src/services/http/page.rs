//! The page about the connection that asked, for people and for programs.

use crate::gateway::LinkReport;
use serde::Serialize;
use sockeye_core::socket::TcpInfo;
use std::fmt::Write;
use std::net::SocketAddr;

/// What the page shows.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// The asking program's end.
    pub(crate) client: SocketAddr,
    /// Our end.
    pub(crate) server: SocketAddr,
    /// The connection as our end sees it.
    pub(crate) tcp: Tcp,
    /// What the link does, in words.
    pub(crate) link: String,
    /// What the link did, to all packets so far; `None` when it is not ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) did: Option<LinkReport>,
    /// This program's version.
    pub(crate) version: &'static str,
}

/// A connection in numbers.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Tcp {
    options: Vec<&'static str>,
    /// Payload bytes of a full segment.
    mss: u32,
    /// Shifts of the windows: ours for what we receive, theirs for what we send.
    window_scale: [u8; 2],
    rtt_ms: f64,
    rtt_var_ms: f64,
    min_rtt_ms: Option<f64>,
    rto_ms: f64,
    /// In segments.
    congestion_window: u32,
    /// In bytes: what the program's end allows us to send.
    send_window: u32,
    retransmissions: u32,
    lost: u32,
    segments_in: u32,
    segments_out: u32,
    bytes_in: u64,
    bytes_out: u64,
}

impl Tcp {
    /// Reads a snapshot. The bits of `options` are Linux's `TCPI_OPT_*`.
    pub(crate) fn new(info: &TcpInfo) -> Self {
        let bits = [(1, "timestamps"), (2, "sack"), (4, "window scaling"), (8, "ecn")];
        let agreed = bits.into_iter().filter(|(bit, _)| info.options & bit != 0);
        let ms = |micros: u32| f64::from(micros) / 1_000.0;
        Self {
            options: agreed.map(|(_, name)| name).collect(),
            mss: info.snd_mss,
            window_scale: [info.rcv_wscale, info.snd_wscale],
            rtt_ms: ms(info.rtt),
            rtt_var_ms: ms(info.rttvar),
            min_rtt_ms: (info.min_rtt != 0 && info.min_rtt != u32::MAX).then(|| ms(info.min_rtt)),
            rto_ms: ms(info.rto),
            congestion_window: info.snd_cwnd,
            send_window: info.snd_wnd,
            retransmissions: info.total_retrans,
            lost: info.lost,
            segments_in: info.segs_in,
            segments_out: info.segs_out,
            bytes_in: info.bytes_received,
            bytes_out: info.bytes_sent,
        }
    }
}

impl Report {
    pub(super) fn json(&self) -> String {
        // All keys are strings and all numbers finite, so this cannot fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    pub(super) fn html(&self) -> String {
        let tcp = &self.tcp;
        let options = if tcp.options.is_empty() {
            "none".to_owned()
        } else {
            tcp.options.join(", ")
        };
        let link = if self.link.is_empty() {
            "leaves packets alone"
        } else {
            &self.link
        };
        let did = |link: &crate::gateway::LinkCounters| {
            format!(
                "{} packets: {} lost, {} delayed, {} reordered, {} duplicated, {} corrupted, {} dropped by a full queue",
                link.packets, link.lost, link.delayed, link.reordered, link.duplicated, link.corrupted, link.overflowed
            )
        };
        let mut rows = String::new();
        let mut row = |name: &str, value: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(rows, "<tr><th>{name}</th><td>{}</td></tr>", escape(value));
        };
        row("your address", &self.client.to_string());
        row("this server", &self.server.to_string());
        row(
            "round trip",
            &format!("{:.1} ms, varying by {:.1} ms", tcp.rtt_ms, tcp.rtt_var_ms),
        );
        row("options agreed", &options);
        row("segment size", &format!("{} bytes", tcp.mss));
        row(
            "window scale",
            &format!("{} and {}", tcp.window_scale[0], tcp.window_scale[1]),
        );
        row("congestion window", &format!("{} segments", tcp.congestion_window));
        row("retransmissions", &tcp.retransmissions.to_string());
        row("the link", link);
        if let Some(LinkReport { up, down }) = &self.did {
            row("the link, up", &did(up));
            row("the link, down", &did(down));
        }
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Hello from Sockeye</title>\n\
             <style>body{{font:1rem/1.5 sans-serif;max-width:45rem;margin:2rem auto;padding:0 1rem}}\
             th{{text-align:left;padding-right:1.5rem;font-weight:600;vertical-align:top;white-space:nowrap}}</style></head>\n\
             <body>\n<h1>Hello from Sockeye</h1>\n<p>Every byte of this page went through a TCP of its own. \
             This is the connection that brought it:</p>\n<table>\n{rows}</table>\n</body>\n</html>\n"
        )
    }
}

/// Text as HTML shows it.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
