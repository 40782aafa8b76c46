//! The head of a request: read by httparse, then checked for what decides about framing. RFC 9112 §2-§6.

use sockeye_core::buf::Rope;

/// A longer head is refused.
const LONGEST: usize = 16 << 10;
/// More header fields are refused.
const FIELDS: usize = 100;

/// How long the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Fixed(u64),
    Chunked,
}

/// A request that cannot be answered as meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) status: u16,
    pub(super) text: &'static str,
}

impl Bad {
    pub(super) const CUT_OFF: Self = Self::new(400, "the request ends in the middle");
    pub(super) const CHUNK: Self = Self::new(400, "the body is not in chunks as announced");

    pub(super) const fn new(status: u16, text: &'static str) -> Self {
        Self { status, text }
    }
}

/// A request, without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// Decoded no further than split: no path of ours needs escapes.
    pub(super) path: String,
    pub(super) query: String,
    /// HTTP/1.0 or HTTP/1.1.
    pub(super) minor: u8,
    pub(super) length: Length,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
    pub(super) wants_json: bool,
    pub(super) range: Option<String>,
}

impl Request {
    /// Takes the head of a request from the front of `input`. `None` while it is not all there.
    pub(super) fn parse(input: &mut Rope) -> Result<Option<Self>, Bad> {
        let mut bytes = vec![0; input.len().min(LONGEST)];
        input.peek(&mut bytes);
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut parsed = httparse::Request::new(&mut fields);
        match parsed.parse(&bytes) {
            Ok(httparse::Status::Complete(n)) => {
                let request = Self::read(&parsed);
                input.drop_front(n);
                request.map(Some)
            }
            Ok(httparse::Status::Partial) if bytes.len() < LONGEST => Ok(None),
            Ok(httparse::Status::Partial) => Err(Bad::new(431, "the head of the request is longer than 16 KiB")),
            Err(httparse::Error::TooManyHeaders) => Err(Bad::new(431, "more than 100 header fields")),
            Err(httparse::Error::Version) => Err(Bad::new(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")),
            Err(_) => Err(Bad::new(400, "this is not an HTTP request")),
        }
    }

    fn read(parsed: &httparse::Request<'_, '_>) -> Result<Self, Bad> {
        let minor = parsed.version.unwrap_or(1);
        let target = origin_form(parsed.path.unwrap_or("/"));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let hosts = values(parsed, "host").count();
        if hosts > 1 || (minor == 1 && hosts == 0) {
            // RFC 9112 §3.2.
            return Err(Bad::new(400, "exactly one Host field is needed"));
        }
        let connection = |word: &str| list(parsed, "connection").any(|option| option.eq_ignore_ascii_case(word));
        let accepts = |kind: &str| list(parsed, "accept").any(|range| media_type(range) == kind);
        let expectation = values(parsed, "expect").next();
        if expectation.is_some_and(|value| !value.eq_ignore_ascii_case("100-continue")) {
            return Err(Bad::new(417, "the only expectation known is 100-continue"));
        }
        Ok(Self {
            method: parsed.method.unwrap_or("").to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            minor,
            length: length(parsed)?,
            keep_alive: !connection("close") && (minor == 1 || connection("keep-alive")),
            // RFC 9110 §10.1.1: not from HTTP/1.0.
            expects_continue: expectation.is_some() && minor == 1,
            wants_json: accepts("application/json") && !accepts("text/html"),
            range: values(parsed, "range").next().map(str::to_owned),
        })
    }

    /// A parameter of the query.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// The path and query of a target in any form: proxies' clients send the absolute one. RFC 9112 §3.2.2.
fn origin_form(target: &str) -> &str {
    let scheme = target.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
    match scheme {
        Some(_) => target[7..].find('/').map_or("/", |slash| &target[7 + slash..]),
        None => target,
    }
}

/// RFC 9112 §6.3.
fn length(parsed: &httparse::Request<'_, '_>) -> Result<Length, Bad> {
    let codings: Vec<&str> = list(parsed, "transfer-encoding").collect();
    let lengths: Vec<&str> = list(parsed, "content-length").collect();
    match (&codings[..], &lengths[..]) {
        ([], []) => Ok(Length::Fixed(0)),
        ([], [first, rest @ ..]) if rest.iter().all(|other| other == first) => {
            let digits = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.then(|| first.parse().ok()).flatten();
            number
                .map(Length::Fixed)
                .ok_or(Bad::new(400, "Content-Length is not a number"))
        }
        ([], _) => Err(Bad::new(400, "several Content-Length fields that differ")),
        (_, [_, ..]) => Err(Bad::new(400, "both Transfer-Encoding and Content-Length")),
        ([coding], []) if coding.eq_ignore_ascii_case("chunked") && parsed.version == Some(1) => Ok(Length::Chunked),
        _ => Err(Bad::new(501, "the only transfer coding known is chunked, in HTTP/1.1")),
    }
}

fn values<'a>(parsed: &'a httparse::Request<'_, '_>, name: &'a str) -> impl Iterator<Item = &'a str> {
    let fields = parsed
        .headers
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name));
    // A value that is no text matches nothing that we look for.
    fields.map(|field| std::str::from_utf8(field.value).unwrap_or("\u{fffd}").trim())
}

fn list<'a>(parsed: &'a httparse::Request<'_, '_>, name: &'a str) -> impl Iterator<Item = &'a str> {
    values(parsed, name).flat_map(|value| value.split(',')).map(str::trim)
}

fn media_type(range: &str) -> String {
    range.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}
