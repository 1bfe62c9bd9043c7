//! LZFSE and LZVN: Apple's compression of disk images and of files. There is no standard; the formats are those of
//! the reference implementation that Apple publishes (`lzfse_internal.h`, `lzvn_decode_base.c`).

use std::io::{self, Read};

use super::reading::wrong;
use crate::bytes::{le16, le32, le64, slice};

/// The furthest that a match reaches back: the last base of a distance and its extra bits.
const WINDOW_BYTES: usize = 229_372 + (1 << 15);
/// So much is unpacked at a time, but for the end of one match.
const STEP_BYTES: usize = 64 << 10;
const LITERALS_MAX: usize = 40_000;
const MATCHES_MAX: u32 = 10_000;
const LITERAL_STATES: usize = 1024;
const LENGTH_STATES: usize = 64;
const DISTANCE_STATES: usize = 256;
const LENGTH_SYMBOLS: usize = 20;
const DISTANCE_SYMBOLS: usize = 64;
/// The frequencies of a header: literal lengths, match lengths, distances, literals.
const SYMBOLS: usize = LENGTH_SYMBOLS + LENGTH_SYMBOLS + DISTANCE_SYMBOLS + 256;
const HEADER_BYTES: usize = 32;

/// Extra bits of symbols; their bases follow one another.
const LITERAL_LENGTHS: [u8; LENGTH_SYMBOLS] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 5, 8];
const MATCH_LENGTHS: [u8; LENGTH_SYMBOLS] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 5, 8, 11];

const LITERAL_BASES: [usize; LENGTH_SYMBOLS] = bases(&LITERAL_LENGTHS);
const MATCH_BASES: [usize; LENGTH_SYMBOLS] = bases(&MATCH_LENGTHS);

const fn bases(extra: &[u8; LENGTH_SYMBOLS]) -> [usize; LENGTH_SYMBOLS] {
    let mut bases = [0; LENGTH_SYMBOLS];
    let mut symbol = 1;
    while symbol < LENGTH_SYMBOLS {
        bases[symbol] = bases[symbol - 1] + (1 << extra[symbol - 1]);
        symbol += 1;
    }
    bases
}

fn cut() -> io::Error {
    wrong("a compressed block is cut off")
}

/// Unpacks a stream of blocks.
pub(super) fn lzfse(packed: &[u8]) -> impl Read + '_ {
    Unpacking { rest: packed, out: Vec::new(), read: 0, block: Block::None, bare: false }
}

/// Unpacks one LZVN stream that has no block around it.
pub(super) fn lzvn(packed: &[u8]) -> impl Read + '_ {
    let block = Block::Lzvn(Lzvn { rest: packed, left: None, distance: 0 });
    Unpacking { rest: b"", out: Vec::new(), read: 0, block, bare: true }
}

/// What has been unpacked of a stream, as far back as a match may reach.
struct Unpacking<'a> {
    rest: &'a [u8],
    out: Vec<u8>,
    /// So much of `out` was handed over.
    read: usize,
    block: Block<'a>,
    /// No stream of blocks, and so no mark of its end.
    bare: bool,
}

enum Block<'a> {
    None,
    Plain(&'a [u8]),
    Lzvn(Lzvn<'a>),
    Matches(Box<Matches<'a>>),
    End,
}

impl Read for Unpacking<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        while self.read == self.out.len() {
            if matches!(self.block, Block::End) {
                return Ok(0);
            }
            if self.out.len() >= WINDOW_BYTES + STEP_BYTES {
                self.out.drain(..self.out.len() - WINDOW_BYTES);
                self.read = self.out.len();
            }
            self.step()?;
        }
        let ready = &self.out[self.read..];
        let count = ready.len().min(into.len());
        into[..count].copy_from_slice(&ready[..count]);
        self.read += count;
        Ok(count)
    }
}

impl Unpacking<'_> {
    /// Unpacks some more, or goes to the next block.
    fn step(&mut self) -> io::Result<()> {
        let more = match &mut self.block {
            Block::None => {
                self.block = self.next_block()?;
                return Ok(());
            }
            Block::Plain(left) => {
                let (now, later) = left.split_at(left.len().min(STEP_BYTES));
                self.out.extend_from_slice(now);
                *left = later;
                !later.is_empty()
            }
            Block::Lzvn(block) => block.step(&mut self.out)?,
            Block::Matches(block) => block.step(&mut self.out)?,
            Block::End => false,
        };
        if !more {
            self.block = if self.bare { Block::End } else { Block::None };
        }
        Ok(())
    }
}

impl<'a> Unpacking<'a> {
    fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(cut)?;
        self.rest = rest;
        Ok(taken)
    }

    fn next_block(&mut self) -> io::Result<Block<'a>> {
        let word = |at| le32(self.rest, at).ok_or_else(cut);
        match self.rest.get(..4) {
            Some(b"bvx$") => Ok(Block::End),
            Some(b"bvx-") => {
                let size = word(4)? as usize;
                self.take(8)?;
                Ok(Block::Plain(self.take(size)?))
            }
            Some(b"bvxn") => {
                let (size, packed) = (word(4)?, word(8)? as usize);
                self.take(12)?;
                Ok(Block::Lzvn(Lzvn { rest: self.take(packed)?, left: Some(size as usize), distance: 0 }))
            }
            Some(b"bvx1") => {
                let header = Header::plain(self.rest)?;
                self.take(Header::PLAIN_BYTES)?;
                self.matches(&header)
            }
            Some(b"bvx2") => {
                let size = word(24)? as usize;
                let header = Header::packed(self.rest.get(..size).ok_or_else(cut)?)?;
                self.take(size)?;
                self.matches(&header)
            }
            Some(_) => Err(wrong("a compressed block has an unknown kind")),
            None => Err(wrong("the end of the compressed stream is missing")),
        }
    }

    fn matches(&mut self, header: &Header) -> io::Result<Block<'a>> {
        let literals = self.take(header.literal_bytes)?;
        let lengths = self.take(header.match_bytes)?;
        Ok(Block::Matches(Box::new(Matches::new(header, literals, lengths)?)))
    }
}

/// Appends what stands `distance` bytes back; what is copied may run into what was just written.
fn copy(out: &mut Vec<u8>, distance: usize, count: usize) -> io::Result<()> {
    let from = out.len().checked_sub(distance).filter(|_| distance > 0);
    let from = from.ok_or_else(|| wrong("a match lies before the beginning"))?;
    if distance >= count {
        out.extend_from_within(from..from + count);
    } else {
        for at in from..from + count {
            out.push(out[at]);
        }
    }
    Ok(())
}

struct Lzvn<'a> {
    rest: &'a [u8],
    /// How much the block has to give, if that is known.
    left: Option<usize>,
    distance: usize,
}

impl Lzvn<'_> {
    /// `false` at the end of the block.
    fn step(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let begin = out.len();
        while out.len() - begin < STEP_BYTES {
            let before = out.len();
            if !self.operation(out)? {
                return if self.left.unwrap_or(0) == 0 { Ok(false) } else { Err(cut()) };
            }
            if let Some(left) = &mut self.left {
                let given = out.len() - before;
                *left =
                    left.checked_sub(given).ok_or_else(|| wrong("a block is larger than its header says"))?;
            }
        }
        Ok(true)
    }

    fn operation(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let code = usize::from(*self.rest.first().ok_or_else(cut)?);
        let second = || self.rest.get(1).map(|byte| usize::from(*byte)).ok_or_else(cut);
        let pair = || le16(self.rest, 1).map(usize::from).ok_or_else(cut);
        // Bytes of the operation, literals, length and distance of the match.
        let (bytes, literals, length, distance) = match code {
            0x06 => return Ok(false),
            0x0e | 0x16 => (1, 0, 0, self.distance),
            0xe0 => (2, second()? + 16, 0, self.distance),
            0xe1..=0xef => (1, code & 15, 0, self.distance),
            0xf0 => (2, 0, second()? + 16, self.distance),
            0xf1..=0xff => (1, 0, code & 15, self.distance),
            0xa0..=0xbf => {
                let pair = pair()?;
                (3, code >> 3 & 3, ((code & 7) << 2 | pair & 3) + 3, pair >> 2)
            }
            0x70..=0x7f | 0xd0..=0xdf | 0x1e | 0x26 | 0x2e | 0x36 | 0x3e => {
                return Err(wrong("an operation is not known"));
            }
            _ => {
                let (literals, length) = (code >> 6, (code >> 3 & 7) + 3);
                match code & 7 {
                    6 => (1, literals, length, self.distance),
                    7 => (3, literals, length, pair()?),
                    high => (2, literals, length, high << 8 | second()?),
                }
            }
        };
        self.distance = distance;
        let plain = self.rest.get(bytes..bytes + literals).ok_or_else(cut)?;
        out.extend_from_slice(plain);
        if length > 0 {
            copy(out, distance, length)?;
        }
        self.rest = &self.rest[bytes + literals..];
        Ok(true)
    }
}

/// The header of a block of literals and matches.
struct Header {
    size: usize,
    literals: usize,
    matches: u32,
    literal_bytes: usize,
    match_bytes: usize,
    /// How many bits of the last byte of each payload are not used.
    unused: [u32; 2],
    literal_states: [u16; 4],
    states: [u16; 3],
    frequencies: [u16; SYMBOLS],
}

impl Header {
    /// Two bytes at the end are padding.
    const PLAIN_BYTES: usize = 52 + 2 * SYMBOLS;

    /// Reads a header whose tables are not packed.
    fn plain(bytes: &[u8]) -> io::Result<Self> {
        let bytes = bytes.get(..Self::PLAIN_BYTES).ok_or_else(cut)?;
        let word = |at| le32(bytes, at).ok_or_else(cut);
        let half = |at| le16(bytes, at).ok_or_else(cut);
        let unused = |at| Ok::<_, io::Error>(0_u32.wrapping_sub(word(at)?));
        let mut frequencies = [0; SYMBOLS];
        for (number, frequency) in frequencies.iter_mut().enumerate() {
            *frequency = half(50 + 2 * number)?;
        }
        Self {
            size: word(4)? as usize,
            literals: word(12)? as usize,
            matches: word(16)?,
            literal_bytes: word(20)? as usize,
            match_bytes: word(24)? as usize,
            unused: [unused(28)?, unused(40)?],
            literal_states: [half(32)?, half(34)?, half(36)?, half(38)?],
            states: [half(44)?, half(46)?, half(48)?],
            frequencies,
        }
        .checked()
    }

    /// Reads a header whose fields and tables are packed.
    fn packed(bytes: &[u8]) -> io::Result<Self> {
        let word = |at| le64(bytes, at).ok_or_else(cut);
        let (first, second, third) = (word(8)?, word(16)?, word(24)?);
        let field = |word: u64, at: u32, bits: u32| word >> at & ((1 << bits) - 1);
        let state = |word, at| field(word, at, 10) as u16;
        let unused = |word| 7_u32.wrapping_sub(field(word, 60, 3) as u32);
        Self {
            size: le32(bytes, 4).ok_or_else(cut)? as usize,
            literals: field(first, 0, 20) as usize,
            matches: field(first, 40, 20) as u32,
            literal_bytes: field(first, 20, 20) as usize,
            match_bytes: field(second, 40, 20) as usize,
            unused: [unused(first), unused(second)],
            literal_states: [state(second, 0), state(second, 10), state(second, 20), state(second, 30)],
            states: [state(third, 32), state(third, 42), state(third, 52)],
            frequencies: frequencies(bytes.get(HEADER_BYTES..).ok_or_else(cut)?)?,
        }
        .checked()
    }

    fn checked(self) -> io::Result<Self> {
        let [literal_lengths, match_lengths, distances] =
            [LENGTH_STATES, LENGTH_STATES, DISTANCE_STATES].map(|states| states as u16);
        let [l, m, d] = self.states;
        let sound = self.literals <= LITERALS_MAX
            && self.literals.is_multiple_of(4)
            && self.matches <= MATCHES_MAX
            && self.unused.iter().all(|bits| *bits <= 7)
            && self.literal_states.iter().all(|state| usize::from(*state) < LITERAL_STATES)
            && l < literal_lengths
            && m < match_lengths
            && d < distances;
        if sound { Ok(self) } else { Err(wrong("the header of a compressed block is malformed")) }
    }
}

/// Unpacks the tables of frequencies: codes of two to fourteen bits, the lowest bit first.
fn frequencies(packed: &[u8]) -> io::Result<[u16; SYMBOLS]> {
    let mut found = [0; SYMBOLS];
    if packed.is_empty() {
        return Ok(found);
    }
    let (mut bytes, mut held, mut count) = (packed.iter(), 0_u32, 0_u32);
    for frequency in &mut found {
        while count <= 24
            && let Some(byte) = bytes.next()
        {
            held |= u32::from(*byte) << count;
            count += 8;
        }
        let (bits, value) = match held & 31 {
            low if low & 3 == 0 => (2, 0),
            low if low & 3 == 2 => (2, 1),
            low if low & 7 == 1 => (3, 2),
            low if low & 7 == 5 => (3, 3),
            low if low & 7 == 3 => (5, 4 + (low >> 3)),
            low if low & 15 == 7 => (8, 8 + (held >> 4 & 15)),
            _ => (14, 24 + (held >> 4 & 0x3ff)),
        };
        count = count.checked_sub(bits).ok_or_else(cut)?;
        held >>= bits;
        *frequency = value as u16;
    }
    if count >= 8 || bytes.next().is_some() {
        return Err(wrong("the tables of a compressed block are longer than what they hold"));
    }
    Ok(found)
}

/// Bits that are read from the end of a payload to its beginning.
struct Bits<'a> {
    bytes: &'a [u8],
    /// How many are left.
    left: usize,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8], unused: u32) -> io::Result<Self> {
        let last = u32::from(bytes.last().copied().unwrap_or(0));
        if last << unused > 0xff {
            return Err(wrong("unused bits of a compressed block are not zero"));
        }
        let left = (bytes.len() * 8).checked_sub(unused as usize).ok_or_else(cut)?;
        Ok(Self { bytes, left })
    }

    /// Takes up to 26 bits: those of a state and of the longest extra bits.
    fn take(&mut self, count: u32) -> io::Result<usize> {
        self.left = self.left.checked_sub(count as usize).ok_or_else(cut)?;
        let (from, shift) = (self.left / 8, self.left % 8);
        let word = match slice(self.bytes, from as u64, 8) {
            Some(word) => le64(word, 0).unwrap_or(0),
            None => {
                let rest = self.bytes.iter().skip(from).rev();
                rest.fold(0, |word, byte| word << 8 | u64::from(*byte))
            }
        };
        Ok((word >> shift & ((1 << count) - 1)) as usize)
    }
}

/// What a state stands for, and how the next one follows from it: `next` plus some bits.
#[derive(Clone, Copy)]
struct State {
    symbol: u8,
    bits: u8,
    next: u16,
}

/// Builds the states of an alphabet. States that no symbol has are never to be reached.
fn states(frequencies: &[u16], count: usize) -> io::Result<Vec<State>> {
    let mut states = Vec::with_capacity(count);
    for (symbol, frequency) in frequencies.iter().enumerate() {
        let frequency = usize::from(*frequency);
        if frequency == 0 {
            continue;
        }
        if states.len() + frequency > count {
            return Err(wrong("the frequencies of a compressed block are too many"));
        }
        // The least shift with which a frequency is at least the number of states.
        let shift = count.ilog2() - frequency.ilog2();
        let longer = ((2 * count) >> shift) - frequency;
        for number in 0..frequency {
            let (bits, next) = if number < longer {
                (shift, ((frequency + number) << shift) - count)
            } else {
                (shift - 1, (number - longer) << (shift - 1))
            };
            states.push(State { symbol: symbol as u8, bits: bits as u8, next: next as u16 });
        }
    }
    Ok(states)
}

/// Literals, and matches in an order of their own.
struct Matches<'a> {
    literals: Vec<u8>,
    /// How many literals were used.
    used: usize,
    bits: Bits<'a>,
    left: u32,
    size: usize,
    tables: [Vec<State>; 3],
    states: [u16; 3],
    distance: usize,
}

impl<'a> Matches<'a> {
    fn new(header: &Header, literals: &'a [u8], lengths: &'a [u8]) -> io::Result<Self> {
        let (literal_lengths, rest) = header.frequencies.split_at(LENGTH_SYMBOLS);
        let (match_lengths, rest) = rest.split_at(LENGTH_SYMBOLS);
        let (distances, of_literals) = rest.split_at(DISTANCE_SYMBOLS);
        Ok(Self {
            literals: self::literals(header, literals, &states(of_literals, LITERAL_STATES)?)?,
            used: 0,
            bits: Bits::new(lengths, header.unused[1])?,
            left: header.matches,
            size: header.size,
            tables: [
                states(literal_lengths, LENGTH_STATES)?,
                states(match_lengths, LENGTH_STATES)?,
                states(distances, DISTANCE_STATES)?,
            ],
            states: header.states,
            distance: 0,
        })
    }

    /// `false` at the end of the block.
    fn step(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let begin = out.len();
        while self.left > 0 && out.len() - begin < STEP_BYTES {
            self.left -= 1;
            let literals = self.value(0, &LITERAL_LENGTHS, &LITERAL_BASES)?;
            let length = self.value(1, &MATCH_LENGTHS, &MATCH_BASES)?;
            let distance = self.distance()?;
            // Zero: the same again.
            if distance > 0 {
                self.distance = distance;
            }
            let end = self.used + literals;
            out.extend_from_slice(self.literals.get(self.used..end).ok_or_else(cut)?);
            self.used = end;
            copy(out, self.distance, length)?;
        }
        let given = out.len() - begin;
        self.size =
            self.size.checked_sub(given).ok_or_else(|| wrong("a block is larger than its header says"))?;
        if self.left == 0 && self.size > 0 {
            return Err(wrong("a block is smaller than its header says"));
        }
        Ok(self.left > 0)
    }

    /// Goes from the state of one of the three alphabets to the next one; the symbol that it stood for.
    fn symbol(&mut self, alphabet: usize) -> io::Result<usize> {
        let state = self.tables[alphabet].get(usize::from(self.states[alphabet]));
        let state = *state.ok_or_else(|| wrong("a state of a compressed block has no symbol"))?;
        self.states[alphabet] = state.next + self.bits.take(u32::from(state.bits))? as u16;
        Ok(usize::from(state.symbol))
    }

    fn value(
        &mut self,
        alphabet: usize,
        extra: &[u8; LENGTH_SYMBOLS],
        bases: &[usize; LENGTH_SYMBOLS],
    ) -> io::Result<usize> {
        let symbol = self.symbol(alphabet)?;
        Ok(bases[symbol] + self.bits.take(u32::from(extra[symbol]))?)
    }

    /// Distances have four symbols for each number of extra bits.
    fn distance(&mut self) -> io::Result<usize> {
        let symbol = self.symbol(2)?;
        let (bits, rest) = ((symbol / 4) as u32, symbol % 4);
        let base = 4 * ((1 << bits) - 1) + (rest << bits);
        Ok(base + self.bits.take(bits)?)
    }
}

/// Unpacks the literals of a block: four streams in turn.
fn literals(header: &Header, packed: &[u8], table: &[State]) -> io::Result<Vec<u8>> {
    let mut bits = Bits::new(packed, header.unused[0])?;
    let mut states = header.literal_states;
    let mut found = Vec::with_capacity(header.literals);
    while found.len() < header.literals {
        for current in &mut states {
            let state = table.get(usize::from(*current));
            let state = state.ok_or_else(|| wrong("a state of a compressed block has no symbol"))?;
            *current = state.next + bits.take(u32::from(state.bits))? as u16;
            found.push(state.symbol);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut reader: impl Read) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).map(|_| content)
    }

    #[test]
    fn each_operation_of_lzvn_is_followed() {
        // Three letters; two more and eight bytes from five back; 16 literals; the same distance again, twice.
        let packed = b"\xe3abc\xb0\x14\0de\xe0\0ABCDEFGHIJKLMNOP\xf4\xf0\x01\x06\0\0\0\0\0\0\0";
        let expected =
            [b"abcde".as_slice(), b"abc", b"ABCDEFGHIJKLMNOP", b"LMNO", b"PLMNOPLMNOPLMNOPL"].concat();
        assert_eq!(String::from_utf8(all(lzvn(packed)).unwrap()), String::from_utf8(expected));
        for hostile in [&b"\xf4"[..], b"\xe3ab", b"\xe1a\x00\x02", b"\x70", b"", b"\xe1a\x07\x00\x00"] {
            assert!(all(lzvn(hostile)).is_err(), "{hostile:?}");
        }
    }

    #[test]
    fn blocks_follow_one_another_to_a_mark() {
        let plain = b"bvx-\x03\0\0\0abc";
        let back = b"bvxn\x04\0\0\0\x0a\0\0\0\x08\x03\x06\0\0\0\0\0\0\0";
        let stream = [&plain[..], back, plain, b"bvx$"].concat();
        assert_eq!(all(lzfse(&stream)).unwrap(), b"abcabcaabc");
        for end in 1..stream.len() {
            assert!(all(lzfse(&stream[..end])).is_err(), "{end}");
        }
    }
}
