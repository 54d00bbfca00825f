//! Connectionist temporal classification (Graves et al. 2006).

use super::losses;
use crate::checks::{Checks, ensure};
use gradloom_frontend::{DType, Tensor, scan};

/// ln of a probability that is none: finite, so that sums of such have derivatives.
const NONE: f64 = -1e30;

/// x, one place later along the last axis.
#[track_caller]
fn later(x: &Tensor, by: usize) -> Tensor {
    let n = x.dim(-1);
    x.pad(&[(0, 0), (by as i64, 0)], NONE).slice_axis(1, 0, n)
}

losses! {
    /// -ln of the probability that scores `[batch, time, classes]` spell labels `[batch, length]`: the sum over all ways to
    /// write the labels in time, each held for a while, with blanks (class 0) between. `times` and `lengths`, `[batch]`, say
    /// how much of each row counts. Infinite where there is no such way.
    ctc ctc_each(scores: &Tensor, labels: &Tensor, times: &Tensor, lengths: &Tensor) {
        let (batch, time, length) = (scores.dim(0), scores.dim(1), labels.dim(1));
        let ints = [labels, times, lengths].iter().all(|x| x.dtype().is_int());
        let checks = Checks::of("ctc")
            .axes(scores, "scores", &["batch", "time", "classes"])
            .axes(labels, "labels", &["batch", "length"])
            .axes(times, "times", &["batch"])
            .axes(lengths, "lengths", &["batch"])
            .that(ints, || "labels, times and lengths should be integers".to_string())
            .that([labels.dim(0), times.dim(0), lengths.dim(0)] == [batch; 3], || {
                format!("labels {}, times {} and lengths {} are not of {batch} rows", labels.ty(), times.ty(), lengths.ty())
            });
        ensure!(checks);
        let labels = labels.to(DType::I32);
        // l' = blank, l_1, blank, l_2, .., blank
        let states = 2 * length + 1;
        let between = Tensor::stack(&[labels.zeros_like(), labels], -1).reshape([batch, 2 * length]);
        let spelled = between.pad(&[(0, 0), (0, 1)], 0);
        // from l'_(s-2) straight to l'_s where that is another label
        let before = spelled.pad(&[(0, 0), (2, 0)], 0).slice_axis(1, 0, states);
        let skips = spelled.ne(0) & spelled.ne(before);
        // ln y^t of l'_s, [time, batch, states]
        let ln_y = scores.log_softmax(-1).take_along_axis(&spelled.expand_dims(1), 2).swapaxes(0, 1);

        // before time 0 all is in front of the first blank
        let first = Tensor::iota([batch, states], 1, DType::I32).eq(0);
        let start = first.select(Tensor::full([batch, states], 0.0, scores.dtype()), NONE);
        let counts = Tensor::arange(time).expand_dims(1).lt(times.to(DType::I32));
        let (ln_alpha, _) = scan(
            |a: &Tensor, (ln_y, counts): &(Tensor, Tensor)| {
                let ways = [a.clone(), later(a, 1), skips.select(later(a, 2), NONE)];
                let next = Tensor::stack(&ways, -1).logsumexp(-1) + ln_y;
                (counts.expand_dims(-1).select(next, a), ())
            },
            &start,
            &(ln_y, counts),
        );
        // the last label or the blank after it
        let end = lengths.to(DType::I32).expand_dims(-1) * 2;
        let at = Tensor::iota([batch, states], 1, DType::I32);
        let last = at.eq(&end) | at.eq(end - 1);
        let loss = -last.select(ln_alpha, NONE).logsumexp(-1);
        loss.gt(-NONE / 2.0).select(f64::INFINITY, loss)
    }
}
