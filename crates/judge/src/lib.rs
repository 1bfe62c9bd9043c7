//! Facts in, findings out. Pure: no I/O, no clock, no randomness; the same case gives the same bytes.
//!
//! Every finding names the evidence it rests on. Unknown is denied. Only [`gate`] makes a
//! [`Permit`](gate::Permit).

pub mod anomalies;
pub mod baseline;
pub mod bill;
pub mod codes;
pub mod compare;
pub mod detect;
pub mod gate;
pub mod lineage;
pub mod machines;
pub mod matched;
pub mod matching;
pub mod policy;
pub mod posture;
pub mod presence;
pub mod roles;
pub mod segments;

pub use compare::{Comparison, Verdict};
pub use gate::{Case, Decision, Permit};
pub use policy::Policy;
