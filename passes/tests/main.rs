//! All tests of the crate are one program, and none is part of the library, which would be compiled twice.

mod analyses;
mod computed;
mod costs;
mod effects;
mod generated;
mod golden;
mod loops;
mod manager;
mod mixed_precision;
mod oracle;
mod products;
mod quantize;
mod rewriting;
#[path = "rules/rows.rs"]
mod rows;
mod rules;
mod saturate;
mod sinking;
