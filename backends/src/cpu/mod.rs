//! The CPU backend.

pub mod library;
