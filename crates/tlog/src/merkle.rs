//! Merkle trees as in RFC 6962, section 2.1, and proofs over them (RFC 9162, section 2.1.3 and 2.1.4).
//!
//! Subtree proofs follow the Merkle Tree Certificates draft: a subtree `[start, end)` starts at a multiple of
//! the next power of two of its size.

use std::fmt;

use sha2::{Digest, Sha256};

/// A node of the tree: SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, std::hash::Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Takes the 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why a proof is no proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProofError {
    /// The index or range lies outside the tree.
    #[error("index outside the tree")]
    Range,
    /// Too few or too many hashes.
    #[error("a proof of another length than the tree needs")]
    Length,
    /// It leads to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// Hashes an entry: SHA-256(0x00 ‖ entry).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([0]).chain_update(entry).finalize().into())
}

/// Hashes two children: SHA-256(0x01 ‖ left ‖ right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// Returns the root of a tree with these leaf hashes; the empty tree has SHA-256 of nothing.
pub fn root_of(leaves: &[Hash]) -> Hash {
    // A stack of complete subtrees, largest first: no recursion, and memory is logarithmic.
    let mut stack: Vec<(u32, Hash)> = Vec::new();
    for leaf in leaves {
        let mut top = (0, *leaf);
        while let Some((height, left)) = stack.last().copied() {
            if height != top.0 {
                break;
            }
            stack.pop();
            top = (height + 1, node_hash(&left, &top.1));
        }
        stack.push(top);
    }
    let mut nodes = stack.into_iter().rev().map(|(_, hash)| hash);
    match nodes.next() {
        None => Hash(Sha256::digest([]).into()),
        Some(first) => nodes.fold(first, |right, left| node_hash(&left, &right)),
    }
}

/// Returns the largest power of two below `size`, which must be at least 2.
fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// Lists the ranges whose roots prove the inclusion of `index` in a tree of `size`, leaf to root.
pub(crate) fn inclusion_ranges(index: u64, size: u64) -> Vec<(u64, u64)> {
    let (mut start, mut end) = (0, size);
    let mut ranges = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            ranges.push((middle, end));
            end = middle;
        } else {
            ranges.push((start, middle));
            start = middle;
        }
    }
    ranges.reverse();
    ranges
}

/// Lists the ranges whose roots prove that a tree of `size` begins with one of `old` entries.
pub(crate) fn consistency_ranges(old: u64, size: u64) -> Vec<(u64, u64)> {
    if old == 0 || old == size {
        return Vec::new();
    }
    let (mut start, mut end) = (0, size);
    let mut ranges = Vec::new();
    while end != old {
        let middle = start + split(end - start);
        if old <= middle {
            ranges.push((middle, end));
            end = middle;
        } else {
            ranges.push((start, middle));
            start = middle;
        }
    }
    if start != 0 {
        ranges.push((start, end));
    }
    ranges.reverse();
    ranges
}

/// Proves that the entry at `index` is in the tree of these leaves.
pub fn prove_inclusion(leaves: &[Hash], index: u64) -> Result<Vec<Hash>, ProofError> {
    let size = leaves.len() as u64;
    if index >= size {
        return Err(ProofError::Range);
    }
    Ok(inclusion_ranges(index, size).into_iter().map(|range| root_of(slice(leaves, range))).collect())
}

/// Proves that the tree of these leaves begins with the tree of the first `old` of them.
pub fn prove_consistency(leaves: &[Hash], old: u64) -> Result<Vec<Hash>, ProofError> {
    let size = leaves.len() as u64;
    if old > size {
        return Err(ProofError::Range);
    }
    Ok(consistency_ranges(old, size).into_iter().map(|range| root_of(slice(leaves, range))).collect())
}

fn slice(leaves: &[Hash], (start, end): (u64, u64)) -> &[Hash] {
    leaves.get(start as usize..end as usize).unwrap_or(&[])
}

/// Verifies that `leaf` is entry `index` of the tree with `size` entries and this root.
pub fn verify_inclusion(
    proof: &[Hash],
    index: u64,
    size: u64,
    leaf: &Hash,
    root: &Hash,
) -> Result<(), ProofError> {
    verify_subtree_inclusion(proof, index, 0, size, leaf, root)
}

/// Verifies that `leaf` is entry `index` of the subtree `[start, end)` with this root.
pub fn verify_subtree_inclusion(
    proof: &[Hash],
    index: u64,
    start: u64,
    end: u64,
    leaf: &Hash,
    root: &Hash,
) -> Result<(), ProofError> {
    if !is_subtree(start, end) || index < start || index >= end {
        return Err(ProofError::Range);
    }
    let mut node = index - start;
    let mut last = end - start - 1;
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Verifies that the tree of `size` entries with root `root` begins with the one of `old` entries with root
/// `old_root`.
pub fn verify_consistency(
    proof: &[Hash],
    old: u64,
    size: u64,
    old_root: &Hash,
    root: &Hash,
) -> Result<(), ProofError> {
    if old > size {
        return Err(ProofError::Range);
    }
    if old == 0 {
        // Every tree begins with the empty one: there is nothing to prove, and so no proof.
        let both_empty = *old_root == root_of(&[]) && root == old_root;
        return match (size, proof.is_empty(), both_empty) {
            (0, true, true) => Ok(()),
            (0, true, false) => Err(ProofError::Root),
            (0, false, _) => Err(ProofError::Length),
            (_, _, _) => Err(ProofError::Range),
        };
    }
    verify_subtree_consistency(proof, 0, old, size, old_root, root)
}

/// Verifies that the subtree `[start, end)` with root `sub_root` is part of the tree of `size` entries with root
/// `root`.
pub fn verify_subtree_consistency(
    proof: &[Hash],
    start: u64,
    end: u64,
    size: u64,
    sub_root: &Hash,
    root: &Hash,
) -> Result<(), ProofError> {
    if start == end && end <= size {
        // The empty subtree is part of every tree; nothing is left to prove.
        return match (proof.is_empty(), *sub_root == root_of(&[])) {
            (false, _) => Err(ProofError::Length),
            (true, false) => Err(ProofError::Root),
            (true, true) => Ok(()),
        };
    }
    if !is_subtree(start, end) || end > size {
        return Err(ProofError::Range);
    }
    let (mut first, mut last_sub, mut last) = (start, end - 1, size - 1);
    if last_sub == last {
        while first != last_sub {
            first >>= 1;
            last_sub >>= 1;
            last >>= 1;
        }
    } else {
        while first != last_sub && last_sub & 1 == 1 {
            first >>= 1;
            last_sub >>= 1;
            last >>= 1;
        }
    }
    let mut rest = proof;
    let (mut sub, mut whole) = (*sub_root, *sub_root);
    if first != last_sub {
        let (seed, tail) = rest.split_first().ok_or(ProofError::Length)?;
        (sub, whole, rest) = (*seed, *seed, tail);
    }
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if last_sub & 1 == 1 || last_sub == last {
            if first < last_sub {
                sub = node_hash(sibling, &sub);
            }
            whole = node_hash(sibling, &whole);
            while last_sub & 1 == 0 && last_sub != 0 {
                first >>= 1;
                last_sub >>= 1;
                last >>= 1;
            }
        } else {
            whole = node_hash(&whole, sibling);
        }
        first >>= 1;
        last_sub >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if sub == *sub_root && whole == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Tells whether `[start, end)` is a subtree: not empty, and `start` a multiple of the power of two that is not
/// smaller than its size.
fn is_subtree(start: u64, end: u64) -> bool {
    let Some(size) = end.checked_sub(start).filter(|size| *size > 0) else { return false };
    size.checked_next_power_of_two().is_some_and(|unit| start.is_multiple_of(unit))
}
