//! What protects, and what takes protection away: no capabilities, but told by words as these are. Data.

use super::rules::{In, Rule, rule};

/// How the names of both kinds begin.
pub(in super::super) const SAFEGUARDS: [&str; 2] = ["guards/", "weakens/"];

pub(super) const RULES: &[Rule] = &[
    rule(
        "guards/comparison in constant time",
        In::Text,
        &[&[
            "compare_digest(",
            "timingSafeEqual(",
            "ConstantTimeCompare(",
            "hmac.Equal(",
            "constant_time_eq(",
            "ct_eq(",
            "secure_compare(",
            "hash_equals(",
            "MessageDigest.isEqual(",
        ]],
    ),
    rule(
        "guards/random numbers that nobody guesses",
        In::Text,
        &[&[
            "randomBytes(",
            "getRandomValues(",
            "crypto.randomUUID",
            "secrets.token_",
            "secrets.choice(",
            "secrets.randbelow(",
            "secrets.randbits(",
            "os.urandom(",
            "SystemRandom(",
            "OsRng",
            "SecureRandom",
            "random_bytes(",
            "crypto/rand\"",
        ]],
    ),
    rule(
        "guards/loading of data alone",
        In::Text,
        &[&["yaml.safe_load(", "yaml.SafeLoader", "YAML.safe_load(", "weights_only=True"]],
    ),
    rule(
        "weakens/certificates are not checked",
        In::Text,
        &[&[
            "rejectUnauthorized: false",
            "rejectUnauthorized:false",
            "rejectUnauthorized:!1",
            "rejectUnauthorized = false",
            "rejectUnauthorized=false",
            "rejectUnauthorized=!1",
            "NODE_TLS_REJECT_UNAUTHORIZED",
            "verify=False",
            "ssl.CERT_NONE",
            "_create_unverified_context",
            "check_hostname = False",
            "check_hostname=False",
            "InsecureSkipVerify: true",
            "InsecureSkipVerify = true",
            "danger_accept_invalid_certs(",
            "danger_accept_invalid_hostnames(",
            "SSL_VERIFY_NONE",
            "OpenSSL::SSL::VERIFY_NONE",
            "CURLOPT_SSL_VERIFYPEER, false",
            "CURLOPT_SSL_VERIFYPEER, 0",
            "SSL_verify_mode => 0",
            "--no-check-certificate",
            "--allow-unauthenticated",
            "[trusted=yes]",
        ]],
    ),
    rule(
        "weakens/data is loaded as code",
        In::Text,
        &[&["yaml.unsafe_load(", "yaml.UnsafeLoader", "YAML.unsafe_load(", "weights_only=False"]],
    ),
    rule(
        "weakens/logins are let in",
        In::Text,
        &[&[
            "\nStrictModes no",
            "\nPermitRootLogin yes",
            "\nPermitEmptyPasswords yes",
            "\nAuthorizedKeysFile /",
            " /var/tmp/.ssh",
            "\nPermitUserEnvironment yes",
        ]],
    ),
];
