//! Small file systems and disks, as their tools would make them.

const SECTOR: usize = 512;

/// The place of an inode in [`ext`].
pub(crate) const fn ext_inode(number: usize) -> usize {
    5 * 1024 + (number - 1) * 256
}

/// A file system with blocks of 1,024 bytes: `indirect` and `extents`, both of `content`, of which the first has also the name `again`,
/// a link, a fifo, content within an inode (`inline`), and a folder `sub` with a file `deep` that has a hole.
pub(crate) fn ext(content: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 1024;
    assert!(content.len() <= 2 * BLOCK);
    let mut out = vec![0; 28 * BLOCK];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    // 24 inodes, 28 blocks, first block 1, one group; extents and content in inodes.
    put(1024, &words(&[24, 28, 0, 0, 0, 1, 0, 0, 8192, 8192, 24, 0, 0, 0, 0x0000_ef53, 0]));
    put(1024 + 56, b"\x53\xef\x01\0\x01\0");
    put(1024 + 76, &words(&[1, 0, 11]));
    put(1024 + 88, &[0, 1]);
    put(1024 + 96, &words(&[0x2 | 0x40 | 0x8000]));
    // Bitmaps in blocks 3 and 4, inodes from block 5.
    put(2 * BLOCK, &words(&[3, 4, 5]));
    let mut inode = |number: usize, mode: u16, size: usize, links: u8, flags: u32, map: &[u8]| {
        let mut bytes = mode.to_le_bytes().to_vec();
        bytes.resize(4, 0);
        bytes.extend((size as u32).to_le_bytes());
        bytes.resize(26, 0);
        bytes.push(links);
        bytes.resize(28, 0);
        // Sectors: a link has none if its target stands in the inode.
        bytes.extend(u32::from(mode >> 12 != 0o12).to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.resize(40, 0);
        bytes.extend(map);
        bytes.resize(128, 0);
        bytes.push(32);
        put(ext_inode(number), &bytes);
    };
    let extents = |depth: u8, entries: &[[u32; 3]]| {
        let mut bytes = vec![0x0a, 0xf3, entries.len() as u8, 0, 4, 0, depth, 0, 0, 0, 0, 0];
        bytes.extend(entries.iter().flat_map(|entry| words(entry)));
        bytes
    };
    inode(2, 0o040_755, BLOCK, 3, 0x8_0000, &extents(0, &[[0, 1, 12]]));
    // Twelve blocks, of which the first is there, and one behind an indirect one.
    let mut map = vec![13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 14];
    inode(12, 0o100_644, content.len(), 2, 0, &words(&map));
    map[12] = 16;
    map[0] = 0;
    inode(18, 0o100_600, 13 * BLOCK, 1, 0, &words(&map));
    inode(13, 0o100_755, content.len(), 1, 0x8_0000, &extents(1, &[[0, 17, 0]]));
    inode(14, 0o120_777, 8, 1, 0, b"indirect");
    inode(15, 0o010_600, 0, 1, 0, b"");
    inode(16, 0o100_640, 70, 1, 0x1000_0000, &[b'i'; 60]);
    inode(17, 0o040_700, BLOCK, 2, 0x8_0000, &extents(0, &[[0, 1, 15]]));
    // An attribute `system.data`: behind the fields of the inode, with its value at the end.
    let at = ext_inode(16) + 128 + 32;
    put(at, &words(&[0xea02_0000]));
    put(at + 4, &[4, 7, 80, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0]);
    put(at + 20, b"data");
    put(at + 4 + 80, &[b'j'; 10]);
    let folder = |entries: &[(u32, &str)]| {
        let mut bytes = Vec::new();
        for (number, (inode, name)) in entries.iter().enumerate() {
            let is_last = number + 1 == entries.len();
            let length = if is_last { BLOCK - bytes.len() } else { (8 + name.len()).next_multiple_of(4) };
            let end = bytes.len() + length;
            bytes.extend(inode.to_le_bytes());
            bytes.extend((length as u16).to_le_bytes());
            bytes.extend([name.len() as u8, 0]);
            bytes.extend(name.bytes());
            bytes.resize(end, 0);
        }
        bytes
    };
    let root = [
        (2, "."),
        (2, ".."),
        (12, "indirect"),
        (13, "extents"),
        (12, "sub again"),
        (14, "link"),
        (15, "fifo"),
        (16, "inline"),
        (17, "sub"),
    ];
    put(12 * BLOCK, &folder(&root));
    put(15 * BLOCK, &folder(&[(17, "."), (2, ".."), (18, "deep")]));
    let (first, second) = content.split_at(content.len().min(BLOCK));
    // The file of the classic map has its second block from the map itself.
    put(ext_inode(12) + 44, &words(&[20]));
    put(13 * BLOCK, first);
    put(20 * BLOCK, second);
    put(16 * BLOCK, &words(&[19]));
    put(17 * BLOCK, &extents(0, &[[0, 1, 21], [1, 1, 23]]));
    put(21 * BLOCK, first);
    put(23 * BLOCK, second);
    put(19 * BLOCK, &[b'd'; BLOCK]);
    out
}

/// The place of a cluster of [`fat`].
pub(crate) const fn fat_cluster(number: usize) -> usize {
    (4 + number - 2) * SECTOR
}

/// FAT12, or FAT32 if it is wide, with clusters of one sector: `a long name.txt` of 600 bytes in two clusters that do not stand in a
/// row, and `SUB/B.TXT`.
pub(crate) fn fat(is_wide: bool) -> Vec<u8> {
    const SECTORS: usize = 40;
    let mut out = vec![0; SECTORS * SECTOR];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\xeb\x3c\x90MSDOS5.0");
    // Bytes a sector, sectors a cluster, reserved, tables, entries of the root, sectors, kind of medium, sectors a table.
    put(11, &[0, 2, 1, if is_wide { 2 } else { 1 }, 0, 2, if is_wide { 0 } else { 16 }, 0]);
    put(19, &[SECTORS as u8, 0, 0xf8, u8::from(!is_wide), 0]);
    if is_wide {
        put(36, &[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
        put(82, b"FAT32   ");
    } else {
        put(54, b"FAT12   ");
    }
    put(510, b"\x55\xaa");
    // Cluster 2 is the root of FAT32; the file has 3 and 6, the folder 4, its file 5.
    let next: [(usize, u32); 5] =
        [(2, 0x0fff_ffff), (3, 6), (4, 0x0fff_ffff), (5, 0x0fff_ffff), (6, 0x0fff_ffff)];
    let mut table =
        if is_wide { vec![0xf8, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0x0f] } else { vec![0xf8, 0xff, 0xff] };
    table.resize(SECTOR, 0);
    for (cluster, value) in next {
        if is_wide {
            table[cluster * 4..cluster * 4 + 4].copy_from_slice(&value.to_le_bytes());
        } else {
            let at = cluster * 3 / 2;
            let half = u16::from_le_bytes([table[at], table[at + 1]]);
            let value = value as u16 & 0xfff;
            let half = half | if cluster % 2 == 0 { value } else { value << 4 };
            table[at..at + 2].copy_from_slice(&half.to_le_bytes());
        }
    }
    let first_table = if is_wide { 2 } else { 1 };
    put(first_table * SECTOR, &table);
    put((first_table + 1) * SECTOR, &table);
    let entry = |name: &[u8], attributes: u8, cluster: u8, size: u16| {
        let mut bytes = [name, &[attributes]].concat();
        bytes.resize(26, 0);
        bytes.extend([cluster, 0]);
        bytes.extend(u32::from(size).to_le_bytes());
        bytes
    };
    let short = b"ALONGN~1TXT";
    let sum = short.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
    let part = |order: u8, text: &str| {
        let mut units: Vec<u16> = text.encode_utf16().collect();
        if units.len() < 13 {
            units.push(0);
        }
        units.resize(13, 0xffff);
        let units: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        [&[order], &units[..10], &[0x0f, 0, sum], &units[10..22], &[0, 0], &units[22..]].concat()
    };
    let root = [
        entry(b"VOLUME     ", 0x08, 0, 0),
        part(0x42, "xt"),
        part(1, "a long name.t"),
        entry(short, 0x20, 3, 600),
        entry(b"\xe5ONE       ", 0x20, 9, 5),
        entry(b"SUB        ", 0x10, 4, 0),
        entry(b"EMPTY      ", 0x20, 0, 0),
    ];
    // The root of FAT12 stands in front of the clusters.
    put(if is_wide { fat_cluster(2) } else { 3 * SECTOR }, &root.concat());
    let sub = [
        entry(b".          ", 0x10, 4, 0),
        entry(b"..         ", 0x10, 0, 0),
        entry(b"B       TXT", 0x20, 5, 7),
    ];
    put(fat_cluster(4), &sub.concat());
    put(fat_cluster(5), b"content");
    put(fat_cluster(3), &[b'l'; SECTOR]);
    put(fat_cluster(6), &[b'm'; 600 - SECTOR]);
    out
}

/// Writes an entry of a master boot record.
pub(crate) fn mbr_entry(record: &mut [u8], number: usize, kind: u8, start: u32, sectors: u32) {
    let at = 446 + number * 16;
    record[at + 4] = kind;
    record[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
    record[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
    record[510..512].copy_from_slice(b"\x55\xaa");
}

/// A disk with a master boot record, bytes in the gap behind it, a first partition from sector 4, and two logical ones.
pub(crate) fn mbr(first: &[u8], logical: [&[u8]; 2]) -> Vec<u8> {
    let sectors = |bytes: &[u8]| bytes.len().div_ceil(SECTOR) as u32;
    let extended = 4 + sectors(first);
    let second = extended + 1 + sectors(logical[0]);
    let end = second + 1 + sectors(logical[1]);
    let mut out = vec![0; end as usize * SECTOR];
    let mut put = |sector: u32, bytes: &[u8]| {
        let at = sector as usize * SECTOR;
        out[at..at + bytes.len()].copy_from_slice(bytes);
    };
    let mut record = vec![0; SECTOR];
    record[440..444].copy_from_slice(b"\x78\x56\x34\x12");
    mbr_entry(&mut record, 0, 0x83, 4, sectors(first));
    record[446] = 0x80;
    mbr_entry(&mut record, 1, 0x05, extended, end - extended);
    put(0, &record);
    put(2, b"in the gap");
    put(4, first);
    let mut record = vec![0; SECTOR];
    mbr_entry(&mut record, 0, 0x83, 1, sectors(logical[0]));
    mbr_entry(&mut record, 1, 0x05, second - extended, end - second);
    put(extended, &record);
    put(extended + 1, logical[0]);
    let mut record = vec![0; SECTOR];
    mbr_entry(&mut record, 0, 0x83, 1, sectors(logical[1]));
    put(second, &record);
    put(second + 1, logical[1]);
    out
}

/// A disk with GPT of four entries, of which the first has a name and is `content`, and the copy of the table at its end.
pub(crate) fn gpt(name: &str, content: &[u8]) -> Vec<u8> {
    const FIRST: u64 = 3;
    let count = content.len().div_ceil(SECTOR) as u64;
    let end = FIRST + count;
    let mut entry = [[0x11; 16], [0x22; 16]].concat();
    for wide in [FIRST, end - 1, 4] {
        entry.extend(u64::to_le_bytes(wide));
    }
    entry.extend(name.encode_utf16().flat_map(u16::to_le_bytes));
    entry.resize(4 * 128, 0);
    let sum = |bytes: &[u8]| {
        let mut sum = flate2::Crc::new();
        sum.update(bytes);
        sum.sum().to_le_bytes()
    };
    let header = |own: u64, other: u64, entries: u64| {
        let mut bytes = b"EFI PART\0\0\x01\0\x5c\0\0\0\0\0\0\0\0\0\0\0".to_vec();
        for wide in [own, other, FIRST, end - 1] {
            bytes.extend(wide.to_le_bytes());
        }
        bytes.extend([0x33; 16]);
        bytes.extend(entries.to_le_bytes());
        bytes.extend([4, 0, 0, 0, 128, 0, 0, 0]);
        bytes.extend(sum(&entry));
        let own = sum(&bytes);
        bytes[16..20].copy_from_slice(&own);
        bytes.resize(SECTOR, 0);
        bytes
    };
    let mut record = vec![0; SECTOR];
    mbr_entry(&mut record, 0, 0xee, 1, end as u32 + 1);
    let mut content = content.to_vec();
    content.resize(count as usize * SECTOR, 0);
    [record, header(1, end + 1, 2), entry.clone(), content, entry.clone(), header(end + 1, 1, end)].concat()
}
