//! What is too much ends, and is never taken for "no match".

use std::time::{Duration, Instant};

use yara::{Limits, Open, Rules};

use crate::{folder, load, look, names};

#[test]
fn a_string_with_more_matches_than_are_kept_leaves_its_rule_open() {
    let rules = r#"
rule counted { strings: $a = "ab" condition: #a > 5000 }
rule found { strings: $a = "ab" condition: $a }
rule raw { strings: $a = /[a-c]b?/ condition: #a > 5000 }
"#;
    let looked = look(rules, &b"ab".repeat(4000));
    assert_eq!(names(&looked), ["found"]);
    let Some(Open::Matches(what)) = &looked.open else { panic!("{looked:?}") };
    assert!(what.contains("counted, raw") && what.contains("1000"), "{what}");
    assert_eq!(looked.matches[0].strings[0].count, 1000);
    let looked = look(rules, &b"ab".repeat(499));
    assert_eq!((names(&looked), &looked.open), (vec!["found"], &None));
}

#[test]
fn a_member_that_takes_too_long_is_open_and_so_are_all_when_the_time_is_over() {
    let folder = folder(&[(
        "slow.yar",
        r#"rule slow { strings: $a = "aa" condition: for all i in (0..100000) : (for all j in (0..100000) : (i + j >= 0 and uint8(i % filesize) == 0x61)) and $a }"#,
    )]);
    let limits = Limits { member: Duration::from_millis(200), total: Duration::from_millis(350) };
    let rules = Rules::load(folder.path(), limits).unwrap();
    let begin = Instant::now();
    for _ in 0..2 {
        let looked = rules.look("x", "x", &[b'a'; 100]);
        assert!(
            matches!(&looked.open, Some(Open::Time(what)) if what.contains("for one member")),
            "{looked:?}"
        );
    }
    for _ in 0..100 {
        let looked = rules.look("x", "x", &[b'a'; 100]);
        assert!(
            matches!(&looked.open, Some(Open::Time(what)) if what.contains("for all members")),
            "{looked:?}"
        );
    }
    assert!(begin.elapsed() < Duration::from_secs(20));
}

/// Each rule takes a few steps, of which one looks at the whole member.
#[test]
fn long_steps_of_many_rules_end_as_well() {
    let of = |count: u32, time: Duration| {
        let rules: String = (0..count)
            .map(|n| format!("rule r{n} {{ condition: math.serial_correlation({n}, filesize) > {n}.5 }}\n"))
            .collect();
        let folder = folder(&[("long.yar", &format!("import \"math\"\n{rules}"))]);
        Rules::load(folder.path(), Limits { member: time, total: 10 * time }).unwrap()
    };
    let bytes: Vec<u8> = (0..4_u32 << 20).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
    // How long a few of them take on this machine, which may have other things to do, too.
    let few = || {
        let begin = Instant::now();
        assert_eq!(of(4, Duration::from_secs(600)).look("x", "x", &bytes).open, None);
        begin.elapsed()
    };
    let before = few();
    let time = before.max(Duration::from_millis(300));
    let rules = of(400, time);
    let begin = Instant::now();
    let looked = rules.look("x", "x", &bytes);
    let taken = begin.elapsed();
    assert!(matches!(&looked.open, Some(Open::Time(what)) if what.contains("for one member")), "{looked:?}");
    // A rule more is evaluated at most, and not the other hundreds, which take a hundred times as long as the few.
    let bound = 10 * (time + few());
    assert!(taken < bound, "{taken:?} of {bound:?}");
    assert_eq!(rules.look("x", "x", b"short").open, None);
}

#[test]
fn many_matching_rules_are_counted_and_not_kept() {
    let rules: String = (0..200).map(|n| format!("rule r{n} {{ condition: true }}\n")).collect();
    let looked = look(&rules, b"x");
    assert_eq!(looked.matches.len(), 64);
    assert!(
        matches!(&looked.open, Some(Open::Matches(what)) if what.starts_with("136 more rules")),
        "{looked:?}"
    );
}

#[test]
fn what_is_kept_of_a_match_is_short() {
    let meta = "x".repeat(5000);
    let rules = format!("rule long {{ meta: d = \"{meta}\" strings: $a = /A[^z]*z/ condition: $a }}");
    let mut bytes = vec![b'A'; 100_000];
    bytes.push(b'z');
    let looked = look(&rules, &bytes);
    let rule = &looked.matches[0];
    assert_eq!(rule.meta["d"].len(), 200);
    assert_eq!((rule.strings[0].length, rule.strings[0].text.len()), (4096, 32));
}

/// A pattern without a fixed part is looked for again behind each match: at worst over all that follows.
#[test]
fn a_pattern_that_is_looked_for_again_and_again_ends() {
    let mut bytes = vec![b'a'; 500_000];
    bytes.push(b'b');
    let begin = Instant::now();
    let looked = look("rule quadratic { strings: $a = /[ac][^b]*b/ condition: #a > 3 }", &bytes);
    assert_eq!(names(&looked), ["quadratic"]);
    assert!(begin.elapsed() < Duration::from_secs(120));
}

/// Headers that lie, for every module that reads a format.
#[test]
fn broken_formats_do_not_stop_the_modules() {
    let folder = folder(&[(
        "modules.yar",
        r#"
import "pe"
import "elf"
import "macho"
import "dotnet"
import "dex"
import "hash"
rule pe { condition: pe.number_of_sections > 65000 or pe.imphash() == "x" or pe.entry_point == 1 }
rule elf { condition: elf.number_of_sections > 65000 or elf.telfhash() == "x" }
rule macho { condition: macho.ncmds > 1000 }
rule dotnet { condition: dotnet.number_of_streams > 10 }
rule dex { condition: dex.header.file_size == 1 or dex.number_of_methods > 10 }
"#,
    )]);
    let rules = load(folder.path());
    let mut state = 0x9e37_79b9_u32;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let starts: [&[u8]; 6] = [
        b"MZ",
        b"\x7fELF\x02\x01\x01",
        b"\xcf\xfa\xed\xfe",
        b"\xca\xfe\xba\xbe",
        b"dex\n035\0",
        b"\x7fELF\x01\x02\x01",
    ];
    for round in 0..600_usize {
        let mut bytes: Vec<u8> =
            (0..1024).map(|_| if next() % 3 == 0 { 0xff } else { next() as u8 }).collect();
        let start = starts[round % starts.len()];
        bytes[..start.len()].copy_from_slice(start);
        if start == b"MZ" {
            bytes[0x3c..0x40].copy_from_slice(&0x40_u32.to_le_bytes());
            bytes[0x40..0x44].copy_from_slice(b"PE\0\0");
            bytes[0x44..0x46].copy_from_slice(&0x8664_u16.to_le_bytes());
        }
        assert_eq!(rules.look("x", "x", &bytes).open, None);
    }
}

/// A program of 64 bits whose table of imported addresses lies at the end of all addresses: the sum of its entries' places wraps.
#[test]
fn addresses_at_the_end_of_all_wrap() {
    let mut image = vec![0_u8; 0x600];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &0x40_u32.to_le_bytes());
    put(0x40, b"PE\0\0");
    put(0x44, &0x8664_u16.to_le_bytes());
    put(0x46, &1_u16.to_le_bytes());
    put(0x54, &240_u16.to_le_bytes());
    put(0x56, &0x22_u16.to_le_bytes());
    put(0x58, &0x20b_u16.to_le_bytes());
    // Alignments, sizes, the number of directories; the second of them is that of imports.
    put(0x78, &0x1000_u32.to_le_bytes());
    put(0x7c, &0x200_u32.to_le_bytes());
    put(0x90, &0x2000_u32.to_le_bytes());
    put(0x94, &0x200_u32.to_le_bytes());
    put(0xc4, &16_u32.to_le_bytes());
    put(0xd0, &0x1000_u32.to_le_bytes());
    put(0xd4, &40_u32.to_le_bytes());
    // One section: 0x400 bytes from 0x200 on, at the address 0x1000.
    put(0x148, b".idata\0\0");
    put(0x150, &0x400_u32.to_le_bytes());
    put(0x154, &0x1000_u32.to_le_bytes());
    put(0x158, &0x400_u32.to_le_bytes());
    put(0x15c, &0x200_u32.to_le_bytes());
    put(0x16c, &0x4000_0040_u32.to_le_bytes());
    // Imports of `a.dll`: three by number; their addresses are to be put at 0xffff_fff8.
    put(0x200, &0x1100_u32.to_le_bytes());
    put(0x20c, &0x1200_u32.to_le_bytes());
    put(0x210, &0xffff_fff8_u32.to_le_bytes());
    for n in 0..3_u64 {
        put(0x300 + 8 * n as usize, &(1 << 63 | (n + 1)).to_le_bytes());
    }
    put(0x400, b"a.dll\0");
    let rules = "import \"pe\"\nrule imports { condition: pe.number_of_imported_functions == 3 and pe.imports(\"a.dll\", 2) }";
    let looked = look(rules, &image);
    assert_eq!((names(&looked), &looked.open), (vec!["imports"], &None));
}
