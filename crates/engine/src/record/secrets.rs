//! Keeps secrets out of records: environment values by allow-list, arguments by what the environment gives away, by the flag before
//! them, and by the form of well-known tokens.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use evidence::record::Variable;
use evidence::{BytePath, Event, Hasher};

/// Variables whose values are kept. Everything else is kept as a salted digest only.
const ALLOWED: &[&str] = &[
    "AR",
    "ARCH",
    "AS",
    "CARGO_BUILD_TARGET",
    "CARGO_HOME",
    "CARGO_INCREMENTAL",
    "CARGO_PROFILE_RELEASE_LTO",
    "CARGO_TARGET_DIR",
    "CC",
    "CFLAGS",
    "CI",
    "CPP",
    "CPPFLAGS",
    "CROSS_COMPILE",
    "CXX",
    "CXXFLAGS",
    "DESTDIR",
    "GOARCH",
    "GOFLAGS",
    "GOOS",
    "GOPATH",
    "GOPROXY",
    "HOME",
    "JAVA_HOME",
    "LANG",
    "LANGUAGE",
    "LD",
    "LDFLAGS",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LOGNAME",
    "MAKE",
    "MAKEFLAGS",
    "NM",
    "NODE_ENV",
    "NODE_OPTIONS",
    "OLDPWD",
    "PATH",
    "PKG_CONFIG_PATH",
    "PREFIX",
    "PWD",
    "PYTHONHASHSEED",
    "PYTHONPATH",
    "RANLIB",
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "SHELL",
    "SHLVL",
    "SOURCE_DATE_EPOCH",
    "STRIP",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "VERSION",
];

/// Never given to a child: it opens our keys.
pub(crate) const PASSPHRASE: &str = "COUNTERSIGN_PASSPHRASE";

/// Names that say that their value is a secret, in upper case.
const SECRET_WORDS: &[&str] =
    &["TOKEN", "SECRET", "PASSW", "PASSPHRASE", "KEY", "CREDENTIAL", "AUTH", "COOKIE", "PRIVATE", "SESSION"];

/// Values shorter than this are not searched for in arguments: they would hit by accident.
const SECRET_MIN_BYTES: usize = 6;

/// How tokens of well-known issuers begin, and how many bytes follow at least (the issuers' own documentation of their forms, by which
/// secret scanners find them).
const TOKENS: &[(&[u8], usize)] = &[
    (b"AIza", 30),
    (b"AKIA", 16),
    (b"ASIA", 16),
    (b"SG.", 30),
    (b"dckr_pat_", 20),
    (b"eyJ", 60),
    (b"gho_", 36),
    (b"ghp_", 36),
    (b"ghr_", 36),
    (b"ghs_", 36),
    (b"ghu_", 36),
    (b"github_pat_", 40),
    (b"glpat-", 20),
    (b"hvs.", 24),
    (b"npm_", 36),
    (b"pypi-AgE", 40),
    (b"rubygems_", 40),
    (b"sk-ant-", 40),
    (b"sk_live_", 20),
    (b"xoxb-", 20),
    (b"xoxp-", 20),
    (b"ya29.", 30),
];

/// Removes secrets from what is recorded.
pub(crate) struct Redactor {
    values: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Redactor {
    /// Learns the secrets of an environment.
    pub(crate) fn new(environment: &[(OsString, OsString)]) -> Self {
        let mut values: Vec<(Vec<u8>, Vec<u8>)> = environment
            .iter()
            .filter(|(name, value)| is_secret(name) && value.len() >= SECRET_MIN_BYTES)
            .map(|(name, value)| {
                let mark = [b"[value of ".as_slice(), name.as_bytes(), b"]"].concat();
                (value.as_bytes().to_vec(), mark)
            })
            .collect();
        // The longest first, so that a secret within a secret does not leave the rest standing.
        values.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        Self { values }
    }

    /// Cleans the arguments of a command.
    pub(crate) fn arguments(&self, arguments: &[BytePath]) -> Vec<BytePath> {
        let mut after_flag = false;
        arguments
            .iter()
            .map(|argument| {
                let cleaned = self.argument(argument.as_bytes(), after_flag);
                after_flag = !argument.as_bytes().contains(&b'=') && is_secret_flag(argument.as_bytes());
                BytePath::new(cleaned)
            })
            .collect()
    }

    /// Cleans an event in place.
    pub(crate) fn event(&self, event: &mut Event) {
        if !event.arguments.is_empty() {
            event.arguments = self.arguments(&event.arguments);
        }
        if !event.environment.is_empty() {
            event.environment = self.arguments(&event.environment);
        }
    }

    fn argument(&self, argument: &[u8], after_flag: bool) -> Vec<u8> {
        if after_flag && !argument.starts_with(b"-") {
            return b"[secret argument]".to_vec();
        }
        if let Some(equals) = argument.iter().position(|byte| *byte == b'=')
            && is_secret_flag(&argument[..equals])
        {
            return [&argument[..=equals], b"[secret argument]"].concat();
        }
        let mut cleaned = without_tokens(&without_userinfo(argument));
        for (value, mark) in &self.values {
            cleaned = replace(&cleaned, value, mark);
        }
        cleaned
    }
}

/// Writes down an environment: allowed values, digests of the rest.
pub(crate) fn environment(environment: &[(OsString, OsString)], salt: &[u8]) -> Vec<Variable> {
    let mut variables: Vec<Variable> = environment
        .iter()
        .map(|(name, value)| {
            let named = BytePath::from(name.as_bytes());
            if is_allowed(name) {
                let value = BytePath::new(without_userinfo(value.as_bytes()));
                return Variable { name: named, value: Some(value), salted_digest: None };
            }
            let mut hasher = Hasher::new();
            for part in [salt, name.as_bytes(), b"=", value.as_bytes()] {
                hasher.update(part);
            }
            Variable { name: named, value: None, salted_digest: Some(hasher.finish()) }
        })
        .collect();
    variables.sort_by(|a, b| a.name.cmp(&b.name));
    variables
}

fn is_allowed(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| ALLOWED.binary_search(&name).is_ok() || name.starts_with("LC_"))
}

fn is_secret(name: &OsStr) -> bool {
    let upper = name.as_bytes().to_ascii_uppercase();
    !is_allowed(name) && SECRET_WORDS.iter().any(|word| contains(&upper, word.as_bytes()))
}

fn is_secret_flag(argument: &[u8]) -> bool {
    let name = argument.to_ascii_uppercase();
    argument.starts_with(b"-")
        && ["TOKEN", "SECRET", "PASSWORD", "PASSPHRASE", "API-KEY", "APIKEY"]
            .iter()
            .any(|word| name.ends_with(word.as_bytes()))
}

/// Removes `user:password@` from URLs.
fn without_userinfo(text: &[u8]) -> Vec<u8> {
    let Some(scheme) = find(text, b"://") else { return text.to_vec() };
    let rest = &text[scheme + 3..];
    let authority =
        rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#' | b' ')).unwrap_or(rest.len());
    let Some(at) = rest[..authority].iter().rposition(|byte| *byte == b'@') else {
        return [&text[..scheme + 3], &without_userinfo(rest)[..]].concat();
    };
    [&text[..scheme + 3], b"[userinfo]@", &without_userinfo(&rest[at + 1..])[..]].concat()
}

/// Removes tokens that are known by their form; they begin where a word does.
fn without_tokens(text: &[u8]) -> Vec<u8> {
    let of_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(first) = text.get(at) {
        let rest = &text[at..];
        let starts = at == 0 || !text[at - 1].is_ascii_alphanumeric();
        let known = TOKENS.iter().find(|(prefix, _)| starts && rest.starts_with(prefix));
        let length = known.map(|(prefix, tail)| {
            (rest.iter().take_while(|byte| of_word(byte)).count(), prefix.len() + tail)
        });
        match length {
            Some((length, least)) if length >= least => {
                out.extend_from_slice(b"[token]");
                at += length;
            }
            _ => {
                out.push(*first);
                at += 1;
            }
        }
    }
    out
}

fn replace(text: &[u8], value: &[u8], mark: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = find(rest, value) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(mark);
        rest = &rest[at + value.len()..];
    }
    out.extend_from_slice(rest);
    out
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    find(text, part).is_some()
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn the_allow_list_is_sorted() {
        assert!(ALLOWED.is_sorted(), "binary search needs it");
    }

    #[test]
    fn only_allowed_values_are_written() {
        let given =
            variables(&[("PATH", "/bin"), ("NPM_TOKEN", "npm_12345678"), ("LC_ALL", "C"), ("WHATEVER", "x")]);
        let written = environment(&given, b"salt");
        let text = String::from_utf8(evidence::wire::canonical(&written)).unwrap();
        assert!(text.contains("/bin") && text.contains("LC_ALL"));
        assert!(!text.contains("npm_12345678"));
        assert_eq!(written.iter().filter(|variable| variable.salted_digest.is_some()).count(), 2);
        assert_ne!(written, environment(&given, b"other salt"), "digests are of no use without the salt");
    }

    #[test]
    fn secrets_do_not_come_back_through_arguments() {
        let redactor = Redactor::new(&variables(&[("NPM_TOKEN", "npm_12345678"), ("SHORT_KEY", "ab")]));
        let given: Vec<BytePath> = [
            "curl",
            "-H",
            "Bearer npm_12345678",
            "https://me:pw@host/a@b",
            "--password",
            "x1",
            "--api-key=k",
            "ab",
            "-HAuthorization: Bearer ghp_0123456789abcdefghijABCDEFGHIJ012345",
            "npm_0123456789abcdefghijABCDEFGHIJ012345,AKIAIOSFODNN7EXAMPLE",
            "npm_config_registry=x",
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiJub2JvZHkiLCJleHAiOjE3MDAwMDAwMDB9.c2ln",
        ]
        .map(BytePath::from)
        .to_vec();
        let cleaned: Vec<String> = redactor.arguments(&given).iter().map(ToString::to_string).collect();
        assert_eq!(
            cleaned,
            [
                "curl",
                "-H",
                "Bearer [value of NPM_TOKEN]",
                "https://[userinfo]@host/a@b",
                "--password",
                "[secret argument]",
                "--api-key=[secret argument]",
                "ab",
                "-HAuthorization: Bearer [token]",
                "[token],[token]",
                "npm_config_registry=x",
                "[token]",
            ]
        );
    }
}
