//! Rules that use every module that reads a format, over any bytes.
#![no_main]

use std::sync::OnceLock;
use std::time::Duration;

use yara::{Limits, Rules};

const RULES: &str = r#"
import "pe"
import "elf"
import "macho"
import "dotnet"
import "dex"
import "hash"
import "math"
rule of_pe { condition: pe.imphash() == "x" or pe.entry_point == 1 or pe.imports("a.dll") or pe.exports("f") or pe.rich_signature.length > 0 }
rule of_elf { condition: elf.telfhash() == "x" or elf.number_of_sections > 65000 or elf.entry_point == 1 }
rule of_macho { condition: macho.ncmds > 1000 or macho.entry_point == 1 }
rule of_dotnet { condition: dotnet.number_of_streams > 10 or dotnet.is_dotnet }
rule of_dex { condition: dex.number_of_methods > 10 or dex.header.file_size == 1 }
rule of_bytes { condition: hash.md5(0, filesize) == "x" or math.entropy(0, filesize) > 9 }
rule of_strings { strings: $a = "MZ" $b = { 7F 45 ?? [1-4] 01 } $c = /[a-z]{2,4}[0-9]+/ $d = "key" xor wide condition: any of them }
"#;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static LOADED: OnceLock<Rules> = OnceLock::new();
    let rules = LOADED.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("countersign-fuzz-{}.yar", std::process::id()));
        std::fs::write(&path, RULES).expect("a file");
        let limits = Limits { member: Duration::from_secs(5), total: Duration::MAX };
        let rules = Rules::load(&path, limits).expect("the rules compile");
        std::fs::remove_file(&path).expect("its name goes away");
        rules
    });
    rules.look("input", "input", bytes);
});
