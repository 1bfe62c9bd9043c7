use std::process::Command;

use evidence::{BytePath, Digest, Event, EventKind};
use store::{SEGMENT_ROWS_MAX, SegmentWriter, read_segment};

/// What a compile of a C project looks like: few programs, many opens, half of them of absent files.
fn events(count: u64) -> Vec<Event> {
    let mut at_ns = 0;
    (0..count)
        .map(|sequence| {
            let pick = sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
            at_ns += 1000 * (10 + pick % 90);
            let mut event = Event::new(EventKind::Read, u32::try_from(sequence / 27).unwrap());
            event.sequence = sequence;
            event.at_ns = at_ns;
            event.path =
                Some(BytePath::new(format!("/usr/include/part-{}/header-{}.h", pick % 7, pick % 300)));
            if pick.is_multiple_of(2) {
                event.errno = 2;
            } else {
                event.digest = Some(Digest::of(&(pick % 300).to_le_bytes()));
                event.size = Some(pick % 300 * 97);
            }
            event
        })
        .collect()
}

fn seal(events: &[Event]) -> Vec<u8> {
    let mut writer = SegmentWriter::new();
    events.iter().cloned().for_each(|event| writer.push(event));
    assert_eq!(writer.len(), events.len());
    let bytes = writer.finish().unwrap();
    assert!(writer.is_empty());
    bytes
}

#[test]
fn every_field_of_every_kind_comes_back() {
    let mut all = Vec::new();
    for (sequence, kind) in (0..).zip(EventKind::ALL) {
        let mut event = Event::new(kind, 7);
        event.sequence = sequence;
        event.at_ns = sequence * 1_000_003;
        event.other = Some(3);
        event.path = Some(BytePath::new(b"/a/\xff\n\\b".to_vec()));
        event.target = Some(BytePath::from("unix:/run/x"));
        event.digest = Some(Digest::of(b"x"));
        event.size = Some(1 << 40);
        event.format = Some("pe".into());
        event.errno = 13;
        event.status = Some(-1);
        event.arguments = vec![BytePath::from(""), BytePath::new(b"\xfe".to_vec())];
        event.environment = vec![BytePath::from("LD_PRELOAD=/x.so")];
        event.input = Some(5);
        event.output = Some(u64::from(u32::MAX) + 1);
        event.detail = Some("why".into());
        all.push(event);
        let mut bare = Event::new(kind, 0);
        bare.sequence = sequence;
        all.push(bare);
    }
    assert_eq!(read_segment(&seal(&all)).unwrap(), all);
    assert!(read_segment(&seal(&[])).unwrap().is_empty());
}

#[test]
fn an_event_costs_less_than_eight_bytes() {
    let all = events(60_000);
    let bytes = seal(&all);
    assert_eq!(read_segment(&bytes).unwrap(), all);
    assert!(bytes.len() < all.len() * 8, "{} bytes an event", bytes.len() as f64 / all.len() as f64);
}

#[test]
fn too_many_rows_and_damaged_files_are_errors() {
    let mut writer = SegmentWriter::new();
    let event = Event::new(EventKind::Fork, 0);
    (0..=SEGMENT_ROWS_MAX).for_each(|_| writer.push(event.clone()));
    assert!(writer.finish().is_err());
    let bytes = seal(&events(50));
    for cut in [0, 3, 8, bytes.len() / 2, bytes.len() - 1] {
        assert!(read_segment(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}

/// A peer reads the file: Apache Arrow's own Python library.
#[test]
fn arrow_opens_a_segment() {
    let Some(python) = std::env::var_os("COUNTERSIGN_TEST_PYTHON") else {
        assert!(std::env::var_os("CI").is_none(), "CI must set COUNTERSIGN_TEST_PYTHON");
        eprintln!("SKIPPED: COUNTERSIGN_TEST_PYTHON names no Python with pyarrow");
        return;
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), seal(&events(1000))).unwrap();
    let script = "import sys, pyarrow.parquet as p; t = p.read_table(sys.argv[1]); \
        print(t.num_rows, t.column('path')[0].as_py(), t.column('kind')[999].as_py(), t.column('digest').null_count)";
    let output = Command::new(python).args(["-c", script]).arg(file.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("1000 /usr/include/part-0/header-0.h read "), "{text}");
}
