//! Findings and machine events as syslog messages (RFC 5424), with the whole document as their text.

use serde_json::Value;

use crate::{Severity, Timestamp};

/// Facility 13, log audit (RFC 5424, section 6.2.1).
const FACILITY: u8 = 13;
/// No message is longer; a receiver must take 2048 bytes and should take 8192 (RFC 5425 for what goes over TLS).
pub const MESSAGE_MAX_BYTES: usize = 8192;

/// Writes a message. `name` is its MSGID: a finding's code or an event's kind.
pub fn message(
    severity: Severity,
    at: Timestamp,
    host: &str,
    process: u32,
    name: &str,
    content: &Value,
) -> Vec<u8> {
    let level = match severity {
        Severity::Critical => 2,
        Severity::High => 3,
        Severity::Medium => 4,
        Severity::Low => 5,
        Severity::Info => 6,
    };
    let (host, name) = (word(host, 255), word(name, 32));
    let head = format!("<{}>1 {at} {host} countersign {process} {name} - ", FACILITY * 8 + level);
    // The mark says that the text is UTF-8 (section 6.4).
    let mut bytes = [head.as_bytes(), b"\xEF\xBB\xBF", content.to_string().as_bytes()].concat();
    if bytes.len() > MESSAGE_MAX_BYTES {
        let mut end = MESSAGE_MAX_BYTES;
        while end > 0 && bytes[end] & 0xC0 == 0x80 {
            end -= 1;
        }
        bytes.truncate(end);
    }
    bytes
}

/// Frames a message for a stream: its length first (RFC 6587, section 3.4.1).
pub fn octet_counted(message: &[u8]) -> Vec<u8> {
    [format!("{} ", message.len()).as_bytes(), message].concat()
}

/// Printable ASCII without spaces, or `-`.
fn word(text: &str, max: usize) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(max).collect();
    if word.is_empty() { "-".into() } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_well_formed_and_bounded() {
        let at = Timestamp::from_unix(0);
        let write = |content: &Value| message(Severity::High, at, "b 1", 7, "x-y", content);
        let sent = write(&Value::String("ä".into()));
        assert_eq!(
            String::from_utf8(sent.clone()).unwrap(),
            "<107>1 1970-01-01T00:00:00Z b1 countersign 7 x-y - \u{feff}\"ä\""
        );
        assert!(octet_counted(&sent).starts_with(format!("{} <107>", sent.len()).as_bytes()));
        let long = write(&Value::String("ä".repeat(9000)));
        assert!(long.len() <= MESSAGE_MAX_BYTES && String::from_utf8(long).is_ok());
    }
}
