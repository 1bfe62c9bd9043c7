//! `inspect --rules` with a large set of rules on the largest member that rules are put to. The rules are made as public ones are:
//! most have a few texts, hexadecimal strings with gaps, some regular expressions, and ask a module for the headers.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Result, ensure};

use super::compare::{MEMORY_MAX_MIB, measured};

const RULES: usize = 2000;
/// A program of 184 MiB is the largest that is held; what is read with it has a name and little else.
const MEMBER_BYTES: usize = 183 << 20;

/// Makes the rule of a number.
type Rule = fn(usize) -> String;

/// Sets of rules, each named by what is in it.
const SETS: [(&str, Rule); 3] = [
    ("as public sets are", ordinary),
    ("a pattern without a fixed part in each", without_fixed_part),
    ("a function over the whole member in each", over_the_whole),
];

pub(super) fn run() -> Result<()> {
    let program = crate::program("release")?;
    let folder = tempfile::tempdir()?;
    let member = folder.path().join("member.bin");
    write_member(&member)?;
    println!("{RULES} rules on a member of {} MiB", MEMBER_BYTES >> 20);
    println!("{:44} {:>8} {:>8} {:>8}  undecided", "rules", "CPU s", "wall s", "MiB");
    for (name, rule) in SETS {
        let file = folder.path().join("rules.yar");
        let text: String = (0..RULES).map(rule).collect();
        std::fs::write(&file, format!("import \"pe\"\nimport \"math\"\nimport \"hash\"\n{text}"))?;
        let run = measured(&program, &[Path::new("inspect"), &member, Path::new("--rules"), &file])?;
        let said = crate::command(&program).arg("inspect").arg(&member).arg("--rules").arg(&file).output()?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let open = said.lines().find(|line| line.contains("rules-undecided")).unwrap_or("no").trim();
        println!("{name:44} {:>8.1} {:>8.1} {:>8.0}  {open}", run.cpu, run.wall, run.peak_mib);
        ensure!(run.peak_mib <= MEMORY_MAX_MIB, "{name} took {:.0} MiB", run.peak_mib);
    }
    Ok(())
}

/// Bytes as of a program: half words and zeros, half noise.
fn write_member(path: &Path) -> Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let (mut state, mut written) = (0x9e37_79b9_7f4a_7c15_u64, 0);
    while written < MEMBER_BYTES {
        let mut block = [0_u8; 4096];
        for word in block.as_chunks_mut::<8>().0.iter_mut().skip(written / 4096 % 2 * 256) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *word = state.to_le_bytes();
        }
        let text =
            format!("/usr/lib/module-{written}/GetProcAddress LoadLibraryA http://host-{written}.example/\0");
        block[..text.len()].copy_from_slice(text.as_bytes());
        file.write_all(&block)?;
        written += block.len();
    }
    file.flush()?;
    Ok(())
}

fn ordinary(number: usize) -> String {
    let mut rule =
        format!("rule family_{number} {{\n  meta: author = \"bench\" severity = \"high\"\n  strings:\n");
    for part in 0..4 {
        _ = writeln!(rule, "    $s{part} = \"C2-{number}-{part}-payload\" ascii wide");
    }
    let bytes: Vec<String> = (0..6).map(|at| format!("{:02X}", (number * 37 + at * 101 + 7) % 256)).collect();
    _ = writeln!(rule, "    $h = {{ {} ?? ?? [2-6] {} }}", bytes[..4].join(" "), bytes[2..].join(" "));
    if number.is_multiple_of(4) {
        _ = writeln!(rule, "    $r = /host-{number}[0-9]{{2,6}}\\.example\\/[a-z]{{8}}/ nocase");
    }
    rule.push_str("  condition: ");
    rule.push_str(match number % 4 {
        0 => "uint16(0) == 0x5A4D and filesize < 200MB and 2 of them",
        1 => "3 of ($s*) or $h",
        2 => "pe.number_of_sections > 4 and any of them",
        _ => "all of them",
    });
    rule.push_str("\n}\n");
    rule
}

fn without_fixed_part(number: usize) -> String {
    format!(
        "rule loose_{number} {{ strings: $r = /[a-f]{{4}}[0-9]{{{}}}[x-z]+/ condition: $r }}\n",
        3 + number % 5
    )
}

fn over_the_whole(number: usize) -> String {
    format!("rule whole_{number} {{ condition: math.serial_correlation({number}, filesize) > 1.5 }}\n")
}
