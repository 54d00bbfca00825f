//! Solvers against scipy on stored data, closed forms and differences.

mod equations;
mod implicit;
mod misuse;
mod quadrature;
mod transport;
