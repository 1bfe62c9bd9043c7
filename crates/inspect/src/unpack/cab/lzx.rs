//! LZX as cabinets use it ([MS-PATCH] 2, "LZX DELTA", without its delta part): one block of a folder after the other.

const MATCH_MIN: usize = 2;
const LENGTH_SYMBOLS: usize = 249;
const PRETREE_SYMBOLS: usize = 20;
const ALIGNED_SYMBOLS: usize = 8;
/// Calls are translated in the first gibibyte only.
const TRANSLATED_MAX_BYTES: u64 = 1 << 30;

/// Why a block cannot be unpacked.
pub(super) type Wrong = &'static str;

const SHORT: Wrong = "an LZX block is cut off";

/// A decoder, with what lasts from one block to the next.
pub(super) struct Lzx {
    window: Vec<u8>,
    position: usize,
    recent: [u32; 3],
    main_lengths: Vec<u8>,
    length_lengths: Vec<u8>,
    main: Tree,
    length: Tree,
    aligned: Tree,
    kind: Kind,
    /// Bytes still to come of the current LZX block, and whether its size was odd.
    left: usize,
    odd: bool,
    /// Size of the translated calls, when there are any; `None` before the first block.
    translation: Option<i32>,
    done: u64,
    bases: Vec<(u32, u8)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Verbatim,
    Aligned,
    Uncompressed,
}

impl Lzx {
    /// Makes a decoder with a window of 2^15 to 2^21 bytes.
    pub(super) fn new(window_bits: u32) -> Self {
        let slots = match window_bits {
            0..=15 => 30,
            16 => 32,
            17 => 34,
            18 => 36,
            19 => 38,
            20 => 42,
            _ => 50,
        };
        let mut bases = Vec::new();
        let mut base = 0;
        for slot in 0..slots {
            let extra = if slot < 4 { 0 } else { (slot / 2 - 1).min(17) };
            bases.push((base, extra as u8));
            base += 1 << extra;
        }
        Self {
            window: vec![0; 1 << window_bits.clamp(15, 21)],
            position: 0,
            recent: [1; 3],
            main_lengths: vec![0; 256 + slots * 8],
            length_lengths: vec![0; LENGTH_SYMBOLS],
            main: Tree::default(),
            length: Tree::default(),
            aligned: Tree::default(),
            kind: Kind::Verbatim,
            left: 0,
            odd: false,
            translation: None,
            done: 0,
            bases,
        }
    }

    /// Unpacks one block of a folder into `size` bytes.
    pub(super) fn block(&mut self, packed: &[u8], size: usize) -> Result<Vec<u8>, Wrong> {
        let mut bits = Bits { bytes: packed, at: 0, word: 0, count: 0 };
        if self.translation.is_none() {
            let translated = bits.take(1)? == 1;
            let size = if translated { bits.take(16)? << 16 | bits.take(16)? } else { 0 };
            self.translation = Some(size.cast_signed());
        }
        let mut out = Vec::with_capacity(size.min(1 << 15));
        while out.len() < size {
            if self.left == 0 {
                self.begin(&mut bits)?;
            }
            let want = self.left.min(size - out.len());
            let before = out.len();
            if self.kind == Kind::Uncompressed {
                let raw = bits.raw(want)?;
                for byte in raw {
                    self.put(*byte, &mut out);
                }
            } else {
                self.coded(&mut bits, want, &mut out)?;
            }
            self.left -= out.len() - before;
        }
        self.translate(&mut out);
        self.done = self.done.saturating_add(out.len() as u64);
        Ok(out)
    }

    fn put(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.window[self.position] = byte;
        self.position = (self.position + 1) % self.window.len();
        out.push(byte);
    }

    /// Reads the header of an LZX block.
    fn begin(&mut self, bits: &mut Bits) -> Result<(), Wrong> {
        if self.kind == Kind::Uncompressed && self.odd {
            bits.raw(1)?;
            self.odd = false;
        }
        let kind = bits.take(3)?;
        self.left = (bits.take(16)? << 8 | bits.take(8)?) as usize;
        if self.left == 0 {
            return Err("an LZX block is empty");
        }
        self.kind = match kind {
            1 => Kind::Verbatim,
            2 => Kind::Aligned,
            3 => Kind::Uncompressed,
            _ => return Err("an LZX block is of no known kind"),
        };
        if self.kind == Kind::Uncompressed {
            self.odd = self.left % 2 == 1;
            bits.align()?;
            for recent in &mut self.recent {
                let raw = bits.raw(4)?;
                *recent = u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]);
            }
            return Ok(());
        }
        if self.kind == Kind::Aligned {
            let mut lengths = [0; ALIGNED_SYMBOLS];
            for length in &mut lengths {
                *length = bits.take(3)? as u8;
            }
            self.aligned = Tree::new(&lengths)?;
        }
        let (literals, matches) = self.main_lengths.split_at_mut(256);
        lengths(bits, literals)?;
        lengths(bits, matches)?;
        self.main = Tree::new(&self.main_lengths)?;
        lengths(bits, &mut self.length_lengths)?;
        self.length = Tree::new(&self.length_lengths)?;
        Ok(())
    }

    /// Unpacks `want` bytes of a verbatim or aligned block.
    fn coded(&mut self, bits: &mut Bits, want: usize, out: &mut Vec<u8>) -> Result<(), Wrong> {
        let end = out.len() + want;
        while out.len() < end {
            let symbol = self.main.symbol(bits)?;
            if let Ok(literal) = u8::try_from(symbol) {
                self.put(literal, out);
                continue;
            }
            let symbol = usize::from(symbol) - 256;
            let mut count = symbol % 8;
            if count == 7 {
                count += usize::from(self.length.symbol(bits)?);
            }
            count += MATCH_MIN;
            let distance = self.distance(bits, symbol / 8)? as usize;
            if count > end - out.len() {
                return Err("an LZX match crosses the end of its block");
            }
            if distance == 0 || distance > self.window.len() {
                return Err("an LZX match begins outside the window");
            }
            for _ in 0..count {
                let from = (self.position + self.window.len() - distance) % self.window.len();
                self.put(self.window[from], out);
            }
        }
        Ok(())
    }

    fn distance(&mut self, bits: &mut Bits, slot: usize) -> Result<u32, Wrong> {
        if slot < 3 {
            self.recent.swap(0, slot);
            return Ok(self.recent[0]);
        }
        let (base, extra) = *self.bases.get(slot).ok_or("an LZX match has no slot")?;
        let extra = u32::from(extra);
        let more = if self.kind == Kind::Aligned && extra >= 3 {
            let high = bits.take(extra - 3)? << 3;
            high + u32::from(self.aligned.symbol(bits)?)
        } else {
            bits.take(extra)?
        };
        // Slot 3 has base 3: the distance is never below 1.
        let distance = (base + more).saturating_sub(2);
        self.recent = [distance, self.recent[0], self.recent[1]];
        Ok(distance)
    }

    /// Turns the absolute targets of x86 calls back into relative ones.
    fn translate(&self, out: &mut [u8]) {
        let size = self.translation.unwrap_or(0);
        if size == 0 || self.done >= TRANSLATED_MAX_BYTES || out.len() <= 10 {
            return;
        }
        let mut at = 0;
        while at < out.len() - 10 {
            if out[at] != 0xe8 {
                at += 1;
                continue;
            }
            // Below 2^30 + 2^15.
            let here = (self.done + at as u64) as i32;
            let target = i32::from_le_bytes([out[at + 1], out[at + 2], out[at + 3], out[at + 4]]);
            if target >= -here && target < size {
                let relative =
                    if target >= 0 { target.wrapping_sub(here) } else { target.wrapping_add(size) };
                out[at + 1..at + 5].copy_from_slice(&relative.to_le_bytes());
            }
            at += 5;
        }
    }
}

/// Reads the lengths of codes, which are written as differences to those of the block before.
fn lengths(bits: &mut Bits, lengths: &mut [u8]) -> Result<(), Wrong> {
    let mut pretree = [0; PRETREE_SYMBOLS];
    for length in &mut pretree {
        *length = bits.take(4)? as u8;
    }
    let pretree = Tree::new(&pretree)?;
    let mut at = 0;
    while at < lengths.len() {
        let symbol = pretree.symbol(bits)?;
        let (count, delta) = match symbol {
            17 => (4 + bits.take(4)?, None),
            18 => (20 + bits.take(5)?, None),
            19 => {
                let count = 4 + bits.take(1)?;
                (count, Some(pretree.symbol(bits)?))
            }
            symbol => (1, Some(symbol)),
        };
        if delta.is_some_and(|delta| delta > 16) {
            return Err("an LZX code has an impossible length");
        }
        let first = *lengths.get(at).unwrap_or(&0);
        let length = delta.map_or(0, |delta| ((u16::from(first) + 17 - delta) % 17) as u8);
        let run = lengths.get_mut(at..at + count as usize).ok_or("the lengths of LZX codes run over")?;
        run.fill(length);
        at += count as usize;
    }
    Ok(())
}

/// Bits of 16-bit little-endian words, the highest first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    word: u64,
    count: u32,
}

impl Bits<'_> {
    /// Makes sure of 16 bits at least; beyond the end there are zeros, which only a broken block uses.
    fn fill(&mut self) {
        while self.count <= 32 {
            let Some(pair) = self.bytes.get(self.at..self.at + 2) else { return };
            self.word = self.word << 16 | u64::from(u16::from_le_bytes([pair[0], pair[1]]));
            self.at += 2;
            self.count += 16;
        }
    }

    /// Looks at the next 16 bits.
    fn peek(&mut self) -> u32 {
        self.fill();
        let wide =
            if self.count >= 16 { self.word >> (self.count - 16) } else { self.word << (16 - self.count) };
        (wide & 0xffff) as u32
    }

    fn drop(&mut self, count: u32) -> Result<(), Wrong> {
        self.count = self.count.checked_sub(count).ok_or(SHORT)?;
        self.word &= (1 << self.count) - 1;
        Ok(())
    }

    /// Takes up to 17 bits.
    fn take(&mut self, count: u32) -> Result<u32, Wrong> {
        self.fill();
        let left = self.count.checked_sub(count).ok_or(SHORT)?;
        let value = self.word >> left & ((1 << count) - 1);
        self.drop(count)?;
        Ok(value as u32)
    }

    /// Goes to the next word; where one begins, it is dropped whole.
    fn align(&mut self) -> Result<(), Wrong> {
        let rest = self.count % 16;
        if rest == 0 { self.take(16).map(drop) } else { self.take(rest).map(drop) }
    }

    /// Takes bytes; the position is at the begin of a word.
    fn raw(&mut self, count: usize) -> Result<&[u8], Wrong> {
        // Whole words that were read ahead are given back.
        self.at -= self.count as usize / 8;
        (self.word, self.count) = (0, 0);
        let raw = self.bytes.get(self.at..self.at + count).ok_or(SHORT)?;
        self.at += count;
        Ok(raw)
    }
}

const FAST_BITS: u32 = 10;

/// A canonical Huffman code of up to 16 bits.
#[derive(Default)]
struct Tree {
    /// Symbol and length by the first bits, for short codes: `symbol << 4 | length`; 0 for long ones.
    fast: Vec<u16>,
    /// For each length: the first code, the first place in `symbols`, and the number of codes.
    rows: [(u32, usize, u32); 17],
    symbols: Vec<u16>,
}

impl Tree {
    fn new(lengths: &[u8]) -> Result<Self, Wrong> {
        let mut counts = [0_u32; 17];
        for length in lengths {
            *counts.get_mut(usize::from(*length)).ok_or("an LZX code is too long")? += 1;
        }
        counts[0] = 0;
        let mut tree = Self { fast: vec![0; 1 << FAST_BITS], rows: [(0, 0, 0); 17], symbols: Vec::new() };
        let (mut code, mut place) = (0_u32, 0);
        for (length, count) in counts.iter().enumerate().skip(1) {
            code <<= 1;
            tree.rows[length] = (code, place, *count);
            code += count;
            place += *count as usize;
            if code > 1 << length {
                return Err("an LZX code is overfull");
            }
        }
        tree.symbols = vec![0; place];
        let mut next: Vec<usize> = tree.rows.iter().map(|(_, place, _)| *place).collect();
        for (symbol, length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
            let length = usize::from(*length);
            let place = next[length];
            next[length] += 1;
            tree.symbols[place] = symbol as u16;
            if length as u32 <= FAST_BITS {
                let (first, start, _) = tree.rows[length];
                let shift = FAST_BITS - length as u32;
                let from = ((first as usize + place - start) << shift).min(tree.fast.len());
                let to = (from + (1 << shift)).min(tree.fast.len());
                tree.fast[from..to].fill((symbol as u16) << 4 | length as u16);
            }
        }
        Ok(tree)
    }

    fn symbol(&self, bits: &mut Bits) -> Result<u16, Wrong> {
        let ahead = bits.peek();
        let fast = self.fast.get((ahead >> (16 - FAST_BITS)) as usize).copied().unwrap_or(0);
        if fast != 0 {
            bits.drop(u32::from(fast & 0xf))?;
            return Ok(fast >> 4);
        }
        for length in FAST_BITS + 1..=16 {
            let (first, start, count) = self.rows[length as usize];
            let offset = (ahead >> (16 - length)).wrapping_sub(first);
            if offset < count {
                bits.drop(length)?;
                return self.symbols.get(start + offset as usize).copied().ok_or("an LZX code is not known");
            }
        }
        Err("an LZX code is not known")
    }
}
