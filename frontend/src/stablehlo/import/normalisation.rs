//! Batch normalisation, as the specification composes it.

use super::super::syntax::Attr;
use super::{Call, Lower};
use gradloom_ir::{Builder, Result, Type, Unary, Value, Values};
use smallvec::smallvec;

pub(super) const RULES: &[(&str, Lower)] =
    &[("batch_norm_inference", inference), ("batch_norm_training", training), ("batch_norm_grad", gradient)];

/// The array that is normalised, its feature axis, and what is added to variances.
struct Norm {
    ty: Type,
    axis: usize,
    epsilon: f64,
}

impl Norm {
    fn of(c: &Call<'_, '_>, x: Value, features: &[Value]) -> Result<Norm> {
        let ty = c.ty(x);
        let axis = c.axis(&["feature_index"])?;
        let epsilon = match c.attr(&["epsilon"]) {
            Some(Attr::Number(text)) => text.parse().map_err(|_| c.error("`epsilon` is no number"))?,
            _ => return Err(c.error("the attribute `epsilon` is missing")),
        };
        let length = *ty.shape.get(axis).ok_or_else(|| c.error(format!("no axis {axis} of {ty}")))?;
        let feature = ty.with_shape(&[length]);
        if let Some(&v) = features.iter().find(|&&v| c.ty(v) != feature) {
            return Err(c.error(format!("a value a feature is {}, not {feature}", c.ty(v))));
        }
        Ok(Norm { ty, axis, epsilon })
    }

    /// A value a feature, for every element.
    fn spread(&self, b: &mut Builder, v: Value) -> Value {
        b.broadcast(v, &self.ty.shape, &[self.axis])
    }

    /// Sums over all but the features.
    fn total(&self, b: &mut Builder, x: Value) -> Value {
        let others: Vec<usize> = (0..self.ty.rank()).filter(|&a| a != self.axis).collect();
        b.sum(x, &others)
    }

    /// How many elements each feature has.
    fn count(&self) -> f64 {
        (self.ty.numel() / self.ty.shape[self.axis].max(1)) as f64
    }

    fn mean(&self, b: &mut Builder, x: Value) -> Value {
        let total = self.total(b, x);
        let count = b.full_like(total, self.count());
        b.div(total, count)
    }

    fn deviation(&self, b: &mut Builder, variance: Value) -> Value {
        let shifted = b.offset(variance, self.epsilon);
        b.unary(Unary::Sqrt, shifted)
    }

    fn centred(&self, b: &mut Builder, x: Value, mean: Value) -> Value {
        let mean = self.spread(b, mean);
        b.sub(x, mean)
    }

    /// scale (x - mean) / sqrt(variance + epsilon) + offset
    fn normalised(&self, b: &mut Builder, [x, scale, offset, mean, variance]: [Value; 5]) -> Value {
        let centred = self.centred(b, x, mean);
        let deviation = self.deviation(b, variance);
        let [deviation, scale, offset] = [deviation, scale, offset].map(|v| self.spread(b, v));
        let unit = b.div(centred, deviation);
        let scaled = b.mul(scale, unit);
        b.add(scaled, offset)
    }
}

fn inference(c: &mut Call<'_, '_>) -> Result<Values> {
    let args: [Value; 5] = c.args()?;
    let n = Norm::of(c, args[0], &args[1..])?;
    Ok(smallvec![n.normalised(c.b(), args)])
}

/// By the mean and variance of the batch, which are results too.
fn training(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x, scale, offset] = c.args()?;
    let n = Norm::of(c, x, &[scale, offset])?;
    let b = c.b();
    let mean = n.mean(b, x);
    let centred = n.centred(b, x, mean);
    let squares = b.mul(centred, centred);
    let variance = n.mean(b, squares);
    Ok(smallvec![n.normalised(b, [x, scale, offset, mean, variance]), mean, variance])
}

/// With N elements a feature, centred x, s = sqrt(variance + epsilon) and sums over each feature:
/// x_bar = scale / (s N) (N g - sum g - x sum(g x) / s^2), scale_bar = sum(g x / s), offset_bar = sum g.
fn gradient(c: &mut Call<'_, '_>) -> Result<Values> {
    let [x, scale, mean, variance, g] = c.args()?;
    let n = Norm::of(c, x, &[scale, mean, variance])?;
    if c.ty(g) != n.ty {
        return Err(c.error(format!("the gradient is {}, not {}", c.ty(g), n.ty)));
    }
    let b = c.b();
    let centred = n.centred(b, x, mean);
    let deviation = n.deviation(b, variance);
    let spread = n.spread(b, deviation);
    let along = b.mul(g, centred);
    let along = n.total(b, along);
    let unit = b.div(centred, spread);
    let g_unit = b.mul(g, unit);
    let (scale_bar, offset_bar) = (n.total(b, g_unit), n.total(b, g));
    let whole = b.scale(g, n.count());
    let (sums, along) = (n.spread(b, offset_bar), n.spread(b, along));
    let part = b.mul(along, unit);
    let part = b.div(part, spread);
    let rest = b.sub(whole, sums);
    let rest = b.sub(rest, part);
    let slope = b.div(scale, deviation);
    let slope = n.spread(b, slope);
    let each = b.full_like(slope, n.count());
    let slope = b.div(slope, each);
    Ok(smallvec![b.mul(slope, rest), scale_bar, offset_bar])
}
