//! What is told of a rule that matches.

use crate::{look, names};

/// Written as public rule sets are.
const LOADER: &str = r#"
import "pe"
import "math"

private rule is_pe { condition: uint16(0) == 0x5A4D and uint32(uint32(0x3C)) == 0x00004550 }

rule Suspicious_Loader_Marker : loader windows
{
    meta:
        description = "A harmless marker that stands for a loader"
        author = "tests"
        severity = "high"
        score = 75
        in_the_wild = false
    strings:
        $mark = "LOADER-MARK-1" ascii wide nocase
        $code = { 90 90 ?? 66 [2-6] ( 0F | F0 ) }
        $url = /https?:\/\/[a-z0-9.-]{3,40}\/drop/
        $xor = "xored-marker" xor(0x20-0x2f)
        $absent = "never there" fullword
    condition:
        ($mark and 2 of ($code, $url, $xor)) or (is_pe and all of them)
}
"#;

#[test]
fn strings_are_told_with_offsets_and_the_rule_with_its_words() {
    let mut bytes = vec![b'.'; 100];
    bytes.extend_from_slice(b"loader-mark-1");
    bytes.extend_from_slice(&[0x90, 0x90, 1, 0x66, 1, 2, 3, 0x0F]);
    bytes.extend_from_slice(b"https://drop.example/drop ");
    bytes.extend(b"xored-marker".iter().map(|byte| byte ^ 0x2a));
    bytes.extend(b"LOADER-MARK-1".iter().flat_map(|byte| [*byte, 0]));
    let looked = look(LOADER, &bytes);
    assert_eq!((names(&looked), &looked.open), (vec!["Suspicious_Loader_Marker"], &None));
    let rule = &looked.matches[0];
    assert_eq!(
        (rule.file.as_str(), &rule.tags[..]),
        ("a.yar", &["loader".to_owned(), "windows".to_owned()][..])
    );
    let meta: Vec<(&str, &str)> =
        rule.meta.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        meta,
        [
            ("author", "tests"),
            ("description", "A harmless marker that stands for a loader"),
            ("in_the_wild", "false"),
            ("score", "75"),
            ("severity", "high")
        ]
    );
    let strings: Vec<_> =
        rule.strings.iter().map(|s| (s.name.as_str(), s.count, &s.offsets[..], s.length)).collect();
    let expected: [(&str, u64, &[u64], u64); 4] = [
        ("$mark", 2, &[100, 159], 13),
        ("$code", 1, &[113], 8),
        ("$url", 1, &[121], 25),
        ("$xor", 1, &[147], 12),
    ];
    assert_eq!(strings, expected);
    assert_eq!(rule.strings[0].text, "loader-mark-1");
    // Without one of its parts it does not match.
    bytes[100] = b'X';
    bytes[159] = b'X';
    assert!(look(LOADER, &bytes).matches.is_empty());
}

#[test]
fn the_fields_and_functions_of_modules_are_there() {
    let rules = r#"
import "hash"
import "elf"
import "math"
rule by_digest { condition: hash.sha256(0, filesize) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" }
rule by_entropy { condition: math.entropy(0, filesize) > 1.5 and filesize < 1KB }
rule an_elf { condition: elf.type == elf.ET_EXEC }
"#;
    assert_eq!(names(&look(rules, b"abc")), ["by_digest", "by_entropy"]);
    assert!(look(rules, b"aaaa").matches.is_empty());
}

#[test]
fn a_rule_may_ask_where_the_bytes_stand() {
    let rules = r#"
rule name { condition: filename == "tool.exe" and extension == ".exe" }
rule place { condition: filepath contains "setup.msi!" }
rule other { condition: extension == ".dll" }
"#;
    assert_eq!(names(&look(rules, b"")), ["name", "place"]);
}

#[test]
fn a_global_rule_that_is_false_silences_the_others() {
    let rules = "global rule g { condition: filesize > 3 } rule a { condition: true }";
    assert_eq!(names(&look(rules, b"four")), ["g", "a"]);
    assert!(look(rules, b"no").matches.is_empty());
}
