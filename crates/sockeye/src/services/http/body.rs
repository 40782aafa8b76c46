//! The body of a request: taken off the connection, counted and summed, never kept. RFC 9112 §6, §7.1.

use super::request::{Bad, Length, Request};
use sockeye_core::buf::Rope;

/// The longest line that announces a chunk, extensions included, and the longest trailer.
const LINE: usize = 4 << 10;

/// A body being taken.
#[derive(Clone, Debug)]
pub(super) struct Body {
    state: Taking,
    pub(super) bytes: u64,
    crc: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taking {
    /// So many bytes of a body of known length.
    Fixed(u64),
    /// The line with the size of the next chunk.
    Size,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The line end after a chunk.
    ChunkEnd,
    /// Trailer lines, until an empty one.
    Trailer,
    Done,
}

impl Body {
    pub(super) fn new(request: &Request) -> Self {
        let state = match request.length {
            Length::Fixed(0) => Taking::Done,
            Length::Fixed(n) => Taking::Fixed(n),
            Length::Chunked => Taking::Size,
        };
        Self {
            state,
            bytes: 0,
            crc: !0,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.state == Taking::Done
    }

    /// CRC-32 as zlib, gzip and Ethernet have it.
    pub(super) fn crc(&self) -> u32 {
        !self.crc
    }

    /// Takes what is there. `true` when that was the last of it.
    pub(super) fn take(&mut self, input: &mut Rope) -> Result<bool, Bad> {
        loop {
            self.state = match self.state {
                Taking::Done => return Ok(true),
                Taking::Fixed(left) => match self.data(input, left) {
                    0 => Taking::Done,
                    left => {
                        self.state = Taking::Fixed(left);
                        return Ok(false);
                    }
                },
                Taking::Chunk(left) => match self.data(input, left) {
                    0 => Taking::ChunkEnd,
                    left => {
                        self.state = Taking::Chunk(left);
                        return Ok(false);
                    }
                },
                Taking::Size => match line(input)? {
                    None => return Ok(false),
                    Some(text) => match chunk_size(&text)? {
                        0 => Taking::Trailer,
                        size => Taking::Chunk(size),
                    },
                },
                Taking::ChunkEnd => match line(input)? {
                    None => return Ok(false),
                    Some(text) if text.is_empty() => Taking::Size,
                    Some(_) => return Err(Bad::CHUNK),
                },
                Taking::Trailer => match line(input)? {
                    None => return Ok(false),
                    Some(text) if text.is_empty() => Taking::Done,
                    Some(_) => Taking::Trailer,
                },
            };
        }
    }

    /// Takes up to `left` bytes of content. Returns how many are still to come.
    fn data(&mut self, input: &mut Rope, mut left: u64) -> u64 {
        while let Some(chunk) = input.pop_chunk(usize::try_from(left).unwrap_or(usize::MAX)) {
            left -= chunk.len() as u64;
            self.bytes += chunk.len() as u64;
            self.crc = crc32(self.crc, &chunk);
        }
        left
    }
}

/// The next line without its end. `None` while it is not all there.
fn line(input: &mut Rope) -> Result<Option<Vec<u8>>, Bad> {
    let mut bytes = vec![0; input.len().min(LINE)];
    input.peek(&mut bytes);
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() < LINE { Ok(None) } else { Err(Bad::CHUNK) };
    };
    input.drop_front(end + 1);
    bytes.truncate(end);
    // RFC 9112 §7.1 ends its lines with CRLF, and with nothing else.
    match bytes.pop() {
        Some(b'\r') => Ok(Some(bytes)),
        _ => Err(Bad::CHUNK),
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, Bad> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or(&[]).trim_ascii_end();
    let good = (1..=16).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| good).ok_or(Bad::CHUNK)?;
    u64::from_str_radix(text, 16)
        .ok()
        .filter(|size| *size < 1 << 60)
        .ok_or(Bad::CHUNK)
}

/// Eight tables: the remainder of each byte value, followed by 0..8 further bytes.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut n = 0;
    while n < 256 {
        let mut crc = n as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        tables[0][n] = crc;
        n += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut n = 0;
        while n < 256 {
            let before = tables[table - 1][n];
            tables[table][n] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            n += 1;
        }
        table += 1;
    }
    tables
}

/// CRC-32 (polynomial 0x04c11db7 reflected), eight bytes at a step, without the inversions at the ends.
fn crc32(mut crc: u32, bytes: &[u8]) -> u32 {
    let (eights, rest) = bytes.as_chunks::<8>();
    for eight in eights {
        let word = u64::from_le_bytes(*eight) ^ u64::from(crc);
        crc = 0;
        for (place, byte) in word.to_le_bytes().into_iter().enumerate() {
            crc ^= TABLES[7 - place][usize::from(byte)];
        }
    }
    rest.iter()
        .fold(crc, |crc, byte| crc >> 8 ^ TABLES[0][usize::from(crc as u8 ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_the_one_everybody_has() {
        assert_eq!(!crc32(!0, b"123456789"), 0xcbf4_3926);
        let bytes: Vec<u8> = (0..=255).cycle().take(1_000).collect();
        let (front, back) = bytes.split_at(333);
        assert_eq!(crc32(crc32(!0, front), back), crc32(!0, &bytes));
        assert_eq!(!crc32(!0, b""), 0);
    }
}
