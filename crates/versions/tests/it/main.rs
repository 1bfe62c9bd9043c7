//! Version orders against the field's vectors, second opinions and the laws of an order.

mod laws;
mod vectors;
