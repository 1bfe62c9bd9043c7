//! The log at its seams: proofs against vectors, faults at each write, corruption of each file.

mod log;
mod note;
mod proofs;
