//! Small disk images and volumes as Apple's systems write them.

/// A disk image of one partition, which is one chunk.
pub(crate) fn dmg(kind: u32, packed: &[u8], size: usize) -> Vec<u8> {
    let sectors = size.div_ceil(512) as u64;
    let mut table = b"mish\0\0\0\x01".to_vec();
    for wide in [0, sectors, 0] {
        table.extend(u64::to_be_bytes(wide));
    }
    table.resize(200, 0);
    table.extend(2_u32.to_be_bytes());
    for (kind, count, length) in [(kind, sectors, packed.len() as u64), (0xffff_ffff, 0, 0)] {
        table.extend(kind.to_be_bytes());
        table.extend([0; 4]);
        let start = if count == 0 { sectors } else { 0 };
        for wide in [start, count, 0, length] {
            table.extend(wide.to_be_bytes());
        }
    }
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = table.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let text: String = bits
        .chunks(6)
        .map(|six| {
            let value = six.iter().fold(0, |sum, bit| sum << 1 | bit) << (6 - six.len());
            char::from(alphabet[usize::from(value)])
        })
        .collect();
    let list = format!(
        "<plist version=\"1.0\"><dict><key>resource-fork</key><dict><key>blkx</key><array><dict><key>Attributes</key>\
        <string>0x0050</string><key>Data</key><data>{text}</data><key>ID</key><string>0</string><key>Name</key>\
        <string>disk image (Apple_HFS : 1)</string></dict></array><key>plst</key><array><dict><key>Name</key>\
        <string></string></dict></array></dict></dict></plist>"
    );
    let mut trailer = b"koly\0\0\0\x04\0\0\x02\0\0\0\0\x01".to_vec();
    trailer.resize(216, 0);
    trailer.extend((packed.len() as u64).to_be_bytes());
    trailer.extend((list.len() as u64).to_be_bytes());
    trailer.resize(512, 0);
    [packed.to_vec(), list.into_bytes(), trailer].concat()
}

/// An HFS+ volume with a file `App/a:b`, which has an attribute and whose resource fork is `fork`, and `zipped`, which is compressed.
pub(crate) fn hfs(content: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 4096;
    let fork = |size: usize, start: u32| {
        let mut bytes = (size as u64).to_be_bytes().to_vec();
        bytes.extend([0; 8]);
        bytes.extend(start.to_be_bytes());
        bytes.extend(1_u32.to_be_bytes());
        bytes.resize(80, 0);
        bytes
    };
    let key = |parent: u32, name: &str| {
        let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let mut bytes = (6 + name.len() as u16).to_be_bytes().to_vec();
        bytes.extend(parent.to_be_bytes());
        bytes.extend((name.len() as u16 / 2).to_be_bytes());
        bytes.extend(name);
        bytes
    };
    let data = |kind: u16, number: u32, mode: u16, size: usize| {
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.resize(8, 0);
        bytes.extend(number.to_be_bytes());
        bytes.resize(42, 0);
        bytes.extend(mode.to_be_bytes());
        bytes.resize(size, 0);
        bytes
    };
    let mut file = data(2, 17, 0o100_644, 88);
    file.extend(fork(content.len(), 3));
    file.extend(fork(4, 4));
    let mut zipped = data(2, 18, 0o100_644, 88);
    zipped[41] = 0x20;
    zipped.extend([fork(0, 0), fork(0, 0)].concat());
    let records = [
        [key(1, "Disk"), data(1, 2, 0o040_755, 88)].concat(),
        [key(2, "App"), data(1, 16, 0o040_755, 88)].concat(),
        [key(2, "zipped"), zipped].concat(),
        [key(16, "a/b"), file].concat(),
    ];
    let attribute = |file: u32, name: &str, data: &[u8]| {
        let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let mut bytes = (12 + name.len() as u16).to_be_bytes().to_vec();
        bytes.extend([&[0, 0], &file.to_be_bytes()[..], &[0; 4]].concat());
        bytes.extend((name.len() as u16 / 2).to_be_bytes());
        bytes.extend(name);
        bytes.extend([&[0, 0, 0, 0x10][..], &[0; 8], &(data.len() as u32).to_be_bytes(), data].concat());
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        bytes
    };
    let compressed = [b"fpmc\x09\0\0\0\x06\0\0\0\0\0\0\0".as_slice(), b"\xccplain!"].concat();
    let attributes = [attribute(17, "mark", b"attribute"), attribute(18, "com.apple.decmpfs", &compressed)];
    // Blocks: 0 header, 1 and 2 catalog, 3 content, 4 resource fork, 5 and 6 attributes.
    let mut out = vec![0; 7 * BLOCK];
    out[1024..1028].copy_from_slice(b"H+\0\x04");
    out[1024 + 40..1024 + 44].copy_from_slice(&(BLOCK as u32).to_be_bytes());
    for (at, start, records) in [(272, 1, &records[..]), (352, 5, &attributes[..])] {
        let mut two = fork(2 * BLOCK, start);
        two[23] = 2;
        out[1024 + at..1024 + at + 80].copy_from_slice(&two);
        hfs_tree(&mut out[start as usize * BLOCK..][..2 * BLOCK], records);
    }
    out[3 * BLOCK..3 * BLOCK + content.len()].copy_from_slice(content);
    out[4 * BLOCK..4 * BLOCK + 4].copy_from_slice(b"fork");
    out
}

/// Writes a tree of one leaf into two nodes.
fn hfs_tree(tree: &mut [u8], records: &[Vec<u8>]) {
    let node = tree.len() / 2;
    tree[8] = 1;
    tree[24..28].copy_from_slice(&1_u32.to_be_bytes());
    tree[32..34].copy_from_slice(&(node as u16).to_be_bytes());
    let leaf = &mut tree[node..];
    leaf[8] = 0xff;
    leaf[11] = records.len() as u8;
    let mut at = 14;
    for (number, record) in records.iter().enumerate() {
        let place = node - 2 * (number + 1);
        leaf[place..place + 2].copy_from_slice(&(at as u16).to_be_bytes());
        leaf[at..at + record.len()].copy_from_slice(record);
        at += record.len();
    }
}

/// An APFS container with one volume: `App/a` with an attribute and a second name `b`, and `zipped`, which is compressed.
pub(crate) fn apfs(content: &[u8]) -> Vec<u8> {
    const REGULAR: u16 = 0o100_644;
    const FOLDER: u16 = 0o040_755;
    let wide = |numbers: &[u64]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    let key = |number: u64, kind: u64| (number | kind << 60).to_le_bytes().to_vec();
    let inode = |number: u64, mode: u16, flags: u32, size: Option<u64>| {
        let mut value = wide(&[2, number, 0, 1_700_000_000_000_000_000, 0, 0, 0]);
        value.resize(68, 0);
        value.extend(flags.to_le_bytes());
        value.resize(80, 0);
        value.extend(mode.to_le_bytes());
        value.resize(92, 0);
        if let Some(size) = size {
            // One extended field, of 40 bytes: how long the data are.
            value.extend([1, 0, 40, 0, 8, 0, 40, 0]);
            value.extend(wide(&[size, size.next_multiple_of(APFS_BLOCK as u64), 0, 0, 0]));
        }
        (key(number, 3), value)
    };
    let named = |number: u64, kind: u64, name: &str| {
        let mut key = key(number, kind);
        key.extend((name.len() as u16 + 1).to_le_bytes());
        key.extend(name.bytes().chain([0]));
        key
    };
    let attribute = |number: u64, name: &str, data: &[u8]| {
        let value = [&2_u16.to_le_bytes(), &(data.len() as u16).to_le_bytes(), data].concat();
        (named(number, 4, name), value)
    };
    let entry = |folder: u64, name: &str, file: u64| {
        (named(folder, 9, name), [wide(&[file, 0]), vec![0, 0]].concat())
    };
    let compressed = [b"fpmc\x09\0\0\0\x06\0\0\0\0\0\0\0".as_slice(), b"\xccplain!"].concat();
    let records = [
        inode(2, FOLDER, 0, None),
        entry(2, "App", 16),
        entry(2, "b", 17),
        entry(2, "zipped", 18),
        inode(16, FOLDER, 0, None),
        entry(16, "a", 17),
        inode(17, REGULAR, 0, Some(content.len() as u64)),
        attribute(17, "mark", b"attribute"),
        ([key(17, 8), wide(&[0])].concat(), wide(&[content.len() as u64, 8, 0])),
        inode(18, REGULAR, 0x20, None),
        attribute(18, "com.apple.decmpfs", &compressed),
    ];
    let mut out = vec![0; 9 * APFS_BLOCK];
    out[8 * APFS_BLOCK..8 * APFS_BLOCK + content.len()].copy_from_slice(content);
    // Blocks: the superblock and its checkpoint, the object map and its tree, the volume, the same, the tree of records, content.
    let superblock = |block: &mut [u8]| {
        block[32..40].copy_from_slice(b"NXSB\0\x10\0\0");
        block[40] = 9;
        block[104] = 1;
        block[112] = 1;
        block[160] = 2;
        block[184..186].copy_from_slice(&1026_u16.to_le_bytes());
    };
    let volume = |block: &mut [u8]| {
        block[32..36].copy_from_slice(b"APSB");
        block[128] = 5;
        block[136..138].copy_from_slice(&1028_u16.to_le_bytes());
        block[264] = 1;
        block[704..708].copy_from_slice(b"Disk");
    };
    let map = |tree: u8| move |block: &mut [u8]| block[48] = tree;
    let stored = |object: u64, block: u64| {
        [(wide(&[object, 1]), [vec![0, 0, 0, 0, 0, 16, 0, 0], wide(&[block])].concat())]
    };
    let of_container = stored(1026, 4);
    let of_volume = stored(1028, 7);
    type Fill<'f> = &'f dyn Fn(&mut [u8]);
    let kinds: [(u64, Fill); 8] = [
        (1, &superblock),
        (1, &superblock),
        (2, &map(3)),
        (3, &|block| apfs_leaf(block, true, &of_container)),
        (1026, &volume),
        (5, &map(6)),
        (6, &|block| apfs_leaf(block, true, &of_volume)),
        (1028, &|block| apfs_leaf(block, false, &records)),
    ];
    for (block, (object, fill)) in out.chunks_exact_mut(APFS_BLOCK).zip(kinds) {
        block[8..24].copy_from_slice(&wide(&[object, 1]));
        fill(block);
        let sum = apfs_checksum(block);
        block[..8].copy_from_slice(&sum.to_le_bytes());
    }
    out
}

const APFS_BLOCK: usize = 4096;

/// Writes a root that is a leaf.
fn apfs_leaf(block: &mut [u8], is_fixed: bool, records: &[(Vec<u8>, Vec<u8>)]) {
    let entry_bytes = if is_fixed { 4 } else { 8 };
    block[32] = if is_fixed { 7 } else { 3 };
    block[36] = records.len() as u8;
    let table_bytes = records.len() * entry_bytes;
    block[42..44].copy_from_slice(&(table_bytes as u16).to_le_bytes());
    let (mut key_at, mut back) = (0, 0);
    for (number, (key, value)) in records.iter().enumerate() {
        back += value.len();
        let places: &[usize] =
            if is_fixed { &[key_at, back] } else { &[key_at, key.len(), back, value.len()] };
        for (half, place) in places.iter().enumerate() {
            let at = 56 + number * entry_bytes + half * 2;
            block[at..at + 2].copy_from_slice(&(*place as u16).to_le_bytes());
        }
        let key_place = 56 + table_bytes + key_at;
        block[key_place..key_place + key.len()].copy_from_slice(key);
        let value_place = APFS_BLOCK - 40 - back;
        block[value_place..value_place + value.len()].copy_from_slice(value);
        key_at += key.len();
    }
}

/// Fletcher's checksum with words of 32 bits, written so that the sum over all is zero.
pub(crate) fn apfs_checksum(block: &[u8]) -> u64 {
    const MODULUS: u64 = 0xffff_ffff;
    let words =
        block[8..].chunks_exact(4).map(|word| u64::from(u32::from_le_bytes(word.try_into().unwrap())));
    let (low, high) =
        words.fold((0, 0), |(low, high), word| ((low + word) % MODULUS, (high + low + word) % MODULUS));
    let first = MODULUS - (low + high) % MODULUS;
    let second = MODULUS - (low + first) % MODULUS;
    second << 32 | first
}

/// What the streams of `LZVN` and `LZFSE` have in them.
pub(crate) fn lzfse_content(size: usize) -> Vec<u8> {
    (0..size).map(|at| if at % 512 < 64 { ((at * at) >> 6 & 0x3f) as u8 } else { b' ' }).collect()
}

/// Streams that Apple's reference implementation made of the content, of 512 and of 8,192 bytes: one LZVN block, one LZFSE block.
pub(crate) const LZVN: &str = "\
    6276786e000200004c0000006001004601e02502020303040405050606070809090a0b0c0d0e0f1011121314151617191a1b\
    1c1e1f2122242527282a2b2d2f31323436383a3c3e20faf0fff094e22020060000000000000062767824";
pub(crate) const LZFSE: &str = "\
    6276783200200000f000e00a000e00300cb8e0c20b230040be0000001778c005a71770b100008075ca02cee00c0000f803fe\
    831fe2946f003805000000000000be01000000000000e0fa2778032eafaf5f80eb8bebcb8bcbababab17e0eafae20db8ba1c\
    1797179757e3faea2f7803ae2eafaf2fae2fc61b7031aeaeae2ede80eb8bababcbf1028c8babab31ae000000000000000000\
    000000000000000000000000000000000000000000000000000000000000000000000000000000000000b6d6ba3626f17b80\
    3a31c0350abc565a66367d38546ac9680d619e51aebe4ecefe417e6464486affed534a27ae4374c7a4e2eb096f3f0c681006\
    52b22c64c51fe2a8b3a55ca5e1c19fa23221c8218d09577aa356947f3e56faa84b2e8ad6c0e724e0a2ab00600a2bb4eb99cb\
    f53eb39a72ef0099fc86bc1067142af3f1018b9bb4db2808e362f3138cfa67b0820e809b5656bc5e8e7e546b3ab76c36b829\
    3333137c22041563aaeaffffaa070000000000000000009c78fe3f81febf019a0ea12fdc43e8dbe3107347489671081d1262\
    767824";

/// Bytes from hexadecimal digits.
pub(crate) fn unhex(digits: &str) -> Vec<u8> {
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
