//! A line search to the strong Wolfe conditions.

use gradloom_frontend::{DType, Tensor, Tree, while_loop};

/// A point of the line: its step, value, slope and gradient.
#[derive(Tree, Clone)]
pub(crate) struct Point {
    /// Step α.
    pub a: Tensor,
    /// φ(α)
    pub f: Tensor,
    /// φ'(α)
    pub d: Tensor,
    /// Gradient of the loss at the point, a vector.
    pub g: Tensor,
}

impl Point {
    fn select(p: &Tensor, yes: &Point, no: &Point) -> Point {
        yes.zip_map(no, |y, n| p.select(y, n))
    }
}

#[derive(Tree, Clone)]
struct Search {
    /// Lowest point so far with sufficient decrease; before a bracket is found the one tried last.
    low: Point,
    /// Other end of the bracket.
    high: Point,
    /// Step to try next.
    a: Tensor,
    bracketed: Tensor,
    done: Tensor,
    tries: Tensor,
}

/// The constants of the search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Wolfe {
    /// Sufficient decrease.
    pub c1: f64,
    /// Curvature.
    pub c2: f64,
    /// Most evaluations.
    pub tries: usize,
}

impl Wolfe {
    /// A step from `start` (α = 0) that satisfies φ(α) ≤ φ(0) + c₁ α φ'(0) and |φ'(α)| ≤ c₂ |φ'(0)| (Nocedal and Wright
    /// 2006, algorithms 3.5 and 3.6; up to rounding of φ), or the lowest point met if there was none within the number of tries, and how often
    /// `phi` was evaluated. `phi` of a step gives value, slope and gradient.
    pub(crate) fn search(&self, phi: impl Fn(&Tensor) -> Point, start: &Point, first: &Tensor) -> (Point, Tensor) {
        let no = Tensor::from(false);
        let init = Search {
            low: start.clone(),
            high: start.clone(),
            a: first.clone(),
            bracketed: no.clone(),
            done: no,
            tries: Tensor::from(0),
        };
        let end = while_loop(
            |s: &Search| (!s.done.clone()) & s.tries.lt(self.tries),
            |s: &Search| self.advance(s, &phi(&s.a), start),
            &init,
        );
        (end.low, end.tries)
    }

    fn advance(&self, s: &Search, at: &Point, start: &Point) -> Search {
        let Search { low, high, bracketed, .. } = s;
        let finite = at.f.is_finite() & at.d.is_finite();
        let decreased = at.f.le(&start.f + &at.a * &start.d * self.c1) & at.f.lt(&low.f);
        let flat = at.d.abs().le(start.d.abs() * self.c2);
        // where values differ by no more than rounding, slopes still tell (Hager and Zhang 2005)
        let rounding = if at.f.dtype() == DType::F64 { 1e-15 } else { 5e-7 };
        let level = at.f.le(&start.f + start.f.abs() * rounding) & &flat & at.a.gt(0.0);
        let good = finite & (decreased | level);
        let done = &good & &flat;
        // whether the slope at the new low point leads away from the other end
        let ahead = bracketed.select((&at.d * (&high.a - &low.a)).ge(0.0), at.d.ge(0.0));
        let next_high = Point::select(&good, &Point::select(&ahead, low, high), at);
        let next_low = Point::select(&good, at, low);
        let bracketed = bracketed | !good.clone() | &ahead;
        let high = Point::select(&bracketed, &next_high, high);
        let a = bracketed.select(between(&next_low, &high), &at.a * 2.0);
        Search { low: next_low, high, a, bracketed, done, tries: &s.tries + 1 }
    }
}

/// The minimum of the cubic through both ends (equation 3.59), or the middle where it comes too near to an end.
fn between(low: &Point, high: &Point) -> Tensor {
    let width = &high.a - &low.a;
    let d1 = &low.d + &high.d - (&low.f - &high.f) / (&low.a - &high.a) * 3.0;
    let root = d1.square() - &low.d * &high.d;
    let d2 = root.maximum(0.0).sqrt() * width.sign();
    let cubic = &high.a - &width * (&high.d + &d2 - &d1) / (&high.d - &low.d + &d2 * 2.0);
    let part = (&cubic - &low.a) / &width;
    let usable = root.ge(0.0) & part.ge(0.1) & part.le(0.9);
    usable.select(cubic, &low.a + width * 0.5)
}
