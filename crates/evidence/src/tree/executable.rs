//! Facts about executable images.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::CodeSignature;
use crate::Digest;

/// Facts about a PE, ELF or Mach-O image.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Executable {
    /// `x86_64`, `aarch64`, `i386`, ….
    pub machine: String,
    /// `executable`, `library`, `object`, `driver`.
    pub kind: String,
    /// Sections in file order.
    pub sections: Vec<Section>,
    /// Libraries this loads: PE import DLLs (delayed ones too), ELF `DT_NEEDED`, Mach-O `LC_LOAD_DYLIB` and its
    /// weak, lazy and re-exporting kin.
    pub libraries: BTreeSet<String>,
    /// Imported symbols; `library!symbol` for PE, the symbol for ELF and Mach-O.
    pub imports: BTreeSet<String>,
    /// The section in which the table of the imports lies (PE).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub import_section: Option<String>,
    /// Exported symbols.
    pub exports: BTreeSet<String>,
    /// PE `FileVersion`, as text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// ELF build id, PE PDB id, Mach-O UUID; hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub build_id: Option<String>,
    /// ELF `PT_INTERP`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub interpreter: Option<String>,
    /// `DT_RPATH`, `DT_RUNPATH`, `LC_RPATH`.
    pub search_paths: BTreeSet<String>,
    /// Hardening present: `aslr`, `nx`, `cfg`, `relro`, `bind-now`, `pie`, `high-entropy-va`, ….
    pub mitigations: BTreeSet<String>,
    /// Bytes after the last section that no header accounts for (the certificate table not counted).
    pub overlay_bytes: u64,
    /// Embedded code signature, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signature: Option<CodeSignature>,
    /// Those of the libraries that are loaded only when first called (PE delay imports, Mach-O lazy and weak loads).
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub delayed_libraries: BTreeSet<String>,
    /// Those of the libraries from which no symbol is bound, where symbols name their library (Mach-O, two-level namespace).
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub unused_libraries: BTreeSet<String>,
    /// Exports that lead to another library (PE forwarders, as `LIBRARY.symbol`; Mach-O re-exported libraries by
    /// their path).
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub forwarders: BTreeMap<String, String>,
    /// PE resources, in the order of the tree.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub resources: Vec<Resource>,
    /// PE version-info strings: `CompanyName`, `OriginalFilename`, `ProductVersion`, ….
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub version_info: BTreeMap<String, String>,
    /// PE manifest `requestedExecutionLevel`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub execution_level: Option<String>,
    /// Digest of the decoded PE rich header: which tools made the objects.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rich_digest: Option<Digest>,
    /// PE linker version, as `major.minor`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub linker: Option<String>,
    /// Path of the debug file that the linker wrote (PE PDB, ELF `.gnu_debuglink`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub debug_path: Option<String>,
    /// PE header `TimeDateStamp`: seconds since 1970, or a hash in reproducible builds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timestamp: Option<u32>,
    /// The timestamp is a digest of the content: the linker was asked for reproducible output
    /// (`IMAGE_DEBUG_TYPE_REPRO`).
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub timestamp_is_digest: bool,
    /// Where execution begins.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub entry: Option<Entry>,
    /// Code that runs before the entry point, by place, in entries: `tls-callbacks`, `.init_array`, `.ctors`,
    /// `__mod_init_func`, ….
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub initializers: BTreeMap<String, u64>,
    /// How many initialisers lie where none is: TLS callbacks outside every code section; entries of ELF arrays that reach into
    /// another section, and a `DT_INIT` that is not the begin of `.init`; those of Mach-O in no section of what can be executed.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub initializers_outside_code: u64,
    /// Segments (ELF, Mach-O) or sections (PE) mapped writable and executable at once.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub writable_code_segments: u64,
    /// Segments that are loaded from the file to be executed (ELF, Mach-O), whatever the sections in them say.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub code_segments: u64,
    /// Flags of the CLR header (`il-only`, `native-entry`, `strong-name-signed`, …) where the image has one
    /// (ECMA-335, II.25.3.3).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub managed: Option<BTreeSet<String>>,
    /// Members of other assemblies that reach out of the program ([`crate::references`]), as `Assembly!Namespace.Type.Member` (.NET).
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub references: BTreeSet<String>,
    /// Names of symbols of type `STT_GNU_IFUNC`: a function of the image chooses their address at load time.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub indirect_functions: BTreeSet<String>,
    /// Relocations that call such a function (`R_*_IRELATIVE`).
    #[serde(skip_serializing_if = "is_zero", default)]
    pub indirect_relocations: u64,
    /// Functions of libraries for which an ELF image has two slots, where linkers make one: a slot of another function was bound to them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub doubled_slots: BTreeSet<String>,
    /// Symbol versions needed of libraries, as `library:VERSION` (ELF `.gnu.version_r`).
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub symbol_versions: BTreeSet<String>,
    /// Compilers that left their name (ELF `.comment`).
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub compilers: BTreeSet<String>,
    /// Bytes between the parts of the file that the headers account for, neither zero nor filling of one byte.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub unaccounted_nonzero_bytes: u64,
    /// Bytes of code behind the last function that the table of functions lists (PE and ELF of x86-64), without filling and thunks.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub unlisted_code_bytes: u64,
    /// How many functions return or leave with their first instructions although more code of theirs follows (x86-64 and AArch64); no
    /// more than a thousand are counted.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub cut_functions: u64,
    /// The first few of them, by name or address: what each does.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub cut_places: BTreeMap<String, String>,
}

/// One section of an executable.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Its name, as far as it is text.
    pub name: String,
    /// Bytes in the file.
    pub size: u64,
    /// Digest of those bytes.
    pub digest: Digest,
    /// Shannon entropy in thousandths of a bit per byte, 0 to 8000.
    pub entropy_millibits: u32,
    /// Mapped writable.
    pub writable: bool,
    /// Mapped executable.
    pub executable: bool,
    /// Non-zero bytes in the file behind the part that is mapped (PE: beyond `VirtualSize`).
    #[serde(skip_serializing_if = "is_zero", default)]
    pub slack_nonzero_bytes: u64,
}

/// Where execution of an image begins.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Address, relative to the image base for PE.
    pub address: u64,
    /// The section in which it lies; absent if in none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub section: Option<String>,
    /// The first bytes there, at most sixteen, hexadecimal.
    pub bytes: String,
}

/// One leaf of the resource tree of a PE image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// `type/name/language`: numbers, or names where the tree has them; well-known types by name.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Digest of those bytes.
    pub digest: Digest,
    /// Shannon entropy in thousandths of a bit per byte, 0 to 8000.
    pub entropy_millibits: u32,
    /// What the bytes are, in one word, as of a member; empty if nothing says.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub kind: String,
}

impl Resource {
    /// The kind of a Windows image each byte of which was combined with the same one by exclusive or.
    pub const MASKED_PROGRAM: &str = "masked-program";
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
