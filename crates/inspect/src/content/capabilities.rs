//! The capability table: what code can do, by its imports and strings. Data with a test for each rule.
//!
//! A capability says nothing by itself: browsers start processes and compilers load libraries. `judge` asks which are
//! new, and what else changed in the same file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use evidence::imports;
use evidence::tree::Executable;

/// Where a literal is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum In {
    /// Names of imported symbols, without decoration.
    Imports,
    /// Texts and scripts.
    Text,
    /// Everywhere, and in UTF-16 as well.
    Wide,
}

/// One rule: at least one literal of each group must be there.
struct Rule {
    name: &'static str,
    place: In,
    groups: &'static [&'static [&'static str]],
}

const fn rule(name: &'static str, place: In, groups: &'static [&'static [&'static str]]) -> Rule {
    Rule { name, place, groups }
}

const RULES: &[Rule] = &[
    rule(
        "process-start/import",
        In::Imports,
        &[&[
            "CreateProcess",
            "CreateProcessAsUser",
            "ShellExecute",
            "ShellExecuteEx",
            "execve",
            "execv",
            "execvp",
            "execl",
            "execlp",
            "posix_spawn",
            "posix_spawnp",
            "system",
            "popen",
            "wpopen",
            "wsystem",
        ]],
    ),
    rule(
        "process-start/script",
        In::Text,
        &[&[
            "child_process",
            "subprocess.",
            "os.system(",
            "os.popen(",
            "os.exec",
            "pty.spawn",
            "getRuntime().exec",
            "ProcessBuilder(",
            "Start-Process",
            "shell_exec(",
            "WScript.Shell",
            "Process.Start(",
            "process::Command",
        ]],
    ),
    rule(
        "process-start/pipe-to-shell",
        In::Text,
        &[&["curl ", "wget "], &["| sh", "|sh", "| bash", "|bash", "| node", "| python"]],
    ),
    rule(
        "network/import",
        In::Imports,
        &[&[
            "connect",
            "WSAConnect",
            "InternetOpen",
            "InternetOpenUrl",
            "InternetConnect",
            "HttpOpenRequest",
            "HttpSendRequest",
            "WinHttpOpen",
            "WinHttpConnect",
            "WinHttpSendRequest",
            "DnsQuery_",
            "DnsQuery",
            "curl_easy_perform",
            "res_query",
        ]],
    ),
    rule(
        "network/script",
        In::Text,
        &[&[
            "require('http",
            "require(\"http",
            "require('net')",
            "require(\"net\")",
            "urllib.request",
            "requests.get(",
            "requests.post(",
            "http.client",
            "socket.socket(",
            "Invoke-WebRequest",
            "Net.WebClient",
            "XMLHttpRequest",
            "/dev/tcp/",
            "axios.",
            "node:http",
            "urlopen(",
            "node:https",
            "socket.create_connection",
            "TcpStream::connect",
            "reqwest::",
            "ureq::",
            "net/http'",
            "open-uri'",
            " -d @-",
        ]],
    ),
    rule(
        "crypto/import",
        In::Imports,
        &[&[
            "CryptEncrypt",
            "CryptDecrypt",
            "BCryptEncrypt",
            "BCryptDecrypt",
            "NCryptDecrypt",
            "EVP_DecryptInit_ex",
            "CCCrypt",
        ]],
    ),
    rule(
        "crypto/script",
        In::Text,
        &[&["createDecipheriv", "createCipheriv", "Fernet(", "AES.new(", "CryptoJS.AES"]],
    ),
    rule(
        "persistence/import",
        In::Imports,
        &[&["ChangeServiceConfig", "SMJobBless", "LSSharedFileListInsertItemURL"]],
    ),
    rule(
        "persistence/place",
        In::Wide,
        &[&[
            "CurrentVersion\\Run",
            "Library/LaunchAgents",
            "Library/LaunchDaemons",
            "/etc/cron.d",
            "/etc/ld.so.preload",
            "\\Startup\\",
        ]],
    ),
    rule(
        "persistence/script",
        In::Text,
        &[&[
            "schtasks ",
            "crontab ",
            "systemctl enable",
            "/etc/rc.local",
            "authorized_keys",
            ".config/autostart",
            "launchctl load",
            ".bashrc",
            ".config/systemd/user",
            ".bash_profile",
            ".zshrc",
            ".zprofile",
            ".git/hooks",
            "core.hooksPath",
            "/etc/profile.d",
            "reg add ",
            "New-ScheduledTask",
            "Register-ScheduledTask",
            ".claude/settings",
            ".vscode/tasks.json",
            ".github/workflows",
        ]],
    ),
    rule(
        "credential-access/import",
        In::Imports,
        &[&[
            "CredEnumerate",
            "CredRead",
            "LsaEnumerateLogonSessions",
            "SamIConnect",
            "SecKeychainFindGenericPassword",
            "SecItemCopyMatching",
            "NtlmGetUserInfo",
        ]],
    ),
    rule(
        "credential-access/place",
        In::Wide,
        &[&[
            "\\Login Data",
            "/Login Data",
            "logins.json",
            ".aws/credentials",
            ".ssh/id_",
            "wallet.dat",
            "Local Extension Settings",
            "\\Local State",
            "Telegram Desktop/tdata",
            // The identifier of a browser's wallet.
            "nkbihfbeogaeaoehlefnkodbefgpgknn",
            "Ethereum/keystore",
            ".electrum/wallets",
        ]],
    ),
    rule(
        "credential-access/script",
        In::Text,
        &[&[
            ".npmrc",
            ".pypirc",
            "_authToken",
            "AWS_SECRET_ACCESS_KEY",
            ".git-credentials",
            ".docker/config.json",
            "169.254.169.254",
            "NPM_TOKEN",
            "GITHUB_TOKEN",
            "trufflehog",
            "toJSON(secrets)",
            "id_ed25519",
            "id_rsa",
            ".kube/config",
            ".config/gcloud",
            ".netrc",
            "/etc/shadow",
            "metadata.google.internal",
            "ACTIONS_ID_TOKEN_REQUEST",
            "VAULT_TOKEN",
        ]],
    ),
    rule(
        "anti-analysis/import",
        In::Imports,
        &[&[
            "CheckRemoteDebuggerPresent",
            "NtQueryInformationProcess",
            "ZwQueryInformationProcess",
            "NtSetInformationThread",
        ]],
    ),
    rule(
        "anti-analysis/place",
        In::Wide,
        &[&[
            "SbieDll.dll",
            "VBoxGuest",
            "vmtoolsd",
            "VBoxService",
            "TracerPid",
            "procmon.exe",
            "wireshark.exe",
        ]],
    ),
    rule(
        "decode-and-run/powershell",
        In::Text,
        &[
            &["powershell", "pwsh"],
            &[
                " -enc ",
                "'-enc'",
                "\"-enc\"",
                " -EncodedCommand ",
                "'-EncodedCommand'",
                "\"-EncodedCommand\"",
                " -encodedcommand ",
                "'-encodedcommand'",
            ],
        ],
    ),
    rule(
        "decode-and-run/constructor",
        In::Text,
        &[&[
            "['constructor'](",
            "[\"constructor\"](",
            ".constructor.constructor(",
            "['constructor']['constructor'](",
        ]],
    ),
    rule(
        "obfuscation/reversed",
        In::Text,
        &[&[
            "ssecorp_dlihc",
            "ssecorpbus",
            "metsys.so",
            "llehsrewop",
            "__tropmi__",
            "(lave'",
            "'lave'",
            "'cexe'",
            "\"lave\"",
            "\"cexe\"",
            "cnySecexe",
            "//:sptth",
        ]],
    ),
    // What base64 makes of words that nobody needs to hide, and what hexadecimal digits make of them.
    rule(
        "obfuscation/encoded-word",
        In::Text,
        &[&[
            "'aHR0c",
            "\"aHR0c",
            "'d3NzOi8v",
            "\"d3NzOi8v",
            "'d3M6Ly",
            "\"d3M6Ly",
            "'68747470",
            "\"68747470",
            "'ZXZhbA==",
            "\"ZXZhbA==",
            "Y2hpbGRfcHJvY2Vzc",
            "c3VicHJvY2Vzc",
            "X19pbXBvcnRfX",
            "cG93ZXJzaGVsb",
            "L2Jpbi9zaA",
            "L2Jpbi9iYXNo",
            "aW1wb3J0IG9z",
            "b3Muc3lzdGVt",
            "6368696c645f70726f63657373",
            "73756270726f63657373",
        ]],
    ),
    rule(
        "input-capture/script",
        In::Text,
        &[&[
            "GetAsyncKeyState",
            "SetWindowsHookEx",
            "pynput",
            "keyboard.on_press",
            "ImageGrab.grab(",
            "pyautogui.screenshot(",
        ]],
    ),
    rule(
        "decode-and-run/indirect",
        In::Text,
        &[&["(0, Function)(", "(0,Function)(", "(0, eval)(", "(0,eval)("]],
    ),
    rule(
        "obfuscation/way-round",
        In::Text,
        &[&[
            "process.mainModule.require",
            "mainModule.constructor._load",
            "module.constructor._load",
            "process.mainModule.constructor",
            "getBuiltinModule(",
        ]],
    ),
    rule(
        "drops-and-runs/script",
        In::Text,
        &[
            &["include_bytes!("],
            &["fs::write(", "File::create("],
            &["Command::new(", "dlopen(", "libloading", "Library::new("],
        ],
    ),
    rule(
        "wallets/script",
        In::Text,
        &[&[
            "0x[a-fA-F0-9]{40}",
            "0x[0-9a-fA-F]{40}",
            "window.ethereum",
            "[a-km-zA-HJ-NP-Z1-9]{25,",
            "[A-HJ-NP-Za-km-z]{33}",
            "eth_sendTransaction",
            "stratum+tcp",
        ]],
    ),
    rule("code-injection/import", In::Imports, &[&["thread_create_running"]]),
    rule(
        "code-in-memory/import",
        In::Imports,
        &[&[
            "VirtualProtect",
            "VirtualProtectEx",
            "NtProtectVirtualMemory",
            "mprotect",
            "mach_vm_protect",
            "NSLinkModule",
        ]],
    ),
    rule(
        "dynamic-loading/import",
        In::Imports,
        &[&["LoadLibrary", "LoadLibraryEx", "LdrLoadDll", "LdrGetProcedureAddress", "dlopen", "dlmopen"]],
    ),
    rule(
        "reads-siblings/import",
        In::Imports,
        &[&["GetModuleFileName", "_NSGetExecutablePath", "NSGetExecutablePath"]],
    ),
    rule(
        "code-in-memory/script",
        In::Text,
        &[&["RtlMoveMemory", "VirtualAlloc", "PROT_EXEC", "memfd_create", "CreateRemoteThread"]],
    ),
    rule("process-start/class", In::Wide, &[&["java/lang/ProcessBuilder", "java/lang/Runtime"]]),
    // Whole constants, by their lengths (JVMS 4.4.7): `RuntimeException` and `executor` are others.
    rule(
        "process-start/jvm",
        In::Wide,
        &[&["\u{11}java/lang/Runtime", "\u{18}java/lang/ProcessBuilder"], &["\u{4}exec", "\u{5}start"]],
    ),
    rule("fetch-and-run/jvm", In::Wide, &[&["javax/naming/InitialContext", "javax/script/ScriptEngine"]]),
    rule(
        "drops-and-runs/jvm",
        In::Wide,
        &[&["\u{e}createTempFile"], &["\u{10}java/lang/System", "\u{11}java/lang/Runtime"], &["\u{4}load"]],
    ),
    // Classes that are made of bytes, or loaded from elsewhere.
    rule("code-in-memory/jvm", In::Wide, &[&["\u{17}java/net/URLClassLoader", "\u{b}defineClass"]]),
    rule("network/class", In::Wide, &[&["java/net/URL", "java/net/Socket", "java/net/http/"]]),
    rule(
        "decode-and-run/script",
        In::Text,
        &[
            &[
                "atob(",
                "b64decode(",
                "'base64')",
                "\"base64\")",
                "fromCharCode",
                "zlib.decompress(",
                "marshal.loads(",
                "bytes.fromhex(",
                "'hex')",
                "\"hex\")",
                "unescape(",
                "FromBase64String",
                "base64 -d",
                "base64 --decode",
            ],
            &[
                "eval(",
                " exec(",
                "\nexec(",
                ";exec(",
                "new Function(",
                "vm.runIn",
                "Invoke-Expression",
                "IEX(",
                "IEX (",
                "child_process",
                "| sh",
                "| bash",
                "|bash",
                "os.system(",
                "subprocess.",
            ],
        ],
    ),
    rule(
        "environment-sweep/script",
        In::Text,
        &[
            &[
                "JSON.stringify(process.env",
                "dict(os.environ",
                "os.environ.copy()",
                "Object.entries(process.env",
                "os.environ.items()",
            ],
            &["://", "import socket", "fetch("],
        ],
    ),
];

/// Which literals were found: by number, over all rules and groups.
#[derive(Default)]
pub(super) struct Found(BTreeSet<usize>);

impl Found {
    pub(super) fn add(&mut self, groups: &[usize]) {
        self.0.extend(groups);
    }
}

/// A group's number: rules have at most this many.
const GROUPS_MAX: usize = 8;

/// Returns the literals to look for in texts or in other bytes, with the groups that each fulfils.
pub(super) fn needles(text: bool) -> BTreeMap<Vec<u8>, Vec<usize>> {
    let mut needles: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    for (index, rule) in RULES.iter().enumerate() {
        let wanted = match rule.place {
            In::Imports => false,
            In::Text => text,
            In::Wide => true,
        };
        for (number, group) in rule.groups.iter().enumerate().filter(|_| wanted) {
            for literal in *group {
                let number = index * GROUPS_MAX + number;
                needles.entry(literal.as_bytes().to_vec()).or_default().push(number);
                if rule.place == In::Wide && !text {
                    let wide = literal.encode_utf16().flat_map(u16::to_le_bytes).collect();
                    needles.entry(wide).or_default().push(number);
                }
            }
        }
    }
    needles
}

/// The words of texts that each suffice for a capability of a family.
pub(super) fn words(family: &str) -> impl Iterator<Item = &'static str> {
    let rules = RULES.iter().filter(move |rule| rule.place != In::Imports && rule.name.starts_with(family));
    rules.filter(|rule| rule.groups.len() == 1).flat_map(|rule| rule.groups[0].iter().copied())
}

/// Looks the imports of images up.
pub(super) fn of_imports(images: &[Executable]) -> Found {
    static NAMES: LazyLock<BTreeMap<&str, usize>> = LazyLock::new(|| {
        let rules = RULES.iter().enumerate().filter(|(_, rule)| rule.place == In::Imports);
        rules
            .flat_map(|(index, rule)| {
                let grave = imports::GRAVE.iter().filter(|(of, _)| *of == rule.name);
                let names = rule.groups[0].iter().chain(grave.flat_map(|(_, names)| names.iter()));
                names.map(move |name| (*name, index * GROUPS_MAX))
            })
            .collect()
    });
    let mut found = Found::default();
    for import in images.iter().flat_map(|image| &image.imports) {
        for candidate in imports::plain(import) {
            if let Some(group) = NAMES.get(candidate) {
                found.add(&[*group]);
            }
        }
    }
    found
}

/// Names the rules of which every group was found.
pub(super) fn fulfilled(found: &Found) -> BTreeSet<String> {
    let rules = RULES.iter().enumerate().filter(|(index, rule)| {
        (0..rule.groups.len()).all(|number| found.0.contains(&(index * GROUPS_MAX + number)))
    });
    rules.map(|(_, rule)| rule.name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::scan;
    use super::*;

    fn of_bytes(bytes: &[u8], text: bool) -> BTreeSet<String> {
        let mut found = Found::default();
        scan::literals(bytes, 0, 0, text, &mut Vec::new(), &mut found);
        fulfilled(&found)
    }

    #[test]
    fn each_literal_of_each_rule_is_found_and_no_group_suffices_alone() {
        for rule in RULES {
            assert!(rule.groups.len() <= GROUPS_MAX);
            for literal in rule.groups.iter().flat_map(|group| *group) {
                // One literal of every group, this one among them, each on a line of its own.
                let all: Vec<&str> = rule
                    .groups
                    .iter()
                    .map(|group| if group.contains(literal) { *literal } else { group[0] })
                    .collect();
                let text = all.join("\n.\n");
                let found = match rule.place {
                    In::Imports => fulfilled(&of_imports(&[Executable {
                        imports: [format!("K.dll!{literal}W")].into(),
                        ..Executable::default()
                    }])),
                    In::Text => of_bytes(text.as_bytes(), true),
                    In::Wide => of_bytes(text.as_bytes(), false),
                };
                assert!(found.contains(rule.name), "{}: {literal:?} gives {found:?}", rule.name);
                if rule.place == In::Wide {
                    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
                    assert!(of_bytes(&wide, false).contains(rule.name), "{}: wide {literal:?}", rule.name);
                }
                if rule.groups.len() > 1 {
                    assert!(!of_bytes(literal.as_bytes(), true).contains(rule.name), "{}", rule.name);
                }
            }
        }
    }

    #[test]
    fn innocent_names_have_no_capability() {
        let imports = ["KERNEL32.dll!HeapAlloc", "_malloc", "free@GLIBC_2.2.5", "disconnect", "systematic"];
        let image =
            Executable { imports: imports.map(str::to_owned).into_iter().collect(), ..Executable::default() };
        assert_eq!(fulfilled(&of_imports(&[image])), BTreeSet::new());
        assert_eq!(of_bytes(b"let medieval = evaluate(1); // executive", true), BTreeSet::new());
    }
}
