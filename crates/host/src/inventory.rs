//! What lies on this machine: the walk through a folder for the packages in it. Nothing is executed.
//!
//! | module | what it does |
//! |---|---|
//! | `walk` | goes through folders, two at a time, and hands files to the catalogers |
//! | `cache` | what files said before, by identity and time of last change |
//! | `mounts` | which file systems are entered |

mod cache;
mod mounts;
mod walk;

pub use walk::{Walk, Walked, walk};
