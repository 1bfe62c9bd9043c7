//! What the world says about packages: readers of OSV, KEV, EPSS, SSVC, CSAF and VEX documents, and the index over them.
//!
//! Every document is foreign. What cannot be read is a [`Problem`](evidence::Problem) that names file and position, and the
//! rest is imported. A feed can add findings; only a signed decision takes one away.
//!
//! | module | what it is |
//! |---|---|
//! | [`package`] | a package as advisories name it |
//! | [`osv`] | OSV documents, to the letter |
//! | [`affected`] | which versions a record speaks of, and what that says of one version |
//! | [`index`] | immutable segments: packages, postings, records, aliases, digests of artifacts |
//! | [`enrichment`] | what is exploited, and how likely |
//! | [`vex`] | what somebody says is not affected |
//! | [`documents`] | documents in files, archives and streams |
//! | [`mirror`] | where new documents come from |
//! | [`snapshot`] | the segments that count together, and how they change |

pub mod affected;
pub mod documents;
pub mod enrichment;
pub mod index;
pub mod mirror;
pub mod osv;
pub mod package;
pub mod snapshot;
pub mod vex;

pub use package::Package;
pub use snapshot::{Import, Imported, Snapshot};
