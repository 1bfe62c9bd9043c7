//! Paths of tiles (C2SP tlog-tiles, "Merkle Tree").

use std::fmt::Write as _;

/// Level under which entry bundles stand.
pub const ENTRIES: Option<u8> = None;

/// Entries or hashes in a full tile.
pub(crate) const TILE_WIDTH: u64 = 256;

/// Writes the path of a tile: `tile/<L>/<N>[.p/<W>]`, `N` in groups of three digits, all but the last with an
/// `x` before. `level` is a hash level, or [`ENTRIES`].
pub fn tile_path(level: Option<u8>, index: u64, width: u64) -> String {
    let mut path = String::from("tile/");
    match level {
        Some(level) => write!(path, "{level}").unwrap_or(()),
        None => path.push_str("entries"),
    }
    let digits = format!("{index:03}");
    let padded = format!("{digits:0>width$}", width = digits.len().div_ceil(3) * 3);
    let groups = padded.len() / 3;
    for (number, group) in padded.as_bytes().chunks(3).enumerate() {
        path.push('/');
        if number + 1 < groups {
            path.push('x');
        }
        path.extend(group.iter().map(|digit| *digit as char));
    }
    if width < TILE_WIDTH {
        write!(path, ".p/{width}").unwrap_or(());
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_the_specification_s() {
        assert_eq!(tile_path(Some(0), 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(tile_path(Some(1), 0, 5), "tile/1/000.p/5");
        assert_eq!(tile_path(ENTRIES, 999, 256), "tile/entries/999");
        assert_eq!(tile_path(ENTRIES, 1000, 1), "tile/entries/x001/000.p/1");
    }
}
