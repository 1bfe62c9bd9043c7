//! Package URLs (ECMA-427) of what documents state, in the canonical form of each type.

use super::found::Stated;

/// Writes the purl of a package; `None` where its ecosystem has none.
pub(super) fn purl(stated: &Stated) -> Option<String> {
    let ecosystem = stated.ecosystem.as_ref();
    if ecosystem.is_empty() || stated.name.is_empty() {
        return None;
    }
    let mut purl = format!("pkg:{ecosystem}/");
    for segment in stated.namespace.split('/').filter(|segment| !segment.is_empty()) {
        let segment = if lower_namespace(ecosystem) { segment.to_lowercase() } else { segment.to_owned() };
        encode(&segment, &mut purl);
        purl.push('/');
    }
    encode(&name(ecosystem, &stated.name), &mut purl);
    if !stated.version.is_empty() {
        purl.push('@');
        encode(&stated.version, &mut purl);
    }
    let mut qualifiers: Vec<_> = stated.qualifiers.iter().filter(|(_, value)| !value.is_empty()).collect();
    qualifiers.sort();
    for (position, (key, value)) in qualifiers.into_iter().enumerate() {
        purl.push(if position == 0 { '?' } else { '&' });
        purl += key;
        purl.push('=');
        encode(value, &mut purl);
    }
    Some(purl)
}

fn lower_namespace(ecosystem: &str) -> bool {
    matches!(
        ecosystem,
        "alpm" | "apk" | "bitbucket" | "composer" | "deb" | "github" | "hex" | "luarocks" | "rpm"
    )
}

/// Writes a name as the definition of the purl type wants it.
fn name(ecosystem: &str, name: &str) -> String {
    match ecosystem {
        "pypi" => name.to_lowercase().replace(['_', '.'], "-"),
        "alpm" | "apk" | "bitbucket" | "bitnami" | "composer" | "deb" | "github" | "hex" | "luarocks"
        | "oci" | "otp" | "pub" => name.to_lowercase(),
        _ => name.to_owned(),
    }
}

/// Percent-encodes what is not unreserved; the colon stays.
fn encode(text: &str, into: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => {
                into.push(char::from(byte));
            }
            other => {
                into.push('%');
                into.push(char::from(DIGITS[usize::from(other >> 4)]));
                into.push(char::from(DIGITS[usize::from(other & 15)]));
            }
        }
    }
}
