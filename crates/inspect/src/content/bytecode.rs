//! Members that vouch for each other. The `RECORD` of a wheel names the digest of every file (PEP 376, PEP 427).
//!
//! Python bytecode beside its source: was it compiled from it? By the size or hash in its header (PEP 552), and by the
//! names that it uses: a compiler takes them from the source, so a name that the source does not have came from
//! elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::executable::{Catalog, ImageDigests, Trusted};
use evidence::tree::{CodeSignature, Content, Stale};
use evidence::{BytePath, Node};

use super::listed::Listed;
use super::vouch::{self, Vouchers};
use crate::base64::encode_url;

/// Sources of one container are kept up to this size, until their bytecode has come by.
const SOURCES_BYTES_MAX: usize = 32 << 20;
const HEADER_BYTES: usize = 16;
/// Short interned ASCII strings of `marshal`: names. The flag marks those that are referred to again.
const INTERNED: [u8; 2] = [b'Z', b'Z' | 0x80];
/// Names that compilers make by themselves.
const MADE: &[&str] = &["return", "classcell", "annotations", "genexpr", "listcomp", "lambda", "format"];
/// Modules have hundreds of names.
const NAMES_MAX: usize = 20_000;
/// One name may come from a folded constant; two do not.
const FOREIGN_MIN: usize = 2;
const EXAMPLES_MAX: usize = 5;

/// Sources and bytecode of one container.
#[derive(Default)]
pub(crate) struct Siblings {
    listed: Listed,
    /// No member is bytecode, so that no source is held against any.
    no_bytecode: bool,
    sources: BTreeMap<Vec<u8>, Vec<u8>>,
    held_bytes: usize,
    /// The `RECORD` of a wheel.
    record: Option<(BytePath, Vec<u8>)>,
    /// Bytecode by the path of the source that it should come from.
    compiled: Vec<Compiled>,
    /// Documents that vouch for others.
    vouchers: Vouchers,
    /// Members that a list beyond this container contradicts.
    contradicted: BTreeMap<BytePath, Stale>,
}

struct Compiled {
    name: BytePath,
    source: Vec<u8>,
    header: [u8; HEADER_BYTES],
    names: BTreeSet<Vec<u8>>,
}

impl Siblings {
    /// Takes a member, if it is one or the other.
    pub(crate) fn take(&mut self, name: &BytePath, bytes: &[u8]) {
        self.vouchers.take(name, bytes);
        let path = name.as_bytes();
        if is_record(path) && bytes.len() <= SOURCES_BYTES_MAX {
            self.record = Some((name.clone(), bytes.to_vec()));
        } else if path.ends_with(b".py")
            && !self.no_bytecode
            && self.held_bytes + bytes.len() <= SOURCES_BYTES_MAX
        {
            self.held_bytes += bytes.len();
            self.sources.insert(path.to_vec(), bytes.to_vec());
        } else if let Some(source) = source_of(path)
            && let Some(header) = bytes.first_chunk()
        {
            let names = names(&bytes[HEADER_BYTES..]);
            self.compiled.push(Compiled { name: name.clone(), source, header: *header, names });
        }
    }

    /// Tells whether a member of this name is compared with others, byte by byte.
    pub(crate) fn wants(&self, name: &BytePath) -> bool {
        let path = name.as_bytes();
        let is_source = path.ends_with(b".py") && !self.no_bytecode;
        is_source || path.ends_with(b".pyc") || is_record(path) || vouch::is_wanted(name)
    }

    /// Says that no member will be bytecode.
    pub(crate) fn expect_no_bytecode(&mut self) {
        self.no_bytecode = true;
    }

    /// Says that there will be a catalog among the members.
    pub(crate) fn expect_catalog(&mut self) {
        self.listed.expected = true;
    }

    pub(crate) fn expects_catalogs(&self) -> bool {
        self.listed.expected
    }

    /// Keeps a catalog; `false` if there are too many.
    pub(crate) fn catalog(&mut self, name: &BytePath, list: Catalog, bytes: usize) -> bool {
        self.listed.catalog(name, list, bytes)
    }

    /// Keeps what an image without a signature may be listed by.
    pub(crate) fn image(&mut self, name: BytePath, digests: ImageDigests) {
        self.listed.images.insert(name, digests);
    }

    /// Notes that a document elsewhere contradicts a member.
    pub(crate) fn contradict(&mut self, name: &BytePath, source: &str, reason: String) {
        self.contradicted.insert(name.clone(), Stale { source: source.to_owned(), reason, idle: false });
    }

    /// Writes what does not fit into the members of their container.
    /// Returns the signature of the container.
    pub(crate) fn judge(self, members: &mut [Node], trusted: &Trusted) -> Option<CodeSignature> {
        let stale: BTreeMap<&BytePath, Stale> = self
            .compiled
            .iter()
            .filter_map(|compiled| {
                let source = self.sources.get(&compiled.source)?;
                let (reason, idle) = compiled.difference(source)?;
                let source = BytePath::from(compiled.source.as_slice()).to_string();
                let stale = Stale { source, reason, idle };
                Some((&compiled.name, stale))
            })
            .collect();
        for member in members.iter_mut().filter(|_| !stale.is_empty()) {
            if let Some(found) = stale.get(&member.name) {
                member.content.get_or_insert_with(Content::default).stale = Some(found.clone());
            }
        }
        for member in members.iter_mut().filter(|_| !self.contradicted.is_empty()) {
            if let Some(found) = self.contradicted.get(&member.name) {
                member.content.get_or_insert_with(Content::default).stale = Some(found.clone());
            }
        }
        if let Some((name, record)) = &self.record {
            recorded(name, record, members);
        }
        self.listed.judge(members);
        self.vouchers.judge(members, trusted)
    }
}

/// At the top: packages that others carry inside have records of where they come from.
fn is_record(path: &[u8]) -> bool {
    path.ends_with(b".dist-info/RECORD") && path.iter().filter(|byte| **byte == b'/').count() == 1
}

/// Compares members with a wheel's `RECORD`. Its own row and those of signatures have no digest.
fn recorded(name: &BytePath, record: &[u8], members: &mut [Node]) {
    let rows: BTreeMap<Vec<u8>, String> = String::from_utf8_lossy(record)
        .lines()
        .filter_map(|line| {
            let (rest, _) = line.rsplit_once(',')?;
            let (path, digest) = rest.rsplit_once(',')?;
            // Makers of wheels on Windows write its separators; installers take both.
            let path = path.trim_matches('"').replace("\"\"", "\"").replace('\\', "/");
            Some((path.into_bytes(), digest.to_owned()))
        })
        .collect();
    let folder = name.as_bytes().strip_suffix(b"RECORD").unwrap_or_default();
    for member in members.iter_mut() {
        let Some(digest) = member.digest else { continue };
        let path = member.name.as_bytes();
        if path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(b"RECORD")) || path.ends_with(b"/") {
            continue;
        }
        let reason = match rows.get(path) {
            None => "the record of the wheel does not list it",
            Some(stated) => match stated.strip_prefix("sha256=") {
                Some(stated) if stated.trim_end_matches('=') != encode_url(digest.as_bytes()) => {
                    "the record of the wheel has another digest for it"
                }
                _ => continue,
            },
        };
        member.content.get_or_insert_with(Content::default).stale = Some(Stale {
            source: name.to_string(),
            reason: reason.to_owned(),
            idle: path.ends_with(b".dist-info/WHEEL"),
        });
    }
}

/// First magic numbers with a size, with flags, and of Python 2 (`importlib/_bootstrap_external.py`).
const SIZE_MAGIC: u32 = 3200;
const FLAGS_MAGIC: u32 = 3390;
const PYTHON_2_MAGIC: u32 = 20_000;

impl Compiled {
    /// What of bytecode does not fit its source, and whether a Python that looks at its header compiles again.
    fn difference(&self, source: &[u8]) -> Option<(String, bool)> {
        let field = |at: usize| {
            let bytes: [u8; 4] = std::array::from_fn(|index| self.header[at + index]);
            u32::from_le_bytes(bytes)
        };
        // Until PEP 552 there were no flags; until 3.3 there was no size (PEP 3147), and Python 2 counted from elsewhere.
        let magic = field(0) & 0xffff;
        let (is_hash, size_at) = match magic {
            FLAGS_MAGIC..PYTHON_2_MAGIC => (field(4) & 1 == 1, Some(12)),
            SIZE_MAGIC..FLAGS_MAGIC => (false, Some(8)),
            _ => (false, None),
        };
        if is_hash {
            let key = u64::from(field(0));
            let stated = u64::from(field(8)) | u64::from(field(12)) << 32;
            // CPython hashes with SipHash-1-3 since 3.11, with 2-4 before.
            if siphash(key, source, 1, 3) != stated && siphash(key, source, 2, 4) != stated {
                return Some((
                    "the hash of the source in its header is another one (PEP 552)".to_owned(),
                    false,
                ));
            }
        } else if let Some(size) = size_at.map(field).filter(|size| *size != source.len() as u32) {
            let reason = format!("it is of a source of {size} bytes; this one has {}", source.len());
            return Some((reason, true));
        }
        let words = words(source);
        let foreign: Vec<String> = self
            .names
            .iter()
            .filter(|name| !words.contains(name.as_slice()) && !is_joined(name, &words))
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        (foreign.len() >= FOREIGN_MIN).then(|| {
            let reason = format!(
                "it uses {} names that the source does not have: {}",
                foreign.len(),
                foreign.iter().take(EXAMPLES_MAX).cloned().collect::<Vec<_>>().join(", ")
            );
            (reason, false)
        })
    }
}

/// `a/__pycache__/b.cpython-312.pyc` and `a/b.pyc` come from `a/b.py`.
fn source_of(path: &[u8]) -> Option<Vec<u8>> {
    let stem = path.strip_suffix(b".pyc")?;
    let at = stem.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let (folder, file) = stem.split_at(at);
    Some(match folder.strip_suffix(b"__pycache__/") {
        Some(parent) => {
            let module = file.split(|byte| *byte == b'.').next()?;
            [parent, module, b".py"].concat()
        }
        None => [stem, b".py"].concat(),
    })
}

fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Collects the names in marshalled code: strings of that kind that are identifiers of at least three letters.
fn names(code: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::new();
    let mut at = 0;
    while found.len() < NAMES_MAX
        && let Some(next) = code.get(at..).and_then(|rest| memchr::memchr2(INTERNED[0], INTERNED[1], rest))
    {
        at += next + 1;
        let Some(length) = code.get(at).map(|length| usize::from(*length)) else { break };
        let Some(name) = code.get(at + 1..at + 1 + length) else { continue };
        let is_name = length >= 3 && name.iter().all(|byte| in_name(*byte)) && !name[0].is_ascii_digit();
        if is_name {
            at += 1 + length;
            // Names of the language and those that a class makes its own (`_Class__name`) are written otherwise.
            let made = name.starts_with(b"__") || MADE.iter().any(|word| name == word.as_bytes());
            let mangled = name[0] == b'_' && name.windows(2).skip(1).any(|pair| pair == b"__");
            if !made && !mangled {
                found.insert(name.to_vec());
            }
        }
    }
    found
}

/// The words of a source.
fn words(source: &[u8]) -> BTreeSet<&[u8]> {
    source.split(|byte| !in_name(*byte)).filter(|word| word.len() >= 3).collect()
}

/// Compilers join constants: `"SUPPRESS" + "HELP"` is one word in the bytecode.
fn is_joined(name: &[u8], words: &BTreeSet<&[u8]>) -> bool {
    (3..name.len().saturating_sub(2)).any(|at| words.contains(&name[..at]) && words.contains(&name[at..]))
}

/// SipHash (Aumasson and Bernstein, 2012) with a key of 64 bits, as CPython keys it.
fn siphash(key: u64, data: &[u8], compressions: u32, finalizations: u32) -> u64 {
    let mut v = [
        key ^ 0x736f_6d65_7073_6575,
        0x646f_7261_6e64_6f6d,
        key ^ 0x6c79_6765_6e65_7261,
        0x7465_6462_7974_6573,
    ];
    let (chunks, rest) = data.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    last[7] = data.len() as u8;
    for word in chunks.iter().chain([&last]).map(|chunk| u64::from_le_bytes(*chunk)) {
        v[3] ^= word;
        (0..compressions).for_each(|_| round(&mut v));
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    (0..finalizations).for_each(|_| round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}
