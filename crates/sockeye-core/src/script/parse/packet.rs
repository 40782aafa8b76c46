//! Packets: `< S 0:0(0) win 32792 <mss 1460>`, `> icmp unreachable ...`, `< udp (100)`.

use super::{Kind, Parser, Wrong, wrong};
use crate::script::tree::{Ecn, Icmp, Inner, IpFields, Packet, Quoted, Range, Segment, TcpOption};

impl Parser {
    pub(super) fn packet(&mut self) -> Result<Packet, Wrong> {
        let inbound = self.is('<');
        self.step();
        let mut ip = IpFields::default();
        // In front of `icmp`, brackets say what it quotes.
        let mut quoted = None;
        while self.is('[') && self.ahead(1).kind != Kind::Sign('.') {
            if matches!(self.ahead(1).kind, Kind::Int(_)) || self.ahead(1).text == "udp" {
                quoted = Some(self.quoted()?);
            } else {
                self.ip_fields(&mut ip)?;
            }
        }
        let inner = if self.is_word("icmp") {
            Inner::Icmp(self.icmp(quoted)?)
        } else if self.take_word("udp") {
            self.expect('(')?;
            let len: u16 = self.number("a payload length")?;
            self.expect(')')?;
            Inner::Udp { len: usize::from(len) }
        } else {
            Inner::Tcp(self.segment()?)
        };
        Ok(Packet { inbound, ip, inner })
    }

    /// `[ect0, ttl 5, tos 0x10, port 5001, badsum]`
    fn ip_fields(&mut self, ip: &mut IpFields) -> Result<(), Wrong> {
        self.expect('[')?;
        loop {
            let at = self.at();
            match self.word("an IP field")?.as_str() {
                "noecn" => ip.ecn = Some(Ecn::Not),
                "ect0" => ip.ecn = Some(Ecn::Ect0),
                "ect1" => ip.ecn = Some(Ecn::Ect1),
                "ect01" => ip.ecn = Some(Ecn::Ect01),
                "ce" => ip.ecn = Some(Ecn::Ce),
                "tos" => ip.tos = Some(self.number("a type of service")?),
                "ttl" => ip.ttl = Some(self.number("a hop limit")?),
                "port" => ip.port = Some(self.number("a port")?),
                "badsum" => ip.badsum = true,
                "new" => ip.new = true,
                other => {
                    let known = "noecn, ect0, ect1, ect01, ce, tos N, ttl N, port N, badsum, new";
                    return wrong(at, format!("`{other}` is no IP field: {known} are"));
                }
            }
            if self.take(']') {
                return Ok(());
            }
            if !self.take(',') {
                return self.expected("`,` or `]`");
            }
        }
    }

    fn segment(&mut self) -> Result<Segment, Wrong> {
        let flags = self.tcp_flags()?;
        let range = self.range()?;
        let (mut ack, mut window, mut urgent) = (None, None, None);
        loop {
            if self.take_word("ack") {
                ack = Some(self.number("an acknowledgment number")?);
            } else if self.take_word("win") {
                window = Some(self.number("a window")?);
            } else if self.take_word("urg") {
                urgent = Some(self.number("an urgent pointer")?);
            } else {
                break;
            }
        }
        // A `<` here opens options, unless it begins the next packet: that has a time in front.
        let options = if self.take('<') {
            if self.token().kind == Kind::Ellipsis {
                self.step();
                self.expect('>')?;
                None
            } else {
                Some(self.tcp_options()?)
            }
        } else {
            Some(Vec::new())
        };
        Ok(Segment {
            flags,
            range,
            ack,
            window,
            urgent,
            options,
        })
    }

    /// `S.`, `P.`, `.`, `FP.`, `P.U`, `SEW`, `-`.
    fn tcp_flags(&mut self) -> Result<u8, Wrong> {
        const WHAT: &str = "TCP flags (F S R P U E W, `.` for ACK, `-` for none), `udp` or `icmp`";
        let at = self.at();
        let bracket = self.take('[');
        let mut flags = 0;
        let mut first = true;
        while first || self.token().joined {
            match &self.token().kind {
                Kind::Word => {
                    for letter in self.token().text.chars() {
                        flags |= match letter {
                            'F' => 1,
                            'S' => 2,
                            'R' => 4,
                            'P' => 8,
                            'U' => 32,
                            'E' => 64,
                            'W' => 128,
                            _ => return self.expected(WHAT),
                        };
                    }
                }
                Kind::Sign('.') => flags |= 16,
                Kind::Sign('-') if first => {}
                _ if first => return self.expected(WHAT),
                _ => break,
            }
            self.step();
            first = false;
        }
        if bracket && !self.take(']') {
            return wrong(at, "the bracket that begins here never ends");
        }
        Ok(flags)
    }

    /// `1:1461(1460)`
    fn range(&mut self) -> Result<Range, Wrong> {
        let at = self.at();
        let start: u32 = self.number("a sequence number")?;
        self.expect(':')?;
        let end: u32 = self.number("a sequence number")?;
        self.expect('(')?;
        let len: u32 = self.number("a payload length")?;
        self.expect(')')?;
        if end.wrapping_sub(start) != len {
            return wrong(
                at,
                format!(
                    "{start}:{end}({len}) does not add up: {start}:{}({len}) would",
                    start.wrapping_add(len)
                ),
            );
        }
        if len > 1 << 20 {
            return wrong(
                at,
                format!("{len} bytes are too many for one packet: 1048576 is the most"),
            );
        }
        Ok(Range { start, len })
    }

    fn tcp_options(&mut self) -> Result<Vec<TcpOption>, Wrong> {
        let mut options = Vec::new();
        loop {
            options.push(self.tcp_option()?);
            if self.take('>') {
                return Ok(options);
            }
            if !self.take(',') {
                return self.expected("`,` or `>`");
            }
        }
    }

    fn tcp_option(&mut self) -> Result<TcpOption, Wrong> {
        let at = self.at();
        if let Some(bytes) = self.token().text.strip_prefix("0x").and_then(hex) {
            self.step();
            return Ok(TcpOption::Raw(bytes));
        }
        Ok(match self.word("a TCP option")?.as_str() {
            "nop" => TcpOption::Nop,
            "eol" => TcpOption::End,
            "mss" => TcpOption::Mss(self.number("a segment size")?),
            "wscale" => TcpOption::WindowScale(self.number("a window scale")?),
            "sackOK" => TcpOption::SackPermitted,
            "sack" => {
                let mut blocks = Vec::new();
                while matches!(self.token().kind, Kind::Int(_)) {
                    let left = self.number("the left edge of a block")?;
                    self.expect(':')?;
                    blocks.push((left, self.number("the right edge of a block")?));
                }
                if blocks.is_empty() || blocks.len() > 4 {
                    return wrong(at, "sack needs one to four blocks: sack 1:1001 2001:3001");
                }
                TcpOption::Sack(blocks)
            }
            "TS" => {
                if !self.take_word("val") {
                    return self.expected("`val` (as in TS val 100 ecr 0)");
                }
                let value = self.number("a timestamp")?;
                if !self.take_word("ecr") {
                    return self.expected("`ecr` (as in TS val 100 ecr 0)");
                }
                let echo = self.number("a timestamp")?;
                TcpOption::Timestamps { value, echo }
            }
            "FO" => self.cookie()?,
            "FOEXP" => match self.cookie()? {
                TcpOption::FastOpen(cookie) => TcpOption::FastOpenExperiment(cookie.unwrap_or_default()),
                other => other,
            },
            "md5" => {
                let Some(digest) = hex(&self.token().text).filter(|digest| digest.len() == 16) else {
                    return self.expected("a digest of 16 bytes in hexadecimal");
                };
                self.step();
                TcpOption::Raw([&[19, 18][..], &digest].concat())
            }
            "uto" => self.user_timeout()?,
            other => {
                let known = "mss, wscale, sackOK, sack, TS, FO, FOEXP, uto, md5, nop, eol, 0xHEX";
                return wrong(at, format!("`{other}` is no TCP option: {known} are"));
            }
        })
    }

    /// In hexadecimal, or by the names that Linux's scripts have for the cookies of their two keys between the addresses that they use.
    fn cookie(&mut self) -> Result<TcpOption, Wrong> {
        if self.token().kind == Kind::Ellipsis {
            self.step();
            return Ok(TcpOption::FastOpen(None));
        }
        if !matches!(self.token().kind, Kind::Word | Kind::Int(_)) {
            return Ok(TcpOption::FastOpen(Some(Vec::new())));
        }
        let named = match (self.token().text.as_str(), self.v6) {
            ("TFO_COOKIE", false) => "3021b9d889017eeb",
            ("TFO_COOKIE", true) => "c1d1e9742a47a9bc",
            ("TFO_COOKIE_ZERO", false) => "b7c12350a90dc8f5",
            ("TFO_COOKIE_ZERO", true) => "82af1a8f9a205c34",
            (text, _) => text,
        };
        let Some(cookie) = hex(named).filter(|cookie| cookie.len() <= 16) else {
            return self.expected("a cookie of up to 16 bytes in hexadecimal");
        };
        self.step();
        Ok(TcpOption::FastOpen(Some(cookie)))
    }

    /// `30s` or `5m`. RFC 5482 §3: the first of the 16 bits says minutes.
    fn user_timeout(&mut self) -> Result<TcpOption, Wrong> {
        let text = self.token().text.clone();
        let value = |digits: &str| digits.parse::<u16>().ok().filter(|value| *value < 1 << 15);
        let bits = match (text.strip_suffix('s'), text.strip_suffix('m')) {
            (Some(digits), _) => value(digits),
            (_, Some(digits)) => value(digits).map(|minutes| minutes | 1 << 15),
            _ => None,
        };
        let Some(bits) = bits else {
            return self.expected("a user timeout (`30s`, `5m`)");
        };
        self.step();
        Ok(TcpOption::UserTimeout(bits))
    }

    fn icmp(&mut self, before: Option<Quoted>) -> Result<Icmp, Wrong> {
        let at = self.at();
        self.step();
        let kind = self.word("an ICMP type")?;
        // A word after the type is its code, unless the next event begins with it; events begin with a time.
        let code = if self.token().kind == Kind::Word && !self.is_word("mtu") {
            Some(self.word("an ICMP code")?)
        } else {
            None
        };
        let mtu = if self.take_word("mtu") {
            Some(self.number("an MTU")?)
        } else {
            None
        };
        let quoted = match before {
            Some(quoted) => quoted,
            None if self.is('[') => self.quoted()?,
            None => Quoted::Last,
        };
        Ok(Icmp {
            at,
            kind,
            code,
            mtu,
            quoted,
        })
    }

    /// `[1:1461(1460)]` or `[udp (100)]`
    fn quoted(&mut self) -> Result<Quoted, Wrong> {
        self.expect('[')?;
        let quoted = if self.take_word("udp") {
            if self.take('(') {
                let _: u16 = self.number("a payload length")?;
                self.expect(')')?;
            }
            Quoted::Udp
        } else {
            Quoted::Tcp(self.range()?)
        };
        self.expect(']')?;
        Ok(quoted)
    }
}

/// Bytes from hexadecimal digits; an odd number of them is short of a zero in front.
fn hex(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    let padded = if text.len() % 2 == 1 {
        format!("0{text}")
    } else {
        text.to_owned()
    };
    let pair = |at: usize| u8::from_str_radix(&padded[at..at + 2], 16).ok();
    (0..padded.len()).step_by(2).map(pair).collect()
}
