//! Singular vectors and eigenvectors are unique up to a phase (for real matrices a sign), general eigenvalues up to their
//! order. Before results are compared, ours are brought to JAX's choice.

use crate::compare::Numbers;
use gradloom_ir::Complex;

type Z = Complex<f64>;

/// What an output of a decomposition holds.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    /// One number a vector.
    Values,
    /// Vectors as columns; those with one number share their phases.
    Columns(usize),
    /// Conjugated vectors as rows.
    Rows(usize),
}

/// The outputs of the groups that decompose.
fn parts(group: &str, outputs: usize) -> Option<&'static [Part]> {
    use Part::{Columns, Rows, Values};
    match (group, outputs) {
        ("svd", 1) => Some(&[Values]),
        ("svd", 3) => Some(&[Values, Columns(0), Rows(0)]),
        ("eigh", 2) => Some(&[Columns(0), Values]),
        ("eig", 1..=3) => Some(&[Values, Columns(0), Columns(1)][..outputs]),
        _ => None,
    }
}

/// A batch of matrices; a vector of values is a matrix of one row.
struct Matrices {
    batch: usize,
    rows: usize,
    columns: usize,
    elements: Vec<Z>,
}

impl Matrices {
    fn of(x: &Numbers, part: Part) -> Matrices {
        let shape = &x.ty().shape;
        let (rows, columns) = match (&shape[..], part) {
            ([.., n], Part::Values) => (1, *n),
            ([.., m, n], _) => (*m, *n),
            _ => (1, 1),
        };
        let elements = x.complex();
        Matrices { batch: elements.len() / (rows * columns).max(1), rows, columns, elements }
    }

    fn at(&self, batch: usize, row: usize, column: usize) -> Z {
        self.elements[(batch * self.rows + row) * self.columns + column]
    }

    /// How many vectors, and how long.
    fn vectors(&self, part: Part) -> (usize, usize) {
        if let Part::Rows(_) = part { (self.rows, self.columns) } else { (self.columns, self.rows) }
    }

    /// Vector `j` as a column.
    fn vector(&self, part: Part, batch: usize, j: usize) -> Vec<Z> {
        match part {
            Part::Rows(_) => (0..self.columns).map(|i| self.at(batch, j, i).conj()).collect(),
            _ => (0..self.rows).map(|i| self.at(batch, i, j)).collect(),
        }
    }

    fn set_vector(&mut self, part: Part, batch: usize, j: usize, v: &[Z]) {
        for (i, &z) in v.iter().enumerate() {
            let (row, column, z) = if let Part::Rows(_) = part { (j, i, z.conj()) } else { (i, j, z) };
            self.elements[(batch * self.rows + row) * self.columns + column] = z;
        }
    }
}

/// `u^H v`
fn inner(u: &[Z], v: &[Z]) -> Z {
    u.iter().zip(v).map(|(a, b)| a.conj() * b).sum()
}

fn scaled(v: &[Z], by: Z) -> Vec<Z> {
    v.iter().map(|z| z * by).collect()
}

/// How our choice of one decomposition becomes JAX's.
pub struct Frame {
    parts: &'static [Part],
    /// For each matrix, which of our values is JAX's j-th.
    order: Vec<Vec<usize>>,
    /// By number of the vectors, for each matrix: what our j-th vector in JAX's order is multiplied by.
    phases: Vec<Vec<Vec<Z>>>,
    /// For each matrix: how ill-determined vector j is, the size of the matrix over the distance to the next value.
    spread: Vec<Vec<f64>>,
    /// JAX's vectors, by output.
    want: Vec<Numbers>,
}

impl Frame {
    /// `None` for groups that do not decompose.
    pub fn new(group: &str, got: &[Numbers], want: &[Numbers]) -> Option<Frame> {
        let parts = parts(group, want.len())?;
        if got.iter().zip(want).any(|(g, w)| g.ty() != w.ty()) || got.len() != want.len() {
            return None;
        }
        let at = parts.iter().position(|p| *p == Part::Values)?;
        let (ours, theirs) = (Matrices::of(&got[at], Part::Values), Matrices::of(&want[at], Part::Values));
        let mut frame = Frame { parts, order: vec![], phases: vec![vec![]; 2], spread: vec![], want: want.to_vec() };
        for b in 0..theirs.batch {
            let values = |m: &Matrices| (0..m.columns).map(|j| m.at(b, 0, j)).collect::<Vec<Z>>();
            let (ours, theirs) = (values(&ours), values(&theirs));
            frame.order.push(if group == "eig" { matched(&ours, &theirs) } else { (0..ours.len()).collect() });
            frame.spread.push(spreads(&theirs, group == "svd"));
        }
        for (i, &part) in parts.iter().enumerate() {
            let Part::Columns(set) = part else { continue };
            let (ours, theirs) = (Matrices::of(&got[i], part), Matrices::of(&want[i], part));
            for (b, order) in frame.order.iter().enumerate() {
                let phase = |(j, &k): (usize, &usize)| {
                    let p = inner(&ours.vector(part, b, k), &theirs.vector(part, b, j));
                    if p.norm() > 0.0 { p / p.norm() } else { Z::new(1.0, 0.0) }
                };
                frame.phases[set].push(order.iter().enumerate().map(phase).collect());
            }
        }
        Some(frame)
    }

    /// Our values, or tangents, by JAX's choice. Vectors beyond the values, any basis of the rest, are turned to JAX's
    /// basis, which gives its vectors if ours are one.
    pub fn to_theirs(&self, got: &[Numbers]) -> Vec<Numbers> {
        self.turned(got, |m, part, b, order, phases| {
            let (count, _) = m.vectors(part);
            let own: Vec<Vec<Z>> = (0..count).map(|j| m.vector(part, b, j)).collect();
            let known = order.len().min(count);
            let mut all: Vec<Vec<Z>> = (0..known).map(|j| scaled(&own[order[j]], phases[j])).collect();
            let target = self.parts.iter().position(|p| *p == part).map(|i| Matrices::of(&self.want[i], part));
            for j in known..count {
                let want = target.as_ref().map(|t| t.vector(part, b, j)).unwrap_or_default();
                let mut sum = vec![Z::new(0.0, 0.0); want.len()];
                for u in &own[known..] {
                    let c = inner(u, &want);
                    sum.iter_mut().zip(u).for_each(|(s, z)| *s += z * c);
                }
                all.push(sum);
            }
            all
        })
    }

    /// JAX's cotangents by our choice: a sum over the vectors that is the same with ours.
    pub fn to_ours(&self, cotangents: &[Numbers]) -> Vec<Numbers> {
        self.turned(cotangents, |m, part, b, order, phases| {
            let (count, _) = m.vectors(part);
            let mut all: Vec<Vec<Z>> = (0..count).map(|j| m.vector(part, b, j)).collect();
            for (j, &k) in order.iter().enumerate().take(count) {
                all[k] = scaled(&m.vector(part, b, j), phases[j]);
            }
            all
        })
    }

    fn turned(
        &self,
        arrays: &[Numbers],
        turn: impl Fn(&Matrices, Part, usize, &[usize], &[Z]) -> Vec<Vec<Z>>,
    ) -> Vec<Numbers> {
        let one = |(x, &part): (&Numbers, &Part)| {
            let mut m = Matrices::of(x, part);
            for (b, order) in self.order.iter().enumerate() {
                let none = vec![Z::new(1.0, 0.0); order.len()];
                let phases = match part {
                    Part::Values => &none,
                    Part::Columns(set) | Part::Rows(set) => &self.phases[set][b],
                };
                for (j, v) in turn(&m, part, b, order, phases).iter().enumerate() {
                    m.set_vector(part, b, j, v);
                }
            }
            x.with(&m.elements)
        };
        arrays.iter().zip(self.parts).map(one).collect()
    }

    /// Tangents without their part along i times the vector, which the choice of phase decides. Vectors of one phase
    /// lose it together, so much that the last of them has none left.
    pub fn without_phase(&self, tangents: &[Numbers]) -> Vec<Numbers> {
        let mut all: Vec<Matrices> = tangents.iter().zip(self.parts).map(|(x, &p)| Matrices::of(x, p)).collect();
        let vectors: Vec<Matrices> = self.want.iter().zip(self.parts).map(|(x, &p)| Matrices::of(x, p)).collect();
        for b in 0..self.order.len() {
            for j in 0..self.order[b].len() {
                for set in 0..2 {
                    let same = |p: &Part| matches!(p, Part::Columns(s) | Part::Rows(s) if *s == set);
                    let members: Vec<usize> = (0..all.len()).filter(|&i| same(&self.parts[i])).collect();
                    let Some(&last) = members.last() else { continue };
                    let vector = |i: usize| vectors[i].vector(self.parts[i], b, j);
                    let along = inner(&vector(last), &all[last].vector(self.parts[last], b, j)).im;
                    for i in members {
                        let moved = all[i].vector(self.parts[i], b, j);
                        let turn = scaled(&vector(i), Z::new(0.0, along));
                        let rest: Vec<Z> = moved.iter().zip(&turn).map(|(x, y)| x - y).collect();
                        all[i].set_vector(self.parts[i], b, j, &rest);
                    }
                }
            }
        }
        tangents.iter().zip(&all).map(|(x, m)| x.with(&m.elements)).collect()
    }

    /// By how much more the elements of output `i` may be apart. Tangents of values are due to the vectors.
    pub fn leeway(&self, i: usize, tangents: bool) -> Vec<f64> {
        let part = self.parts[i];
        let mut m = Matrices::of(&self.want[i], part);
        for b in 0..self.order.len() {
            let (count, length) = m.vectors(part);
            for j in 0..count {
                let by =
                    if part == Part::Values && !tangents { 1.0 } else { self.spread[b].get(j).copied().unwrap_or(1.0) };
                m.set_vector(part, b, j, &vec![Z::new(by, 0.0); length]);
            }
        }
        m.elements.iter().map(|z| z.re).collect()
    }

    /// The leeway of the worst determined vector.
    pub fn worst(&self) -> f64 {
        self.spread.iter().flatten().copied().fold(1.0, f64::max)
    }
}

/// For each of `theirs` the nearest of `ours` not yet taken.
fn matched(ours: &[Z], theirs: &[Z]) -> Vec<usize> {
    let mut free: Vec<usize> = (0..ours.len()).collect();
    let nearest = |w: &Z| {
        let at = (0..free.len()).min_by(|&i, &j| (ours[free[i]] - w).norm().total_cmp(&(ours[free[j]] - w).norm()));
        at.map_or(0, |at| free.remove(at))
    };
    theirs.iter().map(nearest).collect()
}

/// However close two values are, their vectors are not further apart than this times the tolerance.
const MOST_LEEWAY: f64 = 1e3;

/// The greatest value over the distance of each to the next; of singular values also to 0.
fn spreads(values: &[Z], to_zero: bool) -> Vec<f64> {
    let top = values.iter().map(|z| z.norm()).fold(0.0, f64::max);
    let gap = |j: usize| {
        let others = (0..values.len()).filter(|&i| i != j).map(|i| (values[i] - values[j]).norm());
        let alone = if to_zero { values[j].norm() } else { f64::INFINITY };
        others.fold(alone, f64::min)
    };
    (0..values.len()).map(|j| (top / gap(j)).clamp(1.0, MOST_LEEWAY)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Floor, Tolerance, apart};
    use gradloom_ir::Literal;

    fn matrix(rows: usize, elements: &[Z]) -> Numbers {
        Numbers::of(&Literal::new(&[rows, elements.len() / rows], elements))
    }

    fn z(re: f64, im: f64) -> Z {
        Z::new(re, im)
    }

    #[track_caller]
    fn same(got: &Numbers, want: &Numbers, expected: bool) {
        let t = Tolerance { relative: 1e-12, floor: Floor::Largest };
        assert_eq!(apart(t, got, want, None).is_none(), expected);
    }

    /// A rotation as vectors, ours turned by phases; the third of a full set is any vector of its line.
    #[test]
    fn phases_and_bases() {
        let (c, s) = (0.6, 0.8);
        let o = z(0.0, 0.0);
        let u = matrix(3, &[z(c, 0.0), z(-s, 0.0), o, z(s, 0.0), z(c, 0.0), o, o, o, z(1.0, 0.0)]);
        let (p, q) = (z(0.0, 1.0), z(-0.6, 0.8));
        let turned = [z(c, 0.0) * p, z(-s, 0.0) * q, o, z(s, 0.0) * p, z(c, 0.0) * q, o, o, o, z(0.0, -1.0)];
        let vt = matrix(2, &[z(1.0, 0.0), o, o, z(1.0, 0.0)]);
        let vt_turned = matrix(2, &[p.conj(), o, o, q.conj()]);
        let values = Numbers::of(&Literal::new(&[2], &[3.0, 2.0]));
        let want = [values.clone(), u, vt];
        let got = [values.clone(), matrix(3, &turned), vt_turned];
        let frame = Frame::new("svd", &got, &want).expect("a decomposition");
        let aligned = frame.to_theirs(&got);
        (0..3).for_each(|i| same(&aligned[i], &want[i], true));
        // a third vector that is too long
        let mut long = turned;
        long[8] = z(0.0, -2.0);
        let got = [values, matrix(3, &long), got[2].clone()];
        same(&frame.to_theirs(&got)[1], &want[1], false);
        // sum of ct u, ours with ours and JAX's with JAX's
        let ct = [want[0].clone(), matrix(3, &[z(0.3, 0.1); 9]), matrix(2, &[z(-0.2, 0.7); 4])];
        let ours = frame.to_ours(&ct);
        let pair = |a: &Numbers, b: &Numbers| a.complex().iter().zip(b.complex()).map(|(x, y)| x * y).sum::<Z>();
        let first_two = |x: &Numbers| matrix(3, &x.complex().chunks(3).flat_map(|r| [r[0], r[1]]).collect::<Vec<_>>());
        let columns = pair(&first_two(&ours[1]), &first_two(&matrix(3, &turned)));
        assert!((columns - pair(&first_two(&ct[1]), &first_two(&want[1]))).norm() < 1e-12);
        assert!((pair(&ours[2], &got[2]) - pair(&ct[2], &want[2])).norm() < 1e-12);
    }

    #[test]
    fn order_and_distance() {
        let (a, b) = ([z(1.0, 1.0), z(1.0, -1.0), z(0.5, 0.0)], [z(0.5, 0.0), z(1.0, -1.0), z(1.0, 1.0)]);
        assert_eq!(matched(&a, &b), [2, 1, 0]);
        assert_eq!(spreads(&[z(4.0, 0.0), z(2.0, 0.0), z(1.0, 0.0)], true), [2.0, 4.0, 4.0]);
        assert_eq!(spreads(&[z(4.0, 0.0)], false), [1.0]);
    }
}
