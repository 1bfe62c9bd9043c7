//! Databases of the three forms, made here as rpm makes them.

use crate::catalog::tests::{purls, relations, scan};

fn header(texts: &[(u32, u32, &[u8], u32)]) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (tag, kind, value, count) in texts {
        for number in [*tag, *kind, data.len() as u32, *count] {
            index.extend(number.to_be_bytes());
        }
        data.extend_from_slice(value);
    }
    let mut blob = (texts.len() as u32).to_be_bytes().to_vec();
    blob.extend((data.len() as u32).to_be_bytes());
    blob.extend(index);
    blob.extend(data);
    blob
}

fn packages() -> Vec<Vec<u8>> {
    let bash = header(&[
        (1000, 6, b"bash\0", 1),
        (1001, 6, b"5.2\0", 1),
        (1002, 6, b"1.fc39\0", 1),
        (1022, 6, b"x86_64\0", 1),
        (1014, 6, b"GPL-3.0-or-later\0", 1),
        (1049, 8, b"libc.so.6\0rpmlib(X)\0", 2),
    ]);
    let glibc = header(&[
        (1000, 6, b"glibc\0", 1),
        (1001, 6, b"2.38\0", 1),
        (1002, 6, b"7.fc39\0", 1),
        (1003, 4, &1_u32.to_be_bytes(), 1),
        (1022, 6, b"x86_64\0", 1),
        (1011, 6, b"Fedora Project\0", 1),
        (1047, 8, b"libc.so.6\0", 1),
        // Larger than a page: the value goes on elsewhere.
        (1100, 6, &[b'x'; 6000], 1),
    ]);
    vec![bash, glibc, header(&[(1000, 6, b"gpg-pubkey\0", 1), (1001, 6, b"1\0", 1)])]
}

const EXPECTED: [&str; 2] = [
    "pkg:rpm/fedora/bash@5.2-1.fc39?arch=x86_64&distro=fedora-39",
    "pkg:rpm/fedora/glibc@2.38-7.fc39?arch=x86_64&distro=fedora-39&epoch=1",
];

fn check(path: &str, database: &[u8]) {
    let catalog = scan(&[("etc/os-release", b"ID=fedora\nVERSION_ID=39\n"), (path, database)]);
    assert_eq!(purls(&catalog), EXPECTED, "{path}");
    assert_eq!(relations(&catalog), [("bash", "glibc")], "{path}");
    assert_eq!(catalog.problems, [], "{path}");
}

fn varint(number: usize) -> Vec<u8> {
    let mut bytes = vec![(number & 0x7f) as u8];
    let mut rest = number >> 7;
    while rest > 0 {
        bytes.insert(0, (rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes
}

const PAGE: usize = 4096;

/// Makes a row: a header of types, and the values.
fn record(columns: &[(usize, &[u8])]) -> Vec<u8> {
    let types: Vec<u8> = columns.iter().flat_map(|(kind, _)| varint(*kind)).collect();
    let mut record = varint(types.len() + 1);
    record.extend(types);
    record.extend(columns.iter().flat_map(|(_, value)| value.iter().copied()));
    record
}

/// Puts rows into a leaf; those that are too long go on in pages appended to the file.
fn leaf(rows: &[Vec<u8>], start: usize, overflow: &mut Vec<Vec<u8>>, first_free: usize) -> Vec<u8> {
    let mut page = vec![0; PAGE];
    let mut end = PAGE;
    page[start] = 0x0d;
    page[start + 3..start + 5].copy_from_slice(&(rows.len() as u16).to_be_bytes());
    for (number, row) in rows.iter().enumerate() {
        let mut cell = varint(row.len());
        cell.extend(varint(number + 1));
        let most = PAGE - 35;
        if row.len() <= most {
            cell.extend(row);
        } else {
            let least = (PAGE - 12) * 32 / 255 - 23;
            let fitting = least + (row.len() - least) % (PAGE - 4);
            let local = if fitting <= most { fitting } else { least };
            cell.extend(&row[..local]);
            cell.extend(((first_free + overflow.len()) as u32).to_be_bytes());
            let chunks: Vec<&[u8]> = row[local..].chunks(PAGE - 4).collect();
            for (position, chunk) in chunks.iter().enumerate() {
                let next = if position + 1 < chunks.len() { first_free + overflow.len() + 1 } else { 0 };
                let mut more = (next as u32).to_be_bytes().to_vec();
                more.extend_from_slice(chunk);
                more.resize(PAGE, 0);
                overflow.push(more);
            }
        }
        end -= cell.len();
        page[end..end + cell.len()].copy_from_slice(&cell);
        let at = start + 8 + number * 2;
        page[at..at + 2].copy_from_slice(&(end as u16).to_be_bytes());
    }
    page
}

#[test]
fn sqlite_is_read_with_values_over_several_pages() {
    let rows: Vec<Vec<u8>> =
        packages().iter().map(|blob| record(&[(0, b""), (12 + 2 * blob.len(), blob)])).collect();
    let mut overflow = Vec::new();
    let schema = record(&[(23, b"table"), (29, b"Packages"), (29, b"Packages"), (1, &[2]), (13, b"")]);
    let mut first = leaf(&[schema], 100, &mut overflow, 3);
    first[..16].copy_from_slice(b"SQLite format 3\0");
    first[16..18].copy_from_slice(&(PAGE as u16).to_be_bytes());
    let second = leaf(&rows, 0, &mut overflow, 3);
    let file = [first, second, overflow.concat()].concat();
    check("var/lib/rpm/rpmdb.sqlite", &file);
    let wrong = scan(&[("var/lib/rpm/rpmdb.sqlite", b"SQLite format 3\0")]);
    assert_eq!(wrong.problems[0].kind, "malformed-rpm-database");
}

#[test]
fn ndb_is_read() {
    let mut slots = Vec::new();
    let mut data = Vec::new();
    let mut head = b"RpmP".to_vec();
    head.extend(0_u32.to_le_bytes());
    head.extend(1_u32.to_le_bytes());
    head.extend(1_u32.to_le_bytes());
    head.resize(32, 0);
    for (number, blob) in packages().iter().enumerate() {
        let index = number as u32 + 1;
        let block = (4096 + data.len()) as u32 / 16;
        slots.extend(b"Slot");
        slots.extend(index.to_le_bytes());
        slots.extend(block.to_le_bytes());
        slots.extend((blob.len() as u32 / 16 + 2).to_le_bytes());
        data.extend(b"BlbS");
        data.extend(index.to_le_bytes());
        data.extend(1_u32.to_le_bytes());
        data.extend((blob.len() as u32).to_le_bytes());
        data.extend(blob);
        data.resize(data.len().next_multiple_of(16), 0);
    }
    while slots.len() < 4096 - 32 {
        slots.extend(b"Slot");
        slots.extend([0; 12]);
    }
    check("usr/lib/sysimage/rpm/Packages.db", &[head, slots, data].concat());
}

#[test]
fn berkeley_db_is_read() {
    let mut pages: Vec<Vec<u8>> = vec![vec![0; PAGE], vec![0; PAGE]];
    let blobs = packages();
    let mut at = PAGE;
    for (number, blob) in blobs.iter().enumerate() {
        let first = pages.len();
        let chunks: Vec<&[u8]> = blob.chunks(PAGE - 26).collect();
        for (position, chunk) in chunks.iter().enumerate() {
            let mut page = vec![0; 26];
            let next = if position + 1 < chunks.len() { first + position + 1 } else { 0 };
            page[16..20].copy_from_slice(&(next as u32).to_le_bytes());
            page[22..24].copy_from_slice(&(chunk.len() as u16).to_le_bytes());
            page[25] = 7;
            page.extend_from_slice(chunk);
            page.resize(PAGE, 0);
            pages.push(page);
        }
        at -= 12;
        let mut entry = vec![3, 0, 0, 0];
        entry.extend((first as u32).to_le_bytes());
        entry.extend((blob.len() as u32).to_le_bytes());
        pages[1][at..at + 12].copy_from_slice(&entry);
        let index = 26 + (number * 2 + 1) * 2;
        pages[1][index..index + 2].copy_from_slice(&(at as u16).to_le_bytes());
    }
    pages[1][20..22].copy_from_slice(&(blobs.len() as u16 * 2).to_le_bytes());
    pages[1][25] = 13;
    let last = pages.len() as u32 - 1;
    pages[0][12..16].copy_from_slice(&0x0006_1561_u32.to_le_bytes());
    pages[0][20..24].copy_from_slice(&(PAGE as u32).to_le_bytes());
    pages[0][32..36].copy_from_slice(&last.to_le_bytes());
    check("var/lib/rpm/Packages", &pages.concat());
}
