//! Logs of machines: system logs, the journal, `utmp` records; containerd's database.
#![no_main]

use inspect::machine::{
    AuditLog, Clock, Utmp, containerd_images, journal_cursor, journal_line, syslog_line, utmp_record,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let clock = Clock { now: evidence::Timestamp::from_unix(1_800_000_000), to_utc: &|local| local };
    containerd_images(bytes).ok();
    let mut audit = AuditLog::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        syslog_line(line, &clock);
        audit.line(line);
        journal_line(line);
        journal_cursor(line);
    }
    for record in bytes.as_chunks().0 {
        utmp_record(record, Utmp::Wtmp).ok();
        utmp_record(record, Utmp::Btmp).ok();
    }
});
