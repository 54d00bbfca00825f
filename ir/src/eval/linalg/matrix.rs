//! Complex numbers and small matrices of them.

use std::ops::{Add, AddAssign, Div, Index, IndexMut, Mul, Neg, Sub, SubAssign};

/// A complex number.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Cx {
    pub re: f64,
    pub im: f64,
}

impl Cx {
    pub const ZERO: Cx = Cx { re: 0.0, im: 0.0 };
    pub const ONE: Cx = Cx { re: 1.0, im: 0.0 };
    pub const NAN: Cx = Cx { re: f64::NAN, im: f64::NAN };

    pub fn real(re: f64) -> Cx {
        Cx { re, im: 0.0 }
    }
    pub fn conj(self) -> Cx {
        Cx { re: self.re, im: -self.im }
    }
    pub fn abs(self) -> f64 {
        self.re.hypot(self.im)
    }
    /// |x|^2
    pub fn square(self) -> f64 {
        self.re * self.re + self.im * self.im
    }
    pub fn scale(self, c: f64) -> Cx {
        Cx { re: self.re * c, im: self.im * c }
    }
    pub fn is_finite(self) -> bool {
        self.re.is_finite() && self.im.is_finite()
    }
}

impl Add for Cx {
    type Output = Cx;
    fn add(self, y: Cx) -> Cx {
        Cx { re: self.re + y.re, im: self.im + y.im }
    }
}
impl AddAssign for Cx {
    fn add_assign(&mut self, y: Cx) {
        *self = *self + y;
    }
}
impl Sub for Cx {
    type Output = Cx;
    fn sub(self, y: Cx) -> Cx {
        Cx { re: self.re - y.re, im: self.im - y.im }
    }
}
impl SubAssign for Cx {
    fn sub_assign(&mut self, y: Cx) {
        *self = *self - y;
    }
}
impl Neg for Cx {
    type Output = Cx;
    fn neg(self) -> Cx {
        Cx { re: -self.re, im: -self.im }
    }
}
impl Mul for Cx {
    type Output = Cx;
    fn mul(self, y: Cx) -> Cx {
        if self.im == 0.0 && y.im == 0.0 {
            return Cx::real(self.re * y.re); // so that an infinite real stays real
        }
        Cx { re: self.re * y.re - self.im * y.im, im: self.re * y.im + self.im * y.re }
    }
}
impl Div for Cx {
    type Output = Cx;
    fn div(self, y: Cx) -> Cx {
        if self.im == 0.0 && y.im == 0.0 {
            return Cx::real(self.re / y.re);
        }
        // scaled by the larger part of the divisor (Smith 1962)
        if y.re.abs() >= y.im.abs() {
            let (r, d) = (y.im / y.re, y.re + y.im * (y.im / y.re));
            Cx { re: (self.re + self.im * r) / d, im: (self.im - self.re * r) / d }
        } else {
            let (r, d) = (y.re / y.im, y.im + y.re * (y.re / y.im));
            Cx { re: (self.re * r + self.im) / d, im: (self.im * r - self.re) / d }
        }
    }
}

/// A row-major matrix.
#[derive(Clone, Debug)]
pub(super) struct Matrix {
    pub m: usize,
    pub n: usize,
    pub data: Vec<Cx>,
}

impl Index<(usize, usize)> for Matrix {
    type Output = Cx;
    fn index(&self, (i, j): (usize, usize)) -> &Cx {
        &self.data[i * self.n + j]
    }
}
impl IndexMut<(usize, usize)> for Matrix {
    fn index_mut(&mut self, (i, j): (usize, usize)) -> &mut Cx {
        &mut self.data[i * self.n + j]
    }
}

impl Matrix {
    pub fn from_fn(m: usize, n: usize, f: impl Fn(usize, usize) -> Cx) -> Matrix {
        Matrix { m, n, data: (0..m * n).map(|k| f(k / n, k % n)).collect() }
    }

    pub fn identity(n: usize) -> Matrix {
        Matrix::from_fn(n, n, |i, j| if i == j { Cx::ONE } else { Cx::ZERO })
    }

    /// The conjugate transpose.
    pub fn adjoint(&self) -> Matrix {
        Matrix::from_fn(self.n, self.m, |i, j| self[(j, i)].conj())
    }

    pub fn transpose(&self) -> Matrix {
        Matrix::from_fn(self.n, self.m, |i, j| self[(j, i)])
    }

    pub fn times(&self, other: &Matrix) -> Matrix {
        Matrix::from_fn(self.m, other.n, |i, j| (0..self.n).fold(Cx::ZERO, |sum, k| sum + self[(i, k)] * other[(k, j)]))
    }

    pub fn column(&self, j: usize) -> Vec<Cx> {
        (0..self.m).map(|i| self[(i, j)]).collect()
    }

    pub fn swap_rows(&mut self, i: usize, k: usize) {
        (0..self.n).for_each(|j| self.data.swap(i * self.n + j, k * self.n + j));
    }

    pub fn from_columns(m: usize, columns: &[Vec<Cx>]) -> Matrix {
        Matrix::from_fn(m, columns.len(), |i, j| columns[j][i])
    }

    /// Columns `p`, `q` become `c p - s conj(w) q`, `s p + c conj(w) q`.
    pub fn rotate(&mut self, p: usize, q: usize, (c, s, w): (f64, f64, Cx)) {
        for i in 0..self.m {
            let (x, y) = (self[(i, p)], self[(i, q)] * w.conj());
            self[(i, p)] = x.scale(c) - y.scale(s);
            self[(i, q)] = x.scale(s) + y.scale(c);
        }
    }

    /// What [`Matrix::rotate`] does to columns, done to the rows of the conjugate.
    pub fn rotate_rows(&mut self, p: usize, q: usize, (c, s, w): (f64, f64, Cx)) {
        for j in 0..self.n {
            let (x, y) = (self[(p, j)], self[(q, j)] * w);
            self[(p, j)] = x.scale(c) - y.scale(s);
            self[(q, j)] = x.scale(s) + y.scale(c);
        }
    }

    /// The matrix divided by the power of two next to its greatest element, and that power; so that squares neither
    /// overflow nor underflow.
    pub fn normalised(&self) -> (Matrix, f64) {
        let greatest = self.data.iter().fold(0.0f64, |m, x| m.max(x.re.abs()).max(x.im.abs()));
        if greatest == 0.0 || !greatest.is_finite() {
            return (self.clone(), 1.0);
        }
        let scale = 2f64.powi(greatest.log2().floor().clamp(-1000.0, 1000.0) as i32);
        (Matrix { m: self.m, n: self.n, data: self.data.iter().map(|x| x.scale(1.0 / scale)).collect() }, scale)
    }
}

/// x^H y
pub(super) fn inner(x: &[Cx], y: &[Cx]) -> Cx {
    x.iter().zip(y).fold(Cx::ZERO, |sum, (x, y)| sum + x.conj() * *y)
}

/// Euclidean length, of vectors whose squares neither overflow nor underflow.
pub(super) fn length(x: &[Cx]) -> f64 {
    x.iter().map(|x| x.square()).sum::<f64>().sqrt()
}

/// The factor that makes positive the first entry within a tenth of the greatest magnitude.
pub(super) fn phase(x: &[Cx]) -> Cx {
    let greatest = x.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    let leader = x.iter().find(|x| x.abs() >= 0.9 * greatest && x.abs() > 0.0);
    leader.map_or(Cx::ONE, |x| x.conj().scale(1.0 / x.abs()))
}

/// `columns` with unit vectors orthogonal to all before added until there are `count` of length `m`.
pub(super) fn complete(columns: &mut Vec<Vec<Cx>>, m: usize, count: usize) {
    while columns.len() < count {
        // the axis farthest from the span, made orthogonal twice
        let residual = |axis: usize| {
            let mut x = vec![Cx::ZERO; m];
            x[axis] = Cx::ONE;
            for _ in 0..2 {
                for c in columns.iter() {
                    let along = inner(c, &x);
                    x.iter_mut().zip(c).for_each(|(x, c)| *x -= *c * along);
                }
            }
            x
        };
        let best = (0..m).map(residual).reduce(|best, x| if length(&x) > length(&best) { x } else { best });
        let Some(best) = best else { return };
        let scale = phase(&best).scale(1.0 / length(&best));
        columns.push(best.into_iter().map(|x| x * scale).collect());
    }
}
