//! QR by reflections: R is read before the reflections below it become Q.

use super::{
    Array, Linear, Method, Part, Place, Plan, Result, Site, Target, Verdict, element, identity, load, sizes, write,
};
use crate::grid::library::Routine;
use crate::grid::ops::load_words;
use gradloom_ir::{Comparison, DType};

pub(super) fn qr(site: &Site) -> Result<Plan> {
    let mut plan = Plan::default();
    let (batch, m, n) = sizes(&site.args[0]);
    let (_, _, wide) = sizes(&site.results[0]);
    let k = m.min(n);
    if k == 0 {
        identity(&mut plan, &Array::result(site, 0))?;
        return Ok(plan);
    }
    let dtype = site.args[0].dtype;
    let verdict = Verdict::new(&mut plan, batch)?;
    // room for all columns of Q
    let stride = m * n.max(wide);
    let place = Place { row: 1, column: m, matrix: stride };
    let a = load(&mut plan, &Array::arg(site, 0), Part::All, place, batch * stride, &verdict)?;
    let tau = Array::scratch(&mut plan, dtype, batch * k);
    let info = Array::scratch(&mut plan, DType::I32, batch);
    let buffers = vec![a.at, tau.at, info.at];
    let routine = |plan: &mut Plan, what| {
        plan.routine(Routine::Linear(Linear { dtype, batch, what }), buffers.clone());
    };
    routine(&mut plan, Method::Qr { rows: m, columns: n, stride });
    let w = a.words();
    write(&mut plan, &Target::matrices(site, 1), &verdict, &[&a], |b, params, [matrix, i, j]| {
        let at = place.at(b, matrix, i, j);
        let zero = element::zero(b, w);
        let value: element::Number = zero.iter().map(|&x| b.variable(x)).collect();
        let above = b.compare(Comparison::Le, i, j);
        b.when(above, |b| {
            let x = load_words(b, w, params[0], at);
            value.iter().zip(x).for_each(|(&v, x)| b.assign(v, x));
        });
        value
    })?;
    routine(&mut plan, Method::Q { rows: m, columns: wide, reflections: k, stride });
    write(&mut plan, &Target::matrices(site, 0), &verdict, &[&a], |b, params, [matrix, i, j]| {
        let at = place.at(b, matrix, i, j);
        load_words(b, w, params[0], at)
    })?;
    Ok(plan)
}
