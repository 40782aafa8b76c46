//! The built-in web server: HTTP/1.1 and 1.0 over one connection. It reads a request, takes its body, answers, and starts over.
//!
//! | path | answer |
//! |---|---|
//! | `/` | the connection that asked, as a page, or as JSON when `Accept` asks for it |
//! | `/bytes/N` | N bytes (`k`, `m`, `g` are powers of 1024; at most 10 GiB), ranges too |
//! | `/slow?rate=R&bytes=N` | N bytes at R bytes a second |
//! | `/upload` | takes a body and tells its length and CRC-32 |
//! | `/status/CODE`, `/delay/SECONDS` | that status, after that time |
//!
//! Spec: RFC 9110, RFC 9112. Framing that could be read in two ways is refused (RFC 9112 §6.3, §11.2).

mod body;
mod page;
mod request;
mod response;

pub(crate) use page::{Report, Tcp};

use super::{Io, Step};
use body::Body;
use request::{Bad, Request};
use response::{Content, Reply};
use sockeye_core::Instant;
use std::time::Duration;

/// How long a connection may wait between requests, or in the middle of one.
const IDLE: Duration = Duration::from_secs(75);

/// One connection to the web server.
#[derive(Debug)]
pub(crate) struct Http {
    state: State,
    last: Option<Instant>,
    requests: u64,
}

#[derive(Debug)]
enum State {
    /// Waiting for a request, or the rest of its head.
    Head,
    /// Taking the body of a request.
    Body { request: Request, body: Body },
    /// Waiting before the answer.
    Delay { until: Instant, reply: Reply, then: Then },
    /// Sending the answer's content.
    Content { content: Content, then: Then },
    /// All said.
    Over,
}

/// What follows an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Next,
    Close,
}

/// What one state led to.
enum Turn {
    /// To another state, which may have something to do at once.
    Next(State),
    /// Nothing to do before there is more input or room, or that time.
    Wait(State, Option<Instant>),
}

impl Http {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Head,
            last: None,
            requests: 0,
        }
    }

    /// Requests answered so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests
    }

    pub(super) fn step(&mut self, io: &mut Io<'_>) -> Step {
        let before = (io.input.len(), io.output.len());
        let wake = loop {
            let turn = match std::mem::replace(&mut self.state, State::Over) {
                State::Head => self.head(io),
                State::Body { request, body } => self.body(io, request, body),
                State::Delay { until, reply, then } if until <= io.now => Turn::Next(send(io, reply, then)),
                State::Delay { until, reply, then } => Turn::Wait(State::Delay { until, reply, then }, Some(until)),
                State::Content { content, then } => stream(io, content, then),
                State::Over => return Step::Close,
            };
            match turn {
                Turn::Next(state) => self.state = state,
                Turn::Wait(state, at) => {
                    self.state = state;
                    break at;
                }
            }
        };
        if before != (io.input.len(), io.output.len()) || wake.is_some() {
            self.last = Some(io.now);
        }
        let patience = *self.last.get_or_insert(io.now) + IDLE;
        let waits_for_client = !matches!(self.state, State::Delay { .. } | State::Content { .. });
        match wake {
            _ if waits_for_client && patience <= io.now => Step::Close,
            Some(at) => Step::GoUntil(at),
            None if waits_for_client => Step::GoUntil(patience),
            None => Step::Go,
        }
    }

    fn head(&mut self, io: &mut Io<'_>) -> Turn {
        match Request::parse(io.input) {
            Ok(Some(request)) => {
                self.requests += 1;
                begin(io, request)
            }
            Ok(None) if io.ended && io.input.is_empty() => Turn::Next(State::Over),
            Ok(None) if io.ended => self.bad(io, &Bad::CUT_OFF),
            Ok(None) => Turn::Wait(State::Head, None),
            Err(bad) => self.bad(io, &bad),
        }
    }

    fn body(&mut self, io: &mut Io<'_>, request: Request, mut body: Body) -> Turn {
        match body.take(io.input) {
            Ok(true) => Turn::Next(respond(io, &request, &body)),
            Ok(false) if io.ended => self.bad(io, &Bad::CUT_OFF),
            Ok(false) => Turn::Wait(State::Body { request, body }, None),
            Err(bad) => self.bad(io, &bad),
        }
    }

    /// Answers what cannot be understood, and stops listening: what follows cannot be understood either.
    fn bad(&mut self, io: &mut Io<'_>, bad: &Bad) -> Turn {
        self.requests += 1;
        let reply = Reply::text(bad.status, bad.text);
        Turn::Next(send(io, reply, Then::Close))
    }
}

/// Decides whether to take the body of a request.
fn begin(io: &mut Io<'_>, request: Request) -> Turn {
    let body = Body::new(&request);
    if request.expects_continue && !body.is_complete() {
        let reply = response::reply(&request, &body, io.report);
        if reply.is_error() {
            // RFC 9110 §10.1.1: the final answer instead of 100; the body may or may not come, so the connection ends.
            return Turn::Next(send(io, reply, Then::Close));
        }
        io.output.append(b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    Turn::Next(State::Body { request, body })
}

fn respond(io: &mut Io<'_>, request: &Request, body: &Body) -> State {
    let then = if request.keep_alive { Then::Next } else { Then::Close };
    let reply = response::reply(request, body, io.report);
    match reply.delay {
        Some(delay) => State::Delay {
            until: io.now + delay,
            reply: reply.to(request),
            then,
        },
        None => send(io, reply.to(request), then),
    }
}

/// Writes the head of an answer.
fn send(io: &mut Io<'_>, reply: Reply, then: Then) -> State {
    io.output.append(reply.head(then == Then::Close).as_bytes());
    let mut content = reply.content;
    content.start(io.now);
    State::Content { content, then }
}

fn stream(io: &mut Io<'_>, mut content: Content, then: Then) -> Turn {
    let wake = content.fill(io);
    match then {
        _ if !content.is_empty() => Turn::Wait(State::Content { content, then }, wake),
        Then::Next => Turn::Next(State::Head),
        Then::Close => Turn::Next(State::Over),
    }
}

#[cfg(test)]
mod tests;
