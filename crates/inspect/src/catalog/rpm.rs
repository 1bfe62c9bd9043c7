//! The databases of rpm: SQLite (`rpmdb.sqlite`), ndb (`Packages.db`) and Berkeley DB (`Packages`). Each holds one header for
//! each package; how they hold it is read by a small reader of its own, for nothing here may run another's code on them.

mod bdb;
pub(super) mod header;
mod ndb;

use evidence::bom::State;

use super::found::Found;
use super::sqlite;
use super::{Cataloger, Input, Pattern};

pub(super) const CATALOGERS: &[Cataloger] = &[
    Cataloger {
        name: "rpm-sqlite",
        wants: &[Pattern::End("rpm/rpmdb.sqlite"), Pattern::End("sysimage/rpm/rpmdb.sqlite")],
        read: |input, found| all(input, found, sqlite_blobs),
    },
    Cataloger {
        name: "rpm-ndb",
        wants: &[Pattern::End("rpm/Packages.db"), Pattern::End("sysimage/rpm/Packages.db")],
        read: |input, found| all(input, found, ndb::blobs),
    },
    Cataloger {
        name: "rpm-bdb",
        wants: &[Pattern::End("var/lib/rpm/Packages")],
        read: |input, found| all(input, found, bdb::blobs),
    },
];

/// Bytes of one header.
const HEADER_MAX_BYTES: usize = 64 << 20;
/// Bytes of all headers of one database.
const ALL_MAX_BYTES: usize = 1 << 30;

/// Takes the headers out of a database; what is wrong with it stands beside.
type Blobs = fn(&[u8], &mut dyn FnMut(&[u8])) -> Result<(), &'static str>;

fn all(input: &Input, found: &mut Found, blobs: Blobs) {
    let mut wrong = 0_u64;
    let result = blobs(input.bytes, &mut |blob| {
        if !header::read(blob, State::Installed, found) {
            wrong += 1;
        }
    });
    if let Err(detail) = result {
        found.problem("malformed-rpm-database", detail);
    }
    if wrong > 0 {
        found.problem("malformed-rpm-header", format!("{wrong} headers cannot be read"));
    }
}

/// `hnum INTEGER PRIMARY KEY, blob BLOB`: the key stands apart.
fn sqlite_blobs(bytes: &[u8], take: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
    sqlite::rows(bytes, "Packages", &mut |_, columns| columns.get(1).into_iter().for_each(|blob| take(blob)))
}

#[cfg(test)]
mod tests;
