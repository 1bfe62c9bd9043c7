//! The index against a plain reading, real documents, damage.

mod differential;
mod imports;
mod scores;
