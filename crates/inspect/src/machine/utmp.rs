//! Records of `wtmp` and `btmp` (utmp(5)): fixed size, as glibc writes them on x86-64 and every other machine where a
//! 32-bit time was kept for compatibility.

use evidence::{BytePath, MachineEvent, MachineEventKind as Kind, Timestamp};

/// The size of a record.
pub const UTMP_RECORD_BYTES: usize = 384;

/// Which file the records are from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Utmp {
    /// Logins and logouts.
    Wtmp,
    /// Failed logins.
    Btmp,
}

/// Reads one record. `Ok(None)` for one of no interest; an error for one that no program writes.
pub fn utmp_record(
    record: &[u8; UTMP_RECORD_BYTES],
    file: Utmp,
) -> Result<Option<MachineEvent>, &'static str> {
    let number = |at: usize| {
        let bytes: [u8; 4] = record[at..at + 4].try_into().unwrap_or_default();
        i32::from_le_bytes(bytes)
    };
    let text = |at: usize, length: usize| {
        let field = &record[at..at + length];
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(length);
        (end > 0).then(|| BytePath::from(&field[..end]))
    };
    let kind = i16::from_le_bytes([record[0], record[1]]);
    // Some programs leave the time of a failed login unsigned beyond 2038.
    let at = Timestamp::from_unix(i64::from(number(340).cast_unsigned()));
    let (terminal, user, from) = (text(8, 32), text(44, 32), text(76, 256));
    let process = u64::try_from(number(4)).ok().filter(|process| *process != 0);
    let (kind, source) = match (kind, file) {
        (2, Utmp::Wtmp) => (Kind::Boot, "wtmp"),
        (7, Utmp::Wtmp) if user.is_some() => (Kind::Login, "wtmp"),
        (8, Utmp::Wtmp) => (Kind::Logout, "wtmp"),
        (5..=7, Utmp::Btmp) => (Kind::LoginFailed, "btmp"),
        (0..=9, _) => return Ok(None),
        _ => return Err("not a record of a login"),
    };
    let event = MachineEvent::new(kind, at, source);
    if kind == Kind::Boot {
        // The kernel's release stands where hosts do.
        return Ok(Some(MachineEvent { detail: from, ..event }));
    }
    Ok(Some(MachineEvent { process, user, terminal, from, ..event }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: i16, user: &str, host: &str) -> [u8; UTMP_RECORD_BYTES] {
        let mut record = [0; UTMP_RECORD_BYTES];
        record[..2].copy_from_slice(&kind.to_le_bytes());
        record[4..8].copy_from_slice(&4711_i32.to_le_bytes());
        record[8..13].copy_from_slice(b"pts/0");
        record[44..44 + user.len()].copy_from_slice(user.as_bytes());
        record[76..76 + host.len()].copy_from_slice(host.as_bytes());
        record[340..344].copy_from_slice(&1_768_381_872_i32.to_le_bytes());
        record
    }

    #[test]
    fn logins_logouts_and_starts_are_read() {
        let read = |kind, file| utmp_record(&record(kind, "alice", "198.51.100.7"), file);
        let login = read(7, Utmp::Wtmp).unwrap().unwrap();
        assert_eq!(
            (login.kind, login.process, login.at.to_string()),
            (Kind::Login, Some(4711), "2026-01-14T09:11:12Z".into())
        );
        assert_eq!((login.user, login.terminal), (Some("alice".into()), Some("pts/0".into())));
        assert_eq!(read(8, Utmp::Wtmp).unwrap().unwrap().kind, Kind::Logout);
        assert_eq!(read(2, Utmp::Wtmp).unwrap().unwrap().kind, Kind::Boot);
        assert_eq!(read(6, Utmp::Btmp).unwrap().unwrap().kind, Kind::LoginFailed);
        assert_eq!(read(1, Utmp::Wtmp), Ok(None));
    }

    #[test]
    fn damage_is_told() {
        assert!(utmp_record(&[0xFF; UTMP_RECORD_BYTES], Utmp::Wtmp).is_err());
        assert_eq!(utmp_record(&[0; UTMP_RECORD_BYTES], Utmp::Wtmp), Ok(None));
        let mut full = record(7, "", "");
        full[8..332].fill(b'a');
        assert_eq!(utmp_record(&full, Utmp::Wtmp).unwrap().unwrap().from.unwrap().as_bytes().len(), 256);
    }
}
