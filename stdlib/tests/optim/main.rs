//! Optimizers against stored results of optax, of loops over numpy, and of scipy.

mod chains;
mod complex;
mod least;
mod manifolds;
mod misuse;
mod reference;
mod scaled;
