//! Imports: what is read, what is a problem, and what a crash or a second import leaves.
