//! The services of the early eighties: echo, discard, daytime, character generator.

use super::clock::Utc;
use super::{Io, Step};
use bytes::Bytes;
use sockeye_core::buf::Rope;
use std::sync::OnceLock;

/// Characters of one line of the generator, and the whole line with its end.
const WIDTH: usize = 72;
const LINE: usize = WIDTH + 2;
/// Lines until the pattern repeats: one for each printable character.
const LINES: usize = 95;

/// RFC 862.
pub(super) fn echo(io: &mut Io<'_>) -> Step {
    while let Some(chunk) = io.input.pop_chunk(io.room()) {
        io.output.push(chunk);
    }
    close_when(io.ended && io.input.is_empty())
}

/// RFC 863.
pub(super) fn discard(io: &mut Io<'_>) -> Step {
    *io.input = Rope::new();
    close_when(io.ended)
}

/// RFC 867: what is sent to it is thrown away.
pub(super) fn daytime(io: &mut Io<'_>) -> Step {
    io.output.append(format!("{}\r\n", Utc::now().daytime()).as_bytes());
    Step::Close
}

/// RFC 864: lines without end, until the client has enough.
pub(super) fn chargen(io: &mut Io<'_>, line: &mut usize) -> Step {
    *io.input = Rope::new();
    if io.ended {
        return Step::Close;
    }
    let pattern = pattern();
    while io.room() >= LINE {
        let lines = (io.room() / LINE).min(LINES - *line);
        io.output.push(pattern.slice(*line * LINE..(*line + lines) * LINE));
        *line = (*line + lines) % LINES;
    }
    Step::Go
}

/// All lines: each begins one character further in the circle of printable ones. RFC 864's example.
fn pattern() -> &'static Bytes {
    static PATTERN: OnceLock<Bytes> = OnceLock::new();
    PATTERN.get_or_init(|| {
        let character = |n: usize| b' ' + (n % LINES) as u8;
        let line = |n: usize| (n..n + WIDTH).map(character).chain(*b"\r\n");
        (0..LINES).flat_map(line).collect()
    })
}

/// The answer to a datagram at a port of the gateway: `None` when nobody is there, `Some(None)` when there is nothing to say.
pub(crate) fn datagram(port: u16, data: &Bytes) -> Option<Option<Bytes>> {
    Some(match port {
        7 => Some(data.clone()),
        9 => None,
        13 => Some(format!("{}\r\n", Utc::now().daytime()).into()),
        // RFC 864 asks for a random number of characters up to 512: as many as the question had, for an answer larger than its
        // question is what amplification attacks live from.
        19 => Some(pattern().slice(..data.len().min(512))),
        _ => return None,
    })
}

fn close_when(over: bool) -> Step {
    if over { Step::Close } else { Step::Go }
}
