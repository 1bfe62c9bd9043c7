//! The words by which it is told what a source does, by language: data. Their tests are in [`super`].

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind, packed};

use super::super::capabilities;

/// So many patterns are found at a time by vector instructions.
const PACKED_MAX: usize = 32;

/// One family of what may happen, and the words that tell it.
struct Family {
    name: &'static str,
    words: &'static [&'static [u8]],
}

const PYTHON: &[Family] = &[
    Family {
        name: "process start",
        words: &[
            b"subprocess.run(",
            b"subprocess.call(",
            b"subprocess.check_call(",
            b"subprocess.check_output(",
            b"subprocess.getoutput(",
            b"Popen(",
            b"check_output(",
            b"check_call(",
            b"os.system(",
            b".system('",
            b".system(\"",
            b"os.popen(",
            b"os.execv",
            b"os.execl",
            b"os.spawn",
            b"pty.spawn(",
            b"os.startfile(",
            b"os.posix_spawn",
            b"create_subprocess_",
        ],
    },
    Family {
        name: "network",
        words: &[
            b"urlopen(",
            b"urlretrieve(",
            b"requests.get(",
            b"requests.post(",
            b"requests.request(",
            b"HTTPSConnection(",
            b"HTTPConnection(",
            b"socket.socket(",
            b"create_connection(",
            b"gethostbyname(",
            b"getaddrinfo(",
            b"httpx.get(",
            b"httpx.post(",
            b"PoolManager(",
            b"aiohttp.ClientSession(",
            b"websockets.connect(",
            b"smtplib.SMTP",
            b"ftplib.FTP",
        ],
    },
    Family {
        name: "run text",
        words: &[
            b"exec(",
            b"eval(",
            b"marshal.loads(",
            b"__import__(",
            b"__pyarmor__(",
            b"\"exec\")",
            b"'exec')",
        ],
    },
    Family {
        name: "interception",
        words: &[
            b"sys.meta_path.insert(",
            b"sys.meta_path.append(",
            b"sys.meta_path =",
            b"builtins.__import__ =",
            b"sys.settrace(",
            b"sys.setprofile(",
        ],
    },
    Family {
        name: "library",
        words: &[b"ctypes.CDLL(", b"ctypes.PyDLL(", b"cdll.LoadLibrary(", b"ctypes.WinDLL("],
    },
    Family { name: "removal", words: &[b"shutil.rmtree(", b"os.remove(", b"os.unlink(", b"os.rmdir("] },
    Family { name: "environment", words: &[b"os.environ.items(", b"dict(os.environ", b"os.environ.copy("] },
];

const JAVASCRIPT: &[Family] = &[
    Family {
        name: "process start",
        words: &[
            b"execSync(",
            b"spawn(",
            b"spawnSync(",
            b"execFile(",
            b"execFileSync(",
            b"child_process').exec(",
            b"child_process\").exec(",
            b"exec(",
            b"process.binding(",
        ],
    },
    Family {
        name: "network",
        words: &[
            b"fetch(",
            b"http.get(",
            b"https.get(",
            b"http.request(",
            b"https.request(",
            b"'https').get(",
            b"'http').get(",
            b"'https').request(",
            b"'http').request(",
            b"\"https\").get(",
            b"\"http\").get(",
            b"\"https\").request(",
            b"\"http\").request(",
            b"net.connect(",
            b"net.createConnection(",
            b"'net').connect(",
            b"tls.connect(",
            b"dns.lookup(",
            b"dns.resolve",
            b"'dns').lookup(",
            b"'dns').resolve",
            b"new WebSocket(",
            b"new XMLHttpRequest",
            b"sendBeacon(",
            b"axios.get(",
            b"axios.post(",
            b"axios(",
            b"$.ajax(",
            b"jQuery.ajax(",
            b"new Image",
            b"importScripts(",
        ],
    },
    Family {
        name: "run text",
        words: &[
            b"eval(",
            b"new Function(",
            b"Function(",
            b"vm.runIn",
            b"'vm').runIn",
            b"\"vm\").runIn",
            b"_compile(",
            b"setTimeout('",
            b"setTimeout(\"",
            b"setTimeout(Buffer",
            b"setTimeout(atob",
        ],
    },
    Family { name: "library", words: &[b"process.dlopen("] },
    Family {
        name: "interception",
        words: &[
            b"XMLHttpRequest.prototype.",
            b"window.fetch =",
            b"window.fetch=",
            b"globalThis.fetch =",
            b"globalThis.fetch=",
            b"global.fetch =",
            b"window.ethereum",
            b"Module._load =",
            b"Module.prototype.require =",
        ],
    },
    Family {
        name: "page script",
        words: &[b"createElement('script')", b"createElement(\"script\")", b"document.write("],
    },
    Family {
        name: "input",
        words: &[b"Listener('key", b"Listener(\"key", b"onkeyup =", b"onkeydown =", b"onkeypress ="],
    },
    Family { name: "removal", words: &[b"rmSync(", b"unlinkSync(", b"rmdirSync(", b"fs.rm("] },
    Family {
        name: "environment",
        words: &[b"JSON.stringify(process.env", b"Object.entries(process.env", b"Object.keys(process.env"],
    },
];

/// Build scripts and macros of a crate run whole, for they are programs of whoever builds.
const RUST: &[Family] = &[
    Family {
        name: "process start",
        words: &[
            b"Command::new(\"sh\")",
            b"Command::new(\"/bin/sh\")",
            b"Command::new(\"bash\")",
            b"Command::new(\"/bin/bash\")",
            b"Command::new(\"curl\")",
            b"Command::new(\"wget\")",
            b"Command::new(\"cmd\")",
            b"Command::new(\"cmd.exe\")",
            b"Command::new(\"powershell\")",
            b"Command::new(\"powershell.exe\")",
            b"Command::new(\"python\")",
            b"Command::new(\"python3\")",
            b"Command::new(\"node\")",
        ],
    },
    Family {
        name: "network",
        words: &[
            b"TcpStream::connect",
            b"UdpSocket::bind",
            b"ToSocketAddrs",
            b"ureq::",
            b"reqwest::",
            b"minreq::",
            b"attohttpc::",
        ],
    },
    Family { name: "environment", words: &[b"env::vars()", b"env::vars_os()"] },
    Family { name: "constructor", words: CONSTRUCTORS },
];

/// What lets a function of a library run before its program ("ELF initialisers", and their likes of other systems).
pub(super) const CONSTRUCTORS: &[&[u8]] = &[b"#[ctor", b"\".init_array", b"__mod_init_func", b".CRT$XCU"];

/// Families of the capability table whose words say the same in any language.
const PLACES: &[(&str, &str)] = &[("persistence/", "persistence"), ("credential-access/", "credentials")];

pub(super) struct Words {
    /// Whether there is any of them is asked of most sources: by vector instructions, where the processor has them.
    packed: Vec<packed::Searcher>,
    pub(super) machine: AhoCorasick,
    pub(super) families: Vec<(&'static str, &'static [u8])>,
}

impl Words {
    #[expect(clippy::expect_used, reason = "fixed lists")]
    fn of(families: &'static [Family]) -> Self {
        let own = families.iter().flat_map(|family| family.words.iter().map(|word| (family.name, *word)));
        let places = PLACES
            .iter()
            .flat_map(|(prefix, name)| capabilities::words(prefix).map(move |word| (*name, word.as_bytes())));
        let families: Vec<_> = own.chain(places).collect();
        let words = families.iter().map(|(_, word)| *word);
        let machine = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(words);
        let parts = families.chunks(PACKED_MAX);
        let packed: Option<Vec<packed::Searcher>> =
            parts.map(|part| packed::Searcher::new(part.iter().map(|(_, word)| *word))).collect();
        Self { packed: packed.unwrap_or_default(), machine: machine.expect("the table is small"), families }
    }

    pub(super) fn are_in(&self, bytes: &[u8]) -> bool {
        match &self.packed[..] {
            [] => self.machine.is_match(bytes),
            parts => parts.iter().any(|part| part.find(bytes).is_some()),
        }
    }
}

pub(super) static WORDS: LazyLock<[Words; 3]> = LazyLock::new(|| [PYTHON, JAVASCRIPT, RUST].map(Words::of));
