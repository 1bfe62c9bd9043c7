//! Tests over many parts.
