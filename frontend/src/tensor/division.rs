//! Division that rounds down, remainders, common divisors and multiples.

use super::checks::{self, settled, settled_all};
use super::elementwise::{pair, real_pair};
use super::{Operand, Tensor};
use crate::transform::while_loop;
use gradloom_ir::Result;

/// Quotient rounded down, and the remainder that has the divisor's sign.
#[track_caller]
fn divided(op: &str, x: &Tensor, y: impl Operand) -> Result<[Tensor; 2]> {
    let (x, y) = real_pair(op, x, y)?;
    let r = &x % &y;
    if x.dtype().is_unsigned_int() {
        return Ok([x / y, r]);
    }
    let wrong = r.ne(0) & r.lt(0).ne(y.lt(0));
    let remainder = wrong.select(&r + &y, &r);
    let quotient = if x.dtype().is_float() {
        let q = (&x - &r) / &y;
        wrong.select(&q - 1, &q).round()
    } else {
        let q = &x / &y;
        wrong.select(&q - 1, &q)
    };
    Ok([quotient, remainder])
}

#[track_caller]
fn gcd(op: &str, x: &Tensor, y: impl Operand) -> Result<(Tensor, Tensor, Tensor)> {
    checks::integer(op, x)?;
    let (x, y) = pair(op, x, y)?;
    let start = (x.abs(), y.abs());
    // Euclid's algorithm on all elements until every remainder is 0
    let step = |(a, b): &(Tensor, Tensor)| {
        let done = b.eq(0);
        (done.select(a, b), done.select(b, a % done.select(1, b)))
    };
    let (g, _) = while_loop(|(_, b): &(Tensor, Tensor)| b.ne(0).any(..), step, &start);
    g.check()?;
    Ok((g, start.0, start.1))
}

#[track_caller]
fn lcm(x: &Tensor, y: impl Operand) -> Result<Tensor> {
    let (g, x, y) = gcd("lcm", x, y)?;
    let none = g.eq(0);
    Ok(none.select(0, &x / none.select(1, &g) * y))
}

impl Tensor {
    /// Remainder with the sign of the dividend, as C's and the `%` operator's.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([-7, 7]).fmod(3).to_vec::<i32>().unwrap(), [-1, 1]);
    /// ```
    #[track_caller]
    pub fn fmod(&self, rhs: impl Operand) -> Tensor {
        self % rhs
    }

    /// Remainder with the sign of the divisor, as Python's.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let x = Tensor::from([-1, 7]);
    /// assert_eq!(x.remainder(3).to_vec::<i32>().unwrap(), [2, 1]);
    /// assert_eq!(x.fmod(3).to_vec::<i32>().unwrap(), [-1, 1]);
    /// ```
    #[track_caller]
    pub fn remainder(&self, rhs: impl Operand) -> Tensor {
        let [_, r] = settled_all(divided("remainder", self, rhs));
        r
    }

    /// Quotient rounded down.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([-7, 7]).floor_divide(2).to_vec::<i32>().unwrap(), [-4, 3]);
    /// ```
    #[track_caller]
    pub fn floor_divide(&self, rhs: impl Operand) -> Tensor {
        let [q, _] = settled_all(divided("floor_divide", self, rhs));
        q
    }

    /// [`Tensor::floor_divide`] and [`Tensor::remainder`].
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// let (q, r) = Tensor::from(-7).divmod(2);
    /// assert_eq!((q.item::<i32>().unwrap(), r.item::<i32>().unwrap()), (-4, 1));
    /// ```
    #[track_caller]
    pub fn divmod(&self, rhs: impl Operand) -> (Tensor, Tensor) {
        let [q, r] = settled_all(divided("divmod", self, rhs));
        (q, r)
    }

    /// Greatest common divisor of integers; gcd(0, 0) = 0.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([12, -18]).gcd(8).to_vec::<i32>().unwrap(), [4, 2]);
    /// assert_eq!(Tensor::from([12, -18]).lcm(8).to_vec::<i32>().unwrap(), [24, 72]);
    /// ```
    #[track_caller]
    pub fn gcd(&self, rhs: impl Operand) -> Tensor {
        settled(gcd("gcd", self, rhs).map(|(g, _, _)| g))
    }

    /// Least common multiple of integers; 0 if one of them is.
    ///
    /// ```
    /// # use gradloom_frontend as gradloom;
    /// use gradloom::prelude::*;
    /// assert_eq!(Tensor::from([4, 0]).lcm(6).to_vec::<i32>().unwrap(), [12, 0]);
    /// ```
    #[track_caller]
    pub fn lcm(&self, rhs: impl Operand) -> Tensor {
        settled(lcm(self, rhs))
    }
}
